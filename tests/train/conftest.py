"""What the tests of training share: a set that can be learned, and the start of a run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit.data import Dataset, Parts
from bctoolkit.progress import Progress, Silent
from bctoolkit.recipes import TrainRecipe
from bctoolkit.train.checkpoint import RunStart, TrainingCheckpoint
from bctoolkit.train.fit import Training
from tests.support.mini import add_mini

Start = Callable[..., Training]


@pytest.fixture(scope="session")
def shades() -> Dataset:
    """Twenty-four noisy pictures of 32×32 pixels, every second one light."""
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = (
        rng.integers(0, 128, (24, 32, 32, 3), dtype=np.uint8) + (labels * 100).astype(np.uint8)[:, None, None, None]
    )
    return Dataset(images, labels, ("dark", "light"), rng.integers(0, 256, (24, 32), dtype=np.uint8), "shades")


@pytest.fixture(scope="session")
def shade_parts() -> Parts:
    return Parts(np.arange(16), np.arange(16, 20), np.arange(20, 24))


@pytest.fixture
def mini(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds `convnext_mini` to our networks."""
    add_mini(monkeypatch)


@pytest.fixture
def start(tmp_path: Path, shades: Dataset, shade_parts: Parts) -> Iterator[Start]:
    """Start a run of a model and a recipe on the shades; nothing is trained yet."""
    with ExitStack() as started:

        def make(model: Any, recipe: TrainRecipe, progress: Progress | None = None, name: str = "x") -> Training:
            checkpoint = TrainingCheckpoint(tmp_path / f".{name}.unfinished")
            started.enter_context(checkpoint.begin(recipe, RunStart("shades", "0", "fresh weights")))
            return Training(model, shades, shade_parts, recipe, progress or Silent(), checkpoint)

        yield make
