"""What CONTRIBUTING asks of whoever adds something is asked here too: a row without its other half is noticed.

That every emitter of a layer has a case is asked in export/test_onnx_emitters.py, that every corruption stands in the
documents in data/test_corruptions.py.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bctoolkit.bench.analysis import calibration_drift, statistics
from bctoolkit.documents.formats import FORMATS
from bctoolkit.export.checks.introspection import INTROSPECTORS
from bctoolkit.lazy import attribute
from bctoolkit.statistics import clustered, metrics, paired

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def text_of(*patterns: str) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for pattern in patterns for file in ROOT.glob(pattern))


def intervals(*modules: ModuleType) -> Iterator[str]:
    """The public functions that return the two ends of an interval."""
    for module in modules:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__ and not name.startswith("_")
            if own and inspect.signature(function).return_annotation == tuple[float, float]:
                yield name


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_can_be_written_run_profiled_and_looked_into(name: str) -> None:
    assert callable(attribute(FORMATS[name].exporter))
    for engine in FORMATS[name].engines.values():
        assert callable(attribute(engine.backend))
        assert callable(attribute(engine.profiler))
    assert callable(attribute(FORMATS[name].properties))
    assert name in INTROSPECTORS


def test_an_interval_is_held_against_another_library_or_simulated() -> None:
    cases = text_of("tests/test_reference_statistics.py", "tests/bench/test_coverage.py", "tests/statistics/test_*.py")
    names = set(intervals(metrics, paired, clustered, statistics, calibration_drift)) - {
        "drop_interval"
    }  # it is score_interval
    assert {"exact_interval", "score_interval", "mean_interval", "drift_interval"} <= names
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", cases)] == []


def test_a_page_section_is_on_the_page() -> None:
    page = text_of("bctoolkit/bench/report/page.py")
    for file in ROOT.glob("bctoolkit/bench/report/*_section.py"):
        assert f"{file.stem}.section" in page


@pytest.mark.parametrize("what", ["format", "engine", "emitter", "corruption", "statistic", "page section"])
def test_contributing_says_how_to_add_it(what: str) -> None:
    assert re.search(rf"^(## Add an? {what}|- \*\*an? (layer's )?{what}\*\*)", CONTRIBUTING, re.MULTILINE)
