"""What goes into a model: the input contract, and `prepare`, which turns an image into exactly that array.

Training, export, evaluation, benchmark and device all call the same functions; docs/preprocessing.md says what they do
so exactly that others can write them. They need numpy; Pillow only where an image has to be opened or resized.
"""

from bctoolkit.contract.colours import in_grey
from bctoolkit.contract.declared import COLOURS, ImageKind, InputContract, Resize, White
from bctoolkit.contract.decoding import as_decoded, decode, decode_bytes
from bctoolkit.contract.preparing import pillow_image, prepare, prepare_bytes

__all__ = [
    "COLOURS",
    "ImageKind",
    "InputContract",
    "Resize",
    "White",
    "as_decoded",
    "decode",
    "decode_bytes",
    "in_grey",
    "pillow_image",
    "prepare",
    "prepare_bytes",
]
