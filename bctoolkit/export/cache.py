"""What an earlier export left that need not be made again: bundles, and the reference's answers.

A bundle says in its manifest what it was made from, as one hash. The reference's answers on whole parts of a set take
longest for a large network, so they are kept in a folder of their own, the least recently used going first.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle
from bctoolkit.errors import BundleError
from bctoolkit.files import atomic_file
from bctoolkit.tools import versions

__all__ = ["TOOLS", "digest", "earlier_bundle", "kept_answers"]

TOOLS = ("bctoolkit", "keras", "tensorflow", "onnx", "onnxruntime", "ai-edge-litert", "numpy")
"""Packages whose versions decide what an export makes."""

EDITION = 2
"""Raised when the same versions of all tools come to write other artifacts than before."""

MOST_KEPT = 64 * 2**20
"""Bytes of answers kept: those of 8 classes on 2,000,000 images."""


def digest(*parts: Any) -> str:
    """SHA-256 of documents, strings, numbers and arrays in that order, and of `EDITION` and the versions of `TOOLS`."""
    total = hashlib.sha256(msgspec.json.encode((EDITION, versions(*TOOLS)), order="deterministic"))
    for part in parts:
        array = isinstance(part, np.ndarray)
        content = np.ascontiguousarray(part).tobytes() if array else msgspec.json.encode(part, order="deterministic")
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


def earlier_bundle(path: Path, inputs_sha256: str) -> Bundle | None:
    """The bundle at `path` if it was made from the same and every file of it is as it was sealed."""
    try:
        found = bundles.read(path)
        if found.manifest.inputs_sha256 != inputs_sha256:
            return None
        found.check()
    except BundleError:
        return None
    return found


def kept_answers(
    folder: Path | None, key: str, ask: Callable[[], NDArray[np.float32]], most: int = MOST_KEPT
) -> NDArray[np.float32]:
    """The array kept under `key` in `folder`, or what `ask` answers, which is then kept.

    Args:
        folder: None to keep nothing.
        key: hash of all that decides the answer.
        ask: computes the array.
        most: bytes that the folder may hold; the files used longest ago are removed.
    """
    if folder is None:
        return ask()
    path = folder / f"answers-{key[:32]}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            found: NDArray[np.float32] = kept["answers"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # not there, or no longer readable
        answers = ask()
        _keep(path, answers)
        _shrink(folder, most)
        return answers
    path.touch()
    return found


def _keep(path: Path, answers: NDArray[np.float32]) -> None:
    content = io.BytesIO()
    np.savez(content, answers=answers)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_file(path, content.getvalue())


def _shrink(folder: Path, most: int) -> None:
    """Remove the files used longest ago until the rest takes no more than `most` bytes."""
    files = sorted(folder.glob("answers-*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > most:
            path.unlink(missing_ok=True)
