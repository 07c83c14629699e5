"""What must not happen is seen where it happens."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import runner
from tests.fuzz.sandbox import Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and inotify(7)")


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def fail(line: str, code: int = 1) -> Callable[[Any], None]:
    def command(_: object) -> None:
        print(line, file=sys.stderr)
        raise SystemExit(code)

    return command


def overwrite(_: object) -> None:
    Path("secret").write_bytes(b"")


def read_outside(_: object) -> None:
    Path("../outside/secret").read_bytes()


def leave(_: object) -> None:
    Path("../left").touch()


def spin(_: object) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (fail("error: one line"), ""),
        (fail("FAILED: parity", 3), ""),
        (fail("", 0), "noise"),
        (fail("error: unexpected KeyError: 'x'"), "traceback"),
        (fail("error: one\nerror: two"), "not one line"),
        (fail("no error"), "not one line"),
        (fail("error: \x1b[2J"), "control characters"),
        (fail("error: x", 7), "ended with 7"),
        (lambda _: os.kill(os.getpid(), 9), "ended with -9"),
        (lambda _: [][0], "ended with 99: Traceback: IndexError"),
        (overwrite, "outside: "),
        (read_outside, "outside: ['opened decoy 1']"),
        (leave, "outside: "),
        (spin, "hung"),
    ],
)
def test_what_must_not_happen_is_seen(
    command: Callable[[Any], None], fault: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "main", command)
    monkeypatch.setattr(runner, "LONGEST_WAIT", 3.0)
    outcome = runner.run(sandbox, "verify")
    assert outcome.fault.startswith(fault)
    assert bool(outcome.fault) == bool(fault)


def test_an_engine_that_crashes_in_its_own_process_is_counted(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        runner, "main", fail("error: the model crashed its engine (SIGSEGV); do not use this bundle here")
    )
    assert runner.run(sandbox).contained
