"""The commands of a Markdown page: read, held against the command line, and run as a reader would run them.

What a page has to keep to, on a code host and on the site alike:

- commands stand in a block ```sh, one a line; or in a block ```console after `$ `, with what they print below;
- a block ```python is run, or where its first line is a comment with a file's name (`# draw.py`) becomes that file;
- a block ```text right after it, with nothing but empty lines between, is what it prints on both streams. Figures are
  not compared, nor how columns are filled up; … stands for any text, on a line of its own for any lines;
- `<!-- not run: REASON -->` before a block: it is only held against the command line.
"""

import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, groupby
from pathlib import Path

import click

from bctoolkit.cli import cli

__all__ = [
    "Block",
    "Failed",
    "Printed",
    "bctk_commands",
    "blocks",
    "refuse_unknown",
    "require_told",
    "run",
    "same_text",
]

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?:<!--\s*not run: (?P<reason>[^\n]+?)\s*-->\n\s*)?```(?P<language>[\w+-]+)[^\n]*\n(?P<code>.*?)^```$"
    r"(?:\s*^```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
FILE_NAME = re.compile(r"# ([\w.-]+\.py)$", re.MULTILINE)
ENDS = re.compile(r"[;&|()<>]+")
"""Of a command among the words of a line in a shell."""
BEFORE = re.compile(r"\w+=.*|do|then|time|sudo")
"""The name of a program."""

FIGURE = re.compile(r"(?<!\w)[-−+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?|(?<= )–(?= |$)")
INTERVAL = re.compile(r" \(0%?–0%?\)| ~")
"""Beside a figure: how sure it is, and that something interfered."""
PROGRESS = re.compile(r"[\w ]+ 0/0(?:, about 0 (?:s|min) left)?")
"""What long work says once a minute where nobody looks on."""

ELISION = "…"

PROGRAMS = {"bctk": f"{shlex.quote(sys.executable)} -m bctoolkit", "python": shlex.quote(sys.executable)}
"""Those of the pages, as they are to be called here."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    code: str
    line: int
    """Of the page, of its first line."""
    reason: str | None
    """Why it is not run."""
    output: str | None
    """What the page says it prints."""

    @property
    def file(self) -> str | None:
        """The file that a block of Python is to be saved as."""
        name = FILE_NAME.match(self.code) if self.language == "python" else None
        return name[1] if name else None

    @property
    def runs(self) -> bool:
        """Whether a reader of the page can run it as it stands."""
        return self.reason is None and self.language in ("sh", "python")


@dataclass(frozen=True)
class Printed:
    """What a block has printed, on both streams."""

    page: Path
    block: Block
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}, line {self.block.line}"


class Failed(AssertionError):
    """A command of a page has failed, or printed what the page does not tell."""


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page but those that are the output of another."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(line=text.count("\n", 0, found.start("code")) + 1, **found.groupdict()) for found in FENCE.finditer(text)
    ]


def bctk_commands(block: Block) -> Iterator[list[str]]:
    """The words after `bctk` of each of its calls in a block of commands; none in blocks of other languages."""
    if block.language not in ("sh", "console", "bash"):
        return
    code = block.code.replace("\\\n", " ")
    lines = code.splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in lines:
        for words in _calls(line):
            if Path(words[0]).name == "bctk":
                yield words[1:]


def refuse_unknown(words: Sequence[str]) -> None:
    """Hold the words after `bctk` against the command line, without running anything or looking at a file.

    Raises:
        click.UsageError: there is no such command or option, a choice or number is none that it takes, or something
            is missing.
    """
    command: click.Command = cli
    context, rest = click.Context(cli, info_name="bctk"), list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, inner, rest = command.resolve_command(context, rest)
        assert inner is not None
        command, context = inner, click.Context(inner, info_name=name, parent=context)
    given, beyond, _ = command.make_parser(context).parse_args(rest)
    if beyond:
        raise click.UsageError(f"got unexpected arguments: {' '.join(beyond)}", context)
    for parameter in command.params:
        value = given.get(parameter.name)
        if value is None or parameter.value_is_missing(value):
            if parameter.required and "--help" not in rest:
                raise click.MissingParameter(ctx=context, param=parameter)
        elif not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, value)


def run(page: Path, folder: Path, timeout: float = 1800) -> list[Printed]:
    """Run a page's blocks in their order, in one shell, in a folder; `bctk` is the one that is tested.

    Args:
        page: a Markdown file.
        folder: where to; it may hold what the page takes for granted.
        timeout: seconds that all of it may take.

    Returns:
        What each block that ran has printed.

    Raises:
        Failed: a block ended with an error; the message ends in what it printed.
    """
    running = [block for block in blocks(page) if block.runs]
    with tempfile.TemporaryDirectory() as hidden:
        script, environment = _script(running, Path(hidden)), os.environ | {"PYTHONPATH": str(ROOT)}
        command = ["bash", "-c", script]
        done = subprocess.run(command, cwd=folder, env=environment, check=False, timeout=timeout)
        texts = [path for number in range(len(running)) if (path := Path(hidden, f"{number}.txt")).exists()]
        printed = [
            Printed(page, block, text.read_text(encoding="utf-8", errors="replace"))
            for block, text in zip(running, texts, strict=False)
        ]
    if done.returncode:
        last = printed[-1]
        raise Failed(f"{last}: exit code {done.returncode}\n{last.block.code}\n{last.text}")
    return printed


def require_told(printed: Sequence[Printed]) -> None:
    """Hold what blocks have printed against what their page tells.

    Raises:
        Failed: it is something else; the message has the lines that differ.
    """
    for each in printed:
        told = each.block.output
        if told is not None and not same_text(told, each.text):
            lines = difflib.unified_diff(
                _without_figures(told), _without_figures(each.text), "told", "printed", lineterm=""
            )
            raise Failed("\n".join([f"{each}: {each.block.code.rstrip()}", *lines]))


def _script(running: Sequence[Block], hidden: Path) -> str:
    """What a shell is to do: each block's output goes to a file of its own among those that no page sees."""
    for name, call in PROGRAMS.items():
        program = hidden / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {call} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    lines = ["set -eo pipefail", f'PATH="{hidden}/bin:$PATH"']
    for number, block in enumerate(running):
        lines.append(f"exec > {hidden}/{number}.txt 2>&1")
        if block.language == "sh":
            lines.append(block.code)
            continue
        source = hidden / f"{number}.py"
        source.write_text(block.code, encoding="utf-8")
        lines.append(f"cp {source} {block.file}" if block.file else f"python {source}")
    return "\n".join(lines)


def same_text(told: str, printed: str) -> bool:
    """Whether a command printed what a page tells, but for figures and filling."""
    pattern = "".join(
        "(?:.*\n)*?" if line == ELISION else ".*?".join(map(re.escape, line.split(ELISION))) + "\n"
        for line in _without_figures(told)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _without_figures(printed))) is not None


def _without_figures(text: str) -> list[str]:
    """The lines that are not empty, with 0 for each figure and one blank where there are several."""
    lines = (FIGURE.sub("0", " ".join(line.split())) for line in text.splitlines())
    return [INTERVAL.sub("", line) for line in lines if line and not PROGRESS.fullmatch(line)]


def _calls(line: str) -> Iterator[list[str]]:
    """The commands of one line of a shell, as words."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for is_end, words in groupby(lexer, lambda word: ENDS.fullmatch(word) is not None):
        call = list(dropwhile(BEFORE.fullmatch, words))
        if call and not is_end:
            yield call
