"""`InputContract`: what an app hands over to a model."""

import math
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bctoolkit.contract.axes import Axes, for_contract
from bctoolkit.contract.values import EIGHT, UNIT, likely, spread
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

FEW_ONES = 16
"""Of an image of 0 and 1: fewer show nothing."""

COLOURS = {1: "grey", 3: "RGB"}
"""What images of one and of three channels are; others are arrays whose channels only their owner knows."""


class InputContract(Document, frozen=True):
    """The array a model takes: N × height × width × channels, values 0–255, preprocessing inside the model."""

    height: Pixels = 96
    """Of the array, in pixels."""
    width: Pixels = 96
    """Of the array, in pixels."""
    channels: Annotated[int, Meta(ge=1, le=1024)] = 3
    """3 for RGB, 1 for grey; images of another number of channels are handed over as arrays."""
    layout: Literal["NHWC"] = "NHWC"
    """Order of the axes: images, height, width, channels."""
    dtype: Literal["uint8", "float32"] = "uint8"
    """Of the array's values."""
    range: tuple[Literal[0], Literal[255]] = (0, 255)
    """Smallest and largest value, in both dtypes."""
    crop: Literal["square", "none"] | Pixels = "square"
    """Centre crop before resizing: the largest square, none, or a square of that many pixels."""
    picture: Pixels | None = None
    """Shorter side of the pictures that the crop is cut from, as the microscope gives them; None where their scale is
    not known. Then a square picture no larger than the crop is taken for one that was prepared already."""
    resize: Resize = "lanczos"
    """Filter by which the crop is brought to height and width."""
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

    def check(self, images: object, name: str = "images") -> NDArray[Any]:
        """Return `images` unchanged if it keeps the contract.

        Args:
            images: array of shape (N, height, width, channels) and the contract's dtype.
            name: what to call the array in a line of numpy.

        Raises:
            InputMismatch: wrong type, shape, dtype, range, or a value that is not finite; where numpy can mend it, the
                message ends in the code that does.
        """
        if not isinstance(images, np.ndarray):
            raise InputMismatch(f"got {type(images).__name__}, not a numpy array; the model wants {self}")
        if images.shape[1:] != self.shape or images.ndim != 4:
            remedy = self._remedy(images, name, for_contract(images.shape, self.shape)) or self._prepared(images, name)
            raise InputMismatch(f"got shape {images.shape}; the model wants {self}{remedy}")
        if images.shape[0] == 0:
            raise InputMismatch(f"got an empty batch; the model wants {self} with N ≥ 1")
        if images.dtype != self.dtype:
            raise InputMismatch(f"got dtype {images.dtype}; the model wants {self}{self._remedy(images, name)}")
        if self.dtype == "float32":
            self._check_values(images, name)
        return images

    def require_levels(self, images: NDArray[Any]) -> None:
        """Refuse images, each for itself, whose white is 1: fractions cast to whole numbers, a mask.

        All black is a picture, and so is a frame so dark that its noise lifts single values to 1. Ones that lie side by
        side more often than noise does are a picture of another scale.

        Args:
            images: that keep the contract.

        Raises:
            InputMismatch: naming the first; the message ends in the code that mends it.
        """
        for place in np.flatnonzero(images.reshape(len(images), -1).max(1) == 1):
            if _shows_something(images[place]):
                where = f"image {place} of {len(images)}" if len(images) > 1 else "the image"
                raise InputMismatch(
                    f"{where} holds 0 and 1 alone, as fractions cast to whole numbers do, or a mask; the model wants "
                    f"{self}; of the array before any cast: {UNIT.written('images', self.dtype)}"
                )

    def _check_values(self, images: NDArray[np.float32], name: str) -> None:
        low, high = float(images.min()), float(images.max())
        if not np.isfinite(low + high):
            where = np.argwhere(~np.isfinite(images))[0].tolist()
            raise InputMismatch(f"value at {where} is {images[tuple(where)]}; the model wants {self}")
        if low < self.range[0] or high > self.range[1]:
            raise InputMismatch(f"values span {low:g} to {high:g}; the model wants {self}{self._remedy(images, name)}")
        if 0 < high <= 1 and (images != np.rint(images)).any():
            remedy = self._remedy(images, name)
            raise InputMismatch(
                f"values span {low:g} to {high:g}, as if divided by 255; the model wants {self}{remedy}"
            )

    def _remedy(self, images: NDArray[Any], name: str, axes: Axes | None = None) -> str:
        """The end of a message: what to do, in words and as a line of numpy; empty where there is none."""
        right = images.ndim == 4 and images.shape[1:] == self.shape
        if images.size == 0 or images.dtype.kind not in "biuf" or not (axes or right):
            return ""
        seen = spread(images)
        scale, code = likely(seen, self.white), axes.code.format(x=name) if axes else name
        words = [axes.what] if axes else []
        if not seen.finite or scale is None:
            return f"; {words[0]}: {code}" if axes else ""
        if scale is not EIGHT or images.dtype != self.dtype:
            words.append(f"take 0–255 for {scale.name}" if scale is not EIGHT else f"make it {self.dtype}")
            code = scale.written(code, self.dtype)
        return f"; {' and '.join(words)}: {code}" if words else ""

    def _prepared(self, images: NDArray[Any], name: str) -> str:
        """The end of a message about pictures of another size."""
        channels = {1, 3} if self.channels in COLOURS else {self.channels}
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] not in channels or not images.size:
            return ""
        code = "prepare({}, classifier.contract)"
        if images.ndim == 4:
            code = f"np.stack([{code.format('image')} for image in {name}])"
        return f"; crop and resize as in training: {code.format(name)}"


def _shows_something(image: NDArray[Any]) -> bool:
    """Whether the ones of an image of 0 and 1 lie side by side.

    A one has a one to its right as often as there are ones where they are noise, and always where they fill the image;
    from a quarter of the way between these on they are something that was there. Of the brightest pixels of blood cells
    it is a third and more.
    """
    ones = image == 1
    count, pairs = int(ones.sum()), int((ones[:, 1:] & ones[:, :-1]).sum())
    share = count / ones.size
    fractions = bool((image != np.rint(image)).any())
    return not fractions and FEW_ONES <= count < ones.size and pairs / count > share + (1 - share) / 4
