"""A bundle's predictions under the corruption suite."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.launcher.sessions import predict
from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.apply import predicted_classes
from bctoolkit.progress import Progress

__all__ = ["predict_suite"]

AT_ONCE = 1_200
"""Images that one child process predicts and that lie on disk meanwhile, or one corruption's where they are more."""


def predict_suite(
    bundle: Path,
    dataset: Dataset,
    threads: int,
    provider: str | None,
    progress: Progress,
    engine: str | None = None,
) -> NDArray[np.int16]:
    """The class a bundle predicts for each image under each corruption.

    Args:
        bundle: its folder.
        dataset: M images as the bundle eats them.
        threads: of the engine.
        provider: what to run on; the engine's first by default.
        progress: notified of each step.
        engine: what to run in; the format's first by default.

    Returns:
        Positions in the bundle's labels, M × corruptions × severities, in the order of `CORRUPTIONS` and `SEVERITIES`.

    Raises:
        BackendError: it cannot run, or its process died.
    """
    probabilities = partial(predict, bundle, threads=threads, provider=provider, engine=engine)
    return predicted_classes(
        probabilities, dataset, max(AT_ONCE, len(dataset)), progress, f"corruptions, {bundle.name}"
    )
