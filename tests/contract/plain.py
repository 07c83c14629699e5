"""docs/preprocessing.md as a program: numpy for storage, plain loops for the rest, nothing of bctoolkit or Pillow."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def bilinear(x: float) -> float:
    return 1 - abs(x) if abs(x) < 1 else 0.0


def bicubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


def sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(x * math.pi) / (x * math.pi)


def lanczos(x: float) -> float:
    return sinc(x) * sinc(x / 3) if -3 <= x < 3 else 0.0


FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "bilinear": (1.0, bilinear),
    "bicubic": (2.0, bicubic),
    "lanczos": (3.0, lanczos),
}


def weights(size_in: int, size_out: int, method: str) -> list[tuple[int, list[int]]]:
    """Of each output pixel the first input pixel and the fixed-point weights from there."""
    radius, f = FILTERS[method]
    scale = size_in / size_out
    filterscale = max(scale, 1.0)
    support = radius * filterscale
    found = []
    for o in range(size_out):
        center = (o + 0.5) * scale
        first = max(math.trunc(center - support + 0.5), 0)
        last = min(math.trunc(center + support + 0.5), size_in)
        w = [f((i + first - center + 0.5) * (1 / filterscale)) for i in range(last - first)]
        total = 0.0
        for value in w:
            total += value
        if total != 0:
            w = [value / total for value in w]
        found.append((first, [math.trunc(value * 2**22 + (0.5 if value >= 0 else -0.5)) for value in w]))
    return found


def along_rows(pixels: Pixels, size_out: int, method: str) -> Pixels:
    if pixels.shape[1] == size_out:
        return pixels
    out = np.zeros((pixels.shape[0], size_out, pixels.shape[2]), np.uint8)
    for o, (first, k) in enumerate(weights(pixels.shape[1], size_out, method)):
        total = np.full(pixels[:, 0].shape, 2**21, np.int64)
        for i, weight in enumerate(k):
            total += pixels[:, first + i].astype(np.int64) * weight
        assert np.abs(total).max() < 2**31
        out[:, o] = np.clip(total >> 22, 0, 255)
    return out


def nearest(size_in: int, size_out: int) -> list[int]:
    scale = size_in / size_out
    p, found = scale * 0.5, []
    for _ in range(size_out):
        found.append(math.trunc(p))
        p += scale
    return found


def resize(pixels: Pixels, height: int, width: int, method: str) -> Pixels:
    """Step 9: H×W×C uint8 → height × width × C."""
    if pixels.shape[:2] == (height, width):
        return pixels
    if method == "nearest":
        return pixels[nearest(pixels.shape[0], height)][:, nearest(pixels.shape[1], width)]
    across = along_rows(pixels, width, method)
    return along_rows(across.swapaxes(0, 1), height, method).swapaxes(0, 1)


def eight_bits(value: NDArray[Any], white: int) -> Pixels:
    """Step 3."""
    return ((value * 255 + white // 2) // white).astype(np.uint8)


def over_white(c: NDArray[Any], a: NDArray[Any]) -> Pixels:
    """Step 5."""
    c, a = c.astype(int), a.astype(int)
    return ((c * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Step 6."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def channels(pixels: Pixels, wanted: int) -> Pixels:
    """Step 7."""
    if pixels.shape[2] == 1 and wanted == 3:
        return np.concatenate([pixels] * 3, 2)
    if pixels.shape[2] == 3 and wanted == 1:
        r, g, b = (pixels[..., i].astype(int) for i in range(3))
        return ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16).astype(np.uint8)[..., None]
    return pixels


def crop(pixels: Pixels, rule: str | int, picture: int | None = None) -> Pixels:
    """Step 8."""
    if rule == "none":
        return pixels
    height, width = pixels.shape[:2]
    side = rule if isinstance(rule, int) else min(height, width)
    if isinstance(rule, int) and picture is not None:
        if height == width and height <= rule:
            side = height
        elif 10 * abs(min(height, width) - picture) > picture:
            raise ValueError("another scale")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
