"""Parity figures against plain recomputation, and planted faults that they must show."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bench.analysis import parity
from bctoolkit.bench.documents.judgements import ParityReport
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bench.launcher import predictions
from bctoolkit.bundle import Bundle, BundleContent, Golden, Reference
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load
from bctoolkit.data.dataset import rows
from bctoolkit.errors import DatasetError
from bctoolkit.progress import Silent
from bctoolkit.runtime import load as load_classifier
from bctoolkit.statistics import paired

pytestmark = pytest.mark.usefixtures("local_children")

Probabilities = NDArray[np.float32]
Rebuild = Callable[..., Bundle]


def compared(bundle: Bundle, dataset: Dataset | None = None) -> ParityReport:
    return parity.compare_with_reference(
        bundle, predictions.predict_all(bundle, dataset, 1, None, Silent()), "" if dataset is None else dataset.source
    )


@pytest.fixture
def original(bundle: Path) -> Bundle:
    return bundles.read(bundle)


@pytest.fixture
def rebuild(original: Bundle, tmp_path: Path) -> Rebuild:
    """`rebuild(golden=…, labels=…)`: the tiny bundle again with some parts replaced."""

    def make(**changes: Any) -> Bundle:
        manifest = original.manifest
        parts: dict[str, Any] = {
            "format": manifest.format,
            "quantization": manifest.quantization,
            "model": original.model(),
            "input": manifest.input,
            "labels": manifest.labels,
            "golden": original.golden(),
            "reference": original.reference(),
            "source": manifest.source,
            "tools": manifest.tools,
            "parity": manifest.parity,
            "created": manifest.created,
        }
        return bundles.write(tmp_path / "planted", BundleContent(**parts | changes))

    return make


def anonymous(bundle: Bundle) -> bytes:
    """The model, less what it states of itself: with other labels beside it would be refused."""
    model = onnx.load_from_string(bundle.model())
    del model.metadata_props[:]
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def held_out(bundle: Path, tiny_data: Dataset) -> Dataset:
    """The images the bundle's reference knows."""
    reference = bundles.read(bundle).reference()
    assert reference is not None
    known = set(rows(reference.hashes))
    return tiny_data.take(np.flatnonzero([key in known for key in rows(tiny_data.hashes)]))


@pytest.fixture(scope="session")
def predicted(bundle: Path, held_out: Dataset) -> Probabilities:
    """What the artifact says of the test part, asked through the runtime."""
    return load_classifier(bundle).predict(held_out.images[:]).probabilities


def reference_of(dataset: Dataset, probabilities: Probabilities) -> Reference:
    """A reference in another order than the data's, as hashes are free to come."""
    order = np.random.default_rng(0).permutation(len(dataset))
    return Reference(dataset.hashes[order], probabilities[order].astype(np.float32))


def certain(classes: NDArray[np.int64]) -> Probabilities:
    return np.eye(3, dtype=np.float32)[classes] * np.float32(0.97) + np.float32(0.01)


def test_a_faithful_artifact_agrees_with_its_golden_answers(original: Bundle) -> None:
    figures = compared(original)
    assert figures.golden.count == len(original.golden().images)
    assert figures.golden.top1_agreement == 1.0
    assert figures.golden.mean_abs_diff <= figures.golden.max_abs_diff < 1e-4
    assert (figures.golden_images, figures.labelled) == ("real", None)


def test_parity_measured_here_is_that_of_the_export(original: Bundle) -> None:
    assert compared(original).golden.max_abs_diff == pytest.approx(original.manifest.parity.max_abs_diff, abs=1e-5)


def test_synthetic_golden_images_are_called_so(original: Bundle, rebuild: Rebuild) -> None:
    golden = original.golden()
    synthetic = rebuild(golden=Golden(golden.images, golden.probabilities, golden.labels, "synthetic"))
    assert compared(synthetic).golden_images == "synthetic"


def test_shifted_golden_probabilities_show(original: Bundle, rebuild: Rebuild) -> None:
    golden = original.golden()
    rows, shifted = np.arange(len(golden.images)), golden.probabilities.copy()
    shifted[rows, golden.probabilities.argmax(1)] -= 0.25
    shifted[rows, golden.probabilities.argmin(1)] += 0.25
    figures = compared(rebuild(golden=Golden(golden.images, shifted, golden.labels))).golden
    assert figures.max_abs_diff == pytest.approx(0.25, abs=1e-3)
    assert figures.mean_abs_diff == pytest.approx(0.5 / 3, abs=1e-3)


def test_one_wrong_golden_answer_shows(original: Bundle, rebuild: Rebuild) -> None:
    golden = original.golden()
    spoilt = golden.probabilities.copy()
    spoilt[0] = np.roll(certain(spoilt[:1].argmax(1)), 1, axis=1)
    figures = compared(rebuild(golden=Golden(golden.images, spoilt, golden.labels))).golden
    assert figures.top1_agreement == pytest.approx(1 - 1 / len(spoilt))
    assert figures.max_abs_diff > 0.1


def test_outputs_in_another_order_show(original: Bundle, rebuild: Rebuild) -> None:
    golden = original.golden()
    rolled = np.roll(golden.probabilities, 1, axis=1)
    assert compared(rebuild(golden=Golden(golden.images, rolled, golden.labels))).golden.top1_agreement == 0.0


def test_swapped_golden_images_show(original: Bundle, rebuild: Rebuild) -> None:
    golden = original.golden()
    figures = compared(rebuild(golden=Golden(golden.images[::-1].copy(), golden.probabilities, golden.labels))).golden
    assert figures.max_abs_diff > 100 * max(compared(original).golden.max_abs_diff, 1e-6)


def test_labelled_figures_are_those_of_the_held_out(
    original: Bundle, tiny_data: Dataset, held_out: Dataset, predicted: Probabilities
) -> None:
    figures = compared(original, tiny_data).labelled
    assert figures is not None
    right = predicted.argmax(1) == held_out.labels
    assert figures.split == "test part"
    assert figures.source == tiny_data.source
    assert 0 < figures.count == len(held_out) < len(tiny_data) / 2
    assert figures.accuracy == pytest.approx(right.mean())
    assert figures.accuracy_ci95[0] <= figures.accuracy <= figures.accuracy_ci95[1]
    for position, name in enumerate(tiny_data.classes):
        assert figures.recall[name] == pytest.approx(right[held_out.labels == position].mean())


def test_a_faithful_artifact_loses_nothing(original: Bundle, tiny_data: Dataset) -> None:
    figures = compared(original, tiny_data).labelled
    assert figures is not None
    assert figures.reference_accuracy == figures.accuracy
    assert (figures.accuracy_drop, figures.mcnemar_p) == (0.0, 1.0)
    assert figures.change is not None
    assert figures.change.ci95[0] < 0 < figures.change.ci95[1]  # no image differs, which bounds the drop
    assert (figures.top1_agreement, figures.worst_recall_drop) == (1.0, 0.0)
    assert figures.ece_drift == pytest.approx(0.0, abs=1e-4)


def test_paired_figures_are_those_of_a_plain_recomputation(
    rebuild: Rebuild, tiny_data: Dataset, held_out: Dataset, predicted: Probabilities
) -> None:
    """Against a reference that knows all predicted but two."""
    classes = held_out.labels.copy()
    classes[[0, -1]] = (classes[[0, -1]] + 1) % 3
    figures = compared(rebuild(reference=reference_of(held_out, certain(classes))), tiny_data).labelled
    assert figures is not None
    before, after = classes == held_out.labels, predicted.argmax(1) == held_out.labels
    assert figures.count == len(held_out)
    assert figures.reference_accuracy == pytest.approx(before.mean())
    assert figures.accuracy_drop == pytest.approx(before.mean() - after.mean())
    assert figures.change == paired.paired_change(before, after)
    assert figures.mcnemar_p == paired.mcnemar(before, after)
    assert figures.top1_agreement == pytest.approx((classes == predicted.argmax(1)).mean())
    lost = [before[held_out.labels == i].mean() - after[held_out.labels == i].mean() for i in range(3)]
    assert figures.worst_recall_drop == pytest.approx(max(lost))


def test_what_is_lost_is_counted_by_class_and_as_a_whole(
    rebuild: Rebuild, tiny_data: Dataset, held_out: Dataset, predicted: Probabilities
) -> None:
    """Against a reference that knows every label."""
    figures = compared(rebuild(reference=reference_of(held_out, certain(held_out.labels))), tiny_data).labelled
    assert figures is not None
    assert figures.change is not None
    right = predicted.argmax(1) == held_out.labels
    assert (figures.change.count, figures.change.regressed, figures.change.improved) == (
        len(right),
        int((~right).sum()),
        0,
    )
    assert figures.accuracy_drop == figures.change.drop
    assert set(figures.class_changes) == {"left", "right", "up"}
    assert sum(change.regressed for change in figures.class_changes.values()) == figures.change.regressed
    assert figures.regressed_classes == paired.regressed_classes(figures.class_changes)
    assert figures.top1_agreement_ci95 is not None
    assert figures.top1_agreement is not None
    assert figures.top1_agreement_ci95[0] <= figures.top1_agreement <= figures.top1_agreement_ci95[1]


def synthetic_predictions(seed: int, per_class: int = 800, flip: float = 0.0) -> LabelledPredictions:
    """A reference right on 95 % of eight classes, and an artifact that flips a share of class 5's right predicted."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(8), per_class)
    classes = np.where(rng.random(len(labels)) < 0.95, labels, (labels + 1) % 8)
    spoilt = classes.copy()
    fifth = np.flatnonzero((labels == 5) & (classes == 5))
    spoilt[rng.choice(fifth, round(flip * per_class), replace=False)] = 2
    eye = np.eye(8, dtype=np.float32) * np.float32(0.92) + np.float32(0.01)
    noise = np.abs(rng.normal(0, 1e-3, (len(labels), 8)))
    observed = eye[spoilt] + noise.astype(np.float32)
    hashes = rng.integers(0, 256, (len(labels), 32), dtype=np.uint8)
    return LabelledPredictions(hashes, labels, observed / observed.sum(1, keepdims=True), eye[classes])


@pytest.mark.parametrize("seed", range(5))
def test_one_percent_of_one_class_flipped_is_flagged_with_its_name(seed: int) -> None:
    names = tuple("abcdefgh")
    assert parity._labelled(synthetic_predictions(seed, flip=0.01), names, "drawn").regressed_classes == ("f",)


@pytest.mark.parametrize("seed", range(20))
def test_an_artifact_without_a_fault_is_never_flagged(seed: int) -> None:
    figures = parity._labelled(synthetic_predictions(seed), tuple("abcdefgh"), "drawn")
    assert figures.regressed_classes == ()
    assert figures.accuracy_drop == 0


def test_answers_survive_on_disk(tmp_path: Path) -> None:
    golden = np.random.default_rng(0).random((5, 8), np.float32)
    known = synthetic_predictions(0, 4)
    corrupted = np.arange(3 * 21 * 3, dtype=np.int16).reshape(3, 21, 3)
    through_the_suite = dataclasses.replace(known, sample=np.array([3, 1, 2]), corrupted=corrupted)
    in_groups = dataclasses.replace(known, groups=np.arange(32) // 5)
    for labelled in (None, known, dataclasses.replace(known, reference=None), through_the_suite, in_groups):
        sent = Predictions(golden, labelled)
        sent.save(tmp_path / "predictions.npz")
        got = Predictions.read(tmp_path / "predictions.npz")
        np.testing.assert_array_equal(got.golden, golden)
        assert (got.labelled is None) == (labelled is None)
        if labelled is not None and got.labelled is not None:
            np.testing.assert_equal(vars(got.labelled), vars(labelled))


def test_an_artifact_worse_than_its_reference_shows(
    rebuild: Rebuild, tiny_data: Dataset, held_out: Dataset, predicted: Probabilities
) -> None:
    """The labels are turned until the artifact is wrong as often as can be; the reference knows them all."""
    turned = [(held_out.labels + turn) % 3 for turn in range(3)]
    turn = int(np.argmin([(predicted.argmax(1) == labels).mean() for labels in turned]))
    relabelled = Dataset(tiny_data.images, (tiny_data.labels + turn) % 3, tiny_data.classes, tiny_data.hashes, "turned")
    figures = compared(rebuild(reference=reference_of(held_out, certain(turned[turn]))), relabelled).labelled
    assert figures is not None
    assert figures.reference_accuracy == 1.0
    assert figures.accuracy_drop is not None
    assert figures.accuracy_drop > 0.5
    assert figures.change is not None
    assert figures.change.ci95[0] > 0.2
    assert figures.mcnemar_p is not None
    assert figures.mcnemar_p < 0.05
    assert figures.worst_recall_drop is not None
    assert figures.worst_recall_drop >= figures.accuracy_drop


def test_labels_in_another_order_show(
    original: Bundle, rebuild: Rebuild, tiny_data: Dataset, held_out: Dataset, predicted: Probabilities
) -> None:
    labels = original.manifest.labels
    figures = compared(rebuild(labels=(*labels[1:], labels[0]), model=anonymous(original)), tiny_data).labelled
    assert figures is not None
    classes = [(*labels[1:], labels[0])[position] for position in predicted.argmax(1)]
    meant = [tiny_data.classes[label] for label in held_out.labels]
    assert figures.accuracy == pytest.approx(np.mean([a == b for a, b in zip(classes, meant, strict=True)]))
    honest = compared(original, tiny_data).labelled
    assert honest is not None
    assert figures.recall != honest.recall


def test_the_order_of_the_data_does_not_matter(original: Bundle, tiny_data: Dataset) -> None:
    shuffled = tiny_data.take(np.random.default_rng(0).permutation(len(tiny_data))).in_order_of(("up", "left", "right"))
    one, other = compared(original, tiny_data).labelled, compared(original, shuffled).labelled
    assert one is not None
    assert other is not None
    assert other.accuracy == one.accuracy
    assert other.recall == one.recall


def test_images_of_another_set_are_judged_without_pairing(original: Bundle, foreign_folders: Path) -> None:
    foreign = load(str(foreign_folders), InputContract(height=32, width=32))
    figures = compared(original, foreign).labelled
    assert figures is not None
    assert (figures.split, figures.count) == ("all images", 15)
    paired = ("reference_accuracy", "accuracy_drop", "change", "mcnemar_p", "top1_agreement",
              "worst_recall_drop", "ece_drift")  # fmt: skip
    assert {name: getattr(figures, name) for name in paired} == dict.fromkeys(paired)


def test_a_bundle_without_reference_is_judged_without_pairing(
    rebuild: Rebuild, tiny_data: Dataset, original: Bundle
) -> None:
    figures = compared(rebuild(reference=None), tiny_data).labelled
    assert figures is not None
    assert (figures.split, figures.count, figures.accuracy_drop) == ("all images", len(tiny_data), None)


def test_a_class_without_images_has_no_recall(original: Bundle, tiny_data: Dataset) -> None:
    without = tiny_data.take(np.flatnonzero(tiny_data.labels != 1))
    two = Dataset(without.images, without.labels // 2, ("left", "up"), without.hashes, "two classes")
    figures = compared(original, two).labelled
    assert figures is not None
    assert figures.recall["right"] is None
    assert figures.worst_recall_drop == 0.0


def test_a_class_the_bundle_does_not_know_is_refused(original: Bundle, tiny_data: Dataset) -> None:
    renamed = Dataset(tiny_data.images, tiny_data.labels, ("left", "right", "down"), tiny_data.hashes, "renamed")
    with pytest.raises(DatasetError, match="renamed: class 'down' is not one of left, right, up"):
        compared(original, renamed)


def test_all_bundles_of_a_run_are_held_against_one_reference(four_bundles: list[Path], tiny_data: Dataset) -> None:
    """Every quantization is judged on the same images and the same reference."""
    figures = [compared(bundles.read(path), tiny_data).labelled for path in four_bundles]
    assert len({one.count for one in figures if one is not None}) == 1
    assert len({one.reference_accuracy for one in figures if one is not None}) == 1
