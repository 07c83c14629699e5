"""Eight classes of procedurally drawn, cell-like pictures, so that everything runs with no data at hand.

They imitate what tells blood cells apart (size, nucleus, lobes, granules, colour) but are no substitute for real
images; every class name says `synthetic`.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "draw"]

Colour = tuple[int, int, int]


class Cell(NamedTuple):
    """How a class looks; lengths are shares of the picture's size."""

    radius: float
    cytoplasm: Colour
    nucleus: Colour
    nucleus_radius: float
    lobes: int
    granules: int
    granule: Colour


CELLS: dict[str, Cell] = {
    "synthetic_basophil": Cell(0.30, (196, 170, 210), (120, 80, 160), 0.19, 2, 60, (60, 30, 110)),
    "synthetic_eosinophil": Cell(0.32, (236, 190, 180), (130, 80, 160), 0.13, 2, 70, (226, 110, 80)),
    "synthetic_erythroblast": Cell(0.23, (180, 170, 200), (70, 30, 100), 0.14, 1, 0, (0, 0, 0)),
    "synthetic_ig": Cell(0.35, (200, 190, 220), (140, 90, 180), 0.24, 1, 30, (150, 80, 150)),
    "synthetic_lymphocyte": Cell(0.26, (170, 190, 230), (100, 60, 150), 0.22, 1, 0, (0, 0, 0)),
    "synthetic_monocyte": Cell(0.38, (190, 195, 215), (150, 110, 185), 0.20, 2, 8, (170, 140, 190)),
    "synthetic_neutrophil": Cell(0.31, (235, 215, 215), (110, 60, 150), 0.10, 4, 25, (215, 170, 190)),
    "synthetic_platelet": Cell(0.11, (190, 160, 200), (150, 110, 180), 0.05, 1, 8, (120, 70, 150)),
}
CLASSES = tuple(CELLS)


def draw(per_class: int, seed: int, size: int = 96) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Draw the set; the same arguments give the same pictures, which are drawn once.

    Args:
        per_class: pictures of each class.
        seed: of the random generator.
        size: height and width in pixels.

    Returns:
        Images N × size × size × 3 uint8, labels N, and the class names, all of which begin with `synthetic_`. The
        arrays cannot be written to.
    """
    return _drawn(per_class, seed, size)


@cache
def _drawn(per_class: int, seed: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """The set by its numbers alone: a cache tells named arguments from others."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CELLS)), per_class)
    images = np.stack([_picture(CELLS[CLASSES[label]], size, rng) for label in labels])
    images.flags.writeable = labels.flags.writeable = False
    return images, labels, CLASSES


def _picture(cell: Cell, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    canvas = np.empty((size, size, 3))
    canvas[:] = np.array([238, 224, 216]) + rng.normal(0, 6, 3)
    grid = np.mgrid[0:size, 0:size] / size
    for _ in range(rng.integers(3, 7)):  # red cells in the background
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.7)
        centre = 0.5 + far * np.array([np.sin(angle), np.cos(angle)])
        _disc(canvas, grid, centre, rng.uniform(0.13, 0.18), np.array([222, 178, 176]), rng)
    centre = rng.normal(0.5, 0.03, 2)
    scale = rng.normal(1, 0.08)
    stain = rng.normal(0, 10, 3)
    _disc(canvas, grid, centre, cell.radius * scale, np.array(cell.cytoplasm) + stain, rng)
    turn = rng.uniform(0, 2 * np.pi)
    for lobe in range(cell.lobes):
        angle = turn + 2 * np.pi * lobe / cell.lobes + rng.normal(0, 0.2)
        away = 0.0 if cell.lobes == 1 else cell.nucleus_radius * 0.9
        at = centre + away * scale * np.array([np.sin(angle), np.cos(angle)])
        _disc(canvas, grid, at, cell.nucleus_radius * scale, np.array(cell.nucleus) + stain, rng)
    for _ in range(cell.granules):
        angle, far = rng.uniform(0, 2 * np.pi), cell.radius * scale * np.sqrt(rng.uniform(0, 0.8))
        at = centre + far * np.array([np.sin(angle), np.cos(angle)])
        _disc(canvas, grid, at, 0.012, np.array(cell.granule) + stain, rng)
    canvas += rng.normal(0, 4, canvas.shape)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _disc(
    canvas: NDArray[np.float64],
    grid: NDArray[np.float64],
    centre: NDArray[np.float64],
    radius: float,
    colour: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Paint a slightly squashed disc with a soft edge."""
    size = canvas.shape[0]
    low = np.clip(((centre - 1.2 * radius) * size - 2).astype(int), 0, size)
    high = np.clip(((centre + 1.2 * radius) * size + 3).astype(int), 0, size)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    dy, dx = grid[0][window] - centre[0], grid[1][window] - centre[1]
    angle, squash = rng.uniform(0, np.pi), rng.uniform(0.88, 1.12)
    along, across = dy * np.cos(angle) + dx * np.sin(angle), dx * np.cos(angle) - dy * np.sin(angle)
    distance = np.sqrt((along * squash) ** 2 + (across / squash) ** 2)
    cover = np.clip((radius - distance) * size / 1.5 + 0.5, 0, 1)[..., None]
    canvas[window] += cover * (colour - canvas[window])
