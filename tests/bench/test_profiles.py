"""Profiles by operators, as the engines' own profilers tell them of real tiny models."""

from pathlib import Path

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.measurements import OperatorTime
from bctoolkit.bench.launcher import sessions
from bctoolkit.bench.worker import profile_litert, profile_onnxruntime
from bctoolkit.bench.worker.operators import OperatorCalls, profile_by_type
from bctoolkit.errors import BackendError, ProviderUnavailable
from bctoolkit.runtime.on_litert import open_model

PARTLY = Path(__file__).parents[1] / "stored" / "partly-delegated.tflite"
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def onnx(four_bundles: list[Path]) -> bytes:
    return bundles.read(four_bundles[0]).model()


def test_types_are_summed_and_the_longest_comes_first() -> None:
    timed = [
        OperatorCalls("Add", "cpu", 4, 1.0),
        OperatorCalls("Conv", "cpu", 2, 6.0),
        OperatorCalls("Add", "cpu", 4, 1.0),
    ]
    found = profile_by_type("a profiler", 2, timed)
    assert found.operators == (OperatorTime("Conv", "cpu", 1, 3.0, 0.75), OperatorTime("Add", "cpu", 4, 1.0, 0.25))
    assert (found.ms, found.nodes) == (4.0, {"cpu": 5})


def test_operators_that_take_no_time_have_no_share() -> None:
    [operator] = profile_by_type("a profiler", 1, [OperatorCalls("Add", "cpu", 1, 0.0)]).operators
    assert operator.share == 0


def test_onnx_runtime_tells_its_kernels(onnx: bytes) -> None:
    found = profile_onnxruntime.profile(onnx, "cpu", 1, IMAGES, 10)
    assert found.runs == 10
    assert list(found.nodes) == ["cpu"]
    assert "Conv" in "".join(operator.name for operator in found.operators)
    assert sum(operator.share for operator in found.operators) == pytest.approx(1)
    assert found.nodes == profile_onnxruntime.profile(onnx, "cpu", 1, IMAGES, 3).nodes


@pytest.mark.parametrize("name", ["tiny-tflite-fp32", "tiny-tflite-int8-dynamic"])
def test_litert_tells_what_xnnpack_does_inside_its_partition(workspace: Path, name: str) -> None:
    model = bundles.read(workspace / "exports" / "bundles" / name).model()
    found = profile_litert.profile(model, "cpu", 1, IMAGES, 10)
    assert list(found.nodes) == ["xnnpack"]
    assert any(operator.name.startswith("Convolution (NHWC") for operator in found.operators)
    assert sum(operator.share for operator in found.operators) == pytest.approx(1, abs=1e-3)


def test_litert_tells_delegated_operators_from_those_left_outside() -> None:
    found = profile_litert.profile(PARTLY.read_bytes(), "cpu", 1, IMAGES, 10)
    assert {operator.name for operator in found.operators if operator.where == "builtin"} == {"CAST", "CUMSUM"}
    assert found.nodes["xnnpack"] >= 5


def test_without_the_delegate_litert_tells_its_own_kernels() -> None:
    found = profile_litert.profile(PARTLY.read_bytes(), "builtin", 1, IMAGES, 10)
    counts = {operator.name: operator.count for operator in found.operators}
    assert counts == {"CONV_2D": 2, "CAST": 1, "CUMSUM": 1, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}
    assert found.nodes == {"builtin": 7}


@pytest.mark.parametrize(("provider", "kernels"), [("cpu", 0), ("builtin", 2)])
def test_the_profiled_model_answers_as_the_timed_one(provider: str, kernels: int) -> None:
    compiled = profile_litert.CompiledModel(PARTLY.read_bytes(), kernels, 1)
    answer = compiled.run(IMAGES[1]).view(np.float32)
    np.testing.assert_allclose(answer, open_model(PARTLY.read_bytes(), provider, 1).run(IMAGES[1:2])[0], atol=1e-6)


def test_an_unknown_provider_is_refused(onnx: bytes) -> None:
    with pytest.raises(ProviderUnavailable, match="unknown provider 'npu'; providers: cpu, builtin"):
        profile_litert.profile(PARTLY.read_bytes(), "npu", 1, IMAGES, 1)
    with pytest.raises(ProviderUnavailable, match="unknown provider 'npu'; providers: cpu, cuda"):
        profile_onnxruntime.profile(onnx, "npu", 1, IMAGES, 1)


def test_a_file_or_an_image_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BackendError, match=r"LiteRtCreateModelFromBuffer ended with status \d+"):
        profile_litert.profile(b"not a model" * 20, "cpu", 1, IMAGES, 1)
    with pytest.raises(BackendError, match="the model's tensor holds 3072 bytes, the image 768"):
        profile_litert.profile(PARTLY.read_bytes(), "cpu", 1, IMAGES[:, :16, :16], 1)


def test_an_older_litert_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_litert, "version", lambda name: "1.4.0")
    with pytest.raises(BackendError, match=r"ai-edge-litert 1\.4\.0 has no profiler here; install 2\.3 or later"):
        profile_litert.profile(PARTLY.read_bytes(), "cpu", 1, IMAGES, 1)


@pytest.mark.parametrize("text", ["", "Summary by node type\nTimings (microseconds): count=0 curr=0", "CONV 1 0.1 5%"])
def test_a_summary_without_operators_is_refused(text: str) -> None:
    with pytest.raises(BackendError, match="a summary without operators"):
        list(profile_litert.read_summary(text))


def test_a_child_process_brings_the_profile(bundle: Path) -> None:
    assert sessions.profile(bundle, 1, None, 3).runs == 3
    with pytest.raises(BackendError, match=r"^tiny-onnx-fp32 on builtin: unknown provider 'builtin'"):
        sessions.profile(bundle, 1, "builtin", 3)
