"""What goes into a model: the input contract, and `prepare`, which turns an image into exactly that array.

Training, export, benchmark and device all call the same `prepare`. It needs numpy; Pillow only where an image has to be
opened or resized.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bctoolkit.documents import Document
from bctoolkit.errors import InputMismatch
from bctoolkit.lazy import require
from bctoolkit.untrusted.files import read_bounded
from bctoolkit.untrusted.images import MOST_BYTES, open_picture, require_known, translated

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["COLOURS", "ImageKind", "InputContract", "Resize", "decode", "in_grey", "pillow_image", "prepare"]

ImageKind = Literal["real", "synthetic"]
"""Whether pictures come from a microscope or are drawn by a program."""

LONGEST_SIDE, MOST_VALUES = 16_384, 2**26
"""Pixels of a side, and numbers in one image: 256 MiB as float32."""

Pixels = Annotated[int, Meta(ge=1, le=LONGEST_SIDE)]
Resize = Literal["nearest", "bilinear", "bicubic", "lanczos"]


COLOURS = {1: "grey", 3: "RGB"}
"""What images of one and of three channels are; others are arrays whose channels only their owner knows."""

LUMA = np.array([19595, 38470, 7471], np.uint32)
"""ITU-R 601-2: 0.299, 0.587 and 0.114 of red, green and blue in 65,536ths, the way Pillow's mode `L` rounds them."""


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
    resize: Resize = "lanczos"

    def __post_init__(self) -> None:
        """Refuse an image that no device holds."""
        if math.prod(self.shape) > MOST_VALUES:
            raise ValueError(f"{'×'.join(map(str, self.shape))} values of an image; wanted at most {MOST_VALUES:,}")

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


def prepare(image: "str | Path | Image | NDArray[np.uint8]", contract: InputContract) -> NDArray[Any]:
    """Crop and resize one image to the model's input.

    For a grey model an RGB image becomes grey first, as Pillow's mode `L` makes it (ITU-R 601-2 luma).

    Args:
        image: a file or a Pillow image, RGB or, for a grey model, greyscale; or a uint8 array H×W×channels, for a grey
            model also H×W or RGB.
        contract: the contract of the model.

    Returns:
        Array of shape (height, width, channels) and the contract's dtype, values 0–255.

    Raises:
        InputMismatch: not such an image of 8 bits a channel, smaller than the crop, or a file that cannot be decoded.
    """
    name = str(image) if isinstance(image, str | Path) else "image"
    cropped = _centre_crop(_pixels(image, contract), contract, name)
    if cropped.shape[2] == 3 and contract.channels == 1:
        cropped = in_grey(cropped)
    if cropped.shape != contract.shape:
        cropped = _resized(cropped, contract)
    return cropped.astype(contract.dtype)


def decode(source: "str | Path | Image", contract: InputContract) -> NDArray[np.uint8]:
    """The pixels of an image file, or of a Pillow image that may still be on disk.

    Returns:
        H×W×3 RGB, or H×W×1 of a greyscale image for a grey contract.

    Raises:
        InputMismatch: missing, no file, truncated, not an image of a kind in `untrusted.images`, of too many pixels, or
            of other channels than the contract takes.
    """
    if isinstance(source, str | Path):
        name = str(source)
        content = read_bounded(Path(source), MOST_BYTES, InputMismatch)
        with open_picture(content, name, InputMismatch) as picture:
            return _decoded(picture, contract, name)
    require_known(source, "image", InputMismatch)
    with translated("image", InputMismatch):
        return _decoded(source, contract, "image")


def _decoded(picture: "Image", contract: InputContract, name: str) -> NDArray[np.uint8]:
    _require_mode(picture, contract, name)
    picture.load()
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def in_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The ITU-R 601-2 luma of an RGB image, H×W×3 → H×W×1."""
    luma = (pixels.astype(np.uint32) @ LUMA + 0x8000) >> 16
    grey: NDArray[np.uint8] = luma.astype(np.uint8)[..., None]
    return grey


def pillow_image(pixels: NDArray[np.uint8]) -> "Image":
    """An image H×W×3 or H×W×1 as Pillow has it.

    Raises:
        InputMismatch: it has another number of channels, of which no picture can be shown or stored.
    """
    if pixels.shape[2] not in COLOURS:
        raise InputMismatch(f"an image of {pixels.shape[2]} channels is no picture; only those of 1 and 3 are")
    picture: Image = require("PIL.Image", "images").fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    return picture


def _pixels(image: object, contract: InputContract) -> NDArray[Any]:
    """The pixels of the argument of `prepare`, before any change."""
    if isinstance(image, np.ndarray):
        return _require_array(image, contract)
    if isinstance(image, (str, Path, require("PIL.Image", "images").Image)):
        return decode(image, contract)
    wanted = f"height × width × {contract.channels}"
    raise InputMismatch(f"got {type(image).__name__}; wanted a file, a Pillow image or an array {wanted}")


def _require_mode(picture: "Image", contract: InputContract, name: str) -> None:
    if contract.channels not in COLOURS:
        raise InputMismatch(
            f"{name} is an image file, which has 1 or 3 channels; the model wants {contract.channels}, hand over an "
            f"array height × width × {contract.channels}"
        )
    if picture.mode == "RGB" or (picture.mode == "L" and contract.channels == 1):
        return
    kind = {"L": "greyscale", "1": "black and white", "RGBA": "RGB with transparency", "P": "palette"}
    mode = kind.get(picture.mode, "not RGB" if contract.channels == 3 else "neither grey nor RGB of 8 bits")
    wanted = COLOURS[contract.channels]
    raise InputMismatch(f"{name} is {mode} (mode {picture.mode}); the model wants {wanted}, convert it first")


def _require_array(image: NDArray[Any], contract: InputContract) -> NDArray[Any]:
    grey = contract.channels == 1
    pixels = image[..., None] if grey and image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[2] not in ((1, 3) if grey else (contract.channels,)) or 0 in pixels.shape:
        raise InputMismatch(f"got an image array of shape {image.shape}; wanted height × width × {contract.channels}")
    if image.dtype != np.uint8:
        raise InputMismatch(f"got an image array of dtype {image.dtype}; wanted uint8 with values 0–255")
    return pixels


def _resized(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.uint8]:
    """An image in another size; Pillow resizes each channel for itself."""
    method = require("PIL.Image", "images").Resampling[contract.resize.upper()]
    size = (contract.width, contract.height)
    if pixels.shape[2] == 3:
        return np.asarray(pillow_image(pixels).resize(size, method))
    planes = np.split(pixels, pixels.shape[2], axis=2)
    return np.stack([np.asarray(pillow_image(plane).resize(size, method)) for plane in planes], axis=2)


def _centre_crop(pixels: NDArray[np.uint8], contract: InputContract, name: str) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    if contract.crop == "none":
        return pixels
    side = min(height, width) if contract.crop == "square" else contract.crop
    if side > min(height, width):
        raise InputMismatch(f"{name} has {width}×{height} pixels, less than the contract's crop of {side}×{side}")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
