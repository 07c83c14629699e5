"""The seam between the classifier and an inference engine, and a stub to test an app without a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Document
from bctoolkit.errors import BackendError, BctkError
from bctoolkit.system import usable_cpus

__all__ = ["Backend", "Placement", "StubBackend", "default_threads", "engine_errors"]

LONGEST_REASON = 300
"""Characters of what an engine says."""


class Placement(Document, frozen=True):
    """What runs the operators of an opened model, read back from the engine."""

    operators: dict[str, int]
    """Operators of the graph by the provider or the delegate that runs them."""
    partitions: int | None = None
    """Pieces of the graph that a delegate runs as one; None for engines without delegates."""


class Backend(Protocol):
    """One opened model in one engine. It trusts its input: every check lives in `Classifier`."""

    provider: str
    """What it runs on, read back from the engine."""
    threads: int
    """Threads the engine computes with."""

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities, N × classes, of a batch N × height × width × channels in the contract's dtype."""

    def placement(self) -> Placement | None:
        """What runs the operators; None where the engine does not say."""


class StubBackend:
    """Returns fixed probabilities, so that an app's code around the classifier can be tested without a model.

    >>> StubBackend([0.25, 0.75]).run(np.zeros((2, 96, 96, 3), np.uint8)).tolist()
    [[0.25, 0.75], [0.25, 0.75]]
    """

    provider = "stub"
    threads = 1

    def __init__(self, probabilities: list[float]) -> None:
        self._probabilities = np.asarray(probabilities, np.float32)

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The fixed probabilities once for each image."""
        return np.tile(self._probabilities, (len(batch), 1))

    def placement(self) -> None:
        """There are no operators."""


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn whatever an engine raises in the block, where each has classes of its own, into one line.

    Args:
        what: what failed, as the message begins.

    Raises:
        BackendError: of what was no `BctkError` already.
    """
    try:
        yield
    except BctkError:
        raise
    except MemoryError:
        raise BackendError(f"{what}: not enough memory") from None
    except Exception as problem:
        reason = " ".join(str(problem).split())[:LONGEST_REASON] or type(problem).__name__
        raise BackendError(f"{what}: {reason}") from None


def default_threads() -> int:
    """Threads used where the app asks for no number: the CPUs this process may use, at most four.

    Batch-1 inference of networks this size gains little beyond four threads, and a device app has other work to do.
    """
    return min(4, usable_cpus())
