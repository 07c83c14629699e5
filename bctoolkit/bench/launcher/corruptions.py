"""A bundle's predictions under the corruption suite."""

from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.launcher.sessions import predict
from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.apply import batches, corrupted
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES
from bctoolkit.progress import Progress

__all__ = ["predict_suite"]

AT_ONCE = 1_200
"""Images that one child process predicts and that lie on disk meanwhile, or one corruption's where they are more."""


def predict_suite(
    bundle: Path, dataset: Dataset, threads: int, provider: str | None, progress: Progress
) -> NDArray[np.int16]:
    """The class a bundle predicts for each image under each corruption.

    Args:
        bundle: its folder.
        dataset: M images as the bundle eats them.
        threads: of the engine.
        provider: what to run on; the engine's first by default.
        progress: notified of each step.

    Returns:
        Positions in the bundle's labels, M × corruptions × severities, in the order of `CORRUPTIONS` and `SEVERITIES`.

    Raises:
        BackendError: it cannot run, or its process died.
    """
    total = batches(len(dataset), len(dataset))
    predicted = np.empty((total, len(dataset)), np.int16)
    pieces = corrupted(dataset, len(dataset))
    together = max(1, AT_ONCE // len(dataset))
    for start in range(0, total, together):
        group = list(islice(pieces, together))
        progress.step("corruptions", start, total, f"{bundle.name}, {group[0].name.replace('_', ' ')}")
        images = np.concatenate([piece.images for piece in group])
        classes = predict(bundle, images, threads, provider).argmax(1)
        predicted[start : start + len(group)] = classes.reshape(len(group), -1)
    progress.step("corruptions", total, total)
    return predicted.T.reshape(len(dataset), len(CORRUPTIONS), len(SEVERITIES))
