"""Each format's second engine: the same answers, what really ran read back, and no silent way to anything else."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, lookup
from bctoolkit.errors import BackendError, ProviderUnavailable, SelfTestFailed
from bctoolkit.lazy import attribute
from bctoolkit.runtime import Classifier, load, on_litert, on_litert_compiled, on_openvino
from bctoolkit.runtime.backends import Placement
from perf.threads import ask_at_once

ROOT = Path(__file__).parents[1]
PARTLY = ROOT / "stored" / "partly-delegated.tflite"
SECOND = [(name, engine) for name, row in FORMATS.items() for engine in list(row.engines)[1:]]
FORMS = [(name, engine, form) for name, engine in SECOND for form in FORMATS[name].quantizations]
NO_OPENVINO = "OpenVINO is not installed: pip install 'bctoolkit[openvino]'"


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    """Skip what needs OpenVINO where it is not installed."""
    parameters = getattr(request.node, "callspec", None)
    if (parameters and "openvino" in parameters.params.values()) or request.node.get_closest_marker("openvino"):
        pytest.importorskip("openvino", reason=NO_OPENVINO)


@pytest.fixture(scope="module")
def shelf(workspace: Path) -> Path:
    return workspace / "exports" / "bundles"


@pytest.mark.parametrize(("name", "engine", "form"), FORMS)
def test_every_form_passes_its_self_test_and_answers_as_the_first_engine_does(
    shelf: Path, name: str, engine: str, form: str
) -> None:
    path = shelf / f"tiny-{name}-{form}"
    images, limits = bundles.read(path).golden().images, bundles.read(path).manifest.tolerance
    with load(path, engine=engine, threads=1, self_test="always") as second, load(path, threads=1) as first:
        assert second.info().engine == engine
        assert second.info().engine_version
        answers = second.predict_each(images)
        assert np.abs(answers - first.predict_each(images)).max() <= limits.max_abs_diff
        batch = second.raw_probabilities(images[:5].astype(second.contract.dtype))
        assert np.abs(batch - answers[:5]).max() <= limits.max_abs_diff


@pytest.mark.parametrize(("name", "engine"), SECOND)
def test_what_ran_and_with_how_many_threads_is_read_back(shelf: Path, name: str, engine: str) -> None:
    backend = load(shelf / f"tiny-{name}-fp32", engine=engine, threads=1, self_test="never").backend
    assert (backend.provider, backend.threads) == ("cpu", 1)
    placed = backend.placement()
    assert placed is not None
    assert next(iter(placed.operators)) == {"openvino": "cpu f32", "litert-compiled": "xnnpack"}[engine]
    assert sum(placed.operators.values()) > 3


@pytest.mark.parametrize(("name", "engine"), SECOND)
def test_eight_threads_never_get_each_other_s_answers(shelf: Path, name: str, engine: str) -> None:
    path = shelf / f"tiny-{name}-fp32"
    with load(path, engine=engine, threads=1, self_test="never") as classifier:
        images = np.random.default_rng(0).integers(0, 256, (50, *classifier.contract.shape), dtype=np.uint8)
        outcome = ask_at_once(classifier, images.astype(classifier.contract.dtype), 8, 0.2, least=1_000)
    assert (outcome.wrong, outcome.errors) == (0, 0), outcome


@pytest.mark.parametrize(("name", "engine"), SECOND)
def test_a_device_that_is_not_here_and_a_file_that_is_none_are_refused_in_one_line(
    shelf: Path, name: str, engine: str
) -> None:
    path = shelf / f"tiny-{name}-fp32"
    with pytest.raises(ProviderUnavailable, match=r"^unknown provider 'cuda'; providers: cpu, [\w, -]+$"):
        load(path, engine=engine, provider="cuda")
    with pytest.raises(BackendError, match=r"^\w+ cannot open the model: .+$"):
        attribute(lookup(name).engines[engine].backend)(b"not a model", "cpu", 1)


@pytest.mark.parametrize(
    ("provider", "words"),
    [("gpu", "OpenVINO finds no GPU here; it finds CPU"), ("npu", "OpenVINO finds no NPU here; it finds CPU")],
)
def test_openvino_falls_back_to_nothing(shelf: Path, provider: str, words: str) -> None:
    openvino = pytest.importorskip("openvino", reason=NO_OPENVINO)
    if any(device.split(".")[0] == provider.upper() for device in openvino.Core().available_devices):
        pytest.skip(f"there is such a device: {provider}")
    with pytest.raises(ProviderUnavailable, match=words):
        load(shelf / "tiny-onnx-fp32", engine="openvino", provider=provider)


def test_bfloat16_is_computed_in_or_refused(shelf: Path) -> None:
    openvino = pytest.importorskip("openvino", reason=NO_OPENVINO)
    path = shelf / "tiny-onnx-int8-dynamic"
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(ProviderUnavailable, match="this CPU does not compute in bf16; OpenVINO says: "):
            load(path, engine="openvino", provider="cpu-bf16")
        return
    placed = load(path, engine="openvino", provider="cpu-bf16", self_test="never").backend.placement()
    assert placed is not None
    assert placed.operators["cpu-bf16 bf16"] > 3


class Elsewhere:
    """A compiled model that runs somewhere else than it was asked to."""

    def get_property(self, name: str) -> list[str]:
        return ["CPU"] if name == "EXECUTION_DEVICES" else []


def test_a_device_exchanged_behind_our_back_is_noticed() -> None:
    with pytest.raises(ProviderUnavailable, match="asked for GPU, OpenVINO runs the model on CPU"):
        on_openvino._check_runs_as("gpu", Elsewhere())


def test_a_gpu_that_takes_only_some_operators_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's delegate stands in for a GPU: it leaves two operators of this file to others."""
    incomplete = on_litert_compiled.PROVIDERS["cpu"]._replace(name="CPU")
    monkeypatch.setitem(on_litert_compiled.PROVIDERS, "gpu", incomplete)
    monkeypatch.setattr(on_litert_compiled, "_on_gpu", lambda accelerator: True)
    with pytest.raises(ProviderUnavailable, match="asked for gpu, but LiteRT's GPU takes only some of the operators"):
        on_litert_compiled.open_model(PARTLY.read_bytes(), "gpu", 1)


def test_litert_without_a_gpu_says_so(shelf: Path) -> None:
    path = shelf / "tiny-tflite-fp32"
    try:
        backend = load(path, engine="litert-compiled", provider="gpu", self_test="never").backend
    except ProviderUnavailable as problem:
        assert str(problem) == "asked for gpu, but LiteRT finds no GPU here for the model"  # noqa: PT017
        return
    assert backend.provider == "gpu"


def test_what_the_compiled_model_does_not_tell_is_not_told() -> None:
    content = PARTLY.read_bytes()
    assert on_litert_compiled.open_model(content, "cpu", 1).placement() is None
    assert on_litert_compiled.open_model(content, "builtin", 1).placement() == Placement({"builtin": 7}, 0)


def test_the_whole_delegate_s_count_is_the_interpreter_s(shelf: Path) -> None:
    content = bundles.read(shelf / "tiny-tflite-int8-full").model()
    compiled, interpreter = (
        module.open_model(content, "cpu", 1).placement() for module in (on_litert_compiled, on_litert)
    )
    assert compiled is None or compiled == interpreter


def classifier_that_answers(change: Any, shelf: Path, monkeypatch: pytest.MonkeyPatch, engine: str, name: str) -> Path:
    """A bundle whose engine's answers are changed below the seam."""
    module: Any = {"openvino": on_openvino.OpenVinoBackend, "litert-compiled": on_litert_compiled.CompiledBackend}[
        engine
    ]
    honest = module.run

    def run(self: Any, batch: Any) -> Any:
        return change(honest(self, batch)).astype(np.float32)

    monkeypatch.setattr(module, "run", run)
    return shelf / f"tiny-{name}-fp32"


@pytest.mark.parametrize(("name", "engine"), SECOND)
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda p: p * 0, "every probability is zero"),
        (lambda p: p * np.nan, "NaN or infinity among the probabilities"),
        (lambda p: np.full_like(p, 1 / p.shape[1]), "every image gets the same answer"),
    ],
    ids=["all-zero", "nan", "constant"],
)
def test_an_engine_that_answers_nonsense_is_refused_by_its_kind(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, name: str, engine: str, change: Any, cause: str
) -> None:
    path = classifier_that_answers(change, shelf, monkeypatch, engine, name)
    with pytest.raises(SelfTestFailed, match=f"not served, .*likely cause: {cause}; {engine} here, ") as told:
        load(path, engine=engine, self_test="always")
    assert "\n" not in str(told.value)
    assert "engine" in told.value.causes


@pytest.mark.slow
@pytest.mark.parametrize(("name", "engine"), SECOND)
def test_verify_and_predict_take_the_engine(shelf: Path, tmp_path: Path, name: str, engine: str) -> None:
    path = shelf / f"tiny-{name}-fp32"
    done = bctk("verify", path, "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("verified\n")
    other = {"onnx": "litert", "tflite": "openvino"}[name]
    done = bctk("verify", path, "--engine", other)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"unknown engine '{other}' for {name}; engines: " in done.stderr
    assert bctk("verify", path, "--engine", "tensorflow").returncode == 2


def bctk(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bctoolkit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT.parent)


def test_nothing_of_openvino_is_imported_before_it_is_needed(shelf: Path) -> None:
    pytest.importorskip("openvino", reason=NO_OPENVINO)
    script = (
        "import sys\nfrom bctoolkit.runtime import load\nfrom bctoolkit.runtime import on_openvino\n"
        "assert 'openvino' not in sys.modules\n"
        f"load({str(shelf / 'tiny-onnx-fp32')!r}, engine='openvino', self_test='never')\n"
        "assert 'onnxruntime' not in sys.modules and 'openvino' in sys.modules\n"
        "assert sys.modules.get('openvino_telemetry') is None"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_a_contract_in_floats_is_taken_too(float_bundles: Path) -> None:
    for name, engine in SECOND:
        if engine == "openvino":
            pytest.importorskip("openvino", reason=NO_OPENVINO)
        classifier: Classifier = load(float_bundles / f"tiny-{name}-fp32", engine=engine, self_test="always")
        assert isinstance(classifier.contract, InputContract)
        assert classifier.contract.dtype == "float32"
