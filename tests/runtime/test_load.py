"""`load`: real bundles in real engines answer as the Keras reference did."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.errors import BackendError, BundleCorrupt, BundleError, InputMismatch, ProviderUnavailable
from bctoolkit.runtime import load, prepare
from bctoolkit.statistics.metrics import limit_violations

ALL = [f"tiny-{name}-{kind}" for name, row in FORMATS.items() for kind in row.quantizations]
FP32 = [f"tiny-{name}-fp32" for name in FORMATS]


@pytest.fixture
def opened(workspace: Path, request: pytest.FixtureRequest) -> Bundle:
    return bundles.read(workspace / "exports" / "bundles" / request.param)


every_bundle = pytest.mark.parametrize("opened", ALL, indirect=True)
fp32_bundles = pytest.mark.parametrize("opened", FP32, indirect=True)


@every_bundle
def test_a_bundle_answers_its_golden_images_as_the_reference_did(opened: Bundle) -> None:
    golden = opened.golden()
    observed = load(opened.path).predict(golden.images).probabilities
    limits = QUANTIZATIONS[opened.manifest.quantization].tolerance
    assert limit_violations(golden.probabilities, observed, limits) == []


@every_bundle
def test_a_bundle_answers_as_its_manifest_says_it_did_at_export(opened: Bundle) -> None:
    golden, classifier = opened.golden(), load(opened.path)
    rows = [classifier.predict(image[None]).probabilities[0] for image in golden.images]
    observed = float(np.abs(np.array(rows) - golden.probabilities).max())
    assert observed == pytest.approx(opened.manifest.parity.max_abs_diff, abs=1e-5)


@every_bundle
def test_probabilities_are_float32_and_each_row_sums_to_one(opened: Bundle) -> None:
    probabilities = load(opened.path).predict(opened.golden().images).probabilities
    assert probabilities.dtype == np.float32
    half_a_step = {"int8-full": 2**-9, "w8a16": 2**-16}.get(opened.manifest.quantization, 0.0)
    rounding = len(opened.manifest.labels) * half_a_step
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5 + rounding)
    assert probabilities.min() >= 0


@every_bundle
def test_a_batch_is_answered_like_its_images_one_by_one(opened: Bundle) -> None:
    """Dynamic int8 takes the range of a whole batch in ONNX Runtime, so there it holds within its tolerance."""
    classifier, images = load(opened.path), opened.golden().images
    together = classifier.predict(images)
    alone = [classifier.predict(image[None]) for image in images]
    exact = opened.manifest.quantization == "fp32"
    tolerance = 1e-6 if exact else QUANTIZATIONS[opened.manifest.quantization].tolerance.mean_abs_diff
    assert together.labels == tuple(one.labels[0] for one in alone)
    assert np.allclose(together.probabilities, np.concatenate([one.probabilities for one in alone]), atol=tolerance)


@every_bundle
def test_the_order_of_a_batch_is_kept(opened: Bundle) -> None:
    classifier, images = load(opened.path, threads=1), opened.golden().images
    rows = [classifier.predict(image[None]).probabilities for image in images[:3]]
    again = [classifier.predict(image[None]).probabilities for image in images[:3][::-1]]
    assert np.array_equal(np.array(rows), np.array(again[::-1]))


@fp32_bundles
def test_a_view_is_answered_like_its_copy(opened: Bundle) -> None:
    classifier, view = load(opened.path), opened.golden().images[::2, :, ::-1, ::-1]
    assert not view.flags.c_contiguous
    expected = classifier.predict(view.copy()).probabilities
    assert np.allclose(classifier.predict(view).probabilities, expected, atol=1e-6)


@fp32_bundles
def test_an_earlier_answer_is_not_overwritten_by_the_next(opened: Bundle) -> None:
    classifier, images = load(opened.path), opened.golden().images
    first = classifier.predict(images[:1]).probabilities
    before = first.copy()
    classifier.predict(255 - images[:1])
    assert np.array_equal(first, before)


@fp32_bundles
def test_an_image_file_is_answered_like_its_pixels(opened: Bundle, tmp_path: Path) -> None:
    classifier, pixels = load(opened.path), opened.golden().images[0]
    Image.fromarray(pixels).save(tmp_path / "cell.png")
    from_file = classifier.predict(prepare(tmp_path / "cell.png", classifier.contract)[None])
    assert np.array_equal(from_file.probabilities, classifier.predict(pixels[None]).probabilities)


@every_bundle
def test_contract_and_labels_are_the_manifest_s(opened: Bundle) -> None:
    classifier = load(str(opened.path))
    assert classifier.contract == opened.manifest.input
    assert classifier.labels == ("left", "right", "up")


@every_bundle
def test_what_really_runs_is_told(opened: Bundle) -> None:
    backend = load(opened.path, provider="cpu", threads=1).backend
    assert (backend.provider, backend.threads) == ("cpu", 1)


@fp32_bundles
@pytest.mark.parametrize("threads", [0, -1, -4])
def test_a_number_of_threads_that_makes_no_sense_is_refused_not_repaired(opened: Bundle, threads: int) -> None:
    with pytest.raises(BackendError, match="threads"):
        load(opened.path, threads=threads)


@fp32_bundles
@pytest.mark.parametrize("provider", ["npu", "CPU", "CPUExecutionProvider", ""])
def test_an_unknown_provider_is_refused_not_replaced(opened: Bundle, provider: str) -> None:
    with pytest.raises(ProviderUnavailable, match=repr(provider)):
        load(opened.path, provider=provider)


@fp32_bundles
def test_there_is_no_silent_way_from_cuda_to_the_cpu(opened: Bundle) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime is built for CUDA")
    with pytest.raises(ProviderUnavailable, match=r"(?i)cuda"):
        load(opened.path, provider="cuda")


@fp32_bundles
def test_an_unknown_engine_is_answered_with_the_known_ones(opened: Bundle) -> None:
    names = ", ".join(FORMATS[opened.manifest.format].engines)
    with pytest.raises(ProviderUnavailable, match=rf"unknown engine 'tensorrt' .*engines: {names}"):
        load(opened.path, engine="tensorrt")


@pytest.mark.parametrize("name", FORMATS)
def test_every_engine_of_the_table_can_be_asked_for(workspace: Path, name: str) -> None:
    path = workspace / "exports" / "bundles" / f"tiny-{name}-fp32"
    images = bundles.read(path).golden().images
    answers = [load(path, engine=engine).predict(images).probabilities for engine in FORMATS[name].engines]
    assert all(np.allclose(answer, answers[0], atol=1e-4) for answer in answers)


@fp32_bundles
def test_the_hash_is_checked_before_the_engine_sees_a_byte(opened: Bundle, tmp_path: Path) -> None:
    """Not even imported: an engine that is never loaded cannot have parsed a hostile file."""
    copy = Path(shutil.copytree(opened.path, tmp_path / "copy"))
    model = copy / opened.manifest.model.file
    model.write_bytes(b"\x00" * model.stat().st_size)
    with pytest.raises(BundleCorrupt, match="SHA-256 differs"):
        load(copy)
    script = (
        "import sys\nfrom bctoolkit.errors import BundleCorrupt\nfrom bctoolkit.runtime import load\n"
        f"try: load({str(copy)!r})\nexcept BundleCorrupt: pass\n"
        "print(sorted({'onnxruntime', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@fp32_bundles
def test_a_sealed_file_that_is_no_model_is_refused_in_one_line(opened: Bundle, tmp_path: Path) -> None:
    manifest = opened.manifest
    written = bundles.write(
        tmp_path / "nonsense",
        bundles.BundleContent(
            format=manifest.format,
            quantization=manifest.quantization,
            model=b"nonsense" * 100,
            input=manifest.input,
            labels=manifest.labels,
            golden=opened.golden(),
            reference=None,
            source=manifest.source,
            tools={},
            parity=manifest.parity,
            created=manifest.created,
        ),
    )
    with pytest.raises(BundleCorrupt, match=r"nonsense/model\.\w+: not an? \w+ file.*; export it again") as caught:
        load(written.path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        load(tmp_path)


@pytest.fixture(params=FP32)
def float_bundle(float_bundles: Path, request: pytest.FixtureRequest) -> Bundle:
    return bundles.read(float_bundles / request.param)


def test_a_float32_bundle_answers_like_the_reference_on_values_0_to_255(float_bundle: Bundle) -> None:
    golden = float_bundle.golden()
    assert float_bundle.manifest.input.dtype == "float32"
    observed = load(float_bundle.path).predict(golden.images.astype(np.float32)).probabilities
    assert limit_violations(golden.probabilities, observed, QUANTIZATIONS["fp32"].tolerance) == []


def spoilt(images: NDArray[np.uint8], value: float) -> NDArray[np.float32]:
    batch = images[:2].astype(np.float32)
    batch[1, 2, 3, 0] = value
    return batch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: spoilt(images, np.nan), r"value at \[1, 2, 3, 0\] is nan; the model wants float32"),
        (lambda images: spoilt(images, np.inf), r"value at \[1, 2, 3, 0\] is inf"),
        (lambda images: spoilt(images, 300), "values span .* to 300"),
        (lambda images: spoilt(images, -0.5), "values span -0.5 to"),
        (lambda images: images.astype(np.float32) / 255, "as if divided by 255"),
        (lambda images: images, "got dtype uint8; the model wants float32"),
        (lambda images: images.astype(np.float64), "got dtype float64"),
    ],
    ids=["nan", "inf", "above", "below", "scaled", "uint8", "float64"],
)
def test_a_float32_bundle_refuses_what_an_app_gets_wrong(
    float_bundle: Bundle, change: Callable[[NDArray[np.uint8]], NDArray[Any]], message: str
) -> None:
    with pytest.raises(InputMismatch, match=message):
        load(float_bundle.path).predict(change(float_bundle.golden().images))


def test_a_float32_bundle_takes_what_prepare_makes(float_bundle: Bundle) -> None:
    golden, classifier = float_bundle.golden(), load(float_bundle.path)
    prepared = prepare(golden.images[0], classifier.contract)
    assert np.allclose(classifier.predict(prepared[None]).probabilities[0], golden.probabilities[0], atol=1e-4)
