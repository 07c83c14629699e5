"""What the documents say is what the code does."""

import ast
import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import bctoolkit
from bctoolkit import errors, runtime
from docs import generate
from tests.support.pages import refuse_unknown

ROOT = Path(__file__).resolve().parents[1]
GATE = (ROOT / "docs" / "examples" / "gate.yml").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(?:.*run: | +)(bctk .+)$", GATE, re.MULTILINE)


@pytest.mark.parametrize(("generator", "page"), [("generate.py", "reference.md"), ("generate_api.py", "api.md")])
def test_a_generated_page_is_up_to_date(generator: str, page: str) -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / generator, "--check"], check=False)
    assert done.returncode == 0, f"docs/{page} is out of date: make docs"


def test_the_page_of_the_api_has_every_name_an_app_imports() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == sorted(runtime.__all__)
    assert sorted(re.findall(r"^ *- `(\w+)`: ", text.partition("## Errors")[2], re.MULTILINE)) == sorted(errors.__all__)
    methods = [name for name, kind in vars(runtime.Classifier).items() if callable(kind) and not name.startswith("_")]
    assert re.findall(r"^#### Classifier\.(\w+)$", text, re.MULTILINE) == methods


@pytest.mark.parametrize(("name", "kind"), [pytest.param(name, kind, id=name) for _, name, kind in generate.DOCUMENTS])
def test_every_key_of_a_document_has_a_meaning(name: str, kind: type[msgspec.Struct]) -> None:
    keys = {
        f"{table.anchor}.{field}": generate.meanings(table.kind).get(field, "")
        for table in generate.tables(kind, name)
        for field in table.kind.__struct_fields__
    }
    assert keys
    assert [key for key, meaning in keys.items() if not meaning] == [], "a text below the field says what it means"


@pytest.mark.parametrize(
    "row",
    [
        "`batch_size` | whole number | `32` | ≥ 1, ≤ 65,536 | Images in a step. |",
        "`brightness` | number | `0.1` | ≥ 0, < 1 | Largest shift, as a share of the value range. |",
        '`schedule` | `"constant"` or `"cosine"` or `"exponential"` | `"cosine"` |  | How the rate falls',
        "`unfreeze` | list of text | `[]` |  | Shell-style patterns",
        '`crop` | `"none"` or `"square"` or whole number | `"square"` | ≥ 1, ≤ 16,384 | Centre crop',
        "`golden` | whole number | `64` | ≥ 8, ≤ 4,096 |",
        "`device` | text | required |  | The device that the limits are for",
        "`max_abs_diff` | number | left out | > 0 | Largest \\|Δp\\| against",
        "`ci95` | [number, number] or null | Student's over the sessions",
    ],
)
def test_the_reference_shows_type_default_bounds_and_meaning(row: str) -> None:
    assert row in (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_links_within_the_reference_lead_to_one_place_each() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    anchors = re.findall(r'<a id="([^"]+)"></a>', text)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(anchors)


class Kept(msgspec.Struct):
    """A struct whose fields another takes over."""

    strength: float = 0.0
    """How much."""
    silent: int = 1


class Inherits(Kept):
    """One that takes them over, and has one of its own."""

    strength: float = 0.5
    own: tuple[Kept, ...] = ()
    """More of
    them."""


def test_a_field_keeps_the_meaning_that_it_inherits() -> None:
    assert generate.meanings(Inherits) == {"strength": "How much.", "own": "More of them."}


def test_a_table_is_shown_once_with_all_its_places() -> None:
    class Twice(msgspec.Struct):
        first: Kept | None
        others: dict[str, list[Kept]]

    places = [(table.kind, table.places) for table in generate.tables(Twice, "twice")]
    assert places == [(Twice, [""]), (Kept, ["first", "others.*[]"])]


def test_the_page_of_families_tells_what_was_measured() -> None:
    done = subprocess.run([sys.executable, "-m", "perf.families", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "docs/families.md is not what docs/families.json says"


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{bctoolkit.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_has_its_place_in_the_site() -> None:
    order = (ROOT / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/targets/*.md")]
    assert [page.name for page in pages if page.relative_to(ROOT).as_posix() not in order] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/targets/[!R]*.md")), ids=lambda page: page.stem)
def test_the_page_of_a_target_says_what_was_not_run_and_is_listed(page: Path) -> None:
    assert "**Not run" in page.read_text(encoding="utf-8")
    assert f"]({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")


def test_files_that_documents_name_exist() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]:
        for name in re.findall(r"`([\w/]+/[\w/]+\.(?:py|c|toml))`", page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists() or (ROOT / "bctoolkit" / name).exists(), f"{page.name}: {name}"


def test_no_source_file_is_longer_than_400_lines() -> None:
    for file in [*ROOT.glob("bctoolkit/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("perf/**/*.py")]:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, file


def texts_of_the_code() -> Iterator[str]:
    """Every text in the package, … in the place of what is only known when it is printed."""
    for file in ROOT.glob("bctoolkit/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_messages_that_the_page_on_failures_explains_are_printed_by_the_code() -> None:
    page = (ROOT / "docs" / "parity-failed.md").read_text(encoding="utf-8")
    messages = [" ".join(each.split()) for each in re.findall(r"\*\*`([^`]+)`\*\*", page)]
    assert len(messages) > 50
    printed = "\n".join(texts_of_the_code())
    assert [each for each in messages if each not in printed] == []


STATISTICS = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_the_tables_of_images_are_what_the_page_s_own_code_prints() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", STATISTICS, re.DOTALL | re.MULTILINE)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    tables = printed.getvalue().strip().split("\n\n")
    assert len(tables) == 3
    assert [table for table in tables if table not in STATISTICS] == []


def test_the_page_of_statistics_names_functions_that_there_are() -> None:
    rows = re.findall(r"^\| .* \|$", STATISTICS, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row.rsplit(" | ", 1)[-1])}
    assert {"exact_interval", "score_interval", "mcnemar", "clustered_interval"} <= names
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for pattern in ("statistics/*.py", "bench/analysis/*.py")
        for file in (ROOT / "bctoolkit").glob(pattern)
    )
    assert [name for name in sorted(names) if f"def {name}(" not in code] == []


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line[:40])
def test_a_command_in_an_example_is_one_that_bctk_takes(line: str) -> None:
    refuse_unknown(shlex.split(line, comments=True)[1:])


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
