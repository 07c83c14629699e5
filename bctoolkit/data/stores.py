"""Where a set's images are: in memory, or left on disk and read when they are asked for.

A plain array serves small sets. `LazyImages` behaves like one where training, export and benchmark look at it, and
holds no more than the images asked for.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract, prepare
from bctoolkit.errors import DatasetError, InputMismatch
from bctoolkit.system import usable_cpus

__all__ = ["Images", "LazyImages", "fit", "save_npy", "take"]

ROWS = 256
"""Images that `save_npy` holds at a time."""


class Images(Protocol):
    """N images as the model eats them, N × height × width × channels uint8; any numpy array of that form is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, height, width, channels."""

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Always uint8."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, index: NDArray[np.int64] | slice, /) -> NDArray[np.uint8]:
        """The images at `index`, in memory."""


@dataclass(frozen=True)
class LazyImages:
    """Images that stay on disk; each access reads, crops and resizes what it asks for, in several threads."""

    locations: NDArray[Any]
    """N file names, or offsets in a file; `read` turns each into an image."""
    read: Callable[[Any], NDArray[np.uint8]]
    """Location → decoded pixels, height × width × channels; called by several threads."""
    contract: InputContract

    @property
    def shape(self) -> tuple[int, ...]:
        """N, height, width, channels."""
        return len(self.locations), *self.contract.shape

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Always uint8."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.locations)

    def __getitem__(self, index: NDArray[np.int64] | slice, /) -> NDArray[np.uint8]:
        """The images at `index`, read now.

        Raises:
            DatasetError: an image has gone, or is no longer what it was when the set was loaded.
        """
        locations = self.locations[index]
        images = np.empty((len(locations), *self.contract.shape), np.uint8)

        def read_row(row: int) -> None:
            images[row] = fit(self.read(locations[row]), self.contract, str(locations[row]))

        with ThreadPoolExecutor(usable_cpus()) as pool:
            deque(pool.map(read_row, range(len(locations))), maxlen=0)
        return images

    def take(self, index: NDArray[Any]) -> "LazyImages":
        """The images at `index`, still on disk."""
        return replace(self, locations=self.locations[index])


def take(images: Images, index: NDArray[Any]) -> Images:
    """The images at `index`; what was on disk stays there."""
    return images.take(index) if isinstance(images, LazyImages) else images[index]


def fit(pixels: NDArray[np.uint8], contract: InputContract, name: str) -> NDArray[Any]:
    """Crop and resize one image for `contract`.

    Raises:
        DatasetError: it is smaller than the crop; the message begins with `name`.
    """
    try:
        return prepare(pixels, contract)
    except InputMismatch as problem:
        raise DatasetError(f"{name}: {problem}") from None


def save_npy(path: Path, images: Images) -> None:
    """Write images to an `.npy` file, a few at a time."""
    header = {"descr": "|u1", "fortran_order": False, "shape": images.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(images), ROWS):
            file.write(np.ascontiguousarray(images[start : start + ROWS]).data)
