"""Images through one classifier on this machine: read in some threads, asked in others, answered in their order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from bctoolkit.runtime import Classifier
from bctoolkit.scoring.inputs import Item
from bctoolkit.scoring.rows import Prepared, Row, answer, prepared
from bctoolkit.supervision.time_limit import time_limit
from bctoolkit.system import usable_cpus

__all__ = ["batches", "score_here"]

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in order, `size` at a time; the last may be fewer."""
    waiting = iter(items)
    return iter(lambda: list(islice(waiting, size)), [])


def score_here(classifier: Classifier, items: Iterable[Item], batch: int, seconds: int) -> Iterator[list[Row]]:
    """The rows of each batch, in the order of the items.

    As many batches are asked at once as there are CPUs for the engine's threads, and as many wait prepared; nothing
    more is read ahead.

    Args:
        classifier: whom to ask.
        items: images; a batch is so many that follow each other, less those that cannot be used.
        batch: images of a call.
        seconds: the longest to wait for a batch, from when the one before was answered. Beyond, a process that was
            started for the model is ended.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    calls = max(1, usable_cpus() // classifier.info().threads)
    with ThreadPoolExecutor(usable_cpus()) as readers, ThreadPoolExecutor(calls) as callers:

        def ask(some: list[Item], pictures: list[Future[Prepared]]) -> list[Row]:
            return answer(classifier, some, [picture.result() for picture in pictures])

        def begin(some: list[Item]) -> Future[list[Row]]:
            pictures = [readers.submit(prepared, item, classifier.contract) for item in some]
            return callers.submit(ask, some, pictures)

        try:
            for future in _ahead(begin, batches(items, batch), 2 * calls):
                with time_limit(seconds):
                    rows = future.result()
                yield rows
        finally:
            for pool in (readers, callers):
                pool.shutdown(wait=False, cancel_futures=True)


def _ahead(begin: Callable[[list[Item]], Future[T]], work: Iterable[list[Item]], most: int) -> Iterator[Future[T]]:
    """Futures in the order of the work, of which at most so many are begun and not yet asked for."""
    begun: deque[Future[T]] = deque()
    for piece in work:
        begun.append(begin(piece))
        if len(begun) > most:
            yield begun.popleft()
    while begun:
        yield begun.popleft()
