"""The labelled images that a gate looks at in an export: the first, all where those are too few, and their groups."""

import json
import shutil
from pathlib import Path

import pytest

from bctoolkit.cli import main
from bctoolkit.errors import DatasetError
from bctoolkit.export import export, reference
from bctoolkit.export.plan import Job
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from bctoolkit.run import read as read_run
from tests.support.progress import Recorder

pytestmark = pytest.mark.slow

DYNAMIC = ExportRecipe(quantizations=("int8-dynamic",))
PREDICTED = "reference on the validation part"


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "run" / "cells"))


def test_a_gate_that_is_open_on_the_first_images_looks_at_all_and_the_manifest_says_what_it_found(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "VALIDATED", 4)
    known, first, again = sum(read_run(run).data.counts["validation"].values()), Recorder(), Recorder()
    (sealed,) = export(run, DYNAMIC, tmp_path / "out", first, cache=tmp_path / "cache")
    gate, labelled = sealed.manifest.gate, sealed.manifest.labelled
    assert gate is not None
    assert labelled is not None
    assert (gate.outcome, gate.count, gate.groups) == ("undecided", known, None)
    assert f"{known} labelled validation images are too few to show" in gate.reasons[0]
    assert (labelled.part, labelled.count, labelled.accuracy) == ("validation", known, gate.accuracy)
    asked = [total for label, done, total, _ in first.steps if label == PREDICTED and done == total]
    assert asked == [4, known - 4]
    export(run, DYNAMIC, tmp_path / "out", again, cache=tmp_path / "cache", force=True)
    assert PREDICTED not in {label for label, *_ in again.steps}


def test_a_gate_over_groups_tells_how_many_there_are(run: Path, tmp_path: Path) -> None:
    """Each class of the set is a patient, by the run's own pattern."""
    facts = json.loads((run / "run.json").read_bytes())
    facts["data"]["group"] = r"^(\w+)/"
    (run / "run.json").write_text(json.dumps(facts))
    log = Recorder()
    (sealed,) = export(run, DYNAMIC, tmp_path / "out", log)
    gate, labelled = sealed.manifest.gate, sealed.manifest.labelled
    assert gate is not None
    assert labelled is not None
    assert (gate.outcome, gate.groups, labelled.groups) == ("undecided", 3, 3)
    told = "over 3 groups they say as much as 3 independent ones; that takes 765 or more"
    assert any(told in line for line in log.lines)
    with pytest.raises(DatasetError, match="--group patient is not found in"):
        export(run, ExportRecipe(group="patient"), tmp_path / "other", Silent())


def test_groups_decide_an_artifact(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[str] = []
    inputs_sha256 = Job.inputs_sha256

    def remembered(job: Job, artifact: tuple[str, str]) -> str:
        hashes.append(inputs_sha256(job, artifact))
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "inputs_sha256", remembered)
    for pattern in ("", r"^(\w+)/", r"(\d+)\.png"):
        with pytest.raises(KeyboardInterrupt):
            export(run, ExportRecipe(group=pattern), tmp_path / "out", Silent())
    assert len({*hashes}) == 3


def test_a_pattern_that_is_none_is_refused_before_anything_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="is no regular expression"):
        ExportRecipe(group="(")
    for command in ("export", "bench", "evaluate", "train"):
        with pytest.raises(SystemExit):
            main([command, *(["x"] if command == "evaluate" else []), "--data", "x", "--group", "("])
        assert "'(' is no regular expression" in capsys.readouterr().err
