"""What the page of families is made of, and that notebooks' networks become files."""

import operator
import os
import time
from pathlib import Path

import numpy as np
import pytest

from perf.families import children
from perf.families.page import page
from perf.families.sources import NETWORKS, SOURCES
from perf.families.tasks import as_probabilities, export, prepare

QUICK = ("digits, grey",)
"""The others take their time."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.soak) for name in SOURCES["notebooks"]]
)
def test_a_notebook_s_network_becomes_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepared = prepare(f"notebooks/{name}", str(tmp_path), labelled=False)
    outcomes = export(f"notebooks/{name}", str(tmp_path), ["onnx", "tflite"])
    assert prepared["median_distance"] > 0.05
    assert all(outcome.get("max_abs_diff", 1) < 1e-4 for outcome in outcomes.values()), outcomes


def end(code: int) -> None:
    """End the process at once; a function of its own, for coverage replaces the system's by one that no child gets."""
    os._exit(code)


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """No task of the test needs what tasks usually need."""
    monkeypatch.setattr(children, "PRELOAD", [])


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    ("task", "arguments", "limits", "reason"),
    [
        (time.sleep, (60,), {"seconds": 0.5, "megabytes": 1000}, "not done after 0.5 s"),
        (time.sleep, (60,), {"seconds": 60, "megabytes": 1}, "holds more than 1 MB"),
        (operator.truediv, (1, 0), {"seconds": 60, "megabytes": 1000}, "ZeroDivisionError: division by zero"),
        (end, (3,), {"seconds": 60, "megabytes": 1000}, "ended with exit code 3"),
    ],
    ids=["too long", "too much memory", "an exception", "an end"],
)
def test_a_task_that_ends_badly_says_how(
    task: children.Task, arguments: tuple[float, ...], limits: dict[str, float], reason: str, tmp_path: Path
) -> None:
    result = children.run(task, *arguments, **limits, log=tmp_path / "log.txt")  # type: ignore[arg-type]
    assert result == {"failed": reason}


@pytest.mark.usefixtures("light")
def test_a_task_s_result_comes_back(tmp_path: Path) -> None:
    result = children.run(dict, {"files": 2}, seconds=60, megabytes=1000, log=tmp_path / "log.txt")
    assert result == {"files": 2}


def test_outputs_of_every_kind_become_probabilities() -> None:
    logits = np.array([[0.0, 1.0, -2.0], [3.0, 0.5, 0.5]], np.float32)
    powers = np.exp(logits)
    softmax = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(as_probabilities(logits), softmax, rtol=1e-6)
    np.testing.assert_array_equal(as_probabilities(softmax), softmax)
    np.testing.assert_allclose(as_probabilities(np.array([[0.25]], np.float32)), [[0.75, 0.25]])


FILE = {
    "max_abs_diff": 2e-6,
    "megabytes": 1.0,
    "seconds": 1.0,
    "error": {"from": "float64", "keras": 1e-6, "file": 2e-6},
}


def test_the_page_counts_and_gives_each_reason_once() -> None:
    refused = {"refused": "layer 'x' (Y) has no ONNX form", "seconds": 1.0}
    names = [name for name in NETWORKS if name.startswith("kimm/")][:2]
    results = {
        name: {"parameters": 1_500_000, "routes": {"onnx": refused, "tflite": FILE | {"tf2onnx": {}}}} for name in names
    }
    text = page(results)
    assert "| **all** | 2 | 0 of 2 (0%) | 2 of 2 (100%) |" in text
    assert text.count("layer 'x' (Y) has no ONNX form") == 1
    assert text.count("no (1)") == 2
    assert "Each with `--import kimm`." in text


def test_the_page_names_what_is_no_line_of_ours() -> None:
    name = next(name for name in NETWORKS if name.startswith("notebooks/"))
    text = page({name: {"parameters": 1, "routes": {"onnx": {"failed": "KeyError: 'x'"}}}})
    assert "1. **not a line of ours**: `KeyError: 'x'`" in text


def test_every_source_has_the_networks_it_should() -> None:
    smallest = {source: sum(network.smallest for network in networks.values()) for source, networks in SOURCES.items()}
    assert smallest["keras-hub"] >= 20
    assert smallest["kimm"] >= 20
    assert smallest["notebooks"] >= 10
    assert len(SOURCES["keras.applications"]) == 40
