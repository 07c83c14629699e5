"""Whatever goes wrong inside a command is one line; `--debug` shows where."""

import errno
import os
from typing import Any

import click
import pytest

from bctoolkit import cli
from bctoolkit.errors import ExportError
from bctoolkit.workspace import Workspace
from tests.support.cli import commands


def failed(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """Run a command that ends with this exit code; returns what it says."""
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == code
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


def plant(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Workspace, "model", fail)


def noted() -> Exception:
    error = KeyError("axis")
    error.add_note("layer 'attention' (MultiHeadAttention)")
    return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "unexpected ValueError: two lines; run again with --debug for the traceback"),
        (noted(), "unexpected KeyError at layer 'attention' (MultiHeadAttention): 'axis'; run again with --debug"),
        (MemoryError(), "unexpected MemoryError: out of memory; run again with --debug for the traceback"),
        (RecursionError("too deep"), "unexpected RecursionError: too deep; run again with --debug for the traceback"),
        (ValueError("x" * 5000), f"unexpected ValueError: {'x' * 200}; run again with --debug for the traceback"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.onnx"), "model.onnx: No space left on device"),
        (OSError("no number"), "unexpected OSError: no number; run again with --debug for the traceback"),
        (ExportError("a fact"), "a fact"),
    ],
)
def test_any_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    plant(monkeypatch, error)
    (said,) = failed(["export"], capsys).splitlines()
    assert said.startswith(f"error: {line}")


@pytest.mark.parametrize("error", [ValueError("boom"), ExportError("a fact")])
def test_debug_also_prints_where_it_came_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    plant(monkeypatch, error)
    lines = failed(["export", "--debug"], capsys).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any("in fail" in line for line in lines)
    assert lines[-1].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1


def test_an_interrupt_is_still_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plant(monkeypatch, KeyboardInterrupt())
    assert failed(["export"], capsys, code=130).strip() == "Aborted!"


def test_wrong_usage_is_still_told_by_click(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["export", "--no-such-option"])
    assert end.value.code == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize("words", sorted(commands(cli.cli)))
def test_every_command_has_it(words: str) -> None:
    command = commands(cli.cli)[words]
    (option,) = [each for each in command.params if "--debug" in each.opts]
    assert isinstance(option, click.Option)
    assert option.help == "Also print where an error came from."


def test_a_crash_shows_what_the_engines_wrote_only_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    from bctoolkit.cli.shared import quiet_engines

    def crash() -> None:
        with quiet_engines():
            os.write(2, b"chatter")
            raise ValueError("boom")

    for debug, expected in ((False, ""), (True, "chatter")):
        with click.Context(cli.cli, obj={"debug": debug}), pytest.raises(ValueError, match="boom"):
            crash()
        assert capfd.readouterr().err == expected
