"""Corruption parity: which bundle is whose baseline, figures against plain recomputation, and a planted fault."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bench.analysis.robustness import robustness_by_target
from bctoolkit.bench.documents import stored
from bctoolkit.bench.documents.judgements import Robustness
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher import corruptions
from bctoolkit.bench.pipeline import bench, resume
from bctoolkit.bench.report import robustness_section
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.bench.report.summary import robustness_line
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, SUITE, corrupt
from bctoolkit.errors import RecipeError
from bctoolkit.files import unfinished
from bctoolkit.progress import Silent
from bctoolkit.runtime import load as load_classifier
from bctoolkit.statistics import paired
from tests.support.progress import Interrupted

SHAPE = (len(CORRUPTIONS), len(SEVERITIES))


@pytest.fixture(scope="session")
def opened(four_bundles: list[Path]) -> list[Bundle]:
    """onnx-fp32, onnx-int8-dynamic, tflite-fp32, tflite-int8-dynamic."""
    return [bundles.read(path) for path in four_bundles]


def judged(opened: list[Bundle], answers: dict[int, Predictions]) -> dict[int, Robustness]:
    """The robustness of bundles by their positions."""
    figures = robustness_by_target({str(number): (opened[number], each) for number, each in answers.items()})
    return {int(key): each for key, each in figures.items()}


def answered(count: int = 120, seed: int = 0, lost: float = 0.0, where: slice = slice(None)) -> Predictions:
    """Of 150 images the last `count` went through the suite: 90 % right, and in `where` a share less."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 150)
    clean = np.where(rng.random(150) < 0.9, labels, (labels + 1) % 3)
    sample = np.arange(150 - count, 150)
    truth = np.broadcast_to(labels[sample, None, None], (count, *SHAPE))
    predicted = np.where(rng.random(truth.shape) < 0.8, truth, (truth + 1) % 3).astype(np.int16)
    spoilt = np.random.default_rng(99).random((count, *SHAPE)) < lost
    predicted[:, where] = np.where(spoilt, (truth + 2) % 3, predicted)[:, where]
    hashes = np.random.default_rng(7).integers(0, 256, (150, 32), dtype=np.uint8)
    observed = np.eye(3, dtype=np.float32)[clean]
    return Predictions(observed[:1], LabelledPredictions(hashes, labels, observed, None, sample, predicted))


def test_each_is_held_against_the_most_precise_of_its_network_and_format(opened: list[Bundle]) -> None:
    figures = judged(opened, dict.fromkeys(range(4), answered()))
    assert [figures[number].baseline for number in range(4)] == [None, "tiny-onnx-fp32", None, "tiny-tflite-fp32"]


def test_without_a_float_form_of_its_format_it_takes_the_other_s(opened: list[Bundle]) -> None:
    figures = judged(opened, {number: answered() for number in (1, 2)})
    assert figures[1].baseline == "tiny-tflite-fp32"


def test_another_network_s_float_form_is_none(opened: list[Bundle]) -> None:
    source = msgspec.structs.replace(opened[0].manifest.source, model_sha256="ab" * 32)
    stranger = Bundle(opened[0].path, msgspec.structs.replace(opened[0].manifest, source=source))
    figures = judged([stranger, opened[1]], {0: answered(), 1: answered()})
    assert figures[1].baseline is None
    assert (figures[1].drop, figures[1].relative_corruption_drop, figures[1].relative_corruption_drop_ci95) == (
        None,
        None,
        None,
    )
    assert "no comparison possible" in robustness_line(figures[1])


def test_what_did_not_go_through_the_suite_is_not_judged(opened: list[Bundle]) -> None:
    plain = answered()
    assert plain.labelled is not None
    alone = LabelledPredictions(plain.labelled.hashes, plain.labelled.labels, plain.labelled.observed, None)
    figures = judged(opened, {0: Predictions(plain.golden, None), 1: Predictions(plain.golden, alone), 2: plain})
    assert list(figures) == [2]


def test_figures_are_those_of_a_plain_recomputation(opened: list[Bundle]) -> None:
    whole, part = answered(seed=1), answered(count=90, seed=1, lost=0.1)
    figures = judged(opened, {0: whole, 1: part})[1]
    one, other = whole.labelled, part.labelled
    assert one is not None and one.corrupted is not None  # noqa: PT018
    assert other is not None and other.corrupted is not None  # noqa: PT018
    labels = other.labels[-90:]
    before, after = one.corrupted[-90:] == labels[:, None, None], other.corrupted == labels[:, None, None]
    clean = one.observed[-90:].argmax(1) == labels
    assert (figures.suite, figures.count) == (SUITE, 90)
    assert figures.clean_accuracy == pytest.approx(clean.mean())
    assert figures.accuracy == pytest.approx(after.mean())
    assert figures.drop == pytest.approx(before.mean() - after.mean())
    assert figures.clean_drop == 0.0
    assert figures.relative_corruption_drop == pytest.approx(figures.drop)
    cell = figures.corruptions["jpeg"]["severe"]
    position = list(CORRUPTIONS).index("jpeg"), 2
    assert cell.accuracy == pytest.approx(after[:, *position].mean())
    assert cell.float_accuracy == pytest.approx(before[:, *position].mean())
    assert cell.change == paired.paired_change(before[:, *position], after[:, *position])
    assert cell.mcnemar_p == paired.mcnemar(before[:, *position], after[:, *position])


def test_a_loss_that_clean_images_do_not_show_is_found_beyond_chance(opened: list[Bundle]) -> None:
    """A third more wrong under one corruption only: 1.4 points over the suite, and that corruption stands out."""
    position = list(CORRUPTIONS).index("gaussian_noise")
    figures = judged(opened, {0: answered(), 1: answered(lost=0.33, where=slice(position, position + 1))})[1]
    assert figures.relative_corruption_drop == pytest.approx(0.33 * 0.8 / len(CORRUPTIONS), rel=0.2)
    lost = {name: sum(cell.change.regressed for cell in cells.values() if cell.change) for name, cells in
            figures.corruptions.items()}  # fmt: skip
    assert {name for name, count in lost.items() if count} == {"gaussian_noise"}
    assert all(cell.change.ci95[0] > 0.1 for cell in figures.corruptions["gaussian_noise"].values() if cell.change)


def test_an_artifact_like_its_float_form_shows_no_excess(opened: list[Bundle]) -> None:
    figures = judged(opened, {0: answered(), 1: answered()})[1]
    assert (figures.drop, figures.clean_drop, figures.relative_corruption_drop) == (0.0, 0.0, 0.0)
    assert figures.relative_corruption_drop_ci95 is not None
    assert figures.relative_corruption_drop_ci95[0] == pytest.approx(-figures.relative_corruption_drop_ci95[1])
    assert 0 < figures.relative_corruption_drop_ci95[1] < 0.02


def test_answers_under_the_suite_are_those_of_the_runtime(bundle: Path, tiny_data: Dataset) -> None:
    some = tiny_data.take(np.arange(0, 120, 30))
    predicted = corruptions.predict_suite(bundle, some, 1, None, Silent())
    assert predicted.shape == (4, *SHAPE)
    classifier = load_classifier(bundle)
    for name, severity in (("brightness", "mild"), ("occlusion", "severe")):
        images: NDArray[np.uint8] = corrupt(some.images[:], some.hashes, name, severity)
        expected = [classifier.predict(images[i : i + 1]).probabilities.argmax() for i in range(4)]
        assert predicted[:, list(CORRUPTIONS).index(name), SEVERITIES.index(severity)].tolist() == expected


@pytest.fixture(scope="module")
def measured(four_bundles: list[Path], class_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two bundles under the suite, interrupted once."""
    target = tmp_path_factory.mktemp("robust") / "report"
    settings = Settings(
        sessions=1, min_runs=3, min_seconds=0.01, warmup_runs=2, warmup_seconds=0.01, threads=1, corrupted=6
    )
    with pytest.raises(KeyboardInterrupt):
        bench(four_bundles[:2], settings, target, Interrupted("timing"), data=str(class_folders))
    kept = sorted(path.name for path in unfinished(target).glob("predictions-*"))
    assert kept == [f"predictions-{path.name}.npz" for path in four_bundles[:2]]
    resume(target, Silent())
    return target


def test_a_resumed_report_has_the_suite_s_figures_and_answers(measured: Path) -> None:
    figures = stored.read(measured)
    for result in figures.report.results:
        labelled = result.parity.labelled
        assert labelled is not None
        assert labelled.robustness is not None
        assert labelled.robustness.count == 6
        answers = figures.predictions(result)
        assert answers is not None
        assert answers.labelled is not None
        assert answers.labelled.corrupted is not None
        assert answers.labelled.corrupted.shape == (6, *SHAPE)
        right = answers.labelled.corrupted == answers.labelled.labels[answers.labelled.sample][:, None, None]
        assert labelled.robustness.accuracy == pytest.approx(right.mean())


def test_the_suite_is_told_in_every_form(measured: Path) -> None:
    page, text = ((measured / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    for content in (page, text):
        assert "Corruptions" in content
        assert "relative to tiny-onnx-fp32" in content
        assert "no comparison possible" in content
        assert "gaussian noise" in content
    assert 'aria-label="points lost under each corruption"' in page
    assert "relative_corruption_drop" in (measured / "report.csv").read_text(encoding="utf-8")


def test_the_suite_without_images_is_refused(bundle: Path, quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--corruptions needs labelled images; give them with --data"):
        bench([bundle], msgspec.structs.replace(quick, corrupted=6), tmp_path / "report", Silent())


def test_a_report_without_the_suite_has_no_section_of_it(report: Report) -> None:
    assert "Corruptions" not in markdown(report)
    assert list(robustness_section.sections(report)) == []


def test_names_cannot_become_markup(
    full_report: Report, opened: list[Bundle], with_robustness: Callable[..., Report]
) -> None:
    figures = judged(opened, {0: answered(), 1: answered(lost=0.1)})
    hostile = "<script>alert(1)</script>"
    page = "".join(
        robustness_section.sections(with_robustness(full_report, msgspec.structs.replace(figures[1], baseline=hostile)))
    )
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.fixture
def with_robustness() -> Callable[[Report, Robustness], Report]:
    def make(report: Report, robustness: Robustness) -> Report:
        first, *rest = report.results
        labelled = msgspec.structs.replace(first.parity.labelled, robustness=robustness)  # type: ignore[type-var]
        parity = msgspec.structs.replace(first.parity, labelled=labelled)
        return msgspec.structs.replace(report, results=(msgspec.structs.replace(first, parity=parity), *rest))

    return make
