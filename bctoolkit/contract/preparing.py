"""`prepare`: crop and resize to the model's input, the last steps of docs/preprocessing.md."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract.colours import in_colours
from bctoolkit.contract.declared import COLOURS, InputContract
from bctoolkit.contract.decoding import decode, decode_bytes
from bctoolkit.contract.values import likely, spread
from bctoolkit.errors import InputMismatch
from bctoolkit.lazy import require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["pillow_image", "prepare", "prepare_bytes"]

SCALE_TOLERANCE = 10
"""A picture's shorter side may differ by one in so many from the one that the contract states."""


def prepare(image: "str | Path | Image | NDArray[np.uint8]", contract: InputContract) -> NDArray[Any]:
    """Crop and resize one image to the model's input.

    For a grey model an RGB image becomes grey first, as Pillow's mode `L` makes it (ITU-R 601-2 luma); for an RGB
    model a grey one has its value three times.

    Args:
        image: a file or a Pillow image, as `decode` takes them; or a uint8 array H×W×channels, for a grey or RGB model
            also one of the other, or H×W.
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
    if contract.channels in COLOURS:
        cropped = in_colours(cropped, contract.channels)
    if cropped.shape != contract.shape:
        cropped = _resized(cropped, contract)
    return cropped.astype(contract.dtype)


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
    colours = contract.channels in COLOURS
    pixels = image[..., None] if colours and image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[2] not in (COLOURS if colours else (contract.channels,)) or 0 in pixels.shape:
        first = pixels.ndim == 3 and pixels.shape[0] in COLOURS
        remedy = "; put the channels last: image.transpose(1, 2, 0)" if first else ""
        raise InputMismatch(
            f"got an image array of shape {image.shape}; wanted height × width × {contract.channels}{remedy}"
        )
    if image.dtype != np.uint8:
        scale = likely(spread(image), contract.white) if image.dtype.kind in "biuf" else None
        remedy = f"; take 0–255 for {scale.name}: {scale.written('image')}" if scale else ""
        raise InputMismatch(f"got an image array of dtype {image.dtype}; wanted uint8 with values 0–255{remedy}")
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
