"""Files of every kind become the same array in training, export, evaluation and runtime: the one that the page says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract, decode, prepare
from bctoolkit.data import load
from bctoolkit.data.sources.collection import decode as as_inspected
from bctoolkit.runtime import Classifier, StubBackend
from tests.contract import plain
from tests.support.odd_files import WHITE, OddFile, odd_files
from tests.support.progress import Recorder

CONTRACTS = (
    InputContract(height=16, width=20, white=WHITE),
    InputContract(height=7, width=7, crop="none", resize="bicubic", white=WHITE),
    InputContract(height=16, width=16, channels=1, dtype="float32", resize="bilinear", white=WHITE),
)


class Listening(StubBackend):
    """Keeps what the engine is given."""

    def __init__(self) -> None:
        super().__init__([0.5, 0.5])
        self.batches: list[NDArray[Any]] = []

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.batches.append(batch)
        return super().run(batch)


@pytest.fixture(scope="module")
def files() -> list[OddFile]:
    return odd_files()


@pytest.fixture(scope="module")
def folder(files: list[OddFile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, one of them in folders below."""
    root = tmp_path_factory.mktemp("odd")
    for index, file in enumerate(files):
        place = root / "left" if index % 2 else root / "right" / f"slide_{index % 3}" / "tiles"
        place.mkdir(parents=True, exist_ok=True)
        (place / file.name).write_bytes(file.content)
    return root


def expected(shown: plain.Pixels, contract: InputContract) -> plain.Pixels:
    cropped = plain.crop(plain.channels(shown, contract.channels), contract.crop, contract.picture)
    return plain.resize(cropped, contract.height, contract.width, contract.resize)


def test_there_are_two_hundred_of_them(files: list[OddFile]) -> None:
    assert len(files) >= 200
    assert len({file.content for file in files}) == len(files)


def test_each_shows_what_was_drawn(files: list[OddFile], folder: Path) -> None:
    for file in files:
        (path,) = folder.rglob(file.name)
        decoded = decode(path, CONTRACTS[0])
        assert np.array_equal(decoded, plain.channels(file.shown, 3)), file.name
        inspected = as_inspected(path, WHITE)
        assert inspected.pixels is not None, (file.name, inspected.problem)
        assert np.array_equal(inspected.pixels, decoded), file.name


@pytest.mark.parametrize("contract", CONTRACTS, ids=["rgb", "squeezed", "grey"])
def test_every_way_to_a_model_gives_the_array_that_the_page_says(
    files: list[OddFile], folder: Path, contract: InputContract
) -> None:
    progress = Recorder()
    held, on_disk = (load(str(folder), contract, progress, most_in_memory=most) for most in (2**30, 1))
    assert progress.lines == []
    assert held.files is not None
    assert len(held) == len(files)
    by_name = {Path(name).name: row for row, name in enumerate(held.files)}
    backend = Listening()
    classifier = Classifier(backend, contract, ("left", "right"))
    later = on_disk.images[:]
    for file in files:
        row = by_name[file.name]
        wanted = expected(file.shown, contract)
        prepared = prepare(held.files[row], contract)
        classifier.predict(held.files[row])
        assert np.array_equal(prepared, wanted), file.name
        assert np.array_equal(backend.batches[-1][0], prepared), file.name
        assert np.array_equal(held.images[row : row + 1][0], prepared), file.name
        assert np.array_equal(later[row], prepared), file.name


def test_a_pillow_image_of_a_file_is_prepared_like_the_file(files: list[OddFile], folder: Path) -> None:
    for file in files:
        (path,) = folder.rglob(file.name)
        with Image.open(path) as picture:
            assert np.array_equal(prepare(picture, CONTRACTS[0]), prepare(path, CONTRACTS[0])), file.name
