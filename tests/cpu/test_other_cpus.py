"""What is exported here answers the same bits on a CPU without VNNI, and so do files made elsewhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bctoolkit import bundle as bundles
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions
from bctoolkit.runtime.saturation import NEVER_SATURATES

pytestmark = pytest.mark.slow

RunPython = Callable[..., str]
ZOO = Path(__file__).resolve().parents[2] / "exports" / "zoo"
NAMES = ("atto-onnx-int8-dynamic", "atto-tflite-int8-dynamic")

ANSWER = """
import sys, numpy as np
from bctoolkit.runtime import on_onnxruntime
backend = on_onnxruntime.open_model(open(sys.argv[1], "rb").read(), "cpu", 1)
images = np.load(sys.argv[2])
np.save(sys.argv[3], np.concatenate([backend.run(images[i : i + 1]) for i in range(len(images))]))
"""
IN_EXACT_MODE = "from bctoolkit.runtime import on_onnxruntime as o; o.never_saturates = lambda model: False\n" + ANSWER
AS_FILE_STANDS = "from bctoolkit.runtime import on_onnxruntime as o; o.engine_saturates = lambda: False\n" + ANSWER


@pytest.fixture
def ask(run_python: RunPython, tmp_path: Path) -> Callable[..., NDArray[np.float32]]:
    """What a script answers to the images."""

    def answers(
        script: str, model: Path, images: NDArray[np.uint8], env: dict[str, str] | None = None
    ) -> NDArray[np.float32]:
        np.save(tmp_path / "images.npy", images)
        run_python(script, model, tmp_path / "images.npy", tmp_path / "answers.npy", env=env)
        predictions: NDArray[np.float32] = np.load(tmp_path / "answers.npy")
        return predictions

    return answers


@pytest.mark.parametrize("name", NAMES)
def test_verify_says_the_sealed_figure_without_vnni_too(
    name: str, without_vnni: dict[str, str], run_python: RunPython
) -> None:
    script = "import sys; from bctoolkit.cli import main; main(sys.argv[1:])"
    here, there = (run_python(script, "verify", ZOO / name, env=env) for env in (None, without_vnni))
    assert here.splitlines()[-1] == there.splitlines()[-1] == "verified"
    sealed = bundles.read(ZOO / name).manifest.parity.max_abs_diff
    for stdout in (here, there):
        observed = float(stdout.split("max |Δp| ")[1].split()[0])
        assert observed == pytest.approx(sealed, rel=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_the_self_test_raises_no_false_alarm_without_vnni(
    name: str, without_vnni: dict[str, str], run_python: RunPython
) -> None:
    script = (
        "import sys; from bctoolkit.runtime import load; print(load(sys.argv[1], self_test='always').info().self_test)"
    )
    assert "outcome='passed'" in run_python(script, ZOO / name, env=without_vnni)


def test_the_zoo_answers_the_same_bits_in_every_mode(
    without_vnni: dict[str, str], ask: Callable[..., NDArray[np.float32]]
) -> None:
    images = bundles.read(ZOO / NAMES[0]).golden().images
    model = ZOO / NAMES[0] / "model.onnx"
    expected = ask(ANSWER, model, images)
    np.testing.assert_array_equal(ask(ANSWER, model, images, without_vnni), expected)
    np.testing.assert_array_equal(ask(IN_EXACT_MODE, model, images, without_vnni), expected)


@pytest.mark.soak
@pytest.mark.real
def test_five_hundred_real_cells_get_the_same_bits_in_every_mode(
    real_cells: Dataset, without_vnni: dict[str, str], ask: Callable[..., NDArray[np.float32]]
) -> None:
    opened = bundles.read(ZOO / NAMES[0])
    reference = opened.reference()
    assert reference is not None
    index = positions(reference.hashes[:500], real_cells.hashes)
    images, model = real_cells.images[index], ZOO / NAMES[0] / "model.onnx"
    expected = ask(ANSWER, model, images)
    np.testing.assert_array_equal(ask(ANSWER, model, images, without_vnni), expected)
    np.testing.assert_array_equal(ask(IN_EXACT_MODE, model, images, without_vnni), expected)
    assert np.abs(expected - reference.probabilities[:500]).max() <= 0.05


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The zoo's network with weights on all of their 127 steps, as other quantizers leave them."""
    model = onnx.load(ZOO / NAMES[0] / "model.onnx")
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, tensor in stored.items():
        if tensor.data_type == TensorProto.INT8:
            kernel = numpy_helper.to_array(tensor) * numpy_helper.to_array(stored[name.replace("/int8", "/scale")])
            scale = (np.abs(kernel).max(0) / 127).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(np.rint(kernel / scale).astype(np.int8), name))
            stored[name.replace("/int8", "/scale")].CopyFrom(
                numpy_helper.from_array(scale, name.replace("/int8", "/scale"))
            )
    properties = {entry.key: entry.value for entry in model.metadata_props if entry.key != NEVER_SATURATES[0]}
    del model.metadata_props[:]
    helper.set_model_props(model, properties)
    onnx.save(model, tmp_path / "foreign.onnx")
    return tmp_path / "foreign.onnx"


def test_a_file_made_elsewhere_is_run_exactly(
    foreign: Path, without_vnni: dict[str, str], ask: Callable[..., NDArray[np.float32]]
) -> None:
    images = bundles.read(ZOO / NAMES[0]).golden().images
    expected = ask(IN_EXACT_MODE, foreign, images)
    assert np.abs(ask(AS_FILE_STANDS, foreign, images, without_vnni) - expected).max() > 1e-2
    np.testing.assert_array_equal(ask(ANSWER, foreign, images, without_vnni), expected)


@pytest.mark.soak
def test_an_export_of_a_quantized_network_holds_without_vnni(
    without_vnni: dict[str, str], workspace: Path, run_python: RunPython, tmp_path: Path
) -> None:
    """The gate sees on either CPU what it sees on the other."""
    script = "import sys; from bctoolkit.cli import main; main(sys.argv[1:])"
    run_python(
        script, "export", workspace / "training" / "runs" / "tiny", "--out", tmp_path, "--golden", "synthetic",
        "--quantize", "int8-dynamic", env=without_vnni,
    )  # fmt: skip
    there = bundles.read(tmp_path / "tiny-onnx-int8-dynamic")
    here = bundles.read(workspace / "exports" / "bundles" / "tiny-onnx-int8-dynamic")
    assert there.manifest.model.sha256 == here.manifest.model.sha256
