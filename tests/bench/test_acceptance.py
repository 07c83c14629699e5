"""What a benchmark says of accepted answers, foreign pictures and the site."""

from pathlib import Path

import numpy as np
import pytest

from bctoolkit.bench.analysis.acceptance import with_acceptance
from bctoolkit.bench.analysis.parity import compare_with_reference
from bctoolkit.bench.documents import stored
from bctoolkit.bench.documents.judgements import Labelled
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.pipeline import bench
from bctoolkit.bench.report import acceptance_section
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.bench.report.summary import summaries
from bctoolkit.bundle import Bundle, read
from bctoolkit.data import Dataset
from bctoolkit.documents import Outcome
from bctoolkit.errors import RecipeError
from bctoolkit.progress import Silent
from bctoolkit.runtime import load
from bctoolkit.statistics import metrics
from tests.support.acceptance import coloured, noise, write_pictures
from tests.support.bundles import reseal


@pytest.mark.slow
@pytest.mark.usefixtures("local_children", "without_plots")
def test_a_report_tells_it_all(ruled: Path, quick: Settings, tmp_path: Path) -> None:
    known = write_pictures(tmp_path / "known", coloured(150, seed=11))
    foreign = write_pictures(tmp_path / "foreign", noise(30))
    report = bench([ruled], quick, tmp_path / "report", Silent(), data=str(known), foreign=str(foreign))
    (result,) = report.results
    labelled, pictures = result.parity.labelled, result.parity.foreign
    assert labelled is not None
    assert labelled.site is not None
    assert labelled.accepted is not None
    assert labelled.risk_coverage is not None
    assert labelled.site.outcome is Outcome.PASSED
    assert labelled.risk_coverage.risk[-1] == pytest.approx(1 - labelled.accuracy)
    assert labelled.accepted.ece < labelled.ece
    assert pictures is not None
    assert (pictures.count, pictures.accepted, pictures.kinds) == (30, 0, {})
    assert stored.read(tmp_path / "report").report == report
    [summary] = summaries(report)
    text, sections = markdown(report), [*acceptance_section.sections(report)]
    for line in summary.highlights:
        assert line in text
    assert "accepted" in summary.highlights[-2]
    assert "0 of 30 accepted" in summary.highlights[-1]
    assert "0 of 30 accepted" in sections[-1]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert [section in page for section in sections] == [True, True]
    kept = Predictions.read(tmp_path / "report" / "predictions" / f"{result.target}.npz")
    assert kept.foreign is not None
    assert len(kept.foreign) == 30


def predicted(bundle: Bundle, images: Dataset) -> Predictions:
    """What a bundle answers to labelled images."""
    observed = load(bundle.path).predict_each(images.images[:])
    return Predictions(bundle.golden().probabilities, LabelledPredictions(images.hashes, images.labels, observed, None))


def judged(bundle: Bundle, images: Dataset, order: Dataset | None = None) -> Labelled:
    """What a report says of them, which come in some order."""
    predictions = predicted(bundle, images)
    parity = compare_with_reference(bundle, predictions, "drawn")
    labelled = with_acceptance(parity, bundle, predictions, order or images, noise(3)).labelled
    assert labelled is not None
    return labelled


def test_foreign_pictures_need_a_rule(bundle: Path, quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none of the bundles has an acceptance rule; export them with labelled"):
        bench([bundle], quick, tmp_path / "report", Silent(), foreign="there")


def test_predictions_are_matched_with_their_images_whatever_their_order(ruled: Path) -> None:
    images, bundle = coloured(80, seed=12), read(ruled)
    figures = judged(bundle, images)
    assert figures == judged(bundle, images, images.take(np.random.default_rng(0).permutation(80)))
    answers = load(ruled).predict(images.images[:])
    assert figures.accepted is not None
    assert answers.accepted is not None
    assert figures.accepted.coverage == answers.accepted.mean()
    right = answers.probabilities.argmax(1) == images.labels
    assert figures.accepted.accuracy == pytest.approx(right[answers.accepted].mean())
    expected = metrics.expected_calibration_error(images.labels, answers.probabilities)
    assert figures.accepted.ece == pytest.approx(expected, abs=1e-6)


def test_images_of_another_site_are_called_different(ruled: Path) -> None:
    site = judged(read(ruled), coloured(80, seed=12, brightness=190)).site
    assert site is not None
    assert site.outcome is Outcome.FAILED


def test_a_bundle_without_a_rule_has_the_curve_alone(ruled_copy: Path) -> None:
    reseal(ruled_copy, lambda raw: raw.update(acceptance=None, validation=None))
    figures = judged(read(ruled_copy), coloured(80, seed=12))
    assert figures.risk_coverage is not None
    assert (figures.accepted, figures.site) == (None, None)
