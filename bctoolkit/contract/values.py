"""What the numbers of an array of images mean: which is black and which is white, told by the numbers themselves.

A meaning is certain, and then the numbers are read, or it is likely, and then it is proposed as a line of numpy.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EIGHT", "HALF", "UNIT", "Scale", "Spread", "certain", "from_to", "likely", "spread", "usual_white"]

USUAL_WHITES = (1023, 4095, 16_383, 65_535)
"""Of cameras with 10, 12, 14 and 16 bits."""

BRIGHT = 0.9
"""A set of fractions reaches white, or nearly: where the brightest is below that share of it, the range is another."""
HALF = 128
"""A set of whole numbers from 0 to 255 uses more than the lower half of them."""


@dataclass(frozen=True)
class Scale:
    """Numbers → 0–255."""

    name: str
    """What the numbers are, in words."""
    code: str
    """Of numpy, for the array `{x}`: what `read` does, before it is rounded."""
    shift: float = 0
    factor: float = 1
    """Added, then multiplied."""
    white: int | None = None
    """In their place: the whole number that becomes 255."""

    def written(self, array: str, dtype: str = "uint8") -> str:
        """The line that makes 0–255 of the array of this name."""
        code = self.code.format(x=array)
        if self == EIGHT and dtype != "uint8":
            return f"{code}.astype(np.{dtype})"
        return f"np.rint({code}).astype(np.{dtype})"

    def read(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """The values as 0–255: computed in doubles, rounded to the nearest, halves to the even."""
        exact = values.astype(np.float64)
        if self.white is not None:
            return ((exact * 255 + self.white // 2) // self.white).astype(np.uint8)
        return np.rint((exact + self.shift) * self.factor).astype(np.uint8)


EIGHT = Scale("0–255", "{x}")
UNIT = Scale("0–1", "{x} * 255.0", factor=255)
SIGNED = Scale("-1–1", "({x} + 1.0) * 127.5", shift=1, factor=127.5)
BITS = Scale("false and true", "{x} * 255.0", factor=255)


def of_white(white: int) -> Scale:
    """Whole numbers from 0 to `white`, by the rule for files of 16 bits a channel (docs/preprocessing.md, step 3)."""
    return Scale(f"0–{white}", f"({{x}}.astype(np.int64) * 255 + {white // 2}) // {white}", white=white)


def from_to(low: float, high: float) -> Scale:
    """Numbers of which the lowest is to be black and the highest white."""
    factor = 255 / (high - low)
    shifted = "{x}" if low == 0 else f"({{x}} {'-' if low > 0 else '+'} {_number(abs(low))})"
    return Scale(f"{low:.6g} to {high:.6g}", f"{shifted} * {_number(factor)}", -low, factor)


def _number(value: float) -> str:
    """As Python reads it, a floating-point number even where it is whole."""
    return repr(float(f"{value:.9g}"))


@dataclass(frozen=True)
class Spread:
    """What is seen of all values together; those of several arrays are put together with `|`."""

    dtype: np.dtype[Any]
    low: float
    """Of the finite values, as the next."""
    high: float
    finite: bool
    """Whether all are."""
    whole: bool
    """Whether all are whole numbers."""
    unit_steps: bool
    """Whether all are 0, 1, … 255 divided by 255, as far as the type can say."""
    signed_steps: bool
    """Whether all are that, doubled, less 1."""

    def __or__(self, other: "Spread") -> "Spread":
        """What is seen of both."""
        return Spread(
            self.dtype,
            min(self.low, other.low),
            max(self.high, other.high),
            self.finite and other.finite,
            self.whole and other.whole,
            self.unit_steps and other.unit_steps,
            self.signed_steps and other.signed_steps,
        )


def spread(values: NDArray[Any]) -> Spread:
    """Look at values: of numbers or truth values, at least one."""
    if values.dtype.kind != "f":
        return Spread(values.dtype, float(values.min()), float(values.max()), True, True, False, False)
    known = values if np.isfinite(values).all() else values[np.isfinite(values)]
    if known.size == 0:
        return Spread(values.dtype, 0, 0, False, True, False, False)
    low, high = float(known.min()), float(known.max())
    finite, whole = known is values, bool((known == np.rint(known)).all())
    fractions = low >= -1 and high <= 1 and not whole
    near = 256 * float(np.finfo(values.dtype).eps)
    return Spread(
        values.dtype,
        low,
        high,
        finite,
        whole,
        fractions and low >= 0 and _whole(known.astype(np.float64) * 255, near),
        fractions and _whole((known.astype(np.float64) + 1) * 127.5, near),
    )


def _whole(values: NDArray[np.float64], near: float) -> bool:
    """Whether all are whole numbers, up to that difference."""
    return bool((np.abs(values - np.rint(values)) <= near).all())


def certain(seen: Spread, white: int | None) -> Scale | None:
    """What the numbers of a whole set mean; None where that is not sure.

    Args:
        seen: of a set; of another type than uint8.
        white: the value that the contract says is white in pictures of 16 bits a channel.
    """
    kind = seen.dtype.kind
    if not seen.finite or kind not in "biuf":
        return None
    if kind == "b":
        return BITS
    if seen.high <= 1:
        return _certain_fractions(seen) if kind == "f" else None
    if seen.low < 0:
        return None
    if white is not None and seen.whole and (seen.dtype == np.uint16 or seen.high > 255):
        return of_white(white) if seen.high <= white else None
    return EIGHT if HALF <= seen.high <= 255 and seen.dtype != np.uint16 else None


def _certain_fractions(seen: Spread) -> Scale | None:
    """Of floating-point numbers up to 1."""
    if seen.low < 0:
        ends = -1 <= seen.low <= -BRIGHT and seen.high >= BRIGHT
        return SIGNED if ends or (seen.signed_steps and not seen.whole) else None
    in_doubt = seen.whole or seen.signed_steps  # of numbers from -1 to 1 none may be below 0
    return UNIT if not in_doubt and (seen.unit_steps or seen.high >= BRIGHT) else None


def likely(seen: Spread, white: int | None) -> Scale | None:
    """What the numbers may mean; None where no line of numpy makes pictures of them.

    Args:
        seen: of pictures, or of a single one, which may be dark.
        white: as `certain` takes it.
    """
    if seen.dtype.kind not in "biuf":
        return None
    if seen.dtype.kind == "b":
        return BITS
    if seen.low < 0:
        if seen.low >= -1 and seen.high <= 1 and seen.dtype.kind == "f":
            return SIGNED
        return from_to(seen.low, seen.high) if seen.high > seen.low else None
    if 0 < seen.high <= 1:
        return UNIT
    if seen.high <= 255:
        return EIGHT
    if not seen.whole or seen.high > USUAL_WHITES[-1]:
        return from_to(0, seen.high)
    return of_white(white if white is not None and seen.high <= white else usual_white(seen.high))


def usual_white(largest: float) -> int:
    """The white of the camera with the fewest bits that has such a value."""
    return next(usual for usual in USUAL_WHITES if largest <= usual)
