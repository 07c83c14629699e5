"""`decode`: an image file → its pixels as the contract counts them, the first seven steps of docs/preprocessing.md."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract.declared import COLOURS, InputContract
from bctoolkit.contract.orientation import orientation, turned
from bctoolkit.contract.samples import Reopen, read_samples, require_kind
from bctoolkit.errors import InputMismatch
from bctoolkit.untrusted.files import read_bounded
from bctoolkit.untrusted.images import MOST_BYTES, open_picture, require_known, translated

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decode", "decode_bytes"]

DEEPEST, USUAL_WHITES = 65_535, (1023, 4095, 16_383, 65_535)
"""Of 16 bits, and of cameras with 10, 12, 14 and 16."""


def decode(source: "str | Path | Image", contract: InputContract) -> NDArray[np.uint8]:
    """The pixels of an image file, or of a Pillow image that may still be on disk.

    Returns:
        H×W×3 RGB, turned upright, opaque; for a grey contract H×W×1 where the picture is grey.

    Raises:
        InputMismatch: missing, no file, truncated, not an image of a kind in `untrusted.images`, of too many pixels, of
            several frames, neither grey nor RGB of 8 bits, or of 16 bits and the contract does not say what is white;
            or the contract is not for pictures.
    """
    if isinstance(source, str | Path):
        return decode_bytes(read_bounded(Path(source), MOST_BYTES, InputMismatch), contract, str(source))
    require_known(source, "image", InputMismatch)
    with translated("image", InputMismatch):
        return _decoded(source, contract, "image", None)


def decode_bytes(content: bytes, contract: InputContract, name: str) -> NDArray[np.uint8]:
    """The pixels of an image file's content, as `decode` gives them.

    Args:
        content: of the file.
        contract: of the model.
        name: what to call the file in a message.

    Raises:
        InputMismatch: as `decode`.
    """

    def opened() -> Any:
        return open_picture(content, name, InputMismatch)

    with opened() as picture:
        return _decoded(picture, contract, name, opened)


def _decoded(picture: "Image", contract: InputContract, name: str, reopen: Reopen | None) -> NDArray[np.uint8]:
    if contract.channels not in COLOURS:
        raise InputMismatch(
            f"{name} is an image file, which has 1 or 3 channels; the model wants {contract.channels}, hand over an "
            f"array height × width × {contract.channels}"
        )
    require_kind(picture, name)
    colours, alpha = read_samples(picture, reopen, name)
    pixels = _in_eight_bits(colours, contract.white, name)
    if alpha is not None:
        pixels = _over_white(pixels, _in_eight_bits(alpha, DEEPEST, name))
    upright = turned(pixels, orientation(_exif(picture)))
    return upright if upright.shape[2] == 3 or contract.channels == 1 else np.repeat(upright, 3, axis=2)


def _exif(picture: "Image") -> bytes:
    """The Exif block; of a TIFF, which Pillow turns when it decodes it, there is none."""
    block = picture.info.get("exif", b"")
    return block if isinstance(block, bytes) and picture.format != "TIFF" else b""


def _in_eight_bits(values: NDArray[Any], white: int | None, name: str) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    largest = int(values.max())
    if white is None:
        likely = next(usual for usual in USUAL_WHITES if largest <= usual)
        raise InputMismatch(
            f"{name} has 16 bits a channel and values up to {largest:,}; say which value is white: input.white, likely "
            f"{likely} ({likely.bit_length()} bits)"
        )
    if largest > white:
        raise InputMismatch(f"{name} holds the value {largest:,}, above the {white:,} that input.white says is white")
    return ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)


def _over_white(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is seen of a picture that lies on white paper."""
    opaque = alpha.astype(np.uint32)
    return ((colours * opaque + 255 * (255 - opaque) + 127) // 255).astype(np.uint8)
