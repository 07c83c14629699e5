"""A model file that takes or gives something else than its manifest says reaches no engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bctoolkit import bundle as bundles
from bctoolkit.bench.worker.jobs import Inspect, inspect
from bctoolkit.errors import BackendError, BundleCorrupt
from bctoolkit.runtime import load
from bctoolkit.runtime.backends import engine_errors
from tests.support.bundles import STORED, replace_model


@pytest.fixture
def opened_by() -> dict[str, Callable[[Path], object]]:
    """What opens the model of a bundle."""
    return {"load": load, "profile": lambda path: inspect(Inspect(str(path), 1, None, "", 1))}


def port(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def classifier(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_model_from_string((STORED / "model.onnx").read_bytes())
    change(model)
    return bytes(model.SerializeToString())


def set_input(kind: int, shape: list[Any]) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.input[0].CopyFrom(port("images", kind, shape))


def set_output(kind: int, shape: list[Any]) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.output[0].CopyFrom(port("probabilities", kind, shape))


def set_sequence(model: onnx.ModelProto) -> None:
    model.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("probabilities", TensorProto.FLOAT, None))


@pytest.mark.parametrize("by", ["load", "profile"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_input(TensorProto.UINT8, ["N", 16, 17, 3]),
            r"input is uint8 N×16×17×3; wanted uint8 N×16×16×3",
        ),
        (set_input(TensorProto.UINT8, [4, 16, 16, 3]), "input is uint8 4×16×16×3"),
        (set_input(TensorProto.UINT8, []), "input is uint8 value"),
        (set_input(TensorProto.FLOAT, ["N", 16, 16, 3]), "input is float32 N×16×16×3"),
        (set_input(TensorProto.STRING, ["N", 16, 16, 3]), "input is string"),
        (lambda model: model.graph.input.append(port("more", 1, [1])), "input is uint8 N×16×16×3, float32 1"),
        (lambda model: model.graph.ClearField("input"), "input is none"),
        (set_output(TensorProto.FLOAT, ["N", 4]), "output is float32 N×4; wanted float32 N×3"),
        (set_output(TensorProto.FLOAT, ["N"]), "output is float32 N"),
        (set_output(TensorProto.INT64, ["N", 3]), "output is type 7 N×3"),
        (set_output(TensorProto.STRING, ["N", 3]), "output is string N×3"),
        (set_sequence, "output is a sequence"),
        (lambda model: model.graph.output.append(model.graph.output[0]), "output is float32 N×3, float32 N×3"),
    ],
)
def test_a_model_of_other_inputs_or_outputs_is_refused(
    change: Callable[[onnx.ModelProto], object],
    message: str,
    by: str,
    opened_by: dict[str, Callable[[Path], object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("onnxruntime.InferenceSession", None)
    folder = replace_model(tmp_path / "bundle", classifier(change))
    with pytest.raises(BundleCorrupt, match=message) as caught:
        opened_by[by](folder)
    assert str(caught.value).startswith(f"{folder}/model.onnx: ")


@pytest.mark.parametrize("shape", [["N", 16, 16, 3], [1, 16, 16, 3], ["N", "h", "w", 3], [1, "h", 16, "c"]])
def test_axes_that_are_left_open_fit(shape: list[Any], tmp_path: Path) -> None:
    folder = replace_model(tmp_path / "bundle", classifier(set_input(TensorProto.UINT8, shape)))
    golden = bundles.read(folder).golden()
    assert load(folder).predict_each(golden.images).shape == (8, 3)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (KeyError("a\nb"), "it failed: 'a\\\\nb'"),
        (MemoryError(), "it failed: not enough memory"),
        (RuntimeError(), "it failed: RuntimeError"),
        (SystemError("x" * 10_000), "it failed: x{300}$"),
    ],
)
def test_whatever_an_engine_raises_is_one_line(raised: Exception, message: str) -> None:
    with pytest.raises(BackendError, match=message), engine_errors("it failed"):
        raise raised


def test_an_engine_that_fails_at_an_image_is_one_line(tmp_path: Path) -> None:
    """Its output has as many columns as the image says."""

    def depend(model: onnx.ModelProto) -> None:
        shape = helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([-1, 5])))
        last = model.graph.node[-1]
        model.graph.node.extend([shape, helper.make_node("Reshape", ["inner", "shape"], list(last.output))])
        last.output[:] = ["inner"]

    folder = replace_model(tmp_path / "bundle", classifier(depend))
    with pytest.raises(BackendError, match=r"ONNX Runtime failed at this image: [^\n]*Reshape"):
        load(folder, self_test="never").predict(bundles.read(folder).golden().images[:1])
