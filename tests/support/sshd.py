"""A real sshd on loopback, with keys, a home and a temporary folder of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

__all__ = ["Sshd", "require_sshd"]

PROGRAM = shutil.which("sshd") or "/usr/sbin/sshd"


def require_sshd() -> None:
    """Skip where there is no sshd or no client."""
    if not Path(PROGRAM).is_file() or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no sshd here (apt-get install openssh-server)")


class Sshd:
    """A machine that can be reached as `address`, with `config` for the client, which knows its host key.

    Args:
        folder: an empty one.
        command: what every command that comes in is run by, with the command in `$SSH_ORIGINAL_COMMAND`.
    """

    def __init__(self, folder: Path, command: str = "") -> None:
        require_sshd()
        self.folder, self.temporary, self.home = folder, folder / "tmp", folder / "home"
        self.temporary.mkdir(parents=True)
        self.home.mkdir()
        for name in ("host", "user", "stranger"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True, timeout=60
            )
        shutil.copy(folder / "user.pub", folder / "authorized")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        key = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {key}\n")
        self.config = self.write_config(folder / "config")
        environment = f'SetEnv TMPDIR="{self.temporary}" HOME="{self.home}"'
        lines = [
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {folder / 'host'}",
            f"AuthorizedKeysFile {folder / 'authorized'}\nPidFile {folder / 'pid'}\nUsePAM no\nStrictModes no",
            f"PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n{environment}",
            *([f"ForceCommand {command}"] if command else []),
        ]
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        """With the interpreter that runs the tests, so that nothing need be installed."""
        return f"ssh://127.0.0.1:{self.port}?python={sys.executable}"

    @property
    def name(self) -> str:
        """In reports."""
        return f"127.0.0.1-{self.port}"

    def write_config(self, path: Path, identity: str = "user", known: str = "known") -> Path:
        """A configuration of the client."""
        path.write_text(
            f"Host *\n  IdentityFile {self.folder / identity}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder / known}\n  GlobalKnownHostsFile /dev/null\n"
        )
        return path

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [PROGRAM, "-D", "-f", str(self.folder / "sshd_config"), "-E", str(self.folder / "log")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def sessions(self) -> list[int]:
        """Process ids of the connections that stand: children of the server."""
        assert self._process is not None
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) == self._process.pid:
                    found.append(int(stat.parent.name))
        return found

    def cut(self) -> int:
        """Kill every connection; how many there were."""
        sessions = self.sessions()
        for pid in sessions:
            children = [
                int(stat.parent.name)
                for stat in Path("/proc").glob("[0-9]*/stat")
                if _parent(stat) == pid and _name(stat) == "sshd"
            ]
            for each in (pid, *children):
                with suppress(ProcessLookupError):
                    os.kill(each, 9)
        return len(sessions)

    def left(self) -> list[str]:
        """What stands in its temporary folder."""
        return sorted(path.name for path in self.temporary.iterdir())

    def stop(self) -> None:
        """End it and its connections."""
        if self._process is not None:
            self.cut()
            self._process.terminate()
            self._process.wait(30)
            self._process = None


def _parent(stat: Path) -> int:
    with suppress(OSError):
        return int(stat.read_text().rpartition(")")[2].split()[1])
    return -1


def _name(stat: Path) -> str:
    with suppress(OSError):
        return stat.read_text().partition("(")[2].rpartition(")")[0]
    return ""
