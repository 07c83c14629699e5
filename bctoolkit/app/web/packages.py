"""Files of npm packages: fetched once with the user's own npm, or taken from a folder; each compared with its pin."""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bctoolkit.app.web.engines import EngineFile, Package
from bctoolkit.errors import RecipeError
from bctoolkit.files import atomic_file, scratch_folder, sha256_bytes
from bctoolkit.progress import Progress
from bctoolkit.system import cache_folder
from bctoolkit.untrusted.files import read_bounded

__all__ = ["Packages"]

MOST_BYTES = 2**27
"""Of an archive, or of one file."""

LONGEST_FETCH = 900
"""Seconds."""

LONGEST_REASON = 300
"""Characters of what npm says."""


class Packages:
    """Where the files of an engine come from.

    Args:
        folder: an unpacked package, or a folder `node_modules` that holds it; None for npm.
        progress: told before something is fetched.
    """

    def __init__(self, folder: Path | None, progress: Progress) -> None:
        self._folder, self._progress = folder, progress

    def read(self, files: Mapping[str, EngineFile]) -> dict[str, bytes]:
        """Role → content, each as it was pinned.

        Raises:
            RecipeError: a file cannot be had, or is another one.
        """
        contents: dict[EngineFile, bytes] = {}
        for package in dict.fromkeys(file.package for file in files.values()):
            wanted = [file for file in files.values() if file.package == package]
            contents |= self._packed(package, wanted) if self._folder is None else _unpacked(self._folder, wanted)
        return {role: contents[file] for role, file in files.items()}

    def _packed(self, package: Package, wanted: Sequence[EngineFile]) -> dict[EngineFile, bytes]:
        by_path = {f"package/{file.path}": file for file in wanted}
        contents = {}
        with tarfile.open(fileobj=io.BytesIO(self._archive(package)), mode="r|gz") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name in by_path else None
                if stream is not None:
                    contents[by_path[member.name]] = stream.read(MOST_BYTES)
        _require_pinned(contents, wanted, f"npm's archive of {package.name}")
        return contents

    def _archive(self, package: Package) -> bytes:
        """The package as the registry has it, kept after the first time where something can be kept."""
        kept = _kept(package)
        if kept is not None and kept.is_file():
            content = read_bounded(kept, MOST_BYTES, RecipeError)
            if _integrity(content) == package.integrity:
                return content
        content = self._fetched(package)
        if kept is not None:
            with suppress(OSError):  # the next page fetches it again
                kept.parent.mkdir(parents=True, exist_ok=True)
                atomic_file(kept, content)
        return content

    def _fetched(self, package: Package) -> bytes:
        wanted = f"{package.name}@{package.version}"
        npm = shutil.which("npm")
        if npm is None:
            raise RecipeError(
                f"{wanted} is fetched with npm, and there is none on the path: install Node.js with npm, or name a "
                "folder that holds the unpacked package with --engine-files"
            )
        self._progress.say(f"fetching {wanted} with npm, {package.megabytes} MB, once")
        with scratch_folder() as scratch:
            command = [npm, "pack", wanted, "--pack-destination", str(scratch), "--ignore-scripts", "--loglevel=error"]
            try:
                done = subprocess.run(
                    command, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                    timeout=LONGEST_FETCH, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise RecipeError(f"npm did not fetch {wanted} within {LONGEST_FETCH} s; try again later") from None
            archives = list(scratch.glob("*.tgz"))
            if done.returncode or len(archives) != 1:
                reason = " ".join(done.stderr.split())[:LONGEST_REASON] or f"exit code {done.returncode}"
                raise RecipeError(
                    f"npm cannot fetch {wanted} ({reason}); try again with a network, or use --engine-files"
                )
            content = read_bounded(archives[0], MOST_BYTES, RecipeError)
        if _integrity(content) != package.integrity:
            raise RecipeError(
                f"{wanted}: what npm fetched is another archive than the one that was tested (SHA-512 "
                f"{_integrity(content)[:16]}…, not {package.integrity[:16]}…); look at the registry that npm is set to"
            )
        return content


def _kept(package: Package) -> Path | None:
    """Where an archive is kept; None for a user without a folder."""
    try:
        return cache_folder() / "npm" / f"{package.name.replace('/', '-').lstrip('@')}-{package.version}.tgz"
    except OSError:
        return None


def _integrity(content: bytes) -> str:
    return base64.b64encode(hashlib.sha512(content).digest()).decode()


def _require_pinned(contents: Mapping[EngineFile, bytes], wanted: Sequence[EngineFile], source: str) -> None:
    for file in wanted:
        if sha256_bytes(contents.get(file, b"")) != file.sha256:
            raise RecipeError(
                f"{source}: {file.path} is not that of {file.package.name} {file.package.version}; unpack that version "
                "there, or leave --engine-files away"
            )


def _unpacked(folder: Path, wanted: Sequence[EngineFile]) -> dict[EngineFile, bytes]:
    """Files of one package, in a folder that the user has named."""
    name, version = wanted[0].package.name, wanted[0].package.version
    places = (folder / name, folder / "node_modules" / name, folder.parent / name.rpartition("/")[2], folder)
    found = next((place for place in places if _is_package(place, name)), None)
    if found is None:
        raise RecipeError(
            f"{folder}: holds no package {name}; unpack it there (npm install --ignore-scripts {name}@{version}), or "
            "leave --engine-files away"
        )
    contents = {file: read_bounded(found / file.path, MOST_BYTES, RecipeError) for file in wanted}
    _require_pinned(contents, wanted, str(found))
    return contents


def _is_package(folder: Path, name: str) -> bool:
    path = folder / "package.json"
    return path.is_file() and f'"name": "{name}"'.encode() in read_bounded(path, MOST_BYTES, RecipeError)
