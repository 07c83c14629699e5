"""Small sets of random images, built in memory or written in the containers that users have."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import content_hash
from bctoolkit.data.sources.synthetic import draw

Pixels = NDArray[np.uint8]
MakeImages = Callable[..., Pixels]
MakeDataset = Callable[..., Dataset]
SaveNpz = Callable[..., str]
SaveFolders = Callable[..., str]


@pytest.fixture(scope="session")
def make_images() -> MakeImages:
    """`make_images(count, seed=0, height=8, width=8)`: random noise, no two images alike."""

    def make(count: int, seed: int = 0, height: int = 8, width: int = 8) -> Pixels:
        return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)

    return make


@pytest.fixture(scope="session")
def make_dataset() -> MakeDataset:
    """`make_dataset(images, labels, classes=None, published=None)` without going through a file."""

    def make(
        images: Pixels,
        labels: object,
        classes: tuple[str, ...] | None = None,
        published: NDArray[np.int64] | None = None,
    ) -> Dataset:
        positions = np.asarray(labels, np.int64)
        names = classes or tuple(f"class_{i}" for i in range(int(positions.max()) + 1))
        hashes = np.stack([np.frombuffer(content_hash(image), np.uint8) for image in images])
        return Dataset(images, positions, names, hashes, "memory", published=published)

    return make


@pytest.fixture
def save_npz(tmp_path: Path) -> SaveNpz:
    """`save_npz(images=…, labels=…)` writes the arrays and returns the path as a user gives it."""

    def save(name: str = "set.npz", **arrays: object) -> str:
        plain: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
        np.savez_compressed(tmp_path / name, **plain)
        return str(tmp_path / name)

    return save


@pytest.fixture
def save_folders(tmp_path: Path) -> SaveFolders:
    """`save_folders(images, labels, classes)` writes PNG files in class folders and returns the root."""

    def save(images: Pixels, labels: object, classes: tuple[str, ...], name: str = "folders") -> str:
        for index, (image, label) in enumerate(zip(images, np.asarray(labels), strict=True)):
            folder = tmp_path / name / classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{index:04d}.png")
        return str(tmp_path / name)

    return save


@pytest.fixture(scope="session")
def eight() -> InputContract:
    """A contract of 8×8 pixels, the size of `make_images`."""
    return InputContract(height=8, width=8)


@pytest.fixture(scope="session")
def cell_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 synthetic cells in eight class folders. Read only."""
    root = tmp_path_factory.mktemp("cell_folders") / "set"
    pixels, labels, classes = draw(per_class=25, seed=5, size=64)
    for index, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (root / classes[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / classes[label] / f"{index:04d}.png")
    return root


@pytest.fixture
def own(cell_folders: Path, tmp_path: Path) -> Path:
    """The synthetic cells, to be spoilt."""
    return Path(shutil.copytree(cell_folders, tmp_path / "set"))
