"""Site shifts: what a classifier may meet in another laboratory, made from images of its own.

The corruption suite asks what happens to a bad picture; these ask what happens to a good one from elsewhere: another
camera, lamp, stain, magnification or background, alone and together. Nothing is drawn: a shift does the same to every
image, so a figure depends on the images alone.

One more shift is real: blood-cell sets have images of a second imaging set-up, which `second_setup` finds by their
background.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.corruptions.suite import DYES
from bctoolkit.errors import DatasetError
from bctoolkit.lazy import require

__all__ = ["KINDS", "SHIFTS", "Shift", "second_setup", "shift"]

Images = NDArray[np.uint8]
Pixels = NDArray[np.float32]
Change = Callable[[Pixels], Pixels]

KINDS = ("colour", "stain", "background", "scale", "combined")

BACKGROUND = 80
"""Per cent: of an image's pixels, by brightness, what lies above counts as background."""
PIECE = 256
"""Images that are changed at a time, so that little memory is needed."""
REDDISH = 20.0
"""Red less blue. Of 11,952 blood-cell images 318 have 8 or less, 11,569 have 45 or more, and 65 lie between."""
HAEMATOXYLIN, EOSIN = (0.650, 0.704, 0.286), (0.072, 0.990, 0.105)
OTHER_DYES = np.array([HAEMATOXYLIN, EOSIN, np.cross(HAEMATOXYLIN, EOSIN)])
"""Optical density of a haematoxylin and an eosin in red, green and blue (Ruifrok & Johnston 2001, Anal Quant Cytol
Histol 23:291), and a direction that is neither."""


@dataclass(frozen=True)
class Shift:
    """One way in which another site's pictures differ."""

    kind: str
    """One of `KINDS`."""
    change: Change
    """float32 images N × height × width × 3, values 0–255 → the same shape; may leave the range."""


def shift(images: Images, name: str) -> Images:
    """Shift images as another site would show them.

    Args:
        images: N × height × width × 3 uint8, prepared for a network.
        name: a key of `SHIFTS`.

    Returns:
        Array of the same shape; the images are left as they are.

    Raises:
        DatasetError: the images have not three channels.
    """
    _require_colours(images)
    shifted = np.empty_like(images)
    for start in range(0, len(images), PIECE):
        piece = slice(start, start + PIECE)
        shifted[piece] = np.clip(np.rint(SHIFTS[name].change(images[piece].astype(np.float32))), 0, 255)
    return shifted


def second_setup(images: Images) -> NDArray[np.bool_]:
    """Which images have a neutral or bluish background, as those of the blood-cell set's second imaging set-up have.

    The background is the median colour of the brightest fifth of an image's pixels; it is neutral or bluish where its
    red exceeds its blue by less than `REDDISH`.

    Args:
        images: N × height × width × 3 uint8.

    Returns:
        bool, N.

    Raises:
        DatasetError: the images have not three channels.
    """
    _require_colours(images)
    found = np.empty(len(images), np.bool_)
    for row, image in enumerate(images):
        pixels = image.reshape(-1, 3)
        brightness = pixels.sum(1, dtype=np.int64)
        red, _, blue = np.median(pixels[brightness >= np.percentile(brightness, BACKGROUND)], axis=0)
        found[row] = red - blue < REDDISH
    return found


def _require_colours(images: Images) -> None:
    if images.shape[-1] != 3:
        raise DatasetError(f"site shifts are made for RGB images, these have {images.shape[-1]} channels")


def _in_density(matrix: NDArray[np.float64]) -> Change:
    """Multiply the channels' optical densities, as a row, by a 3 × 3 matrix."""
    single = matrix.astype(np.float32)

    def change(pixels: Pixels) -> Pixels:
        density: Pixels = -np.log((np.clip(pixels, 0, 255) + 1) / 256)
        changed: Pixels = 256 * np.exp(-(density @ single)) - 1
        return changed

    return change


def gains(red: float, green: float, blue: float, offset: float = 0.0) -> Change:
    """Multiply each channel by a factor, then add to all."""
    factors = np.array([red, green, blue], np.float32)
    return lambda pixels: pixels * factors + np.float32(offset)


def dyes(blue: float, red: float) -> Change:
    """So many times the amounts of methylene blue and of eosin."""
    return _in_density(np.linalg.inv(DYES) @ np.diag([blue, red, 1.0]) @ DYES)


def other_dyes() -> Change:
    """The same amounts of two dyes of other spectra."""
    return _in_density(np.linalg.inv(DYES) @ OTHER_DYES)


def background(red: float, green: float, blue: float) -> Change:
    """Multiply the background's channels by factors, what is darker the less, and the darkest not at all."""
    factors = np.array([red, green, blue], np.float32)

    def change(pixels: Pixels) -> Pixels:
        grey = pixels.mean(3, keepdims=True)
        dark, light = np.percentile(grey, (5, 90), axis=(1, 2), keepdims=True)[..., 0].astype(np.float32)
        share = np.clip((grey - dark[..., None]) / np.maximum(light - dark, 1)[..., None], 0, 1)
        changed: Pixels = pixels * (1 + share * (factors - 1))
        return changed

    return change


def scale(factor: float) -> Change:
    """Enlarge about the centre, or shrink and mirror the edge outward."""

    def change(pixels: Pixels) -> Pixels:
        scaled = np.empty_like(pixels)
        for row, image in enumerate(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)):
            scaled[row] = _scaled(image, factor)
        return scaled

    return change


def one_after_the_other(*changes: Change) -> Change:
    """Each change of what the one before left."""

    def change(pixels: Pixels) -> Pixels:
        for each in changes:
            pixels = each(pixels)
        return pixels

    return change


SHIFTS: dict[str, Shift] = {
    "warm": Shift("colour", gains(1.0, 0.9, 0.7)),
    "cool": Shift("colour", gains(0.75, 0.9, 1.0)),
    "green": Shift("colour", gains(0.85, 1.0, 0.85)),
    "dark": Shift("colour", gains(0.6, 0.6, 0.6)),
    "hazy": Shift("colour", gains(0.5, 0.5, 0.5, 90.0)),
    "stain_strong": Shift("stain", dyes(1.6, 1.6)),
    "stain_weak": Shift("stain", dyes(0.55, 0.55)),
    "stain_bluer": Shift("stain", dyes(1.5, 0.6)),
    "stain_redder": Shift("stain", dyes(0.6, 1.5)),
    "stain_other_dyes": Shift("stain", other_dyes()),
    "background_neutral": Shift("background", background(0.9, 0.98, 1.15)),
    "background_blue": Shift("background", background(0.8, 0.9, 1.15)),
    "background_dark": Shift("background", background(0.7, 0.7, 0.7)),
    "scale_0.60": Shift("scale", scale(0.60)),
    "scale_0.75": Shift("scale", scale(0.75)),
    "scale_1.33": Shift("scale", scale(1.33)),
    "scale_1.70": Shift("scale", scale(1.70)),
    "site_a": Shift("combined", one_after_the_other(scale(0.75), dyes(0.7, 1.3), gains(0.8, 0.92, 1.0))),
    "site_b": Shift("combined", one_after_the_other(scale(1.33), dyes(1.4, 0.8), gains(1.0, 0.92, 0.8))),
    "site_c": Shift("combined", one_after_the_other(scale(0.75), other_dyes(), background(0.85, 0.95, 1.15))),
}
"""Camera and lamp, stain, background, magnification, then three laboratories that differ in all of them."""


def _scaled(image: Images, factor: float) -> NDArray[Any]:
    pillow = require("PIL.Image", "images")
    height, width = image.shape[:2]
    new_height, new_width = max(1, round(height * factor)), max(1, round(width * factor))
    resized = np.asarray(pillow.fromarray(image).resize((new_width, new_height), pillow.Resampling.LANCZOS))
    down, right = max(0, height - new_height), max(0, width - new_width)
    edges = ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0))
    padded = np.pad(resized, edges, "symmetric")
    top, left = (padded.shape[0] - height) // 2, (padded.shape[1] - width) // 2
    return padded[top : top + height, left : left + width]
