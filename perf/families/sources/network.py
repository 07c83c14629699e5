"""What is known of a network before it is built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["CLASSES", "Network"]

CLASSES = 10


@dataclass(frozen=True)
class Network:
    """One network of a source."""

    build: Callable[[], Any]
    """Makes the Keras model, with fresh weights and without any download."""
    size: int = 96
    """Height and width of its images."""
    channels: int = 3
    options: tuple[str, ...] = ()
    """What its user adds to `bctk export`, e.g. `("--import", "kimm")`."""
    smallest: bool = True
    """Whether it is the smallest published size of its family."""
