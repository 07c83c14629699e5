"""What is measured on every image of a set, good or bad: fingerprints, colour, sharpness, and appearance features."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import White
from bctoolkit.data.dataset import content_hash
from bctoolkit.data.sources.collection import Collection, decode
from bctoolkit.progress import Progress
from bctoolkit.system import usable_cpus

__all__ = ["Measures", "measure"]

SIDE = 48
"""Every image is squeezed to a square of that many pixels, so that images of any size can be compared."""
COARSE = 16
"""Side of the small thumbnails in which near duplicates are looked for."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
STEEPNESS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
RINGS = (0.3, 0.6, 0.9)
"""Radii between four rings around the centre, in halves of the side: a cell lies in the middle of its background."""
FEATURES = 59
"""Numbers that `appearance_features` gives for a picture."""


@dataclass(frozen=True)
class Measures:
    """One row for each of N images; the rows of what cannot be decoded hold zeros."""

    problems: dict[int, str]
    """Position → why the image cannot be decoded."""
    modes: tuple[str, ...]
    sizes: NDArray[np.int64]
    """N × 2: width and height in pixels."""
    hashes: NDArray[np.uint8]
    """N × 32: SHA-256 of the decoded RGB pixels."""
    coarse: NDArray[np.uint8]
    """N × 16 × 16 × 3: small thumbnails."""
    features: NDArray[np.float32]
    """N × F: colour and brightness of the whole and of rings, and steepness of edges; see `appearance_features`."""
    tones: NDArray[np.float32]
    """N × 6: mean red, green, blue (0–255), saturation (0–1), brightness (luma, 0–255), sharpness (variance of the
    luma's Laplacian at native size)."""

    @property
    def readable(self) -> NDArray[np.int64]:
        """Positions of the images that can be decoded."""
        return np.array([i for i in range(len(self.modes)) if i not in self.problems], np.int64)


def measure(collection: Collection, progress: Progress) -> Measures:
    """Decode and measure every image; Pillow decodes outside the interpreter lock, so threads help."""
    count = len(collection.names)
    hashes, sizes = np.zeros((count, 32), np.uint8), np.zeros((count, 2), np.int64)
    coarse = np.zeros((count, COARSE, COARSE, 3), np.uint8)
    features = np.zeros((count, FEATURES), np.float32)
    tones = np.zeros((count, 6), np.float32)
    modes: list[str] = []
    problems: dict[int, str] = {}
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for piece in collection.pieces():
            start = len(modes)
            samples = list(pool.map(partial(_sample, white=collection.white), piece))
            modes += [sample.mode for sample in samples]
            problems |= {start + i: sample.problem for i, sample in enumerate(samples) if sample.problem}
            rows = [start + i for i, sample in enumerate(samples) if not sample.problem]
            readable = [sample for sample in samples if not sample.problem]
            if readable:
                thumbnails = np.stack([sample.thumbnail for sample in readable])
                hashes[rows] = np.stack([sample.sha256 for sample in readable])
                sizes[rows] = [sample.size for sample in readable]
                coarse[rows] = _coarse(thumbnails)
                features[rows] = appearance_features(thumbnails)
                tones[rows] = np.hstack([_colour(thumbnails), np.array([[sample.sharpness] for sample in readable])])
            progress.step("reading images", len(modes), count)
    return Measures(problems, tuple(modes), sizes, hashes, coarse, features, tones)


@dataclass(frozen=True)
class _Sample:
    """What is kept of one image: not its pixels."""

    mode: str
    problem: str
    size: tuple[int, int]
    thumbnail: NDArray[np.uint8]
    sha256: NDArray[np.uint8]
    sharpness: float


def _sample(item: Path | NDArray[np.uint8], white: White | None) -> _Sample:
    decoded = decode(item, white)
    pixels = decoded.pixels
    if pixels is None:
        return _Sample("", decoded.problem, (0, 0), np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros(32, np.uint8), 0.0)
    thumbnail = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))
    sha256 = np.frombuffer(content_hash(pixels), np.uint8)
    size = (pixels.shape[1], pixels.shape[0])
    return _Sample(decoded.mode, "", size, thumbnail, sha256, _sharpness(pixels))


def _sharpness(pixels: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian (Pech-Pacheco and others, ICPR 2000), in squared grey levels."""
    if min(pixels.shape[:2]) < 3:
        return 0.0
    luma = pixels.astype(np.float32) @ LUMA
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((around - 4 * luma[1:-1, 1:-1]).var())


def _coarse(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint8]:
    block = SIDE // COARSE
    blocks = thumbnails.reshape(-1, COARSE, block, COARSE, block, 3)
    small: NDArray[np.uint8] = np.rint(blocks.mean((2, 4), dtype=np.float32)).astype(np.uint8)
    return small


def _colour(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """N × 5: mean red, green, blue, saturation (of the HSV model), luma."""
    pixels = thumbnails.reshape(len(thumbnails), -1, 3).astype(np.float32)
    highest, lowest = pixels.max(2), pixels.min(2)
    saturation = ((highest - lowest) / np.maximum(highest, 1)).mean(1)
    mean = pixels.mean(1)
    return np.column_stack([mean, saturation, mean @ LUMA]).astype(np.float32)


def appearance_features(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features of what kind of picture it is; they hardly depend on which way up it is.

    Of optical density (the stain's absorbance, −log of the light let through) and of two differences between its
    channels: quantiles, and mean and spread in rings around the centre. Of the steps between neighbouring pixels: how
    steep, how steep in each ring, whether they run in one or two directions, and how fine they are.

    Args:
        thumbnails: N × 48 × 48 × 3.

    Returns:
        N × 59.
    """
    density = -np.log((thumbnails.astype(np.float32) + 8) / 263)
    dark = density.mean(3)
    planes = (dark, density[..., 1] - density[..., 0], density[..., 2] - density[..., 1])
    columns = [column for plane in planes for column in (_quantiles(plane, QUANTILES), _in_rings(plane))]
    return np.hstack([*columns, _edges(dark)]).astype(np.float32)


def _edges(dark: NDArray[np.float32]) -> NDArray[np.float32]:
    """N × 14: the appearance features of steps between pixels."""
    across, down = np.diff(dark, axis=2)[:, :-1], np.diff(dark, axis=1)[:, :, :-1]
    steep = np.hypot(across, down)
    weight = steep / (steep.sum((1, 2), keepdims=True) + 1e-6)
    turn = 2j * np.arctan2(down, across)
    directed = [np.abs((weight * np.exp(times * turn)).sum((1, 2))) for times in (1, 2)]
    middle = dark[:, 1:-1, 1:-1]
    around = dark[:, :-2, 1:-1] + dark[:, 2:, 1:-1] + dark[:, 1:-1, :-2] + dark[:, 1:-1, 2:]
    fine = np.abs(around - 4 * middle)
    return np.column_stack(
        [
            np.log(_quantiles(steep, STEEPNESS) + 0.005),
            np.log(_in_rings(steep)[:, : len(RINGS) + 1] + 0.005),
            *directed,
            np.log(fine.mean((1, 2)) + 0.005),
            np.log(_quantiles(fine, (0.95,)) + 0.01),
        ]
    )


def _quantiles(plane: NDArray[np.float32], shares: tuple[float, ...]) -> NDArray[np.float32]:
    """N × len(shares): each the pixel of that rank."""
    flat = plane.reshape(len(plane), -1)
    ranks = np.rint(np.array(shares) * (flat.shape[1] - 1)).astype(int)
    quantiles: NDArray[np.float32] = np.partition(flat, ranks, axis=1)[:, ranks]
    return quantiles


def _in_rings(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """N × 8: the means in four rings, then the standard deviations."""
    height, width = plane.shape[1:]
    down, across = np.mgrid[:height, :width]
    radius = np.hypot(down - (SIDE - 1) / 2, across - (SIDE - 1) / 2) / (SIDE / 2)
    ring = np.digitize(radius, RINGS)
    inside = [plane[:, ring == i] for i in range(len(RINGS) + 1)]
    return np.column_stack([*(part.mean(1) for part in inside), *(part.std(1) for part in inside)])
