"""What goes into a model: the input contract, and `prepare`, which turns an image into exactly that array.

Training, export, benchmark and device all call the same `prepare`. It needs numpy; Pillow only where an image has to be
opened, cropped or resized.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bctoolkit.documents import Document
from bctoolkit.errors import InputMismatch
from bctoolkit.lazy import require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageKind", "InputContract", "Resize", "open_rgb", "prepare"]

ImageKind = Literal["real", "synthetic"]
"""Whether pictures come from a microscope or are drawn by a program."""

Pixels = Annotated[int, Meta(ge=1)]
Resize = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class InputContract(Document, frozen=True):
    """The array a model takes: N × height × width × channels, RGB, values 0–255, preprocessing inside the model."""

    height: Pixels = 96
    width: Pixels = 96
    channels: Literal[3] = 3
    layout: Literal["NHWC"] = "NHWC"
    dtype: Literal["uint8", "float32"] = "uint8"
    range: tuple[Literal[0], Literal[255]] = (0, 255)
    crop: Literal["square", "none"] | Pixels = "square"
    """Centre crop before resizing: the largest square, none, or a square of that many pixels."""
    resize: Resize = "lanczos"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels of one image."""
        return self.height, self.width, self.channels

    def __str__(self) -> str:
        """The contract in the words of an error message."""
        return (
            f"{self.dtype} array N×{self.height}×{self.width}×{self.channels} (NHWC, RGB), "
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
    """Crop and resize one RGB image to the model's input.

    Args:
        image: a file, a Pillow image of mode RGB, or a uint8 array H×W×3.
        contract: the contract of the model.

    Returns:
        Array of shape (height, width, channels) and the contract's dtype, values 0–255.

    Raises:
        InputMismatch: not an RGB image of 8 bits a channel, smaller than the crop, or a file that cannot be decoded.
    """
    name = str(image) if isinstance(image, str | Path) else "image"
    cropped = _centre_crop(_pixels(image, contract), contract, name)
    if cropped.shape != contract.shape:
        pillow = require("PIL.Image", "images")
        method = pillow.Resampling[contract.resize.upper()]
        cropped = np.asarray(pillow.fromarray(cropped).resize((contract.width, contract.height), method))
    return cropped.astype(contract.dtype)


def open_rgb(source: "str | Path | Image") -> "Image":
    """Decode an image file, or a Pillow image that may still be on disk, fully.

    Raises:
        InputMismatch: missing, truncated, not an image, or not RGB with 8 bits a channel.
    """
    pillow = require("PIL.Image", "images")
    name = str(source) if isinstance(source, str | Path) else "image"
    try:
        picture = pillow.open(source) if isinstance(source, str | Path) else source
        with picture if picture is not source else nullcontext():
            picture.load()
            return _require_rgb(picture, name)
    except FileNotFoundError:
        raise InputMismatch(f"{name}: no such file") from None
    except IsADirectoryError:
        raise InputMismatch(f"{name} is a folder, not an image") from None
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as problem:
        raise InputMismatch(f"{name}: cannot be decoded as an image ({problem})") from None


def _pixels(image: object, contract: InputContract) -> NDArray[Any]:
    """The RGB pixels of the argument of `prepare`."""
    if isinstance(image, np.ndarray):
        return _require_rgb_array(image, contract)
    if isinstance(image, (str, Path, require("PIL.Image", "images").Image)):
        return np.asarray(open_rgb(image))
    raise InputMismatch(f"got {type(image).__name__}; wanted a file, a Pillow image or an array height × width × 3")


def _require_rgb(picture: "Image", name: str) -> "Image":
    if picture.mode != "RGB":
        kind = {"L": "greyscale", "1": "black and white", "RGBA": "RGB with transparency", "P": "palette"}
        mode = kind.get(picture.mode, "not RGB")
        raise InputMismatch(f"{name} is {mode} (mode {picture.mode}); the model wants RGB, convert it first")
    return picture


def _require_rgb_array(image: NDArray[Any], contract: InputContract) -> NDArray[Any]:
    if image.ndim != 3 or image.shape[2] != contract.channels or 0 in image.shape:
        raise InputMismatch(f"got an image array of shape {image.shape}; wanted height × width × {contract.channels}")
    if image.dtype != np.uint8:
        raise InputMismatch(f"got an image array of dtype {image.dtype}; wanted uint8 with values 0–255")
    return image


def _centre_crop(pixels: NDArray[np.uint8], contract: InputContract, name: str) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    if contract.crop == "none":
        return pixels
    side = min(height, width) if contract.crop == "square" else contract.crop
    if side > min(height, width):
        raise InputMismatch(f"{name} has {width}×{height} pixels, less than the contract's crop of {side}×{side}")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
