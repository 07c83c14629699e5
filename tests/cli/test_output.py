"""What cannot be printed, and what should not be: full and closed outputs, and names that steer a terminal."""

import ast
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bctoolkit.cli
from bctoolkit import cli
from bctoolkit.cli.output import echo, echo_json, print_table
from bctoolkit.errors import RecipeError
from bctoolkit.escaping.text import ESCAPED
from bctoolkit.progress import Terminal
from bctoolkit.rendering.table import Table
from bctoolkit.workspace import Workspace

ZOO = Path(__file__).parents[2] / "exports" / "zoo" / "atto-onnx-int8-dynamic"
HOSTILE = "a\x1b[2Jb\u202ec\nerror: d"
SHOWN = "a\\u001b[2Jb\\u202ec\\nerror: d"


def bctk(tmp_path: Path, redirected: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bctk` in a shell that does something to its outputs."""
    command = ["sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-m", "bctoolkit", *map(str, arguments)]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)


def test_a_full_output_is_one_line(tmp_path: Path) -> None:
    done = bctk(tmp_path, ">/dev/full", "init", "made")
    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-"])
def test_where_errors_cannot_be_told_the_exit_code_tells_of_them(tmp_path: Path, redirected: str) -> None:
    assert bctk(tmp_path, redirected, "export").returncode == 1


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    """As `bctk … | true`: the pipe has no reader any more."""
    done = bctk(tmp_path, "| true", "init", "made")
    assert done.stderr == ""
    assert (tmp_path / "made" / "training").is_dir()


def test_a_closed_output_takes_no_file_s_place(tmp_path: Path) -> None:
    """The first file opened would get its number, and whatever is printed would land in that file."""
    done = bctk(tmp_path, ">&- 2>&- <&-", "init", "made")
    assert done.returncode == 0
    recipe = tmp_path / "made" / "training" / "recipes" / "smoke.toml"
    assert recipe.read_bytes() == (Path(bctoolkit.__file__).parents[1] / "training/recipes/smoke.toml").read_bytes()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "koi8-r", "ascii"])
def test_what_a_terminal_s_encoding_lacks_is_escaped_and_no_error(tmp_path: Path, encoding: str) -> None:
    """A good bundle was called bad for the Δ of its figures."""
    script = f'PYTHONIOENCODING={encoding} exec "$@"'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "bctoolkit"]
    done = subprocess.run([*command, "verify", str(ZOO)], cwd=tmp_path, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"verified\n")
    assert b"max |\\u0394p|" in done.stdout or "max |Δp|" in done.stdout.decode()
    for arguments in (["--help"], ["bench", "--help"], ["export", "--help"]):
        assert subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("encoding", ["latin-1", "koi8-r", "utf-8"])
def test_json_is_the_same_in_every_encoding(encoding: str) -> None:
    value = {"name": "é Δ 🩸 ж"}
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=ESCAPED)
    stream.write(json.dumps(value, ensure_ascii=False))
    stream.flush()
    assert json.loads(stream.buffer.getvalue().decode(encoding)) == value


def test_progress_goes_on_where_nobody_sees_it() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    Terminal(Full()).say("a line")


def test_everything_printed_is_visible(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE)
    echo(HOSTILE, err=True)
    echo_json(json.dumps({"name": HOSTILE}, ensure_ascii=False))
    print_table(Table((HOSTILE, "n"), [(HOSTILE, "1")], HOSTILE, notes=(HOSTILE,)))
    Terminal().say(HOSTILE)
    output = capsys.readouterr()
    line, document, *table = output.out.splitlines()
    assert line == SHOWN
    assert json.loads(document) == {"name": HOSTILE}
    assert [SHOWN in each for each in table] == [True] * 4
    assert output.err == f"{SHOWN}\n{SHOWN}\n"


def test_an_error_is_one_visible_line_with_and_without_debug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RecipeError(HOSTILE)

    monkeypatch.setattr(Workspace, "model", fail)
    for arguments in (["export"], ["export", "--debug"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1] == f"error: {SHOWN}"
        assert not any("\x1b" in line or "\u202e" in line for line in lines)


def test_a_file_name_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    """A name in another encoding than UTF-8 comes as half characters, which no encoding has."""
    name = os.fsdecode(b"caf\xe9")
    done = bctk(tmp_path, "", "data", "inspect", name)
    assert done.returncode == 1
    assert done.stderr.startswith("error: caf\\udce9: no such folder or file")


def printing() -> Iterator[str]:
    """Where the command line prints past `output`."""
    for path in Path(bctoolkit.cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if path.name != "output.py" and isinstance(node, ast.Call) and ast.unparse(node.func) in PRINTING:
                yield f"{path}:{node.lineno}"


PRINTING = ("click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write")


def test_nothing_is_printed_but_through_one_module() -> None:
    assert not list(printing())
