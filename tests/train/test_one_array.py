"""Two hundred odd files, each the same array for the network that learns, the export, evaluation and runtime."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.evaluate import evaluate
from bctoolkit.export import export
from bctoolkit.export.checks.images import CheckImages, choose_check_images
from bctoolkit.progress import Silent
from bctoolkit.recipes import Augment, ExportRecipe, Phase, TrainRecipe
from bctoolkit.runtime import Backend, Classifier, load
from bctoolkit.scoring.inputs import Inputs
from bctoolkit.scoring.stream import score_here
from bctoolkit.train.batches import evaluation_batches, steps_per_epoch, training_batches
from bctoolkit.train.pipeline import train
from tests.contract import plain
from tests.support.odd_files import WHITE, OddFile, odd_files

CONTRACT = InputContract(height=32, width=40, crop="none", resize="bilinear", white=WHITE)
RECIPE = TrainRecipe(
    model="baseline_cnn",
    input=CONTRACT,
    precision="float32",
    batch_size=64,
    augment=Augment(flip=False, rotate90=False, brightness=0, contrast=0, saturation=0),
    phases=(Phase("all", 1, 1e-3, unfreeze=("*",)),),
)
Arrays = Counter[bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, one of them in a folder below."""
    root = tmp_path_factory.mktemp("odd") / "set"
    for index, file in enumerate(odd_files()):
        place = root / "left" if index % 2 else root / "right" / "slide_1"
        place.mkdir(parents=True, exist_ok=True)
        (place / file.name).write_bytes(file.content)
    return root


def expected(files: Iterable[OddFile]) -> dict[str, NDArray[np.uint8]]:
    """The arrays that the page says, by the name of the file."""
    return {
        file.name: plain.resize(plain.channels(file.shown, 3), CONTRACT.height, CONTRACT.width, CONTRACT.resize)
        for file in files
    }


def counted(images: Iterable[Any]) -> Arrays:
    return Counter(np.asarray(image).astype(np.uint8).tobytes() for image in images)


@pytest.mark.slow
def test_every_entry_gets_the_same_bytes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = expected(odd_files())
    wanted = counted(arrays.values())

    learned: list[NDArray[Any]] = []

    def listening(batches: Any, steps: int) -> Any:
        learned.extend(images.numpy() for images, _ in batches.take(steps))
        return batches

    def training(dataset: Any, index: NDArray[Any], recipe: TrainRecipe, *rest: Any, **named: Any) -> Any:
        batches = training_batches(dataset, index, recipe, *rest, **named)
        return listening(batches, steps_per_epoch(len(index), recipe))

    monkeypatch.setattr("bctoolkit.train.fit.training_batches", training)
    monkeypatch.setattr(
        "bctoolkit.train.fit.evaluation_batches", lambda *given: listening(evaluation_batches(*given), -1)
    )
    run = tmp_path / "runs" / "odd"
    train(RECIPE, str(folder), run, Silent())
    seen = counted(np.concatenate(learned))
    assert not seen - wanted
    assert sum(seen.values()) >= 0.8 * sum(wanted.values())  # the test part is not learned from

    checked: list[NDArray[Any]] = []

    def choosing(*given: Any) -> CheckImages:
        chosen = choose_check_images(*given)
        checked.extend((chosen.images, given[2].dataset.images[:]))
        return chosen

    monkeypatch.setattr("bctoolkit.export.pipeline.choose_check_images", choosing)
    recipe = ExportRecipe()
    (bundle,) = export(run, recipe, tmp_path / "bundles", Silent())
    assert counted(checked[1]) == wanted
    assert not counted(checked[0]) - wanted
    golden = bundle.golden().images
    assert not counted(golden) - wanted
    assert len(golden) >= 8

    asked: list[NDArray[Any]] = []
    each, answers = Classifier.predict_each, Classifier._answers

    def asking(self: Classifier, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.extend(images)
        return each(self, images)

    monkeypatch.setattr(Classifier, "predict_each", asking)
    evaluation = evaluate(bundle.path, str(folder), Silent(), part="all")
    assert evaluation.count == len(arrays)
    assert counted(asked) == wanted

    given: list[NDArray[Any]] = []

    def answering(self: Classifier, backend: Backend, batch: NDArray[Any]) -> NDArray[np.float32]:
        given.append(batch)
        return answers(self, backend, batch)

    monkeypatch.setattr(Classifier, "_answers", answering)
    with load(bundle.path, threads=1) as classifier:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            classifier.predict(path)
            assert np.array_equal(given[-1][0], arrays[path.name]), path.name
        given.clear()
        rows = [row for batch in score_here(classifier, Inputs([str(folder)]), 1, 60) for row in batch]
    assert [row.error for row in rows] == [None] * len(arrays)
    assert counted(np.concatenate(given)) == wanted
    assert msgspec.structs.replace(classifier.info().input, dtype="uint8") == CONTRACT
