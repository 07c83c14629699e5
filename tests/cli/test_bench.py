"""`bctk bench`: exit codes, and what does not go together. What it measures is tested in tests/bench."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from bctoolkit.bench import pipeline
from bctoolkit.bench.documents.judgements import Check, Robustness, Verdict
from bctoolkit.bench.documents.report import Failure, Report
from bctoolkit.cli import cli, output
from bctoolkit.cli.benchmarks.options import settings_for
from bctoolkit.documents import Outcome, parse
from bctoolkit.errors import BackendError, RecipeError
from tests.support.bundles import SIGNED_BY
from tests.support.bundles import STORED as BUNDLE

STORED = Path(__file__).parents[1] / "stored" / "report.json"
Bench = Callable[..., Result]


def with_outcomes(*outcomes: Outcome | None) -> Report:
    """The stored report whose results have these outcomes."""
    report = parse(Report, json.loads(STORED.read_bytes()), "report.json", RecipeError)
    results = []
    for result, outcome in zip(report.results, outcomes, strict=True):
        check = (
            None
            if outcome is None
            else Check(name="max_p50_ms", limit=1.0, outcome=outcome, observed=2.0, interval=(0.5, 2.0))
        )
        verdict = None if check is None or outcome is None else Verdict(outcome, (check,))
        results.append(msgspec.structs.replace(result, verdict=verdict))
    return msgspec.structs.replace(report, results=tuple(results))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Run `bctk bench` with a stage that returns a given report."""
    monkeypatch.chdir(tmp_path)

    def run(report: Report | None, *arguments: str) -> Result:
        def measured(*_: Any, **__: Any) -> Report | None:
            return report

        monkeypatch.setattr(pipeline, "bench", measured)
        return CliRunner().invoke(cli, ["bench", *arguments])

    return run


@pytest.mark.parametrize(
    ("outcomes", "code", "allowed"),
    [
        ((Outcome.PASSED, Outcome.PASSED, None), 0, 0),
        ((None, None, None), 0, 0),
        ((Outcome.PASSED, Outcome.UNDECIDED, None), 3, 0),
        ((Outcome.PASSED, Outcome.FAILED, Outcome.UNDECIDED), 3, 3),
    ],
)
def test_exit_codes_of_the_outcomes(
    bench: Bench, outcomes: tuple[Outcome | None, ...], code: int, allowed: int
) -> None:
    assert bench(with_outcomes(*outcomes), "x").exit_code == code
    assert bench(with_outcomes(*outcomes), "x", "--allow-undecided").exit_code == allowed


def test_what_is_not_kept_is_printed(bench: Bench) -> None:
    output = bench(with_outcomes(Outcome.PASSED, Outcome.UNDECIDED, Outcome.FAILED), "x").output
    assert "cells-onnx-fp32: verdict passed" in output
    assert "cells-onnx-int8-dynamic: verdict UNDECIDED\n  max_p50_ms 1: 0.5 to 2 undecided" in output
    assert "cells-tflite-fp32: verdict FAILED\n  max_p50_ms 1: 0.5 to 2 fails" in output


def test_what_corruptions_cost_is_a_line_for_each_bundle(bench: Bench) -> None:
    report = with_outcomes(None, None, None)
    robust = Robustness(suite=1, count=400, baseline="cells-onnx-fp32", clean_accuracy=0.96, accuracy=0.9, drop=0.01,
                        clean_drop=0.002, relative_corruption_drop=0.008,
                        relative_corruption_drop_ci95=(0.004, 0.012), corruptions={})  # fmt: skip
    results = tuple(
        msgspec.structs.replace(
            result,
            parity=msgspec.structs.replace(
                result.parity, labelled=msgspec.structs.replace(result.parity.labelled, robustness=robust)
            ),
        )
        for result in report.results
        if result.parity.labelled is not None
    )
    done = bench(msgspec.structs.replace(report, results=results), "bundle")
    line = "to cells-onnx-fp32 1.00 points lost, of clean images 0.20; relative drop 0.80 (95 % interval 0.40 to 1.20)"
    assert done.output.count(line) == len(results) > 0


def test_a_bundle_that_failed_is_an_error_after_the_others_are_shown(bench: Bench) -> None:
    failed = (Failure("x-int8", "onnx", "int8", "x-int8: its process ended with signal 9"),)
    done = bench(msgspec.structs.replace(with_outcomes(None, None, None), failures=failed), "x")
    assert isinstance(done.exception, BackendError)
    assert str(done.exception) == "x-int8: its process ended with signal 9"
    assert "cells-tflite-fp32" in done.output
    assert "report: " in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads", "2"],
        ["--quick"],
        ["--data", "x"],
        ["--budget", "phone"],
        ["bundle"],
        ["--provider", "cpu"],
        ["--corruptions"],
    ],
)
def test_nothing_is_changed_on_the_way(bench: Bench, arguments: list[str]) -> None:
    done = bench(None, "--resume", "--out", "x", *arguments)
    assert isinstance(done.exception, RecipeError)
    name = arguments[0] if arguments[0].startswith("--") else "BUNDLE"
    assert str(done.exception).startswith(("--quick", "--publish") if name == "--quick" else name)
    assert "cannot go with --resume" in str(done.exception)


def test_without_anything_unfinished_there_is_nothing_to_resume(bench: Bench) -> None:
    done = bench(None, "--resume")
    assert str(done.exception) == "--resume: no unfinished report in benchmarks/reports"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,1", "names a number of threads twice"),
        ("1,x", "x is not in the range"),
        ("257", "257 is not in"),
        ("1,", ""),
    ],
)
def test_numbers_of_threads_that_make_no_sense_are_wrong_usage(bench: Bench, text: str, message: str) -> None:
    done = bench(None, "x", "--threads", text)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize("text", ["", "cpu,", "cpu,cuda,cpu"])
def test_providers_that_make_no_sense_are_wrong_usage(bench: Bench, text: str) -> None:
    done = bench(None, "x", "--provider", text)
    assert done.exit_code == 2
    assert "give one or several: cpu,cuda" in done.output


def test_providers_and_profiles_are_settings() -> None:
    settings = settings_for("quick", None, ("cpu", "builtin"), profile=True)
    assert (settings.providers, settings.profile_runs) == (("cpu", "builtin"), 50)
    assert (settings_for("quick").providers, settings_for("quick").profile_runs) == ((), 0)


def test_several_numbers_of_threads_are_a_sweep() -> None:
    assert (settings_for("default", (1, 2)).threads, settings_for("default", (1, 2)).sweep) == (1, (1, 2))
    assert (settings_for("quick", (2,)).threads, settings_for("quick", (2,)).sweep) == (2, ())


def test_a_disk_that_fills_meanwhile_names_the_way_on(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        (tmp_path / ".x.unfinished").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    monkeypatch.setattr(pipeline, "bench", full)
    done = CliRunner().invoke(cli, ["bench", str(BUNDLE), "--out", "x"])
    assert isinstance(done.exception, RecipeError)
    assert str(done.exception) == (
        "x: No space left on device; make room and continue with: bctk bench --resume --out x"
    )


def test_a_bundle_that_nobody_trusted_has_signed_is_not_measured(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "model.sig" in refused("bench", BUNDLE, "--trusted", SIGNED_BY, "--out", "x")
    assert "model.sig" in refused("evaluate", BUNDLE, "--data", "synthetic", "--trusted", SIGNED_BY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--on", "adb://SERIAL"), "unknown kind of machine"),
        (("--on", "ssh://-oProxyCommand=x"), "is no host"),
        (("--on", "local", "--on", "local"), "local is named twice"),
        (("--python", "/usr/bin/python3"), "for the machines of --on"),
    ],
)
def test_addresses_that_make_no_sense_are_refused_before_any_work(
    refused: Callable[..., str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused("bench", BUNDLE, "--out", "x", *arguments)


def test_without_what_draws_the_page_it_is_said_where_the_text_is(bench: Bench) -> None:
    done = bench(with_outcomes(None, None, None), "x", "--out", "made")
    assert "report: made/report.md" in done.output
    assert "pip install 'bctoolkit[bench]'" in done.output


def test_without_rich_a_table_is_as_wide_as_its_cells(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with_rich = bench(with_outcomes(None, None, None), "x").output.splitlines()
    monkeypatch.setattr(output, "is_installed", lambda module: False)
    without = bench(with_outcomes(None, None, None), "x").output.splitlines()
    assert [line.split() for line in without[:4]] == [line.split() for line in with_rich[:4]]
