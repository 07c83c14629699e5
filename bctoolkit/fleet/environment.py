"""The interpreter that measures on a machine: one that has what it takes, or a virtual environment made there.

The packages of the environment are gathered here, for the system of that machine, so that it needs no network, no pip
and nothing of its own but Python. Nothing is installed outside the temporary folder.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bctoolkit.bundle import Bundle
from bctoolkit.documents.formats import Engine, engine_for, lookup
from bctoolkit.errors import DeviceError
from bctoolkit.fleet.connection import Connection
from bctoolkit.fleet.programs import PREFIX, PROBE

__all__ = ["Facts", "Wheels", "modules_for", "platforms", "probe"]

NEEDED = {"numpy": "numpy>=1.26", "msgspec": "msgspec>=0.19", "PIL": "pillow>=10.3"}
"""Module → what to install for it, besides the engines."""
SUITE = {"scipy": "scipy>=1.14"}
"""For the corruption suite."""
OLDEST_PYTHON = (3, 11)
OLDEST_GLIBC, OLDEST_MUSL = 17, 1
"""Minor versions that wheels are built for."""
MANY = {17: "manylinux2014"}
"""Older names of the same platforms."""
MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
DOWNLOAD_SECONDS = 900


class Facts(msgspec.Struct, frozen=True):
    """What a machine says of itself; it is another's, so each field is checked before it is used."""

    version: tuple[int, int]
    implementation: str
    executable: str
    system: str
    machine: str
    libc: tuple[str, str]
    installed: tuple[str, ...]
    folder: str
    """The temporary folder there."""

    def __post_init__(self) -> None:
        """Refuse a folder that is none of ours, and an interpreter that is no path."""
        for path in (self.folder, self.executable):
            if not path.startswith("/") or ".." in path.split("/") or not path.isprintable() or len(path) > 1024:
                raise ValueError(f"{path[:100]!r} is no absolute path")
        if not self.folder.rpartition("/")[2].startswith(PREFIX):
            raise ValueError(f"{self.folder!r} is no folder of ours")


def modules_for(bundles: Iterable[Bundle], engines: Sequence[str], corruptions: bool) -> dict[str, str]:
    """Module → requirement of all that bundles need to be measured, in these engines or in their formats' first."""
    packages = {engine.package for bundle in bundles for engine in _engines(bundle.manifest.format, engines)}
    return NEEDED | (SUITE if corruptions else {}) | {name.replace("-", "_"): name for name in sorted(packages)}


def _engines(format_name: str, wanted: Sequence[str]) -> list[Engine]:
    own = lookup(format_name).engines
    return [own[name] for name in wanted if name in own] or [engine_for(format_name)]


def probe(connection: Connection, python: str, modules: Sequence[str]) -> Facts:
    """Ask a machine what it is, and let it make a temporary folder.

    Raises:
        DeviceError: there is no such Python, or it is too old.
    """
    try:
        answer = connection.run([python, "-c", PROBE, *modules])
    except DeviceError as problem:
        if type(problem) is not DeviceError:
            raise
        raise DeviceError(f"{problem}; name its Python {_version(OLDEST_PYTHON)} or later with --python") from None
    try:
        return msgspec.json.decode(answer.strip().splitlines()[-1], type=Facts)
    except (msgspec.DecodeError, IndexError) as problem:
        raise DeviceError(f"{connection.address}: an answer that is none of ours ({problem})") from None


def require_usable(facts: Facts, where: object) -> None:
    """Refuse a machine that cannot measure.

    Raises:
        DeviceError: Python is too old, or the system is not Linux.
    """
    if facts.version < OLDEST_PYTHON or facts.implementation != "cpython":
        raise DeviceError(
            f"{where}: {facts.executable} is {facts.implementation} {_version(facts.version)}; needs CPython "
            f"{_version(OLDEST_PYTHON)} or later, name one with --python"
        )
    if facts.system != "Linux":
        raise DeviceError(f"{where}: runs {facts.system}; only Linux is measured over SSH, run bctk bench there")


def platforms(facts: Facts) -> list[str]:
    """The tags of wheels that run on a machine, the newest first (PEP 600, PEP 656).

    Raises:
        DeviceError: it names no C library that wheels are built for.
    """
    machine = MACHINES.get(facts.machine, facts.machine)
    library, version = facts.libc
    minor = re.fullmatch(r"\d+\.(\d+).*", version)
    if not re.fullmatch(r"\w+", machine) or minor is None or library not in ("glibc", "musl"):
        raise DeviceError(
            f"no wheels are known for {facts.machine} with the C library {library or 'unknown'} {version}"
        )
    if library == "musl":
        return [f"musllinux_1_{number}_{machine}" for number in range(int(minor[1]), OLDEST_MUSL - 1, -1)]
    tags = []
    for number in range(min(int(minor[1]), 100), OLDEST_GLIBC - 1, -1):
        tags += [f"manylinux_2_{number}_{machine}"] + ([f"{MANY[number]}_{machine}"] if number in MANY else [])
    return tags


class Wheels:
    """Packages for machines, gathered once for all that are alike.

    Args:
        folder: where to unpack them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._gathered: dict[str, Path] = {}

    def gather(self, facts: Facts, requirements: Sequence[str]) -> Path:
        """A folder of unpacked packages for a machine.

        Raises:
            DeviceError: one is not to be had.
        """
        tags = platforms(facts)
        key = json.dumps([facts.version, tags, *requirements])
        with self._lock:
            if key not in self._gathered:
                target = self._folder / f"site-{len(self._gathered)}"
                self._install(target, tags, facts.version, requirements)
                self._gathered[key] = target
            return self._gathered[key]

    def _install(self, target: Path, tags: list[str], version: tuple[int, int], requirements: Sequence[str]) -> None:
        short = "".join(map(str, version))
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
            *("--only-binary=:all:", "--target", str(target), "--python-version", _version(version)),
            *("--implementation", "cp", "--abi", f"cp{short}", "--abi", "abi3", "--abi", "none"),
            *(word for tag in tags for word in ("--platform", tag)),
            *requirements,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DOWNLOAD_SECONDS)
        except subprocess.TimeoutExpired:
            raise DeviceError(f"packages for {tags[0]} did not come within {DOWNLOAD_SECONDS} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
            raise DeviceError(f"packages for {tags[0]}, Python {_version(version)}: {lines[0].removeprefix('ERROR: ')}")


def _version(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
