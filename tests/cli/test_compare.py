"""`bctk compare` and `bctk choose`, on reports made by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bctoolkit.cli import cli
from bctoolkit.cli.benchmarks.choose import SIZES, TIMES, quantity
from bctoolkit.errors import BctkError, RecipeError

STORED = Path(__file__).parents[1] / "stored" / "report.json"
Run = Callable[..., Result]


def sessions(factor: float) -> list[dict[str, float]]:
    return [
        {
            "p50_ms": 12.0 * factor * (1 + noise),
            "end_to_end_p50_ms": 14.0 * factor * (1 + noise),
            "load_ms": 80.0,
            "first_ms": 20.0,
            "peak_rss_bytes": 200_000_000,
            "steady_rss_bytes": 190_000_000,
        }
        for noise in (-0.01, 0.0, 0.01, 0.005, -0.005)
    ]


def report(path: Path, factor: float = 1.0, **changes: Any) -> Path:
    """A report folder whose bundles are so many times as slow."""
    raw = json.loads(STORED.read_bytes())
    for result in raw["results"]:
        result["sessions"] = sessions(factor)
    path.mkdir(parents=True)
    (path / "report.json").write_text(json.dumps(raw | changes))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_a_regression_is_exit_code_3(run: Run, tmp_path: Path) -> None:
    done = run("compare", report(tmp_path / "old"), report(tmp_path / "new", 1.1))
    assert done.exit_code == 3, done.output
    [line] = [line for line in done.output.splitlines() if line.startswith("cells-onnx-fp32") and " p50 ms" in line
              and "end-to-end" not in line]  # fmt: skip
    assert line.split()[-1] == "WORSE"
    assert "+10.0%" in line
    assert "4 of 21 figures worse" in done.output


def test_noise_is_exit_code_0(run: Run, tmp_path: Path) -> None:
    done = run("compare", report(tmp_path / "old"), report(tmp_path / "new", 1.001))
    assert done.exit_code == 0, done.output
    assert "0 of 21 figures worse" in done.output


def test_a_wider_margin_forgives_more(run: Run, tmp_path: Path) -> None:
    old, new = report(tmp_path / "old"), report(tmp_path / "new", 1.1)
    assert run("compare", old, new, "--margin", 20).exit_code == 0


def test_reports_are_known_by_their_name_on_the_shelf(run: Run, tmp_path: Path) -> None:
    for name in ("main", "branch"):
        report(tmp_path / "benchmarks" / "reports" / name)
    assert run("compare", "main", "branch").exit_code == 0


def test_the_report_s_file_alone_will_do(run: Run, tmp_path: Path) -> None:
    old = report(tmp_path / "old") / "report.json"
    done = run("compare", old, old, "--json")
    assert done.exit_code == 0
    found = json.loads(done.output)
    assert found["margin"] == 0.03
    assert {change["trend"] for change in found["changes"]} == {"same"}
    assert any("accuracy is not compared" in note for note in found["notes"])


def test_a_baseline_compares_within_one_report(run: Run, tmp_path: Path) -> None:
    folder = report(tmp_path / "one")
    done = run("compare", folder, "--baseline", "cells-onnx-fp32")
    assert done.exit_code == 0, done.output
    assert "cells-tflite-fp32" in done.output
    assert isinstance(run("compare", folder, "--baseline", "x").exception, RecipeError)


def test_devices_are_merged_into_one_table(run: Run, tmp_path: Path) -> None:
    done = run("compare", "--devices", report(tmp_path / "server"), report(tmp_path / "board"))
    assert done.exit_code == 0
    assert done.output.count("cells-onnx-fp32") == 2
    assert "board: Example CPU" in done.output


@pytest.mark.parametrize(
    "arguments", [["a"], ["a", "a", "a"], ["a", "a", "--baseline", "x"], ["a", "--devices", "--json"]]
)
def test_reports_that_cannot_be_compared_are_refused(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    report(tmp_path / "a")
    assert isinstance(run("compare", *arguments).exception, RecipeError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"give a report folder"),
        ("{", r"not readable as JSON \(Input data was truncated\); give a report folder"),
        ('{"schema": 99}', r"schema 99, this bctoolkit reads up to 1; upgrade"),
        ('{"schema": 1}', r"missing required field"),
        ("[]", r"Expected object"),
    ],
)
def test_what_is_no_report_is_refused(run: Run, tmp_path: Path, content: str | None, message: str) -> None:
    (tmp_path / "x").mkdir()
    if content is not None:
        (tmp_path / "x" / "report.json").write_text(content)
    for command in (["compare", "x", "x"], ["choose", "x"]):
        problem = run(*command).exception
        assert isinstance(problem, BctkError)
        with pytest.raises(RecipeError, match=message):
            raise problem


def test_choose_names_the_best_and_what_others_fail_on(run: Run, tmp_path: Path) -> None:
    done = run("choose", report(tmp_path / "a"), "--max-p50", "20ms", "--max-size", "15MB")
    assert done.exit_code == 0, done.output
    assert "best: cells-onnx-fp32, the fastest of the 2 of 3 that keep all limits" in done.output
    assert "cells-onnx-int8-dynamic: max_p50_ms 20: 6 to 8 undecided" in done.output


def test_choose_without_a_winner_is_exit_code_3(run: Run, tmp_path: Path) -> None:
    done = run("choose", report(tmp_path / "a"), "--max-size", "1MB")
    assert done.exit_code == 3
    assert "none of 3 keeps all limits" in done.output


def test_choose_speaks_json(run: Run, tmp_path: Path) -> None:
    found = json.loads(run("choose", report(tmp_path / "a"), "--prefer", "size", "--max-size", "15MB", "--json").output)
    assert found["best"] == "cells-onnx-int8-dynamic"
    assert {one["bundle"] for one in found["candidates"] if one["on_front"]} >= {found["best"]}


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        ("30ms", TIMES, 30.0),
        ("1.5s", TIMES, 1500.0),
        ("60 MB", SIZES, 60.0),
        ("500kB", SIZES, 0.5),
        ("1GB", SIZES, 1000.0),
    ],
)
def test_quantities_have_units(text: str, units: dict[str, float], value: float) -> None:
    assert quantity("--x", text, units) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "30", "-3ms", "ms", "3 m", "1e3ms", "nan ms"])
def test_a_quantity_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"--max-p50 .*: give a number with ms or a number with s"):
        quantity("--max-p50", text, TIMES)
