"""`prepare`: crop and resize to the model's input, the last steps of docs/preprocessing.md."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract.declared import COLOURS, InputContract
from bctoolkit.contract.decoding import decode, decode_bytes
from bctoolkit.errors import InputMismatch
from bctoolkit.lazy import require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["in_grey", "pillow_image", "prepare", "prepare_bytes"]

LUMA = np.array([19595, 38470, 7471], np.uint32)
"""ITU-R 601-2: 0.299, 0.587 and 0.114 of red, green and blue in 65,536ths, the way Pillow's mode `L` rounds them."""

SCALE_TOLERANCE = 10
"""A picture's shorter side may differ by one in so many from the one that the contract states."""


def prepare(image: "str | Path | Image | NDArray[np.uint8]", contract: InputContract) -> NDArray[Any]:
    """Crop and resize one image to the model's input.

    For a grey model an RGB image becomes grey first, as Pillow's mode `L` makes it (ITU-R 601-2 luma).

    Args:
        image: a file or a Pillow image, as `decode` takes them; or a uint8 array H×W×channels, for a grey model also
            H×W or RGB.
        contract: the contract of the model.

    Returns:
        Array of shape (height, width, channels) and the contract's dtype, values 0–255.

    Raises:
        InputMismatch: no such image, smaller than the crop or of another scale, or a file that cannot be decoded.
    """
    name = str(image) if isinstance(image, str | Path) else "image"
    return _fitted(_pixels(image, contract), contract, name)


def prepare_bytes(content: bytes, contract: InputContract, name: str) -> NDArray[Any]:
    """Prepare what an image file holds, as `prepare` does it.

    Args:
        content: of the file.
        contract: of the model.
        name: what to call the file in a message.

    Raises:
        InputMismatch: as `prepare`.
    """
    return _fitted(decode_bytes(content, contract, name), contract, name)


def _fitted(pixels: NDArray[np.uint8], contract: InputContract, name: str) -> NDArray[Any]:
    cropped = _centre_crop(pixels, contract, name)
    if cropped.shape[2] == 3 and contract.channels == 1:
        cropped = in_grey(cropped)
    if cropped.shape != contract.shape:
        cropped = _resized(cropped, contract)
    return cropped.astype(contract.dtype)


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
    if pixels.shape[2] == 3:
        return _in_two_passes(pixels, contract)
    planes = np.split(pixels, pixels.shape[2], axis=2)
    return np.stack([_in_two_passes(plane, contract) for plane in planes], axis=2)


def _in_two_passes(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.uint8]:
    """Along the rows, then along the columns: Pillow 13, asked for both at once, takes now this order now the other."""
    method = require("PIL.Image", "images").Resampling[contract.resize.upper()]
    across = pillow_image(pixels).resize((contract.width, pixels.shape[0]), method)
    return np.asarray(across.resize((contract.width, contract.height), method))


def _centre_crop(pixels: NDArray[np.uint8], contract: InputContract, name: str) -> NDArray[np.uint8]:
    if contract.crop == "none":
        return pixels
    height, width = pixels.shape[:2]
    side = _crop_side(height, width, contract, name)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _crop_side(height: int, width: int, contract: InputContract, name: str) -> int:
    """Pixels of the square that is cut out of the centre of a picture."""
    shorter = min(height, width)
    if isinstance(contract.crop, str):
        return shorter
    if contract.picture is not None:
        if height == width <= contract.crop:  # prepared already
            return shorter
        if abs(shorter - contract.picture) * SCALE_TOLERANCE > contract.picture:
            raise InputMismatch(
                f"{name} has {width}×{height} pixels; the network knows the centre {contract.crop}×{contract.crop} of "
                f"pictures of about {contract.picture} pixels: give those, at that scale, or such centres cut out"
            )
    if contract.crop > shorter:
        raise InputMismatch(
            f"{name} has {width}×{height} pixels, less than the contract's crop of {contract.crop}×{contract.crop}"
        )
    return contract.crop
