"""What the documents say is what the code does."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import click
import msgspec
import pytest

import bctoolkit
from bctoolkit.cli import cli
from bctoolkit.documents.budget import Budget
from bctoolkit.export.checks.gate import fewest
from bctoolkit.recipes import ExportRecipe, TrainRecipe
from bctoolkit.statistics.metrics import exact_interval
from bctoolkit.statistics.paired import score_interval

ROOT = Path(__file__).resolve().parents[1]
GATE = (ROOT / "docs" / "examples" / "gate.yml").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(?:.*run: | +)(bctk .+)$", GATE, re.MULTILINE)


def script(name: str) -> ModuleType:
    """A module of docs/, which is no package."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], check=False)
    assert done.returncode == 0, "docs/reference.md is out of date: make docs"


@pytest.mark.parametrize("kind", [TrainRecipe, ExportRecipe, Budget])
def test_the_reference_says_what_each_key_of_a_recipe_means(kind: type[msgspec.Struct]) -> None:
    written = script("documents")
    waiting, seen = [kind], set()
    while waiting:
        struct = waiting.pop()
        seen.add(struct)
        described = msgspec.inspect.type_info(struct)
        assert isinstance(described, msgspec.inspect.StructType)
        fields = described.fields
        meant = written.meanings(struct)
        assert [field.name for field in fields if not meant.get(field.name)] == []
        waiting += {inner for field in fields for inner in written.structs(field.type)} - seen


def test_a_key_has_its_type_bounds_and_default() -> None:
    class Inner(msgspec.Struct):
        """Inside."""

    class Outer(msgspec.Struct):
        """Outside.

        More of it.
        """

        share: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
        count: Annotated[int, msgspec.Meta(ge=1, lt=1000)] = 3
        way: Literal["here", "there"] | None = None
        parts: tuple[Inner, ...] = ()

    assert list(script("documents").tables(Outer, set())) == [
        "Outside.\n",
        "| key | type | default | meaning |\n|---|---|---|---|",
        "| `share` | number > 0, ≤ 1 | required |  |",
        "| `count` | integer ≥ 1, < 1,000 | `3` |  |",
        "| `way` | `here`, `there` | none |  |",
        "| `parts` | list of [Inner](#inner) | `[]` |  |",
        "",
        "#### Inner\n",
        "Inside.\n",
        "| key | type | default | meaning |\n|---|---|---|---|",
        "",
    ]


def test_the_picture_of_the_layers_is_what_imports_are_held_to() -> None:
    for path, text in script("layers").written().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make docs"


def test_the_picture_tells_what_goes_into_a_device_app(bundle: Path) -> None:
    code = (
        "import sys, numpy\nfrom bctoolkit.runtime import load\n"
        "classifier = load(sys.argv[1])\nclassifier.predict(numpy.zeros((1, *classifier.input.shape), numpy.uint8))\n"
        "print(*{name.split('.')[1] for name in sys.modules if name.startswith('bctoolkit.')})"
    )
    done = subprocess.run([sys.executable, "-c", code, bundle], capture_output=True, text=True, check=True)
    drawn = {name for names in script("layers").layers() for name in names}
    assert set(done.stdout.split()) & drawn == script("layers").DEVICE


def test_the_page_of_statistics_says_how_many_images_it_takes() -> None:
    text = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) \| (\S+) \| (\S+) \| (\S+) \|$", text, re.MULTILINE)
    assert len(rows) == 6
    for count, accuracy, alike, drop in rows:
        n = int(count.replace(",", ""))
        low, high = exact_interval(round(0.98 * n), n)
        assert accuracy == f"{low:.1%}–{high:.1%}"
        assert alike == f"{score_interval(0, 0, n)[1]:.2%}"
        if drop != "–":
            low, high = score_interval(round(0.01 * n), round(0.005 * n), n)
            assert drop == f"{low:.2%}–{high:.2%}"
    limits = re.findall(r"^\| ([\d.]+)% \| ([\d,]+) \|$", text, re.MULTILINE)
    assert len(limits) == 5
    for limit, count in limits:
        assert count == f"{fewest(float(limit) / 100):,}"


def test_the_page_of_families_tells_what_was_measured() -> None:
    done = subprocess.run([sys.executable, "-m", "perf.families", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "docs/families.md is not what docs/families.json says"


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{bctoolkit.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_documents_name_exist() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]:
        for name in re.findall(r"`([\w/]+/[\w/]+\.(?:py|c|toml))`", page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists() or (ROOT / "bctoolkit" / name).exists(), f"{page.name}: {name}"


def test_no_source_file_is_longer_than_400_lines() -> None:
    for file in [*ROOT.glob("bctoolkit/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("perf/**/*.py")]:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, file


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line[:40])
def test_a_command_in_an_example_is_one_that_bctk_takes(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="bctk")
    while isinstance(command, click.Group):
        name, inner, words = command.resolve_command(context, words)
        assert inner is not None, name
        command = inner
    command.make_parser(context).parse_args(words)


def test_the_gate_has_commands() -> None:
    assert [line.split()[1] for line in COMMANDS] == ["bench", "compare"]


@pytest.mark.soak
def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="make site installs it")
    command = [sys.executable, str(ROOT / "docs" / "site" / "build.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert (tmp_path / "search" / "search_index.json").exists()
    pages = [*tmp_path.rglob("*.html")]
    assert len(pages) > len([*ROOT.glob("docs/*.md")])
    for file in [*pages, *tmp_path.rglob("*.css")]:
        text = file.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:link|script|img|iframe)\b[^>]*\b(?:href|src)=[\"']?(?:https?:)?//[^>]*", text), file
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", text), file
