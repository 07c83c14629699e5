"""Ask a bundle for its answers under the corruption suite."""

from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.latency import predict
from bctoolkit.data import Dataset
from bctoolkit.data.corrupted import corrupted
from bctoolkit.data.corruptions import CORRUPTIONS, SEVERITIES
from bctoolkit.progress import Progress

__all__ = ["ask"]


def ask(bundle: Path, dataset: Dataset, threads: int, provider: str | None, progress: Progress) -> NDArray[np.int16]:
    """The class a bundle names for each image under each corruption.

    One child process per corruption, so that no more than its images lie on the disk at a time.

    Args:
        bundle: its folder.
        dataset: M images as the bundle eats them.
        threads: of the engine.
        provider: what to run on; the engine's first by default.
        progress: told which corruption is under way.

    Returns:
        Positions in the bundle's labels, M × corruptions × severities, in the order of `CORRUPTIONS` and `SEVERITIES`.

    Raises:
        BackendError: it cannot run, or its process died.
    """
    said = np.empty((len(dataset), len(CORRUPTIONS), len(SEVERITIES)), np.int16)
    pieces = corrupted(dataset, len(dataset))
    for place, (name, group) in enumerate(groupby(pieces, key=lambda piece: piece.name)):
        progress.step("corruptions", place, len(CORRUPTIONS), f"{bundle.name}, {name.replace('_', ' ')}")
        images = np.concatenate([piece.images for piece in group])
        answers = predict(bundle, images, threads, provider).argmax(1)
        said[:, place] = answers.reshape(len(SEVERITIES), -1).T
    progress.step("corruptions", len(CORRUPTIONS), len(CORRUPTIONS))
    return said
