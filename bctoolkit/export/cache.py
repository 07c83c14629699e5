"""What can be reused from an earlier export: bundles, and the reference's predictions.

A bundle says in its manifest what it was made from, as one hash. The reference's predictions on whole parts of a set
take longest for a large network, so a folder of their own caches them, the least recently used going first.
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

from bctoolkit import bundle
from bctoolkit.errors import BundleError
from bctoolkit.files import atomic_file
from bctoolkit.system import versions

__all__ = ["TOOLS", "PredictionCache", "digest", "earlier_bundle"]

TOOLS = ("bctoolkit", "keras", "tensorflow", "onnx", "onnxruntime", "ai-edge-litert", "numpy", "tf-keras")
"""Packages whose versions decide what an export writes."""

EDITION = 5
"""Raised when the same versions of all tools come to write other artifacts than before."""

MAX_BYTES = 64 * 2**20
"""Of the cache: predictions of 8 classes on 2,000,000 images."""


def digest(*parts: Any) -> str:
    """SHA-256 of documents, strings, numbers and arrays in that order, and of `EDITION` and the versions of `TOOLS`."""
    total = hashlib.sha256(msgspec.json.encode((EDITION, versions(*TOOLS)), order="deterministic"))
    for part in parts:
        array = isinstance(part, np.ndarray)
        content = np.ascontiguousarray(part).tobytes() if array else msgspec.json.encode(part, order="deterministic")
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


def earlier_bundle(path: Path, inputs_sha256: str) -> bundle.Bundle | None:
    """The bundle at `path` if it was made from the same and every file of it is as it was sealed."""
    try:
        earlier = bundle.read(path)
        if earlier.manifest.inputs_sha256 != inputs_sha256:
            return None
        earlier.check()
    except BundleError:
        return None
    return earlier


class PredictionCache:
    """Predictions of earlier exports, and those of this one that the next may use; nothing is written before `keep`."""

    def __init__(self, folder: Path | None, max_bytes: int = MAX_BYTES) -> None:
        """Read from a folder.

        Args:
            folder: None for no cache.
            max_bytes: that the folder may hold; the files used longest ago are removed.
        """
        self._folder, self._max_bytes = folder, max_bytes
        self._pending: dict[Path, NDArray[np.float32]] = {}

    def lookup(self, key: str, predict: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """The array cached under `key`, or the result of `predict`.

        Args:
            key: hash of all that decides the predictions.
            predict: computes the array.
        """
        if self._folder is None:
            return predict()
        path = self._folder / f"predictions-{key[:32]}.npz"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                cached: NDArray[np.float32] = arrays["probabilities"]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # not there, or no longer readable
            if path not in self._pending:
                self._pending[path] = predict()
            return self._pending[path]
        path.touch()
        return cached

    def keep(self) -> None:
        """Write down the predictions that were computed, for the next export."""
        for path, probabilities in self._pending.items():
            _store(path, probabilities)
        if self._pending and self._folder is not None:
            _shrink(self._folder, self._max_bytes)
        self._pending.clear()


def _store(path: Path, probabilities: NDArray[np.float32]) -> None:
    content = io.BytesIO()
    np.savez(content, probabilities=probabilities)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_file(path, content.getvalue())


def _shrink(folder: Path, max_bytes: int) -> None:
    """Remove the files used longest ago until the rest takes no more than `max_bytes`."""
    files = sorted(folder.glob("predictions-*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > max_bytes:
            path.unlink(missing_ok=True)
