"""Recipes, budgets and reports of others, changed at random: each is read, or refused in one line."""

import json
import shutil
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import tomli_w

from bctoolkit.bench.analysis.choose import choose_best
from bctoolkit.bench.analysis.compare import compare_reports, compare_with_baseline
from bctoolkit.bench.documents import stored
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.recipes import Budget, read_budget, read_export_recipe, read_train_recipe
from tests.fuzz.desk import cases, changed_bytes, changed_tree, outcome, report

ROOT = Path(__file__).parents[2]
READERS: dict[str, Callable[[Path], object]] = {
    "training/recipes": read_train_recipe,
    "exports/recipes": lambda path: read_export_recipe(path, {}),
    "benchmarks/budgets": read_budget,
}
FILES = [(path, shelf) for shelf in READERS for path in sorted((ROOT / shelf).glob("*.toml"))]
REPORT = ROOT / "tests" / "stored" / "report.json"
RULES = {
    "read": "^read$",
    "not TOML or JSON": "not valid TOML|not readable as JSON",
    "nested or numbered out of bounds": "nested deeper|more than 64 bits|a number that is",
    "unknown key": "unknown key",
    "of a later version": "this bctoolkit reads up to",
    "wrong type or value": "Expected|Invalid|missing required",
    "a name that is none": "cannot be the name|cannot be seen|is no name|bytes, more than",
    "not a file, or too large": "is a folder|named pipe|a device|wanted at most|no such file",
    "does not make sense together": "at least one|leave nothing|is less than|but only|networks are trained|"
    "unknown (format|quantization)|bundle in common|holds .* alone|has no bundle|number|wanted|labels|one of",
}


def toml(path: Path, draw: Random) -> bytes:
    """A changed recipe; what TOML has no form for becomes a text."""
    raw = tomllib.loads(path.read_text())
    try:
        content = tomli_w.dumps(with_form(changed_tree(raw, draw))).encode()
    except (TypeError, AttributeError, UnicodeError, RecursionError):
        content = path.read_bytes() + draw.choice((b"x = " + b"[" * 5000, b"x = " + b"9" * 10_000, b"x = inf", b"\0"))
    return changed_bytes(content, draw) if draw.random() < 0.3 else content


def with_form(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): with_form(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [with_form(value) for value in tree]
    return "None" if tree is None else tree


@pytest.mark.soak
def test_recipes_and_budgets(tmp_path: Path) -> None:
    said: Counter[str] = Counter()
    for seed, draw in cases(200):
        path, shelf = draw.choice(FILES)
        changed = tmp_path / path.name
        changed.write_bytes(toml(path, draw))
        said[outcome(seed, partial(READERS[shelf], changed), tmp_path)] += 1
    assert report(said, RULES).get("other", 0) == 0
    assert said["read"] < said.total()


def use(folder: Path) -> None:
    """Everything that reads a stored report."""
    mine, theirs = stored.read(REPORT), stored.read(folder)
    for old, new in ((mine, theirs), (theirs, mine)):
        compare_reports(old, new, 0.03)
    if theirs.report.results:
        markdown(theirs.report)
        choose_best([theirs], Budget(device="any", max_p50_ms=10.0), "latency")
        compare_with_baseline(theirs, theirs.report.results[0].bundle, 0.03)


@pytest.mark.soak
def test_reports(tmp_path: Path) -> None:
    said: Counter[str] = Counter()
    raw: Any = json.loads(REPORT.read_bytes())
    folder = tmp_path / "report"
    for seed, draw in cases(100):
        folder.mkdir()
        content = json.dumps(changed_tree(raw, draw)).encode()
        content = changed_bytes(content, draw) if draw.random() < 0.2 else content
        (folder / "report.json").write_bytes(content)
        said[outcome(seed, lambda: use(folder), tmp_path)] += 1
        shutil.rmtree(folder)
    assert report(said, RULES).get("other", 0) == 0
