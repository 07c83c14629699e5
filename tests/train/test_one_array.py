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
from bctoolkit.export import pipeline as exporting
from bctoolkit.progress import Silent
from bctoolkit.recipes import Augment, ExportRecipe, Phase, TrainRecipe
from bctoolkit.runtime import Classifier, load
from bctoolkit.scoring.inputs import Inputs
from bctoolkit.scoring.stream import score_here
from bctoolkit.train import fit
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

    def listening(batches: Any, steps: int | None = None) -> Any:
        learned.extend(images.numpy() for images, _ in (batches.take(steps) if steps else batches))
        return batches

    training, validating = fit.training_batches, fit.evaluation_batches
    monkeypatch.setattr(
        fit,
        "training_batches",
        lambda dataset, index, recipe, *rest, **named: listening(
            training(dataset, index, recipe, *rest, **named), fit.steps_per_epoch(len(index), recipe)
        ),
    )
    monkeypatch.setattr(fit, "evaluation_batches", lambda *given: listening(validating(*given)))
    run = tmp_path / "runs" / "odd"
    train(RECIPE, str(folder), run, Silent())
    seen = counted(np.concatenate(learned))
    assert not seen - wanted
    assert sum(seen.values()) >= 0.8 * sum(wanted.values())  # the test part is not learned from

    checked: list[NDArray[Any]] = []

    def choosing(*given: Any) -> Any:
        chosen = choose(*given)
        checked.append(chosen.images)
        checked.append(given[2].dataset.images[:])
        return chosen

    choose = exporting.choose_check_images
    monkeypatch.setattr(exporting, "choose_check_images", choosing)
    recipe = ExportRecipe()
    (bundle,) = exporting.export(run, recipe, tmp_path / "bundles", Silent())
    assert counted(checked[1]) == wanted
    assert not counted(checked[0]) - wanted
    golden = bundle.golden().images
    assert not counted(golden) - wanted
    assert len(golden) >= 8

    asked: list[NDArray[Any]] = []
    each, answers = Classifier.predict_each, Classifier._answers
    monkeypatch.setattr(Classifier, "predict_each", lambda self, images: asked.extend(images) or each(self, images))
    evaluation = evaluate(bundle.path, str(folder), Silent(), part="all")
    assert evaluation.count == len(arrays)
    assert counted(asked) == wanted

    given: list[NDArray[Any]] = []
    with load(bundle.path, threads=1) as classifier:
        monkeypatch.setattr(
            Classifier, "_answers", lambda self, backend, batch: given.append(batch) or answers(self, backend, batch)
        )
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            classifier.predict(path)
            assert np.array_equal(given[-1][0], arrays[path.name]), path.name
        given.clear()
        rows = [row for batch in score_here(classifier, Inputs([str(folder)]), 1, 60) for row in batch]
    assert [row.error for row in rows] == [None] * len(arrays)
    assert counted(np.concatenate(given)) == wanted
    assert msgspec.structs.replace(classifier.info().input, dtype="uint8") == CONTRACT
