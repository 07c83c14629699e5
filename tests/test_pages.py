"""Commands on the pages are commands that `bctk` takes; the tutorials are gone through as a reader does it."""

import shutil
from pathlib import Path

import click
import pytest

from tests.conftest import TINY_RECIPE
from tests.support.chromium import started
from tests.support.pages import Block, Failed, bctk_commands, blocks, refuse_unknown, require_told, run, same_text
from tests.support.web_page import ask, served, start

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("exports/zoo/*.md")}
)
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BROWSER_TUTORIAL = ROOT / "docs" / "tutorials" / "images-to-browser.md"
CALLS = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}:{block.line}:{' '.join(words)[:40]}")
    for page in PAGES
    for block in blocks(page)
    for words in bctk_commands(block)
]


@pytest.mark.parametrize("words", CALLS)
def test_a_command_on_a_page_is_one_that_bctk_takes(words: list[str]) -> None:
    refuse_unknown(words)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_shows_what_its_commands_print_and_its_python_compiles(page: Path) -> None:
    found = [block for block in blocks(page) if block.language in ("sh", "python")]
    assert [block.line for block in found if block.runs and block.output]
    for block in found:
        if block.language == "python":
            compile(block.code, f"{page.name}:{block.line}", "exec")
    saved = {block.file for block in found if block.file}
    assert all(any(f"python {name}" in block.code for block in found) for name in saved)


@pytest.mark.parametrize("page", [page for page in TUTORIALS if page != BROWSER_TUTORIAL], ids=lambda page: page.stem)
@pytest.mark.soak
def test_a_tutorial_runs_and_prints_what_it_tells(page: Path, tmp_path: Path) -> None:
    require_told(run(page, tmp_path))


@pytest.mark.soak
def test_the_page_of_the_tutorial_answers_in_a_browser_as_it_tells(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("npm") is None:
        pytest.skip("no npm, which fetches the engine for the browser")
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.home() / ".cache" / "bctoolkit-tests"))
    require_told(run(BROWSER_TUTORIAL, tmp_path))
    for browser in started(tmp_path_factory.mktemp("chromium")):
        with served(tmp_path / "page") as (url, _):
            assert "Ready after" in start(browser, url)
            picture = tmp_path / "cells" / "synthetic_platelet" / "700.png"
            assert ask(browser, picture.read_bytes()).label == "synthetic_platelet"


@pytest.mark.soak
def test_the_readme_runs_as_it_is_written(class_folders: Path, tmp_path: Path) -> None:
    """With a recipe of that name that trains for seconds, and pictures of colours for cells."""
    for link, target in (("images", class_folders), ("exports/zoo", ROOT / "exports" / "zoo")):
        (tmp_path / link).parent.mkdir(exist_ok=True)
        (tmp_path / link).symlink_to(target)
    recipe = tmp_path / "training" / "recipes" / "convnext_atto.toml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(TINY_RECIPE)
    picture = next(path for path in sorted(class_folders.rglob("*")) if path.is_file())
    shutil.copy(picture, tmp_path / "cell.png")
    printed = run(ROOT / "README.md", tmp_path)
    assert [each.block.language for each in printed] == ["sh", "sh", "python"]
    assert [*tmp_path.glob("benchmarks/reports/*/report.html")]


def written(folder: Path, *parts: str) -> Path:
    page = folder / "page.md"
    page.write_text("\n\n".join(parts), encoding="utf-8")
    return page


def fenced(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```"


def test_blocks_are_read_with_what_they_print_and_why_they_are_not_run(tmp_path: Path) -> None:
    page = written(
        tmp_path,
        "# Title",
        fenced("sh", "ls"),
        fenced("text", "a\nb"),
        "prose",
        fenced("text", "a picture"),
        "<!-- not run: needs hardware -->",
        fenced("sh", "ssh pi"),
        fenced("python", "# draw.py\nprint(1)"),
    )
    assert blocks(page) == [
        Block("sh", "ls\n", 4, None, "a\nb\n"),
        Block("text", "a picture\n", 15, None, None),
        Block("sh", "ssh pi\n", 21, "needs hardware", None),
        Block("python", "# draw.py\nprint(1)\n", 25, None, None),
    ]
    assert [block.runs for block in blocks(page)] == [True, False, False, True]
    assert [block.file for block in blocks(page)] == [None, None, None, "draw.py"]


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        (
            "sh",
            "source x\nbctk verify A  # why\n.venv/bin/bctk predict B 'c d.png'",
            [["verify", "A"], ["predict", "B", "c d.png"]],
        ),
        ("sh", "bctk bench \\\n  --quick && X=1 bctk choose R > out.txt", [["bench", "--quick"], ["choose", "R"]]),
        ("sh", "for each in *; do bctk verify $each; done | tail", [["verify", "$each"]]),
        ("console", "$ bctk verify A\nbctk is what it prints", [["verify", "A"]]),
        ("text", "bctk verify A", []),
        ("sh", "echo bctk verify A", []),
    ],
)
def test_calls_of_bctk_are_found_among_a_shell_s_words(language: str, code: str, expected: list[list[str]]) -> None:
    assert [*bctk_commands(Block(language, f"{code}\n", 1, None, None))] == expected


@pytest.mark.parametrize(
    "line",
    [
        "exprot model.keras",
        "export --fromat onnx",
        "export --format onxx",
        "data inspekt images/",
        "data clean images/",
        "bench --streams many",
        "verify",
        "verify A B",
        "train --resume=yes",
        "export --coverage 2",
    ],
)
def test_what_bctk_does_not_take_is_refused(line: str) -> None:
    with pytest.raises(click.UsageError):
        refuse_unknown(line.split())


@pytest.mark.parametrize("line", ["--version", "train --help", "export", "verify no/such/folder"])
def test_what_bctk_takes_is_not(line: str) -> None:
    refuse_unknown(line.split())


@pytest.mark.parametrize(
    ("told", "printed"),
    [
        ("accuracy 93.55% in 1 s", "accuracy 7% in 12 s\n"),
        ("max |Δp| 3.6e-07, 1,024 images", "max |Δp| 0.1, 5 images"),
        ("0.17 ~  0.84 (0.60–1.18)  –", "0.2      1.0              3.4"),
        ("first\n…\nlast", "first\nlast\n"),
        ("first\n…\nlast", "first\nsecond\n\nthird\nlast\n"),
        ("…\nlast", "TensorFlow: of GPUs\nlast"),
        ("NOT ACCEPTED, would be …", "NOT ACCEPTED, would be a platelet 0.3"),
        ("a.b", "a.b"),
        ("verified", "timing 3/10, about 2 min left\nverified"),
        ("saved 20261127-223446", "saved 20270101-000000"),
    ],
)
def test_the_same_text_but_for_figures(told: str, printed: str) -> None:
    assert same_text(told, printed)


@pytest.mark.parametrize(
    ("told", "printed"),
    [
        ("verified", "FAILED"),
        ("verified", "verified\nwarning: outputs deviate"),
        ("warning: one\nverified", "verified"),
        ("first … last", "first\nlast"),
        ("a.b", "axb"),
        ("accuracy 93.55%", "accuracy unknown"),
        ("int8", "int16 4"),
        ("", "something"),
    ],
)
def test_another_text_is_not_the_same(told: str, printed: str) -> None:
    assert not same_text(told, printed)


def test_a_page_runs_in_one_shell_in_its_order(tmp_path: Path) -> None:
    page = written(
        tmp_path,
        fenced("python", "# draw.py\nprint('drawn')"),
        fenced("sh", "name=value; cd /; cd - > /dev/null; python draw.py"),
        fenced("text", "drawn"),
        "<!-- not run: ends the shell -->",
        fenced("sh", "exit 3"),
        fenced("sh", "echo $name; echo told >&2"),
        fenced("text", "value\ntold"),
        fenced("python", "from pathlib import Path\nPath('left').touch()"),
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    printed = run(page, folder)
    assert [each.text for each in printed] == ["", "drawn\n", "value\ntold\n", ""]
    require_told(printed)
    assert (folder / "left").exists()


def test_bctk_is_the_one_that_is_tested(tmp_path: Path) -> None:
    page = written(tmp_path, fenced("sh", "bctk --version"), fenced("text", "bctk, version 9.9.9"))
    require_told(run(page, tmp_path))


def test_a_command_that_fails_is_named_with_what_it_printed(tmp_path: Path) -> None:
    page = written(
        tmp_path, fenced("sh", "echo fine"), fenced("sh", "echo why; false | cat; echo on"), fenced("sh", "echo no")
    )
    with pytest.raises(Failed, match=r"(?s)page\.md, line 6: exit code 1\n.*\nwhy\n$"):
        run(page, tmp_path)


def test_a_block_that_prints_something_else_is_named(tmp_path: Path) -> None:
    page = written(tmp_path, fenced("sh", "echo one"), fenced("text", "two"))
    with pytest.raises(Failed, match=r"(?s)page\.md, line 2: .*-two\n\+one"):
        require_told(run(page, tmp_path))
