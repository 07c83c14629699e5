"""Known limits, by rule: each stands there when it holds, and only then."""

import dataclasses
import inspect
from pathlib import Path

import msgspec
import pytest

from bctoolkit import bundle as bundles
from bctoolkit import run as runs
from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.bench.documents.stored import read
from bctoolkit.documents import Outcome
from bctoolkit.documents.quantization import GateResult
from bctoolkit.dossier import write
from bctoolkit.dossier.limits import ELSEWHERE, OWN
from bctoolkit.evaluate import subject
from tests.support.bundles import SIGNED, SIGNED_BY, STORED
from tests.support.dossiers import REPORT, edit, report_of, run_of

ALONE = {
    "Class reddish was measured on 3 images",
    "No figures that are known to be from another site",
    "No budget",
    "Measured on no device",
    "Not measured under corruptions",
    "It answers every image",
    "The golden images are synthetic",
    "There are only 8 golden images",
    "The training run is not at hand",
    "The steps from the trained network to the artifact are not recorded",
    "by whom was not checked",
}


def limits(tmp_path: Path, bundle: Path = SIGNED, **options: object) -> tuple[str, ...]:
    return write(bundle, tmp_path / "dossier", **options).limits  # type: ignore[arg-type]


def told(lines: tuple[str, ...], words: str) -> bool:
    return any(words in line for line in lines)


@pytest.mark.parametrize("words", sorted(ALONE))
def test_a_bundle_alone_has_its_limits(tmp_path: Path, words: str) -> None:
    assert told(limits(tmp_path), words)


def test_a_bundle_alone_has_no_others(tmp_path: Path) -> None:
    few = ("Class greenish was measured on 3", "Class bluish was measured on 2")
    assert all(any(words in line for words in (*ALONE, *few)) for line in limits(tmp_path))


def test_without_labelled_images_nothing_is_known_of_accuracy(tmp_path: Path) -> None:
    assert told(limits(tmp_path, STORED), "No labelled figures of this artifact")
    assert not told(limits(tmp_path), "No labelled figures of this artifact")


@pytest.mark.parametrize("outcome", Outcome)
def test_a_gate_that_could_not_say_is_told(tmp_path: Path, outcome: Outcome) -> None:
    gate = GateResult(
        outcome=outcome, reasons=(), count=60, accuracy=1.0, accuracy_drop=0.0, accuracy_drop_ci95=(-0.06, 0.06),
        recall_drop={}, worst_class="reddish", worst_recall_drop=0.0,
    )  # fmt: skip
    content = dataclasses.replace(bundles.read(STORED).content(), gate=gate)
    sealed = bundles.write(tmp_path / "judged", content)
    assert sealed.manifest.gate == gate
    assert told(limits(tmp_path, sealed.path), "60 validation images could not say") == (outcome == "undecided")


def test_a_trusted_signature_is_no_limit(tmp_path: Path) -> None:
    assert not told(limits(tmp_path, trusted=[SIGNED_BY]), "who vouches for it")


def test_enough_images_of_a_class_are_no_limit(tmp_path: Path) -> None:
    lines = limits(tmp_path, reports=[report_of(SIGNED, tmp_path / "report")])
    assert not told(lines, "Class reddish")  # 120 of them
    assert told(lines, "Class greenish was measured on 80 images (report-1.json), fewer than a hundred")
    assert not told(lines, "Measured on no device")
    assert told(lines, "The predictions did not lie beside report-1.json")


def test_an_unstable_latency_is_told(tmp_path: Path) -> None:
    latency = read(REPORT).report.results[0].latency_ms
    unstable = msgspec.structs.replace(latency, warnings=(TimingWarning.SPREAD,))
    report = report_of(SIGNED, tmp_path / "report", latency_ms=unstable)
    assert told(limits(tmp_path, reports=[report]), "The latency in report-1.json is unstable (spread)")


def test_limits_of_a_budget_that_do_not_hold_are_told(measured: Path, tmp_path: Path) -> None:
    lines = limits(tmp_path, measured / "colours", reports=[measured / "report"])
    assert told(lines, "The limit max_size_mb is failed (report-1.json)")
    assert not told(lines, "The limit min_accuracy is failed")
    assert not told(lines, "No budget")
    assert not told(lines, "It answers every image")
    assert not told(lines, "Not measured under corruptions")


def test_groups_are_asked_for_where_a_run_states_none(tmp_path: Path) -> None:
    run = run_of(SIGNED, tmp_path / "run")
    lines = limits(tmp_path, run=run)
    assert told(lines, "No groups are stated")
    assert not told(lines, "The training run is not at hand")


def test_images_that_look_different_are_told(measured: Path, tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_bytes((measured / "evaluation" / "evaluation.json").read_bytes())
    edit(tmp_path / "evaluation.json", lambda raw: raw["site"].update(outcome="failed"))
    lines = limits(tmp_path, measured / "colours", evaluations=[tmp_path / "evaluation.json"])
    assert told(lines, "look different from the validation images (evaluation-1.json)")


@pytest.mark.parametrize(
    ("selection", "own", "unclear"),
    [
        ("the bundle's test part", True, False),
        ("the run's validation part", True, False),
        ("all images: none of them is in the bundle's test part", False, False),
        ("all images, possibly including the training part", True, True),
        ("all images: the bundle does not record its test part", True, True),
    ],
)
def test_where_images_are_from_is_told_as_far_as_it_is_known(
    measured: Path, tmp_path: Path, selection: str, own: bool, unclear: bool
) -> None:
    (tmp_path / "evaluation.json").write_bytes((measured / "evaluation" / "evaluation.json").read_bytes())
    edit(tmp_path / "evaluation.json", lambda raw: raw.update(selection=selection))
    lines = limits(tmp_path, measured / "colours", evaluations=[tmp_path / "evaluation.json"])
    assert told(lines, "No figures that are known to be from another site") == own
    assert told(lines, "are not known to be those of the test part") == unclear


def test_the_words_of_selections_are_those_that_an_evaluation_writes() -> None:
    source = inspect.getsource(subject)
    assert all(words in source for words in (*OWN, ELSEWHERE))


def test_the_run_s_names_are_those_that_it_is_read_by() -> None:
    assert {runs.FACTS, runs.RECIPE, runs.HISTORY, runs.METRICS} == {
        "run.json", "recipe.toml", "history.json", "metrics.json"
    }  # fmt: skip
