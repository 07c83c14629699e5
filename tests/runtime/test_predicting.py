"""What an app does with a classifier: images in every form, streams of them, warming up, closing."""

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.bundle import read
from bctoolkit.documents.formats import FORMATS
from bctoolkit.errors import BackendError, InputMismatch
from bctoolkit.runtime import (
    Classifier,
    ClassifierInfo,
    InputContract,
    Picture,
    Prediction,
    SelfTest,
    StubBackend,
    load,
    prepare,
)
from tests.support.bundles import STORED

ZOO = Path(__file__).parents[2] / "exports" / "zoo"
CONTRACT = InputContract(height=4, width=6)
LABELS = ("dark", "light")
both_engines = pytest.mark.parametrize("name", FORMATS)


class Mean(StubBackend):
    """Answers with the mean of an image's pixels, and keeps the batches it is handed."""

    def __init__(self) -> None:
        super().__init__([])
        self.batches: list[NDArray[Any]] = []

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.batches.append(batch)
        light = batch.mean((1, 2, 3), dtype=np.float64) / 255
        return np.stack([1 - light, light], 1).astype(np.float32)


def stub(**changes: Any) -> tuple[Classifier, Mean]:
    backend = Mean()
    return Classifier(backend, InputContract(height=4, width=6, **changes), LABELS), backend


def picture(seed: int, height: int = 40, width: int = 50) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.fromarray(picture(0)).save(tmp_path / "cell.png")
    return tmp_path / "cell.png"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_image_is_prepared_from_a_file_or_pillow_and_taken_as_it_is_from_an_array(file: Path, dtype: str) -> None:
    classifier, backend = stub(dtype=dtype)
    prepared = prepare(file, classifier.contract)
    forms: list[Picture] = [file, str(file), Image.open(file), Image.fromarray(picture(0)), prepared]
    for image in forms:
        prediction = classifier.predict(image)
        assert prediction.probabilities.shape == (1, 2)
        np.testing.assert_array_equal(backend.batches[-1], prepared[None])


def test_a_prepared_image_is_never_prepared_again() -> None:
    """A crop of three pixels would leave other ones of an image that has been cropped."""
    classifier, backend = stub(crop=3)
    prepared = prepare(picture(1), classifier.contract)
    assert not np.array_equal(prepare(prepared, classifier.contract), prepared)
    classifier.predict(prepared)
    np.testing.assert_array_equal(backend.batches[0], prepared[None])


def test_a_list_holds_images_of_any_form_in_its_order(file: Path) -> None:
    classifier, backend = stub()
    images = [prepare(picture(i), CONTRACT) for i in range(3)]
    mixed: list[Picture] = [images[0], file, images[1], Image.fromarray(picture(2)), str(file)]
    for sequence in (mixed, tuple(mixed)):
        prediction = classifier.predict(sequence)
        cell = prepare(file, CONTRACT)
        expected = np.stack([images[0], cell, images[1], images[2], cell])
        np.testing.assert_array_equal(backend.batches[-1], expected)
        assert len(prediction.labels) == 5


def test_a_grey_model_takes_an_array_of_its_shape_only() -> None:
    backend = Mean()
    classifier = Classifier(backend, InputContract(height=4, width=6, channels=1), LABELS)
    assert classifier.predict(np.zeros((4, 6, 1), np.uint8)).labels == ("dark",)
    with pytest.raises(InputMismatch, match=r"got shape \(4, 6\)"):
        classifier.predict(np.zeros((4, 6), np.uint8))
    with pytest.raises(InputMismatch, match=r"got shape \(8, 4, 6\)"):
        classifier.predict(np.zeros((8, 4, 6), np.uint8))


@both_engines
def test_engines_answer_a_file_like_its_pixels(name: str, tmp_path: Path) -> None:
    with load(ZOO / f"atto-{name}-int8-dynamic", threads=1) as classifier:
        pixels = read(ZOO / f"atto-{name}-int8-dynamic").golden().images[0]
        Image.fromarray(pixels).save(tmp_path / "cell.png")
        expected = classifier.predict(pixels[None])
        for image in (pixels, tmp_path / "cell.png", [pixels]):
            prediction = classifier.predict(image)
            assert prediction.labels == expected.labels
            np.testing.assert_array_equal(prediction.probabilities, expected.probabilities)


@pytest.mark.parametrize(
    ("count", "batch", "sizes"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 5, [2]), (3, 1, [1] * 3), (0, 4, [])]
)
def test_batches_come_in_order_and_the_last_may_be_smaller(count: int, batch: int, sizes: list[int]) -> None:
    classifier, backend = stub()
    images = [prepare(picture(i), CONTRACT) for i in range(count)]
    predictions = list(classifier.predict_batches(iter(images), batch=batch))
    assert [len(prediction.labels) for prediction in predictions] == sizes
    if images:
        np.testing.assert_array_equal(np.concatenate(backend.batches), np.stack(images))


def test_images_are_asked_for_as_answers_are_and_let_go_of_after() -> None:
    """So an endless stream needs no more memory than a batch."""

    taken: list[weakref.ref[Any]] = []
    held: list[int] = []

    def stream() -> Iterator[NDArray[Any]]:
        while True:
            image = np.zeros((4, 6, 3), np.uint8)
            taken.append(weakref.ref(image))
            held.append(sum(each() is not None for each in taken))
            yield image
            del image

    predictions = Classifier(StubBackend([0.5, 0.5]), CONTRACT, LABELS).predict_batches(stream(), batch=4)
    assert taken == []
    for number in range(1, 20):
        next(predictions)
        assert len(taken) == 4 * number
    assert max(held) == 4


def test_a_bad_image_in_a_stream_is_told_when_its_batch_is_reached() -> None:
    classifier, _ = stub()
    good = prepare(picture(0), CONTRACT)
    predictions = classifier.predict_batches([good, good, good[:2]], batch=2)
    assert len(next(predictions).labels) == 2
    with pytest.raises(InputMismatch, match=r"shape \(1, 2, 6, 3\)"):
        next(predictions)


@pytest.mark.parametrize("image", ["cell.png", Path("cell.png"), None, 7])
def test_one_image_is_no_stream(image: Any) -> None:
    with pytest.raises(InputMismatch, match="wanted an iterable of images, for one image use predict"):
        stub()[0].predict_batches(image)


@pytest.mark.parametrize("batch", [0, -1])
def test_batches_of_no_images_are_refused_at_once(batch: int) -> None:
    with pytest.raises(InputMismatch, match="wanted at least 1"):
        stub()[0].predict_batches([], batch=batch)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_warming_up_runs_the_model(dtype: str) -> None:
    classifier, backend = stub(dtype=dtype)
    classifier.warm_up()
    classifier.warm_up(runs=2)
    assert [(batch.shape, batch.dtype.name) for batch in backend.batches] == [((1, 4, 6, 3), dtype)] * 5


def use(classifier: Classifier) -> list[Any]:
    image = np.zeros((1, *classifier.contract.shape), np.uint8)
    return [
        lambda: classifier.predict(image),
        lambda: classifier.predict_each(image),
        lambda: next(classifier.predict_batches(image)),
        classifier.warm_up,
        lambda: classifier.backend,
    ]


def test_a_closed_classifier_says_so_whatever_it_is_asked() -> None:
    with load(STORED, threads=1) as classifier:
        assert [call() for call in use(classifier)][:1]
    classifier.close()
    for call in use(classifier):
        with pytest.raises(BackendError, match=r"^the classifier is closed; load the bundle again$"):
            call()
    assert classifier.info().bundle == "bundle-1"


def test_a_block_that_fails_closes_too() -> None:
    with pytest.raises(InputMismatch), load(STORED) as classifier:
        classifier.predict(np.zeros(3))
    with pytest.raises(BackendError, match="closed"):
        classifier.warm_up()


class Slow(StubBackend):
    """Answers only once it is allowed to."""

    def __init__(self) -> None:
        super().__init__([0.5, 0.5])
        self.began, self.allowed = threading.Event(), threading.Event()

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.began.set()
        assert self.allowed.wait(60)
        return super().run(batch)


def test_a_call_under_way_gets_its_answer_though_the_classifier_is_closed() -> None:
    backend = Slow()
    classifier = Classifier(backend, CONTRACT, LABELS)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(classifier.predict, np.zeros((1, 4, 6, 3), np.uint8))
        assert backend.began.wait(60)
        classifier.close()
        backend.allowed.set()
        assert answer.result().labels == ("dark",)


@both_engines
def test_closing_frees_the_engine(name: str) -> None:
    classifier = load(ZOO / f"atto-{name}-int8-dynamic", threads=1)
    opened = weakref.ref(classifier.backend)
    classifier.warm_up(1)
    classifier.close()
    assert opened() is None


@both_engines
def test_a_classifier_says_what_it_is(name: str) -> None:
    path = ZOO / f"atto-{name}-int8-dynamic"
    manifest = read(path).manifest
    info = load(path, threads=2, self_test="always").info()
    engine = next(iter(FORMATS[name].engines))
    version = manifest.tools[FORMATS[name].engines[engine].package]
    assert info == ClassifierInfo(
        bundle=path.name,
        model_sha256=manifest.model.sha256,
        format=name,
        quantization="int8-dynamic",
        engine=engine,
        engine_version=info.engine_version,
        provider="cpu",
        threads=2,
        labels=manifest.labels,
        input=manifest.input,
        self_test=info.self_test,
    )
    assert info.engine_version is not None
    assert info.engine_version.split(".")[0] == version.split(".")[0]
    assert info.self_test.outcome == "passed"
    assert info.self_test.max_abs_diff is not None
    assert info.self_test.max_abs_diff <= 1.2 * manifest.parity.max_abs_diff


def test_a_classifier_of_a_stub_says_what_it_knows() -> None:
    info = Classifier(StubBackend([1.0]), CONTRACT, ("only",)).info()
    assert info == ClassifierInfo(
        provider="stub", threads=1, labels=("only",), input=CONTRACT, self_test=SelfTest(outcome="not run")
    )


def test_a_prediction_of_one_image_is_a_batch_of_one() -> None:
    prediction = stub()[0].predict(np.full((4, 6, 3), 255, np.uint8))
    assert isinstance(prediction, Prediction)
    assert prediction.labels == ("light",)
