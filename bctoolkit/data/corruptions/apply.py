"""A classifier under the corruption suite: what it predicts for a set's images under every corruption."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt, display_name
from bctoolkit.data.dataset import Dataset
from bctoolkit.lazy import require
from bctoolkit.progress import Progress
from bctoolkit.system import usable_cpus

__all__ = ["predicted_classes"]

VARIANTS = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]


def predicted_classes(
    predict: Callable[[NDArray[np.uint8]], NDArray[Any]],
    dataset: Dataset,
    batch: int,
    progress: Progress,
    label: str = "corruptions",
) -> NDArray[np.int16]:
    """The class a classifier predicts for each image under each corruption.

    Args:
        predict: images N × height × width × channels uint8 → probabilities N × classes.
        dataset: M images, prepared for it; their hashes seed what is drawn for each.
        batch: images that `predict` is given at a time; a few batches are prepared ahead.
        progress: shows how many images are done.
        label: of the steps of progress.

    Returns:
        Positions in the labels, M × corruptions × severities, in the order of `CORRUPTIONS` and `SEVERITIES`.
    """
    for module in ("scipy.ndimage", "scipy.signal"):  # threads that import parts of SciPy at once can meet half of it
        require(module, "bench")
    total = len(VARIANTS) * len(dataset)
    classes = np.empty(total, np.int16)
    batches = [range(start, min(start + batch, total)) for start in range(0, total, batch)]
    prepared = _ahead(lambda rows: _corrupted(dataset, rows), batches)
    for rows, images in zip(batches, prepared, strict=True):
        name, severity = VARIANTS[rows.start // len(dataset)]
        progress.step(label, rows.start, total, f"{display_name(name)}, {severity}")
        classes[rows.start : rows.stop] = predict(images).argmax(1)
    progress.step(label, total, total)
    return classes.reshape(len(CORRUPTIONS), len(SEVERITIES), len(dataset)).transpose(2, 0, 1)


def _corrupted(dataset: Dataset, rows: range) -> NDArray[np.uint8]:
    """Rows of all images under the first variant, then all under the second, and so on."""
    count = len(dataset)
    pieces = []
    for variant in range(rows.start // count, -(-rows.stop // count)):
        piece = slice(max(rows.start - variant * count, 0), min(rows.stop - variant * count, count))
        pieces.append(corrupt(dataset.images[piece], dataset.hashes[piece], *VARIANTS[variant]))
    return np.concatenate(pieces)


def _ahead(prepare: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
    """`prepare` of each task in order, computed by threads a few tasks ahead of the consumer."""
    workers = usable_cpus()
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[Any]] = deque()
        for task in tasks:
            pending.append(pool.submit(prepare, task))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
