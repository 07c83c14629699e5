"""`bctk` as the tests call it: from a server of forks, or from a fresh interpreter as a user does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import click

Bctk = Callable[..., CompletedProcess[str]]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    """Every command that does something, by the words one types."""
    by_words: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        words = (*path, name)
        by_words |= commands(command, words) if isinstance(command, click.Group) else {" ".join(words): command}
    return by_words


def fresh_bctk(*arguments: object, cwd: Path, timeout: float = 300) -> CompletedProcess[str]:
    """Run `bctk` in an interpreter of its own, which imports what the command needs and nothing else."""
    command = [sys.executable, "-m", "bctoolkit", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)


class ForkServer:
    """Processes of `bctk` that need not import TensorFlow again; see fork_server.py for what it does."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("fork_server.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, *arguments: object, cwd: Path, timeout: int = 300, **disturbance: Any) -> int:
        """Start `bctk` in a folder; returns its process id."""
        request = {"arguments": [*map(str, arguments)], "cwd": str(cwd), "environment": dict(os.environ)}
        return int(self._ask(request | {"timeout": timeout} | disturbance)["pid"])

    def wait(self, pid: int) -> CompletedProcess[str]:
        """Wait until a process that was started has ended; a negative exit code is the signal that ended it."""
        done = self._ask({"pid": pid})
        return CompletedProcess(["bctk"], done["returncode"], done["stdout"], done["stderr"])

    def run(self, *arguments: object, cwd: Path, timeout: int = 300, **disturbance: Any) -> CompletedProcess[str]:
        """Run `bctk` in a folder to its end."""
        return self.wait(self.start(*arguments, cwd=cwd, timeout=timeout, **disturbance))

    def close(self) -> None:
        """End the server."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
