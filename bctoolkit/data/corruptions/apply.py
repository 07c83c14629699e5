"""A set's images under the corruption suite, one corruption after the other."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bctoolkit.data.dataset import Dataset
from bctoolkit.tools import usable_cpus

__all__ = ["Changed", "batches", "corrupted"]


class Changed(NamedTuple):
    """Some images of a set under one corruption at one severity."""

    name: str
    severity: str
    chosen: slice
    """Which of the set they are."""
    images: NDArray[np.uint8]


def batches(count: int, batch: int) -> int:
    """How many pieces `corrupted` gives for `count` images."""
    return len(CORRUPTIONS) * len(SEVERITIES) * -(-count // batch)


def corrupted(dataset: Dataset, batch: int) -> Iterator[Changed]:
    """All images under each corruption and severity in turn, in pieces of `batch`, prepared a few pieces ahead.

    Args:
        dataset: images as the model eats them, N × height × width × 3; their hashes decide what is drawn for each.
        batch: images in a piece.
    """

    def prepare(task: tuple[str, str, slice]) -> Changed:
        name, severity, chosen = task
        return Changed(*task, corrupt(dataset.images[chosen], dataset.hashes[chosen], name, severity))

    return _ahead(
        prepare,
        [
            (name, severity, slice(start, start + batch))
            for name in CORRUPTIONS
            for severity in SEVERITIES
            for start in range(0, len(dataset), batch)
        ],
    )


def _ahead(prepare: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
    """`prepare` of each task in order, computed by threads a few tasks ahead of who asks."""
    workers = usable_cpus()
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[Any]] = deque()
        for task in tasks:
            pending.append(pool.submit(prepare, task))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
