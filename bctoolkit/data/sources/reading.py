"""`ArrayReader`: arrays of images as `decode` gives pictures, once their values have said what they mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import COLOURS, InputContract, as_decoded
from bctoolkit.contract.values import EIGHT, HALF, UNIT, Scale, Spread, certain, from_to, likely, spread
from bctoolkit.data.sources.image_array import ImageArray, mended
from bctoolkit.errors import DatasetError
from bctoolkit.progress import Progress

__all__ = ["ArrayReader", "array_reader"]


@dataclass(frozen=True)
class ArrayReader:
    """Images of arrays, as a contract counts their values and colours."""

    parts: tuple[ImageArray, ...]
    """Of one shape and type."""
    scale: Scale
    contract: InputContract

    @property
    def locations(self) -> NDArray[np.int64] | None:
        """N × 2: of each image its part and its offset there; None where a part is compressed."""
        offsets = [part.offsets for part in self.parts if part.offsets is not None]
        if len(offsets) < len(self.parts):
            return None
        return np.concatenate([np.stack([np.full_like(each, part), each], 1) for part, each in enumerate(offsets)])

    def pieces(self, labelled: bool = True) -> Iterator[NDArray[np.uint8]]:
        """All images in order, some at a time.

        Args:
            labelled: whether they are a set to learn from: then not all of its numbers are 0 and 1.

        Raises:
            DatasetError: a file is damaged, or the numbers are not those of a set.
        """
        count = largest = 0
        for part in self.parts:
            for piece in part.pieces():
                count += len(piece)
                if largest <= 1:
                    largest = max(largest, int(piece.max()))
                yield self._decoded(piece)
        if labelled and self.scale == EIGHT and largest <= 1:
            self._require_levels(count, largest)

    def read(self, location: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The image at one of `locations`.

        Raises:
            DatasetError: the file has gone or become shorter.
        """
        part, offset = location.tolist()
        return self._decoded(self.parts[part].read(offset))

    def _decoded(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        eight = values if values.dtype == np.uint8 and self.scale == EIGHT else self.scale.read(values)
        return np.ascontiguousarray(as_decoded(eight, self.contract))

    def _require_levels(self, count: int, largest: int) -> None:
        if largest == 0 and count == 1:
            return
        names = [part.name for part in self.parts]
        what = "0 and 1 alone, as fractions cast to whole numbers do" if largest else "nothing but 0"
        raise DatasetError(
            f"{self.parts[0].path}: its images hold {what}; of the arrays before any cast: "
            f"{mended(names, UNIT.written('{x}'))}"
        )


def array_reader(parts: tuple[ImageArray, ...], contract: InputContract, progress: Progress) -> ArrayReader:
    """Find out what the values mean; where they are not uint8, all of them are looked at.

    Args:
        parts: of one shape and type.
        contract: whose `white` and colours count.
        progress: shows how many images are looked at, and is told what is read otherwise than it stands there.

    Raises:
        DatasetError: the contract's colours cannot be made of the images, or the meaning of the values is in doubt;
            where numpy can mend it, the message ends in the code that does.
    """
    first = parts[0]
    _require_colours(parts, contract)
    if first.dtype == np.uint8:
        return ArrayReader(parts, EIGHT, contract)
    seen = _seen(parts, progress)
    scale = certain(seen, contract.white)
    if scale is None:
        raise DatasetError(_doubt(parts, seen, contract))
    progress.say(f"{first.path}: {first.dtype} from {seen.low:g} to {seen.high:g} are read as {scale.name}")
    return ArrayReader(parts, scale, contract)


def _seen(parts: tuple[ImageArray, ...], progress: Progress) -> Spread:
    total, done, spreads = sum(part.count for part in parts), 0, list[Spread]()
    for part in parts:
        for piece in part.pieces():
            spreads.append(spread(piece))
            done += len(piece)
            progress.step("looking at values", done, total)
    return reduce(or_, spreads)


def _require_colours(parts: tuple[ImageArray, ...], contract: InputContract) -> None:
    height, width, channels = parts[0].shape
    if channels == contract.channels or (channels in COLOURS and contract.channels in COLOURS):
        return
    what = code = ""
    if height == contract.channels or (height in COLOURS and contract.channels in COLOURS):
        what, code = "put the channels last", "{x}.transpose(0, 2, 3, 1)"
    elif channels == 4 and contract.channels in COLOURS:
        what, code = "drop the alpha channel", "{x}[..., :3]"
    remedy = f"; {what}: {mended([part.name for part in parts], code)}" if code else ""
    raise DatasetError(
        f"{parts[0].path}: its images are {height}×{width}×{channels}; the model wants {contract}{remedy}"
    )


def _doubt(parts: tuple[ImageArray, ...], seen: Spread, contract: InputContract) -> str:
    """Why values are not read, in one line that ends in the code that mends it, where there is any."""
    what = f"{parts[0].path}: its images are {seen.dtype} from {seen.low:g} to {seen.high:g}"
    scale = likely(seen, contract.white)
    if scale == EIGHT and 1 < seen.high < HALF and seen.dtype != np.uint16:
        scale = from_to(0, seen.high)
        what += "; where 255 is white, save them as uint8"
    if not seen.finite:
        what += ", and numbers that are not finite"
    if seen.dtype == np.uint16 and contract.white is None:
        what += "; say which value is white: input.white"
        what += f" = {scale.white}" if scale and scale.white else ""
    elif seen.dtype == np.uint16 and contract.white is not None and seen.high > contract.white:
        what += f", above the {contract.white:,} that input.white says is white"
    elif seen.high == 1 and seen.low == 0 and seen.whole:
        what += " and nothing between"
    if scale is None:
        return f"{what}; wanted 0–255"
    array = "{x}" if seen.finite else "np.nan_to_num({x}, posinf=0, neginf=0)"
    names = [part.name for part in parts]
    return f"{what}; save them as 0–255, if {scale.name} is what they are: {mended(names, scale.written(array))}"
