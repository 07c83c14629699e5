"""A set whose classes are colours of some brightness, and a network for it that wants its images in a given scale."""

from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.documents.preprocessing import PRESETS

__all__ = ["COLOURS", "SIDE", "colour_images", "colour_network", "train_colour_network", "write_colours"]

SIDE = 16
LEVELS, TINTS = (60, 125, 190), {"blue": (-45, 0, 45), "red": (45, 0, -45)}
COLOURS = tuple(f"{tint}_{level:03d}" for tint in TINTS for level in LEVELS)
"""By the alphabet."""


def colour_images(per_class: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """N × 16 × 16 × 3 images and N positions in `COLOURS`."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(COLOURS)), per_class)
    tints = np.array([tint for tint in TINTS.values() for _ in LEVELS])[labels]
    levels = np.array(LEVELS * len(TINTS))[labels] + rng.uniform(-20, 20, len(labels))
    pixels = levels[:, None] + tints + rng.normal(0, 12, (SIDE, SIDE, len(labels), 3))
    return np.clip(pixels, 0, 255).round().astype(np.uint8).transpose(2, 0, 1, 3), labels


def write_colours(root: Path, per_class: int = 40, names: tuple[str, ...] = COLOURS, mode: str = "RGB") -> Path:
    """Class folders of them, the classes called `names` in the order of `COLOURS`."""
    images, labels = colour_images(per_class, seed=1)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        (root / names[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert(mode).save(root / names[label] / f"{index:04d}.png")
    return root


@cache
def _trained() -> tuple[NDArray[np.float32], ...]:
    """Weights of a network that was trained on values 0–1."""
    return tuple(train_colour_network("0-1").get_weights())


def train_colour_network(preset: str) -> keras.Model:
    """A small convolutional network, trained on images that were scaled by `preset`."""
    keras.utils.set_random_seed(0)
    model = _network()
    images, labels = colour_images(64, seed=0)
    scaling = PRESETS[preset].per_channel(3)
    assert scaling is not None
    pixels = images[..., ::-1] if preset == "caffe" else images
    fed = (pixels * np.array(scaling.factor) + np.array(scaling.offset)).astype(np.float32)
    rate = 0.005 if preset == "none" else 0.02  # a step of a weight counts more where its input is large
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(fed, labels, batch_size=64, epochs=40, verbose=0)
    return model


def _network(*head: Any, channels: int = 3) -> keras.Model:
    stack = (layers.Conv2D(8, 3, strides=2, activation="relu"), layers.GlobalAveragePooling2D())
    body = (layers.Dense(24, activation="tanh"), *(head or (layers.Dense(len(COLOURS), activation="softmax"),)))
    return keras.Sequential([keras.Input((SIDE, SIDE, channels)), *stack, *body], name="colours")


def colour_network(preset: str, activation: str | None = "softmax") -> keras.Model:
    """The trained network as it would be if its images had been scaled by `preset`: the same function of the pixels.

    What `preset` does to a pixel is undone by the kernel and bias of the first convolution.
    """
    kernel, bias, *others = _trained()
    scaling = PRESETS[preset].per_channel(3)
    assert scaling is not None
    factor, offset = (np.array(numbers) for numbers in scaling)
    ordered = kernel[:, :, ::-1] if preset == "caffe" else kernel
    undone = ordered / (255 * factor)[:, None]
    model = _network(layers.Dense(len(COLOURS), activation=activation))
    model.set_weights([undone, bias - np.einsum("hwio,i->o", undone, offset), *others])
    return model
