"""Labelled images that come in groups: what is judged of them is judged over groups, and says so."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from bctoolkit.bench.analysis import parity
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.documents.stored import read as read_stored
from bctoolkit.bench.pipeline import bench
from bctoolkit.data import Dataset
from bctoolkit.progress import Silent
from tests.bench.test_parity import synthetic_predictions

pytestmark = pytest.mark.usefixtures("local_children", "without_plots")


def test_intervals_are_over_the_groups_of_the_images_and_the_predictions_keep_them(
    bundle: Path, quick: Settings, tmp_path: Path, class_folders: Path
) -> None:
    settings = msgspec.structs.replace(quick, sessions=1, min_runs=8, min_seconds=0.0)
    report = bench([bundle], settings, tmp_path / "x", Silent(), data=str(class_folders), group=r"(\w+)/")
    labelled, kept = report.results[0].parity.labelled, read_stored(tmp_path / "x").predictions(report.results[0])
    assert labelled is not None
    assert labelled.change is not None
    assert labelled.groups == 3
    assert labelled.change.design_effect > 1
    assert kept is not None
    assert kept.labelled is not None
    assert kept.labelled.groups is not None
    np.testing.assert_array_equal(kept.labelled.groups, kept.labelled.labels)
    assert ", over 3 groups; so few say little of others)" in (tmp_path / "x" / "report.md").read_text(encoding="utf-8")


def test_intervals_of_decisions_respect_the_groups_of_the_set() -> None:
    """Each image stands for ten equal ones of a patient."""
    single = synthetic_predictions(0, 100, flip=0.2)
    numbers = np.arange(len(single.labels)).repeat(10)
    hashes = np.random.default_rng(1).integers(0, 256, (len(numbers), 32), dtype=np.uint8)
    assert single.reference is not None
    answers = single.labels[numbers], single.observed[numbers], single.reference[numbers]
    names = np.array([f"patient {number}" for number in numbers], object)[::-1]
    images = np.empty((len(numbers), 1, 1, 3), np.uint8)
    dataset = Dataset(images, answers[0][::-1], tuple("abcdefgh"), hashes[::-1], "drawn", groups=names)
    alike = Predictions(single.observed, LabelledPredictions(hashes, *answers))
    known = parity.with_groups(alike, dataset).labelled
    assert known is not None
    assert alike.labelled is not None
    grouped, one, ten = (parity._labelled(each, dataset.classes, "drawn") for each in (known, single, alike.labelled))
    assert grouped.change is not None
    assert grouped.change.design_effect == pytest.approx(10, rel=0.15)
    assert (grouped.groups, one.groups, ten.groups) == (800, None, None)
    assert (grouped.accuracy_drop, grouped.top1_agreement) == (ten.accuracy_drop, ten.top1_agreement)
    assert grouped.mcnemar_p == one.mcnemar_p
    assert grouped.regressed_classes == one.regressed_classes == ("f",)
    for wide, narrow, own in (
        (grouped.accuracy_drop_ci95, ten.accuracy_drop_ci95, one.accuracy_drop_ci95),
        (grouped.accuracy_ci95, ten.accuracy_ci95, one.accuracy_ci95),
        (grouped.top1_agreement_ci95, ten.top1_agreement_ci95, one.top1_agreement_ci95),
    ):
        assert wide is not None
        assert wide != narrow
        assert wide == pytest.approx(own, abs=0.01)


def test_a_set_without_groups_changes_nothing(cells: Dataset) -> None:
    kept = Predictions(np.empty((0, 8), np.float32), synthetic_predictions(0, 4))
    assert parity.with_groups(kept, None) is parity.with_groups(kept, cells) is kept
