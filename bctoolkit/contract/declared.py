"""`InputContract`: what an app hands over to a model."""

import math
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bctoolkit.documents import Document
from bctoolkit.errors import InputMismatch

__all__ = ["COLOURS", "ImageKind", "InputContract", "Resize", "White"]

ImageKind = Literal["real", "synthetic"]
"""Whether pictures come from a microscope or are drawn by a program."""

LONGEST_SIDE, MOST_VALUES = 16_384, 2**26
"""Pixels of a side, and numbers in one image: 256 MiB as float32."""

Pixels = Annotated[int, Meta(ge=1, le=LONGEST_SIDE)]
Resize = Literal["nearest", "bilinear", "bicubic", "lanczos"]
White = Annotated[int, Meta(ge=256, le=65_535)]
"""The value of white in pictures of 16 bits a channel; what fits into 8 bits is stored in 8."""

COLOURS = {1: "grey", 3: "RGB"}
"""What images of one and of three channels are; others are arrays whose channels only their owner knows."""


class InputContract(Document, frozen=True):
    """The array a model takes: N × height × width × channels, values 0–255, preprocessing inside the model."""

    height: Pixels = 96
    width: Pixels = 96
    channels: Annotated[int, Meta(ge=1, le=1024)] = 3
    """3 for RGB, 1 for grey; images of another number of channels are handed over as arrays."""
    layout: Literal["NHWC"] = "NHWC"
    dtype: Literal["uint8", "float32"] = "uint8"
    range: tuple[Literal[0], Literal[255]] = (0, 255)
    crop: Literal["square", "none"] | Pixels = "square"
    """Centre crop before resizing: the largest square, none, or a square of that many pixels."""
    picture: Pixels | None = None
    """Shorter side of the pictures that the crop is cut from, as the microscope gives them; None where their scale is
    not known. Then a square picture no larger than the crop is taken for one that was prepared already."""
    resize: Resize = "lanczos"
    white: White | None = None
    """Which value is white in pictures of 16 bits a channel, e.g. 4095 of a 12-bit camera; None refuses them."""

    def __post_init__(self) -> None:
        """Refuse an image that no device holds, and a crop that no such picture has."""
        if math.prod(self.shape) > MOST_VALUES:
            raise ValueError(f"{'×'.join(map(str, self.shape))} values of an image; wanted at most {MOST_VALUES:,}")
        if self.picture is not None and (isinstance(self.crop, str) or self.crop > self.picture):
            raise ValueError(f"picture: {self.picture} goes with a crop of at most so many pixels, not {self.crop!r}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels of one image."""
        return self.height, self.width, self.channels

    def __str__(self) -> str:
        """The contract in the words of an error message."""
        colours = f", {COLOURS[self.channels]}" if self.channels in COLOURS else ""
        return (
            f"{self.dtype} array N×{self.height}×{self.width}×{self.channels} (NHWC{colours}), "
            f"values {self.range[0]}–{self.range[1]}"
        )

    def check(self, images: object) -> NDArray[Any]:
        """Return `images` unchanged if it keeps the contract.

        Args:
            images: array of shape (N, height, width, channels) and the contract's dtype.

        Raises:
            InputMismatch: wrong type, shape, dtype, range, or a value that is not finite.
        """
        if not isinstance(images, np.ndarray):
            raise InputMismatch(f"got {type(images).__name__}, not a numpy array; the model wants {self}")
        if images.shape[1:] != self.shape or images.ndim != 4:
            hint = "; add a batch axis: images[None]" if images.shape == self.shape else ""
            raise InputMismatch(f"got shape {images.shape}; the model wants {self}{hint}")
        if images.shape[0] == 0:
            raise InputMismatch(f"got an empty batch; the model wants {self} with N ≥ 1")
        if images.dtype != self.dtype:
            raise InputMismatch(f"got dtype {images.dtype}; the model wants {self}")
        if self.dtype == "float32":
            self._check_values(images)
        return images

    def _check_values(self, images: NDArray[np.float32]) -> None:
        low, high = float(images.min()), float(images.max())
        if not np.isfinite(low + high):
            where = np.argwhere(~np.isfinite(images))[0].tolist()
            raise InputMismatch(f"value at {where} is {images[tuple(where)]}; the model wants {self}")
        if low < self.range[0] or high > self.range[1]:
            raise InputMismatch(f"values span {low:g} to {high:g}; the model wants {self}")
        if 0 < high <= 1 and (images != np.rint(images)).any():
            raise InputMismatch(f"values span {low:g} to {high:g}, as if divided by 255; the model wants {self}")
