"""The evaluation: which images, what figures, and a folder that is whole or absent."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bctoolkit import run as runs
from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.apply import predicted_classes
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES
from bctoolkit.errors import BundleError, DatasetError, RecipeError
from bctoolkit.evaluate import evaluate
from bctoolkit.evaluate.pipeline import _sample
from bctoolkit.evaluate.report import Evaluation
from bctoolkit.evaluate.subject import Subject
from bctoolkit.progress import Silent
from tests.support.progress import Interrupted

FILES = {"evaluation.json", "evaluation.html", "confusion_matrix.png", "reliability.png"}


@pytest.fixture(scope="session")
def run_folder(workspace: Path) -> Path:
    return workspace / "training" / "runs" / "tiny"


@pytest.fixture
def stranger(tmp_path: Path, class_folders: Path) -> Path:
    """Images of the same classes that no run has seen."""
    rng = np.random.default_rng(7)
    labels = np.array(sorted(path.name for path in class_folders.iterdir()) * 4)
    np.savez(tmp_path / "stranger.npz", images=rng.integers(0, 256, (12, 32, 32, 3), np.uint8), labels=labels)
    return tmp_path / "stranger.npz"


def test_a_run_s_figures_are_those_of_its_training(run_folder: Path, class_folders: Path) -> None:
    evaluation = evaluate(run_folder, str(class_folders), Silent())
    stored = msgspec.json.decode((run_folder / "metrics.json").read_bytes(), type=runs.TestMetrics)
    assert (evaluation.count, evaluation.confusion, evaluation.recall) == (
        stored.count,
        stored.confusion,
        stored.recall,
    )
    assert (evaluation.accuracy, evaluation.accuracy_ci95) == (stored.accuracy, stored.accuracy_ci95)
    assert evaluation.ece == pytest.approx(stored.ece, abs=1e-5)
    assert (evaluation.kind, evaluation.selection) == ("run", "the run's test part")


@pytest.mark.parametrize("name", ["tiny-onnx-fp32", "tiny-tflite-fp32"])
def test_a_run_and_its_bundle_agree_clean_and_corrupted(workspace: Path, class_folders: Path, name: str) -> None:
    run = evaluate(workspace / "training/runs/tiny", str(class_folders), Silent(), corruptions=True, limit=6)
    bundle = evaluate(workspace / "exports/bundles" / name, str(class_folders), Silent(), corruptions=True, limit=6)
    assert (bundle.kind, bundle.labels, bundle.counts) == ("bundle", run.labels, run.counts)
    assert bundle.confusion == run.confusion
    assert bundle.corruptions == run.corruptions


def test_parts_of_a_run_are_those_of_its_split(run_folder: Path, class_folders: Path) -> None:
    expected = {part: sum(counts.values()) for part, counts in runs.read(run_folder).data.counts.items()}
    for part in ("train", "validation", "test"):
        assert evaluate(run_folder, str(class_folders), Silent(), part=part).count == expected[part]
    assert evaluate(run_folder, str(class_folders), Silent(), part="all").count == sum(expected.values())


@pytest.mark.parametrize("folder", ["training/runs/tiny", "exports/bundles/tiny-onnx-fp32"])
def test_of_a_strange_set_all_images_are_taken_and_the_selection_says_so(
    workspace: Path, stranger: Path, folder: str
) -> None:
    evaluation = evaluate(workspace / folder, str(stranger), Silent())
    assert evaluation.count == 12
    assert evaluation.selection.startswith("all images: ")


def test_a_set_without_the_part_is_refused(run_folder: Path, class_folders: Path, tmp_path: Path) -> None:
    with np.load(run_folder / "split.npz") as stored:
        trained = {bytes(row) for row in stored["hashes"][stored["part"] == 0]}
    from bctoolkit.contract import InputContract
    from bctoolkit.data import load
    from bctoolkit.data.sources.folders import image_files

    loaded = load(str(class_folders), InputContract(height=32, width=32))
    files = [file for folder in sorted(class_folders.iterdir()) for file in image_files(folder)]
    for file, key in zip(files, loaded.hashes, strict=True):
        if bytes(key) in trained:
            (tmp_path / file.parent.name).mkdir(exist_ok=True)
            (tmp_path / file.parent.name / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DatasetError, match=f"holds {len(trained)} images of the run's set but none of its test part"):
        evaluate(run_folder, str(tmp_path), Silent())


def test_a_bundle_has_no_record_of_the_training_part(bundle: Path, class_folders: Path) -> None:
    with pytest.raises(BundleError, match="records only its test part, not 'train'; evaluate the run"):
        evaluate(bundle, str(class_folders), Silent(), part="train")


def test_classes_that_the_network_lacks_are_named(bundle: Path) -> None:
    with pytest.raises(DatasetError, match="class 'synthetic_basophil' is not one of left, right, up"):
        evaluate(bundle, "synthetic", Silent())


def test_a_damaged_run_is_refused(run_folder: Path, class_folders: Path, tmp_path: Path) -> None:
    for file in run_folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.keras").write_bytes(b"something else")
    with pytest.raises(RecipeError, match=r"model\.keras: SHA-256 differs"):
        evaluate(tmp_path, str(class_folders), Silent())


def test_the_folder_holds_document_page_and_pictures(bundle: Path, class_folders: Path, tmp_path: Path) -> None:
    evaluation = evaluate(bundle, str(class_folders), Silent(), corruptions=True, limit=3, target=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"corruptions.png"}
    assert msgspec.json.decode((tmp_path / "out" / "evaluation.json").read_bytes(), type=Evaluation) == evaluation
    evaluate(bundle, str(class_folders), Silent(), limit=3, target=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_ctrl_c_leaves_no_half_folder(bundle: Path, class_folders: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(bundle, str(class_folders), Interrupted("clean images"), target=tmp_path / "deep" / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_something_else_is_refused_before_any_work(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RecipeError, match=r"not one of ours \(it holds no evaluation.json\)"):
        evaluate(bundle, "no/such/data", Silent(), target=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_limit_selects_the_same_images_whatever_their_order(cells: Dataset) -> None:
    order = np.random.default_rng(0).permutation(len(cells))
    shuffled = cells.take(order)
    everything = np.arange(len(cells))
    selected = {bytes(cells.hashes[i]) for i in _sample(cells, everything, 7)}
    assert len(selected) == 7
    assert selected == {bytes(shuffled.hashes[i]) for i in _sample(shuffled, everything, 7)}


def test_every_mean_counts_each_corruption_the_same(evaluated: Callable[..., Evaluation]) -> None:
    evaluation = evaluated(corruptions=True)
    assert evaluation.corruptions is not None
    assert evaluation.corruption_by_severity is not None
    assert evaluation.corruption_worst is not None
    assert set(evaluation.corruptions) == set(CORRUPTIONS)
    rows = evaluation.corruptions.values()
    table = np.array([[getattr(row, severity) for severity in SEVERITIES] for row in rows])
    assert np.ptp(table) > 0
    assert [row.mean for row in rows] == pytest.approx(table.mean(1).tolist())
    assert evaluation.corruption_mean == pytest.approx(table.mean())
    assert list(evaluation.corruption_by_severity.values()) == pytest.approx(table.mean(0).tolist())
    assert evaluation.corruption_mean_unseen == pytest.approx(
        np.mean([row.mean for row in rows if not row.similar_augmentations])
    )
    assert evaluation.corruption_worst.accuracy == table[:, 1].min()
    assert evaluation.corruptions[evaluation.corruption_worst.name].middle == table[:, 1].min()


def test_without_the_suite_its_figures_are_absent(evaluated: Callable[..., Evaluation]) -> None:
    evaluation = evaluated()
    assert evaluation.corruptions is None
    assert evaluation.corruption_mean is None
    assert evaluation.corruption_worst is None


def test_a_corruption_s_figure_does_not_depend_on_the_batches(subject: Subject, cells: Dataset) -> None:
    many = cells.take(np.tile(np.arange(len(cells)), 4))
    once, often = (predicted_classes(subject.predict, dataset, 64, Silent()) for dataset in (cells, many))
    assert np.array_equal(np.tile(once, (4, 1, 1)), often)
