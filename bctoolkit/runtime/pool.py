"""A pool of things that one thread at a time may use."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

__all__ = ["Pool"]

T = TypeVar("T")


class Pool(Generic[T]):
    """Lends each thread a thing of its own; another is made only where all are lent, up to so many.

    Args:
        first: what there is at the beginning.
        make: makes another like it.
        most: how many there may be; beyond that a thread waits.
    """

    def __init__(self, first: T, make: Callable[[], T], most: int) -> None:
        self._make, self._most = make, most
        self._idle, self._count = [first], 1
        self._returned = threading.Condition()

    @contextmanager
    def lend(self) -> Iterator[T]:
        """One of them, until the block ends."""
        item = self._take()
        try:
            yield item
        finally:
            self._give_back(item)

    def _take(self) -> T:
        with self._returned:
            while not self._idle and self._count >= self._most:
                self._returned.wait()
            if self._idle:
                return self._idle.pop()
            self._count += 1
        try:
            return self._make()
        except BaseException:
            self._make_room()
            raise

    def _give_back(self, item: T) -> None:
        with self._returned:
            self._idle.append(item)
            self._returned.notify()

    def _make_room(self) -> None:
        """Let a thread that waits try in the place of one that failed."""
        with self._returned:
            self._count -= 1
            self._returned.notify()
