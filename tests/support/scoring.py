"""A classifier that answers by an image's pixels, and images that can or cannot be read."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.runtime import Classifier
from bctoolkit.scoring.inputs import Item
from bctoolkit.scoring.rows import Row, answer, prepared
from bctoolkit.scoring.stream import batches
from tests.support.bundles import STORED

__all__ = ["CONTRACT", "LABELS", "STORED", "MeanColour", "alone", "classifier", "pictures"]

CONTRACT = InputContract(height=16, width=16)
LABELS = ("red", "=green", "blue\n")
"""One that a spreadsheet would compute, and one that ends a line."""


class MeanColour:
    """The share of each colour. A batch with a black image is refused; each answer is a little of its batch's size."""

    provider, threads = "cpu", 1

    def __init__(self, of_batch: float = 0.0) -> None:
        self._of_batch = of_batch

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        colours = batch.mean((1, 2), dtype=np.float64)
        if not colours.any(1).all():
            raise ValueError("a black image")
        shares = colours + self._of_batch * len(batch)
        return (shares / shares.sum(1, keepdims=True)).astype(np.float32)

    def placement(self) -> None:
        return None


class _Refusing(MeanColour):
    """As engines' adapters do it."""

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        from bctoolkit.runtime.backends import engine_errors

        with engine_errors("the engine failed at this image"):
            return super().run(batch)


def classifier(of_batch: float = 0.0) -> Classifier:
    return Classifier(_Refusing(of_batch), CONTRACT, LABELS)


def pictures(folder: Path, kinds: str) -> list[str]:
    """A file for each letter: g good, b broken, m missing, k black, which the engine refuses, w of 16 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(kinds))
    names = []
    for number, kind in enumerate(kinds):
        path = folder / f"{number:03d}.png"
        names.append(str(path))
        if kind == "b":
            path.write_bytes(b"\x89PNG\r\n\x1a\nno picture")
        elif kind != "m":
            pixels = rng.integers(1, 256, (20, 18, 3), np.uint8) * np.uint8(kind != "k")
            Image.fromarray(pixels if kind != "w" else pixels[..., 0].astype(np.uint16) * 257).save(path)
    return names


def alone(asked: Classifier, items: Iterable[Item], batch: int) -> Iterator[Sequence[Row]]:
    """A runner without threads."""
    for some in batches(items, batch):
        yield answer(asked, some, [prepared(item, asked.contract) for item in some])
