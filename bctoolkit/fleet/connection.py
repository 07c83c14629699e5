"""One authenticated connection to a machine through the user's OpenSSH client, over which commands run.

The client's master connection (`ControlMaster`) authenticates once, so that at most one question is asked; its socket
lies in a private folder. Host keys are always checked. What goes to the machine is a list of words: it is quoted for
the shell there, and meets none here.
"""

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from bctoolkit.errors import DeviceError
from bctoolkit.fleet.address import Address

__all__ = ["Cancelled", "Connection", "ConnectionLost", "host_key_option"]

LOST = 255
"""ssh's exit code for an error of its own."""
LONGEST_LINE = 4 * 2**20
LOOK = 0.5
"""Seconds until a wait looks whether it is cancelled."""
OPEN_SECONDS, COMMAND_SECONDS = 180, 900
OPTIONS = (
    ("ConnectTimeout", "20"), ("ServerAliveInterval", "10"), ("ServerAliveCountMax", "3"),
    ("ClearAllForwardings", "yes"),
    ("PermitLocalCommand", "no"), ("RequestTTY", "no"), ("LogLevel", "ERROR"),
)  # fmt: skip


class ConnectionLost(DeviceError):
    """The machine cannot be reached at the moment, or the connection to it has ended."""


class Cancelled(BaseException):
    """The user has ended the benchmark; as `KeyboardInterrupt` in a thread that does not get one."""


class Connection:
    """A connection that can be opened again.

    Args:
        address: the machine.
        folder: a private folder for the socket, with a short path.
        config: a file instead of the user's ~/.ssh/config.
        cancel: set where all waiting is to end.
    """

    def __init__(self, address: Address, folder: Path, config: Path | None, cancel: threading.Event) -> None:
        self.address, self._cancel = address, cancel
        self._folder, self._errors = folder, folder / "errors"
        self._config = [] if config is None else ["-F", str(config.absolute())]
        self._host_key: list[str] | None = None

    def open(self, *, may_ask: bool) -> None:
        """Connect and authenticate.

        Args:
            may_ask: whether ssh may ask for a password, where there is a terminal.

        Raises:
            DeviceError: there is no ssh, the host key is not known or another, or the user is refused.
            ConnectionLost: the machine cannot be reached.
        """
        if shutil.which("ssh") is None:
            raise DeviceError(f"{self.address}: needs OpenSSH's client; install ssh")
        self.close()
        batch = "no" if may_ask and sys.stdin is not None and sys.stdin.isatty() else "yes"
        command = self._ssh("-M", "-N", "-f", "-o", f"BatchMode={batch}")
        # ssh stays behind and keeps what it was given: a pipe would never end
        with self._errors.open("wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
            code = self._wait(process, OPEN_SECONDS)
        if code:
            raise self._problem(self._errors.read_text(encoding="utf-8", errors="replace"))

    def go_on_when_cancelled(self) -> None:
        """From now on nothing is cut short: what is left is to clean up."""
        self._cancel = threading.Event()

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._socket.exists():
            command = self._ssh("-O", "exit")
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(command, capture_output=True, check=False, timeout=20, start_new_session=True)
            self._socket.unlink(missing_ok=True)

    def run(self, words: Sequence[str], stdin: BinaryIO | None = None) -> bytes:
        """What a command prints.

        Raises:
            ConnectionLost: the connection has ended.
            DeviceError: the command failed; the message ends with its last line.
        """
        with self._started(words, stdin) as process:
            output, errors = self._communicate(process)
        self._require_success(process.returncode, errors)
        return output

    def lines(self, words: Sequence[str]) -> Iterator[bytes]:
        """The lines that a command prints, as they come.

        Raises:
            ConnectionLost: the connection has ended, or the command; or a line is longer than any of ours.
        """
        with self._started(words, None) as process:
            try:
                yield from self._lines_of(process)
            finally:
                process.kill()
            errors = process.stderr.read() if process.stderr else b""
        if process.returncode:
            raise ConnectionLost(f"{self.address}: {_last_line(errors) or 'the connection has ended'}")

    def _lines_of(self, process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
        assert process.stdout is not None
        descriptor, rest = process.stdout.fileno(), b""
        while True:
            if self._cancel.is_set():
                raise Cancelled
            if not select.select([descriptor], [], [], LOOK)[0]:
                continue
            piece = os.read(descriptor, 2**16)
            if not piece:
                process.wait()
                return
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise ConnectionLost(f"{self.address}: sent a line of more than {LONGEST_LINE:,} bytes")
            yield from whole

    @property
    def _socket(self) -> Path:
        return self._folder / "socket"

    def _ssh(self, *options: str) -> list[str]:
        user = ["-l", self.address.user] if self.address.user else []
        port = ["-p", str(self.address.port)] if self.address.port else []
        settings = [word for name, value in OPTIONS for word in ("-o", f"{name}={value}")]
        control = ["-o", f"ControlPath={self._socket}", *self._checked_host_key()]
        return ["ssh", *self._config, *settings, *control, *user, *port, *options, "--", self.address.host]

    def _checked_host_key(self) -> list[str]:
        """The option that asks for a known host key, unless the user's configuration is as strict in its own way."""
        if self._host_key is None:
            user = ["-l", self.address.user] if self.address.user else []
            command = ["ssh", *self._config, "-G", *user, "--", self.address.host]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            self._host_key = host_key_option(done.stdout)
        return self._host_key

    def _started(self, words: Sequence[str], stdin: BinaryIO | None) -> "subprocess.Popen[bytes]":
        """A command under way; Ctrl-C does not reach it, so that what it began can be ended in order."""
        return subprocess.Popen(
            [*self._ssh("-o", "BatchMode=yes", "-o", "ControlMaster=no"), shlex.join(words)],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _communicate(self, process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
        for _ in range(int(COMMAND_SECONDS / LOOK)):
            try:
                return process.communicate(timeout=LOOK)
            except subprocess.TimeoutExpired:
                if self._cancel.is_set():
                    process.kill()
                    raise Cancelled from None
        process.kill()
        raise ConnectionLost(f"{self.address}: a command took more than {COMMAND_SECONDS} s")

    def _wait(self, process: "subprocess.Popen[bytes]", seconds: float) -> int:
        for _ in range(int(seconds / LOOK)):
            with suppress(subprocess.TimeoutExpired):
                return process.wait(LOOK)
            if self._cancel.is_set():
                process.kill()
                raise Cancelled
        process.kill()
        return process.wait()

    def _require_success(self, code: int, errors: bytes) -> None:
        if code == LOST:
            raise ConnectionLost(f"{self.address}: {_last_line(errors) or 'the connection has ended'}")
        if code:
            raise DeviceError(f"{self.address}: {_last_line(errors) or f'a command ended with exit code {code}'}")

    def _problem(self, errors: str) -> DeviceError:
        if "IDENTIFICATION HAS CHANGED" in errors:
            return DeviceError(
                f"{self.address}: its host key is another than the known one; find out why before you go on"
            )
        if "Host key verification failed" in errors or "host key is known for" in errors:
            port = f"-p {self.address.port} " if self.address.port else ""
            return DeviceError(
                f"{self.address}: its host key is not known; connect once with: ssh {port}{self.address.host}, and "
                "compare the fingerprint"
            )
        last = _last_line(errors.encode())
        if "Permission denied" in errors:
            return DeviceError(f"{self.address}: {last}; check user, key and agent with: ssh {self.address.host}")
        return ConnectionLost(f"{self.address}: cannot be reached ({last or 'no answer'})")


def host_key_option(effective: str) -> list[str]:
    """The option for ssh that goes with its effective configuration, as `ssh -G` prints it.

    A key that is not known is refused; where the user's configuration has `accept-new`, that stands, and `no` never.
    """
    setting = re.search(r"^stricthostkeychecking (\S+)$", effective, re.MULTILINE)
    return [] if setting and setting[1] == "accept-new" else ["-o", "StrictHostKeyChecking=yes"]


def _last_line(content: bytes) -> str:
    lines = content.decode(errors="replace").strip().splitlines()
    return " ".join(lines[-1].split())[:300] if lines else ""
