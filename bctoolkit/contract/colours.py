"""Grey and RGB, each as the other: docs/preprocessing.md, step 7."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_colours", "in_grey"]

LUMA = np.array([19595, 38470, 7471], np.uint32)
"""ITU-R 601-2: 0.299, 0.587 and 0.114 of red, green and blue in 65,536ths, the way Pillow's mode `L` rounds them."""


def in_colours(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """A grey or RGB image as the other, where it is not that already: docs/preprocessing.md, step 7.

    Args:
        pixels: an image H×W×1 or H×W×3, or N of them.
        channels: 1 or 3.
    """
    if pixels.shape[-1] == channels:
        return pixels
    return in_grey(pixels) if channels == 1 else np.repeat(pixels, 3, axis=-1)


def in_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The ITU-R 601-2 luma of RGB images, (N×)H×W×3 → (N×)H×W×1."""
    luma = (pixels.astype(np.uint32) @ LUMA + 0x8000) >> 16
    grey: NDArray[np.uint8] = luma.astype(np.uint8)[..., None]
    return grey
