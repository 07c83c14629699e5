"""A bundle that knows which of its answers to accept: the stored one, and pictures of its colours to fit it to."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import content_hash
from bctoolkit.export.checks.acceptance import fit
from bctoolkit.runtime import load
from tests.support.bundles import STORED

__all__ = ["COLOURS", "coloured", "noise", "ruled_bundle", "write_pictures"]

COLOURS = ("reddish", "greenish", "bluish")
SIDE = 16


def coloured(count: int, seed: int, brightness: float = 110) -> Dataset:
    """Pictures of one colour on a ground, with a little noise; near the limits between colours some are wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(COLOURS), count)
    tint = rng.normal(0, 9, (count, 1, 1, 3))
    tint[np.arange(count), :, :, labels] += 20
    pixels = brightness + tint + rng.normal(0, 6, (count, SIDE, SIDE, 3))
    images = np.clip(pixels, 0, 255).round().astype(np.uint8)
    hashes = np.stack([np.frombuffer(content_hash(image), np.uint8) for image in images])
    return Dataset(images, labels, COLOURS, hashes, "drawn", "synthetic")


def noise(count: int, seed: int = 0) -> Dataset:
    """Pictures of no colour at all."""
    images = np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    return Dataset(images, np.zeros(count, np.int64), ("noise",), np.zeros((count, 32), np.uint8), "noise", "synthetic")


def ruled_bundle(target: Path, coverage: float = 0.9) -> Bundle:
    """The stored bundle with a rule."""
    images = coloured(300, seed=1)
    rule = fit(images, load(STORED).predict_each(images.images[:]), coverage)
    content = dataclasses.replace(bundles.read(STORED).content(), acceptance=rule)
    return bundles.write(target, content)


def write_pictures(root: Path, dataset: Dataset) -> Path:
    """The pictures in class folders."""
    for index, (image, label) in enumerate(zip(dataset.images[:], dataset.labels, strict=True)):
        (root / dataset.classes[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / dataset.classes[label] / f"{index:03d}.png")
    return root
