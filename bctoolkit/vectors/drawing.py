"""Pictures of the vectors: edges and colours on a smooth ground, which a wrong conversion changes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract

__all__ = ["Size", "drawn", "opacity", "prepared_pictures", "whole_pictures"]

Size = Callable[[int, int], tuple[int, int]]
"""Width and height of a picture, given those it has where a contract does not ask for a scale."""

USUAL_SIDE = 100
"""About the shorter side of most vectors, in pixels."""

DISCS = (
    # centre down and across, radius, colour
    (0.30, 0.35, 0.22, (120, 40, 160)),
    (0.62, 0.66, 0.26, (235, 120, 90)),
    (0.20, 0.80, 0.12, (30, 90, 40)),
    (0.82, 0.18, 0.14, (250, 250, 245)),
    (0.55, 0.30, 0.06, (5, 10, 60)),
)
"""No two corners alike: a picture that is mirrored or turned is another."""


def drawn(width: int, height: int, number: int = 0) -> NDArray[np.float64]:
    """A picture, height × width × 3, values 0–1; another `number` moves and colours it otherwise."""
    down, across = np.mgrid[:height, :width].astype(np.float64)
    down, across = (down + 0.5) / height, (across + 0.5) / width
    phase = number * 0.37
    ground = np.stack([0.55 + 0.4 * across, 0.85 - 0.35 * down, 0.65 + 0.25 * np.sin(5 * across + 3 * down + phase)], 2)
    for disc, (top, left, radius, colour) in enumerate(DISCS):
        shift = 0.05 * np.sin(phase + disc)
        distance = np.hypot(down - top - shift, across - left + shift)
        cover = np.clip((radius - distance) * min(width, height) / 1.5 + 0.5, 0, 1)[..., None]
        tint = np.roll(np.array(colour) / 255, number)
        ground += cover * (tint - ground)
    picture: NDArray[np.float64] = np.clip(ground, 0, 1)
    return picture


def opacity(width: int, height: int) -> NDArray[np.float64]:
    """How opaque a picture is, height × width × 1, 0–1: clear at one corner, whole at another, stripes between."""
    down, across = np.mgrid[:height, :width].astype(np.float64)
    slope = (down + across + 1) / (height + width)
    stripes = (across.astype(int) // 5 % 4 == 0) & (down.astype(int) // 7 % 2 == 0)
    return np.where(stripes, 0.0, np.clip(slope * 1.3 - 0.1, 0, 1))[..., None]


def whole_pictures(contract: InputContract) -> Size:
    """Sizes of pictures as the microscope gives them: where the contract states their scale, most are of that."""
    scale = (contract.picture or USUAL_SIDE) / USUAL_SIDE
    return lambda width, height: (max(round(width * scale), 1), max(round(height * scale), 1))


def prepared_pictures(contract: InputContract) -> Size:
    """Sizes of pictures of any scale or, where the contract states it, of centres that were cut out already."""

    def size(width: int, height: int) -> tuple[int, int]:
        if contract.picture is None or isinstance(contract.crop, str):
            return width, height
        side = min(width, height, contract.crop)
        return side, side

    return size
