"""Run `bctk` on a damaged file in a process of its own, and tell what became of it."""

import os
import re
import resource
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bctoolkit.cli import main
from tests.fuzz.sandbox import Sandbox

__all__ = ["Outcome", "run"]

SECONDS, LONGEST, MEMORY = 5, 10.0, 8 * 2**30
"""Of an answer (`--time-limit`); CPU time of a command, after which it counts as hung; bytes of its address space."""

LONGEST_WAIT = 60.0
"""Seconds on the wall, less those in which this process did not run either."""

CONTAINED = "the model crashed its engine"


class Outcome(NamedTuple):
    """What became of one damaged file."""

    rule: str
    """By which it was refused, or that it was accepted."""
    fault: str
    """What must not happen; empty where it did not."""
    contained: bool
    """Whether the engine crashed in its own process, and the command said so."""


def run(sandbox: Sandbox, *arguments: str) -> Outcome:
    """Run a command with the engines already imported, in a fork of this process."""
    paths = [sandbox.root / "output", sandbox.root / "errors"]
    for path in paths:
        path.write_bytes(b"")
    pid = os.fork()
    if pid == 0:
        _be_command(sandbox, paths, arguments)
    code, seconds = _wait(pid)
    output, errors = (path.read_text(errors="replace") for path in paths)
    for path in paths:
        path.unlink()
    intrusions = sandbox.intrusions()
    fault = _fault(code, seconds, output, errors) or (f"outside: {intrusions[:3]}" if intrusions else "")
    return Outcome(_rule(code, errors), fault, CONTAINED in errors)


def _be_command(sandbox: Sandbox, paths: list[Path], arguments: tuple[str, ...]) -> None:
    code: object = 99
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((null, *(os.open(path, os.O_WRONLY) for path in paths))):
            os.dup2(descriptor, number)
        sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(sandbox.cwd)
        os.environ.update(HOME=str(sandbox.home), XDG_CACHE_HOME=str(sandbox.home / ".cache"), TMPDIR=str(sandbox.home))
        main([*arguments, "--threads", "1", "--time-limit", str(SECONDS)])
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException as problem:
        print(f"Traceback: {type(problem).__name__}: {problem}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 98)


def _wait(pid: int) -> tuple[int | None, float]:
    """Exit code, and CPU seconds of the command with its children; None where it had to be ended."""
    waited, last = 0.0, time.monotonic()
    while waited < LONGEST_WAIT:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        time.sleep(0.002)
        now = time.monotonic()
        waited, last = waited + min(now - last, 0.1), now  # a machine that stalls stalls both
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None, LONGEST_WAIT


def _fault(code: int | None, seconds: float, output: str, errors: str) -> str:
    if code is None or seconds > LONGEST:
        return f"hung ({seconds:.0f} s)"
    if code < 0 or code not in (0, 1, 3):
        return f"ended with {code}: {errors[:300]}"
    if "Traceback" in errors or "unexpected " in errors:
        return f"traceback: {errors[:300]}"
    lines = errors.splitlines()
    if code == 1 and not (len(lines) == 1 and lines[0].startswith("error: ") and len(lines[0]) < 2_000):
        return f"not one line: {errors[:300]}"
    if code == 0 and any(not line.startswith("warning: ") for line in lines):
        return f"noise: {errors[:300]}"
    return "" if re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f]*", output + errors) else "control characters in the output"


def _rule(code: int | None, errors: str) -> str:
    if code == 0:
        return "accepted: the damage changes no answer beyond the limits"
    if code == 3:
        return "answers beyond the limits of parity"
    line = errors.strip().removeprefix("error: ")
    line = re.sub(r"(/[^\s:,']+)+", "…", line)
    line = re.sub(r"'[^']*'?|\"[^\"]*\"?|\(.*\)|\([^)]*$", "…", line)
    line = re.sub(r"[-+]?\d[\d,.×eE+-]*", "#", line)
    return re.sub(r"(…|#)(\W+(…|#))+", r"\1", line)[:110]
