"""What a dossier refuses: reports and evaluations of other models, what contradicts itself, and what is no document."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.dossier import write
from bctoolkit.errors import BctkError, BundleCorrupt, BundleUntrusted, ExportError, RecipeError
from tests.support.bundles import SIGNED, SIGNED_BY, STORED
from tests.support.dossiers import REPORT, edit, report_of, run_of


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """What `write` says, in one line, and that it leaves nothing."""

    def run(bundle: Path, error: type[BctkError], **options: Any) -> str:
        with pytest.raises(error) as caught:
            write(bundle, tmp_path / "out" / "dossier", **options)
        assert not (tmp_path / "out").exists()
        line = str(caught.value)
        assert len(line.splitlines()) == 1
        return line

    return run


def test_a_report_of_another_bundle(refused: Callable[..., str], measured: Path) -> None:
    line = refused(SIGNED, RecipeError, reports=[measured / "report"])
    assert "report: is not of this bundle but of colours (" in line
    assert line.endswith("measure that with: bctk bench")


def test_a_report_that_names_no_model(refused: Callable[..., str]) -> None:
    assert "does not say which model files it measured" in refused(SIGNED, RecipeError, reports=[REPORT])


def test_other_bundles_of_a_report_stay_outside(tmp_path: Path) -> None:
    document = write(SIGNED, tmp_path / "dossier", reports=[report_of(SIGNED, tmp_path / "report")])
    page = (tmp_path / "dossier" / "dossier.html").read_text()
    assert "/results/0/" in page
    assert "/results/1/" not in page
    assert document.model_sha256 == json.loads((SIGNED / "manifest.json").read_bytes())["model"]["sha256"]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("parity", "labelled", "accuracy"), 0.999, "accuracy is 0.999, by its own predictions"),
        (("parity", "labelled", "count"), 61, "images is 61, by its own predictions 60"),
        (("parity", "labelled", "recall", "reddish"), 0.5, "recall of reddish is 0.5"),
        (("parity", "golden", "max_abs_diff"), 1e-9, "max_abs_diff is 1e-09"),
        (("parity", "labelled"), None, "in the report or in its predictions alone"),
        (("quantization",), "int8", "is onnx int8, which the bundle is not"),
        (("parity", "labelled", "recall"), {"x": 1.0}, "recall of other classes"),
        (("latency_ms", "p50"), -1.0, "p50"),
    ],
)
def test_a_report_that_was_changed(
    refused: Callable[..., str], measured: Path, tmp_path: Path, place: tuple[str, ...], value: object, words: str
) -> None:
    """Its predictions, its own other figures and the bundle contradict it."""
    copy = Path(shutil.copytree(measured / "report", tmp_path / "report"))

    def change(raw: dict[str, Any]) -> None:
        part = raw["results"][0]
        for key in place[:-1]:
            part = part[key]
        assert part[place[-1]] != value
        part[place[-1]] = value

    edit(copy / "report.json", change)
    assert words in refused(measured / "colours", RecipeError, reports=[copy])


def test_predictions_that_were_exchanged(refused: Callable[..., str], measured: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(measured / "report", tmp_path / "report"))
    (predictions,) = (copy / "predictions").iterdir()
    predictions.write_bytes((SIGNED / "golden.npz").read_bytes())
    assert "predictions" in refused(measured / "colours", RecipeError, reports=[copy])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda kept: replace(kept, golden=kept.golden[:-1]), "predictions of other golden images"),
        (lambda kept: replace(kept, golden=kept.golden[:, :2]), "predictions of other golden images"),
        (lambda kept: replace(kept, labelled=None), "in the report or in its predictions alone"),
        (lambda kept: replace(kept, labelled=with_four_classes(kept)), "predictions of other classes"),
    ],
)
def test_predictions_of_something_else(
    refused: Callable[..., str],
    measured: Path,
    tmp_path: Path,
    change: Callable[[Predictions], Predictions],
    words: str,
) -> None:
    copy = Path(shutil.copytree(measured / "report", tmp_path / "report"))
    (path,) = (copy / "predictions").iterdir()
    change(Predictions.read(path)).save(path)
    assert words in refused(measured / "colours", RecipeError, reports=[copy])


def with_four_classes(kept: Predictions) -> LabelledPredictions:
    assert kept.labelled is not None
    return replace(kept.labelled, observed=np.pad(kept.labelled.observed, ((0, 0), (0, 1))), reference=None)


def test_an_evaluation_of_another_model(refused: Callable[..., str], measured: Path) -> None:
    line = refused(SIGNED, RecipeError, evaluations=[measured / "evaluation"])
    assert "is not of this bundle but of the bundle colours (" in line


def test_an_evaluation_of_the_network_the_bundle_was_made_of(measured: Path, tmp_path: Path) -> None:
    shutil.copy(measured / "evaluation" / "evaluation.json", tmp_path / "run.json")
    source = json.loads((measured / "colours" / "manifest.json").read_bytes())["source"]["model_sha256"]
    edit(tmp_path / "run.json", lambda raw: raw.update(kind="run", model_sha256=source))
    document = write(measured / "colours", tmp_path / "dossier", evaluations=[tmp_path / "run.json"])
    assert "the trained network, not this artifact" in (tmp_path / "dossier" / "dossier.html").read_text()
    assert any("No labelled figures of this artifact" in line for line in document.limits)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2, this bctoolkit reads up to 1"),
        ({"labels": ["a", "b", "c"]}, "labels of other classes"),
        ({"counts": {}}, "counts of other classes"),
        ({"accuracy": "high"}, "accuracy"),
        ({"unheard": 1}, "unknown key 'unheard'"),
    ],
)
def test_an_evaluation_that_is_none(
    refused: Callable[..., str], measured: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    shutil.copy(measured / "evaluation" / "evaluation.json", tmp_path)
    edit(tmp_path / "evaluation.json", lambda raw: raw.update(change))
    assert words in refused(measured / "colours", RecipeError, evaluations=[tmp_path / "evaluation.json"])


def test_a_file_that_is_not_there(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "give what bctk evaluate --json prints" in refused(SIGNED, RecipeError, evaluations=[tmp_path / "no.json"])
    assert "give a report folder" in refused(SIGNED, RecipeError, reports=[tmp_path / "nowhere"])
    assert "train the run again" in refused(SIGNED, ExportError, run=tmp_path / "nowhere")


def test_the_same_twice(refused: Callable[..., str], measured: Path) -> None:
    reports = [measured / "report", measured / "report" / "report.json"]
    assert "is given twice" in refused(measured / "colours", RecipeError, reports=reports)


def test_another_run(refused: Callable[..., str], tmp_path: Path) -> None:
    run = run_of(SIGNED, tmp_path / "run")
    edit(run / "run.json", lambda raw: raw.update(model_sha256="9" * 64))
    assert "is not the run that bundle-2 was made of" in refused(SIGNED, RecipeError, run=run)


def test_a_run_whose_recipe_was_changed(refused: Callable[..., str], tmp_path: Path) -> None:
    run = run_of(SIGNED, tmp_path / "run")
    with (run / "recipe.toml").open("a") as file:
        file.write("# more\n")
    assert "SHA-256 differs from the one in run.json" in refused(SIGNED, ExportError, run=run)


def test_a_run_without_its_epochs_says_so(tmp_path: Path) -> None:
    run = run_of(SIGNED, tmp_path / "run")
    (run / "history.json").unlink()
    document = write(SIGNED, tmp_path / "dossier", run=run)
    training = next(section for section in document.sections if section.heading == "Training")
    assert [piece.what for piece in training.missing] == ["not at hand: the curves of the training"]


def test_a_damaged_bundle(refused: Callable[..., str], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(SIGNED, tmp_path / "bundle"))
    (copy / "model.onnx").write_bytes(b"another")
    assert "SHA-256 differs" in refused(copy, BundleCorrupt)


def test_a_signature_is_checked_when_a_key_is_trusted(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "not signed" in refused(STORED, BundleUntrusted, trusted=[SIGNED_BY])
    states = [
        write(bundle, tmp_path / "dossier", trusted=trusted).signature.state
        for bundle, trusted in ((SIGNED, [SIGNED_BY]), (SIGNED, None), (STORED, None))
    ]
    assert states == ["trusted", "not checked", "none"]


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RecipeError, match="not one of ours"):
        write(SIGNED, tmp_path)
