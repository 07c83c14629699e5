"""`decode`: an image file → its pixels as the contract counts them, the first seven steps of docs/preprocessing.md."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract.colours import in_colours
from bctoolkit.contract.declared import COLOURS, InputContract
from bctoolkit.contract.orientation import orientation, turned
from bctoolkit.contract.samples import Reopen, read_samples, require_kind, stored_as
from bctoolkit.contract.values import usual_white
from bctoolkit.errors import InputMismatch
from bctoolkit.untrusted.files import read_bounded
from bctoolkit.untrusted.images import MOST_BYTES, open_picture, require_known, translated

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["as_decoded", "decode", "decode_bytes"]

DEEPEST = 65_535
"""Of 16 bits."""


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
        content = _needed_file(source)
        return (
            _decoded(source, contract, "image", None) if content is None else decode_bytes(content, contract, "image")
        )


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


def _needed_file(picture: "Image") -> bytes | None:
    """The file of a Pillow image that is opened and not decoded yet, where more is in it than Pillow would give.

    It gives eight of sixteen bits, and maps some TIFF files into memory, which it then turns wrongly.
    """
    file = getattr(picture, "fp", None)
    if file is None or not getattr(picture, "tile", ()):
        return None
    if picture.format != "TIFF" and ";16" not in stored_as(picture):
        return None
    file.seek(0)
    content: bytes = file.read(MOST_BYTES + 1)
    return content


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
    return as_decoded(upright, contract)


def as_decoded(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.uint8]:
    """Images (N×)H×W×C as `decode` gives one: grey ones in RGB for an RGB contract, everything else as it is."""
    return in_colours(pixels, 3) if contract.channels == 3 and pixels.shape[-1] == 1 else pixels


def _exif(picture: "Image") -> bytes:
    """The Exif block; of a TIFF, which Pillow turns when it decodes it, there is none."""
    block = picture.info.get("exif", b"")
    return block if isinstance(block, bytes) and picture.format != "TIFF" else b""


def _in_eight_bits(values: NDArray[Any], white: int | None, name: str) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    largest = int(values.max())
    if white is None:
        likely = usual_white(largest)
        hint = f"likely {likely} ({likely.bit_length()} bits)" if largest > 255 else "or save it with 8 bits"
        raise InputMismatch(
            f"{name} has 16 bits a channel and values up to {largest:,}; say which value is white: input.white, {hint}"
        )
    if largest > white:
        raise InputMismatch(f"{name} holds the value {largest:,}, above the {white:,} that input.white says is white")
    table = (np.arange(white + 1, dtype=np.uint32) * 255 + white // 2) // white
    eight: NDArray[np.uint8] = table.astype(np.uint8)[values]
    return eight


def _over_white(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is seen of a picture that lies on white paper."""
    opaque = alpha.astype(np.uint16)  # holds 255 · 255 + 127
    return ((colours * opaque + 255 * (255 - opaque) + 127) // 255).astype(np.uint8)
