"""The suite that measures a classifier's robustness: fixed corruptions in three severities, the same for ever.

Designed after ImageNet-C (Hendrycks & Dietterich 2019, arXiv:1903.12261), with levels for pictures of single cells: at
the middle severity an expert should still name the cell. What is drawn for an image, such as the direction of a shift,
is seeded by the suite that the corruption came with, its name, the severity and the image's content. So a figure
depends neither on order and batch nor on what else is in the set.

The suite acts on prepared uint8 images, after crop and resize; lengths are shares of the image's shorter side.
"""

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import COLOURS, in_grey
from bctoolkit.errors import DatasetError
from bctoolkit.lazy import require

__all__ = ["CORRUPTIONS", "SEVERITIES", "SUITE", "Corruption", "corrupt", "display_name"]

SUITE = 2
"""Version of the suite: means over it compare only within one. Any change of a level or a draw counts it up."""

SEVERITIES = ("mild", "middle", "severe")

Image = NDArray[np.uint8]
Change = Callable[[Image, np.random.Generator, float], Image]


@dataclass(frozen=True)
class Corruption:
    """One way in which a picture can be bad."""

    change: Change
    """(image height × width × 3, generator, level) → image of the same shape."""
    levels: tuple[float, float, float]
    """One for each of `SEVERITIES`, in the unit that the change's docstring names."""
    similar_augmentations: tuple[str, ...]
    """Operations of training's augmentation that resemble it; empty where none does."""
    since: int = 1
    """The suite in which it got its levels and draws: its figures compare from then on."""


def corrupt(images: NDArray[np.uint8], hashes: NDArray[np.uint8], name: str, severity: str) -> NDArray[np.uint8]:
    """Corrupt a batch of images.

    A grey image is corrupted as the RGB image of three equal channels, which then becomes grey again.

    Args:
        images: N × height × width × 3, or 1.
        hashes: N × 32, the content hash of each.
        name: a key of `CORRUPTIONS`.
        severity: one of `SEVERITIES`.

    Returns:
        Array of the same shape; the images are left as they are.

    Raises:
        DatasetError: the images have neither one channel nor three.
    """
    channels = images.shape[3]
    if channels not in COLOURS:
        raise DatasetError(f"the corruption suite is made for RGB and grey images, these have {channels} channels")
    corruption = CORRUPTIONS[name]
    level = corruption.levels[SEVERITIES.index(severity)]
    corrupted = np.empty_like(images)
    for row, (image, key) in enumerate(zip(images, hashes, strict=True)):
        rgb = image if channels == 3 else np.repeat(image, 3, axis=2)
        changed = corruption.change(rgb, _generator(name, severity, key.tobytes()), level)
        corrupted[row] = changed if channels == 3 else in_grey(changed)
    return corrupted


def display_name(name: str) -> str:
    """A corruption's name as it is shown: `motion blur`."""
    return name.replace("_", " ")


def _generator(name: str, severity: str, key: bytes) -> np.random.Generator:
    digest = hashlib.sha256(f"{CORRUPTIONS[name].since}/{name}/{severity}/".encode() + key).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def brightness(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Add or take away a share of the value range."""
    return _look_up(image, VALUES + 255 * level * _sign(rng))


def contrast(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Divide or multiply the distance from the image's mean by a factor."""
    mean = float(image.mean())
    return _look_up(image, mean + (VALUES - mean) * level ** _sign(rng))


def gamma(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Raise values to a power or to its inverse."""
    return _look_up(image, 255 * (VALUES / 255) ** (level ** _sign(rng)))


def solarize(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Invert the values from a share of the range upward, as film that was exposed too long (the Sabattier effect)."""
    return _look_up(image, np.where(level * 255 <= VALUES, 255 - VALUES, VALUES))


def saturation(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Divide or multiply the distance from grey (ITU-R BT.601 luma) by a factor."""
    pixels = image.astype(np.float32)
    grey = (pixels @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    return _to_bytes(grey + (pixels - grey) * np.float32(level ** _sign(rng)))


def hue(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Turn the hue, in HSV, by an angle in degrees, forward or back; saturation and value stay."""
    pillow = require("PIL.Image", "images")
    pixels = np.array(pillow.fromarray(image).convert("HSV"))
    pixels[..., 0] += np.uint8(round(level / 360 * 256 * _sign(rng)) % 256)
    return np.asarray(pillow.frombytes("HSV", image.shape[1::-1], pixels.tobytes()).convert("RGB"))


def stain(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Scale the amounts of the two dyes, methylene blue and eosin, each up or down by a share.

    Colour deconvolution after Ruifrok & Johnston 2001 (Anal Quant Cytol Histol 23:291), with G. Landini's vectors for
    Giemsa; what neither dye explains stays.
    """
    gains = np.array([1 + level * _sign(rng), 1 + level * _sign(rng), 1.0])
    matrix = np.linalg.inv(DYES) @ np.diag(gains) @ DYES
    density = -np.log((image.astype(np.float32) + 1) / 256)
    return _to_bytes(256 * np.exp(-(density @ matrix.astype(np.float32))) - 1)


def vignette(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Let the light fall off with the square of the distance from a bright spot: by a share at a distance of one side.

    The spot lies anywhere in the image, so the light is as often skewed as centred.
    """
    rows, columns = _grid(image)
    y, x = rng.random(2) - 0.5
    light = 1 - level * np.minimum((rows - y) ** 2 + (columns - x) ** 2, 1)
    return _to_bytes(image * light[..., None].astype(np.float32))


def gaussian_blur(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Blur with a Gaussian whose standard deviation is a share of the side."""
    ndimage = require("scipy.ndimage", "bench")
    sigma = level * _side(image)
    return _to_bytes(ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="reflect"))


def defocus(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Blur with a disk whose radius is a share of the side, as a lens out of focus does."""
    radius = level * _side(image)
    reach = math.ceil(radius)
    offsets = np.arange(-reach, reach + 1)
    distance = np.hypot(offsets[:, None], offsets)
    return _filter(image, np.clip(radius + 0.5 - distance, 0, 1))


def motion_blur(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Smear along a line of random direction whose length is a share of the side."""
    half = level * _side(image) / 2
    angle = rng.random() * math.pi
    reach = math.ceil(half)
    kernel = np.zeros((2 * reach + 3, 2 * reach + 3))
    for step in np.linspace(-half, half, 4 * reach + 1):
        y, x = reach + 1 + step * math.sin(angle), reach + 1 + step * math.cos(angle)
        top, left = math.floor(y), math.floor(x)
        weights = np.outer((top + 1 - y, y - top), (left + 1 - x, x - left))
        kernel[top : top + 2, left : left + 2] += weights
    return _filter(image, kernel)


def gaussian_noise(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Add noise whose standard deviation is a share of the value range, to each channel by itself."""
    return _to_bytes(image + np.float32(255 * level) * rng.standard_normal(image.shape, np.float32))


def impulse_noise(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Set a share of all values to 0 or 255, as dead and hot pixels of a colour sensor are."""
    uniform = rng.random(image.shape, np.float32)
    return np.where(uniform < level / 2, 0, np.where(uniform < level, 255, image)).astype(np.uint8)


def jpeg(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Encode as JPEG of a quality, with the chroma halved as cameras do, and decode."""
    pillow = require("PIL.Image", "images")
    buffer = io.BytesIO()
    pillow.fromarray(image).save(buffer, "JPEG", quality=int(level), subsampling="4:2:0")
    return np.asarray(pillow.open(buffer))


def pixelate(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Shrink to a share of the size by averaging and draw the large pixels."""
    pillow = require("PIL.Image", "images")
    height, width = image.shape[:2]
    small = (max(1, round(width * level)), max(1, round(height * level)))
    shrunk = pillow.fromarray(image).resize(small, pillow.Resampling.BOX)
    return np.asarray(shrunk.resize((width, height), pillow.Resampling.NEAREST))


def rotation(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Turn by an angle in degrees, either way; the edge is mirrored outward."""
    angle = math.radians(level) * _sign(rng)
    return _move(image, math.cos(angle), math.sin(angle), 0.0, 0.0)


def translation(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Shift by a share of the side in a random direction; the edge is mirrored outward."""
    angle, far = rng.random() * 2 * math.pi, level * _side(image)
    return _move(image, 1.0, 0.0, far * math.cos(angle), far * math.sin(angle))


def zoom(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Enlarge or shrink by a factor; the edge is mirrored outward."""
    return _move(image, level ** _sign(rng), 0.0, 0.0, 0.0)


def occlusion(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Lay an ellipse of one random colour over it that covers a share of the area, as dirt or a bubble does."""
    covered = _ellipse(image, rng, 0.35, 0.7) <= level / math.pi
    return np.where(covered[..., None], rng.integers(0, 256, 3, np.uint8), image)


def stain_deposit(image: Image, rng: np.random.Generator, level: float) -> Image:
    """Lay grains of precipitated dye over it that cover about a share of the area, dense and violet."""
    density = np.zeros((*image.shape[:2], 1))
    sizes = rng.dirichlet(np.full(GRAINS, 1.0)) * level
    for size in sizes:
        inside = _ellipse(image, rng, 0.5, 0.6) * math.pi / size
        density[..., 0] += rng.uniform(1.5, 2.5) * np.exp(-(inside**2))  # flat in the middle, with a soft edge
    transmitted = 10 ** (-density * DEPOSIT)
    return _to_bytes(image * transmitted)


def air_bubble(image: Image, rng: np.random.Generator, level: float) -> Image:
    """A bubble under the cover glass, its radius a share of the side: a dark rim, and within it all is shrunk."""
    rows, columns = _grid(image)
    y, x = rng.uniform(-0.35, 0.35, 2)
    distance = np.hypot(rows - y, columns - x) / level
    lens = np.where(distance < 1, 1 + REFRACTION * (1 - np.minimum(distance, 1)), 1.0)
    seen = [(centre + (grid - centre) * lens) for grid, centre in ((rows, y), (columns, x))]
    height, width = image.shape[:2]
    down = np.clip(np.rint(seen[0] * _side(image) + height / 2 - 0.5), 0, height - 1).astype(np.int64)
    right = np.clip(np.rint(seen[1] * _side(image) + width / 2 - 0.5), 0, width - 1).astype(np.int64)
    rim = np.exp(-(((distance - 1) / RIM) ** 2))[..., None]
    return _to_bytes(image[down, right] * (1 - 0.85 * rim))


CORRUPTIONS: dict[str, Corruption] = {
    "brightness": Corruption(brightness, (0.10, 0.20, 0.30), ("brightness",)),
    "contrast": Corruption(contrast, (1.3, 1.7, 2.4), ("contrast",)),
    "gamma": Corruption(gamma, (1.4, 1.9, 2.6), ("gamma",)),
    "saturation": Corruption(saturation, (1.5, 2.2, 3.5), ("saturation",)),
    "hue": Corruption(hue, (10.0, 20.0, 35.0), ("hue",)),
    "stain": Corruption(stain, (0.15, 0.30, 0.50), ("stain",)),
    "solarize": Corruption(solarize, (0.85, 0.75, 0.60), ("solarize",)),
    "vignette": Corruption(vignette, (0.4, 0.7, 1.0), ("vignette",)),
    "gaussian_blur": Corruption(gaussian_blur, (0.008, 0.016, 0.025), ("blur",)),
    "defocus": Corruption(defocus, (0.015, 0.025, 0.040), ("blur",)),
    "motion_blur": Corruption(motion_blur, (0.04, 0.07, 0.11), ()),
    "gaussian_noise": Corruption(gaussian_noise, (0.04, 0.08, 0.14), ("noise",)),
    "impulse_noise": Corruption(impulse_noise, (0.01, 0.03, 0.07), ()),
    "jpeg": Corruption(jpeg, (40.0, 20.0, 10.0), ("jpeg",)),
    "pixelate": Corruption(pixelate, (0.60, 0.40, 0.28), ()),
    "rotation": Corruption(rotation, (10.0, 25.0, 45.0), ("rotate", "rotate90")),
    "translation": Corruption(translation, (0.08, 0.15, 0.23), ("translate",)),
    "zoom": Corruption(zoom, (1.10, 1.22, 1.40), ("zoom",)),
    "occlusion": Corruption(occlusion, (0.06, 0.12, 0.20), ("cutout", "cutmix", "dirt")),
    "stain_deposit": Corruption(stain_deposit, (0.02, 0.05, 0.10), ("dirt",), since=2),
    "air_bubble": Corruption(air_bubble, (0.10, 0.18, 0.28), (), since=2),
}
"""Light and colour, sharpness, sensor and file, geometry, what lies on top."""


VALUES = np.arange(256.0)
METHYLENE_BLUE, EOSIN = (0.834750233, 0.513556283, 0.196330403), (0.092789, 0.954111, 0.283111)
DYES = np.array([METHYLENE_BLUE, EOSIN, np.cross(METHYLENE_BLUE, EOSIN)])
"""Optical density of the dyes, and a direction that is neither, in red, green and blue."""
GRAINS, DEPOSIT = 8, np.array(METHYLENE_BLUE) / 2 + np.array(EOSIN) / 2
"""Grains of a deposit, and their optical density: as much of the one dye as of the other."""
REFRACTION, RIM = 0.8, 0.12
"""How much a bubble shrinks its middle, and its rim's width as a share of the radius."""


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _side(image: Image) -> int:
    side: int = min(image.shape[:2])
    return side


def _grid(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The pixels' rows and columns from the centre, the shorter side being 1."""
    height, width = image.shape[:2]
    rows = (np.arange(height) + 0.5 - height / 2) / _side(image)
    columns = (np.arange(width) + 0.5 - width / 2) / _side(image)
    return rows[:, None], columns[None]


def _ellipse(image: Image, rng: np.random.Generator, far: float, flattest: float) -> NDArray[np.float64]:
    """Squared distance of each pixel from a point, measured so that what is near is an ellipse of the disk's area.

    Place (up to `far` sides from the centre), axes (their ratio down to `flattest` squared) and direction are drawn.
    """
    rows, columns = _grid(image)
    y, x = rng.uniform(-far, far, 2)
    squash, angle = rng.uniform(flattest, 1 / flattest), rng.random() * math.pi
    along = (columns - x) * math.cos(angle) + (rows - y) * math.sin(angle)
    across = (rows - y) * math.cos(angle) - (columns - x) * math.sin(angle)
    distance: NDArray[np.float64] = (along * squash) ** 2 + (across / squash) ** 2
    return distance


def _look_up(image: Image, table: NDArray[np.float64]) -> Image:
    """Replace each of the values 0–255 by the table's."""
    return _to_bytes(table)[image]


def _to_bytes(pixels: NDArray[Any]) -> Image:
    values: Image = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return values


def _filter(image: Image, kernel: NDArray[np.float64]) -> Image:
    """Convolve with an odd kernel, scaled to a sum of 1; the edge is mirrored outward."""
    signal = require("scipy.signal", "bench")
    reach = kernel.shape[0] // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "symmetric").astype(np.float32)
    weights = (kernel / kernel.sum()).astype(np.float32)[..., None]
    return _to_bytes(signal.fftconvolve(padded, weights, mode="valid", axes=(0, 1)))


def _move(image: Image, cos: float, sin: float, down: float, across: float) -> Image:
    """Turn and scale about the centre and shift, with a cubic interpolation; the edge is mirrored outward.

    `cos` and `sin` are those of the angle times the scale; the shift is in pixels.
    """
    pillow = require("PIL.Image", "images")
    height, width = image.shape[:2]
    edge = math.ceil(0.3 * max(height, width))
    padded = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), "symmetric")
    norm = cos * cos + sin * sin
    a, b = cos / norm, sin / norm
    x, y = width / 2 + across, height / 2 + down
    back = (a, b, width / 2 + edge - a * x - b * y, -b, a, height / 2 + edge + b * x - a * y)
    moved = pillow.fromarray(padded).transform(
        (width, height), pillow.Transform.AFFINE, back, pillow.Resampling.BICUBIC
    )
    return np.asarray(moved)
