"""The house rules hold, and the script that checks them would notice."""

import importlib.util
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("architecture.py")
ROOT = SCRIPT.parents[1]
_spec = importlib.util.spec_from_file_location("architecture", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
architecture = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(architecture)

DRAWS_OR_WRITES = (
    "bctoolkit.bench.report", "bctoolkit.bench.analysis", "bctoolkit.bench.launcher", "bctoolkit.rendering",
    "matplotlib", "rich", "click",
)  # fmt: skip


def test_the_house_rules_hold() -> None:
    assert list(architecture.violations(ROOT)) == []


def test_the_picture_and_the_page_show_the_layers_that_are_kept() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = runpy.run_path(str(ROOT / "docs" / "architecture.py"))
    layers = drawing["layers"]()
    assert drawing["TARGET"].read_text(encoding="utf-8") == drawing["picture"](layers), "python docs/architecture.py"
    rows = re.findall(r"^\| (`.*?`) \| [^`|]*\|$", page, re.MULTILINE)
    assert [re.findall(r"`(\w+)`", row) for row in rows] == layers
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    inside = {each["containers"][0]: each["layers"] for each in settings["contracts"] if each["type"] == "layers"}
    del inside["bctoolkit"]
    blocks = re.findall(r"^### (bctoolkit[.]\w+)$.*?^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert {name: block.splitlines() for name, block in blocks} == inside


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A package of two modules and a folder."""
    for name, text in {
        "__init__.py": "",
        "first.py": "import bctoolkit.second\n",
        "second.py": "x = 1\n",
        "room/__init__.py": "",
        "room/third.py": "from bctoolkit import first\n",
    }.items():
        path = tmp_path / "bctoolkit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_an_orderly_house_breaks_no_rule(house: Path) -> None:
    assert list(architecture.violations(house)) == []


@pytest.mark.parametrize(
    ("text", "circle"),
    [
        ("from bctoolkit.first import y\n", "bctoolkit.first, bctoolkit.second"),
        ("def f():\n    import bctoolkit.room.third\n", "bctoolkit.first, bctoolkit.room.third, bctoolkit.second"),
        ("from bctoolkit.room import third\n", "bctoolkit.first, bctoolkit.room.third, bctoolkit.second"),
    ],
)
def test_a_circle_is_found_wherever_the_import_stands(house: Path, text: str, circle: str) -> None:
    (house / "bctoolkit" / "second.py").write_text(text)
    assert list(architecture.violations(house)) == [f"import circle: {circle}"]


def test_a_crowded_folder_and_a_long_file_are_found(house: Path) -> None:
    for number in range(13):
        (house / "bctoolkit" / "room" / f"m{number}.py").write_text("")
    (house / "bctoolkit" / "second.py").write_text("x = 1\n" * 401)
    assert list(architecture.violations(house)) == [
        "bctoolkit/room: 15 Python files, at most 14",
        "bctoolkit/second.py: 401 lines, at most 400",
    ]


def loaded(module: str) -> list[str]:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_reading_reports_loads_little_of_the_benchmark() -> None:
    names = [name for name in loaded("bctoolkit.bench.documents.stored") if name.startswith("bctoolkit.bench")]
    assert len(names) <= 10


def test_the_timed_child_loads_nothing_that_draws_or_writes() -> None:
    names = loaded("bctoolkit.bench.worker.__main__")
    assert "bctoolkit.bench.worker.jobs" in names
    assert [name for name in names if name.startswith(DRAWS_OR_WRITES)] == []
