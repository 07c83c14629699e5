"""`Classifier`: every check once, above whatever engine answers."""

import copy
import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.errors import BackendError, InputMismatch
from bctoolkit.runtime import Classifier, InputContract, StubBackend, prepare
from bctoolkit.runtime.backends import default_threads

CONTRACT = InputContract(height=4, width=6)
LABELS = ("left", "right", "up")


class Recording(StubBackend):
    """A stub that keeps the batches it is handed."""

    def __init__(self, probabilities: list[float]) -> None:
        super().__init__(probabilities)
        self.batches: list[NDArray[Any]] = []

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.batches.append(batch)
        return super().run(batch)


class Fixed:
    """A backend that returns one array for every batch."""

    provider = "fixed"
    threads = 1

    def __init__(self, answer: NDArray[np.float32]) -> None:
        self._answer = answer

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        return self._answer

    def placement(self) -> None:
        """There are no operators."""


def batch(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 6, 3), dtype=np.uint8)


def test_the_likeliest_class_of_each_image_is_its_label() -> None:
    answers = np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0], [0.0, 0.1, 0.9]], np.float32)
    prediction = Classifier(Fixed(answers), CONTRACT, LABELS).predict(batch(3))
    assert prediction.labels == ("right", "left", "up")
    assert np.array_equal(prediction.probabilities, answers)


def test_the_first_of_two_equal_classes_is_the_label() -> None:
    assert Classifier(StubBackend([0.4, 0.4, 0.2]), CONTRACT, LABELS).predict(batch(1)).labels == ("left",)


def test_images_asked_one_at_a_time_never_meet_in_a_batch() -> None:
    backend, images = Recording([0.2, 0.3, 0.5]), batch(3)
    contract = InputContract(height=4, width=6, dtype="float32")
    probabilities = Classifier(backend, contract, LABELS).predict_each(images)
    assert probabilities.shape == (3, 3)
    assert [(single.shape, single.dtype.name) for single in backend.batches] == [((1, 4, 6, 3), "float32")] * 3
    np.testing.assert_array_equal(np.concatenate(backend.batches), images)


def test_images_of_another_size_are_refused_one_at_a_time_too() -> None:
    with pytest.raises(InputMismatch, match="shape"):
        Classifier(Recording([0.2, 0.3, 0.5]), CONTRACT, LABELS).predict_each(batch(2)[:, :3])


def test_the_engine_gets_the_very_array_it_was_given() -> None:
    backend, images = Recording([0.2, 0.3, 0.5]), batch(2)
    Classifier(backend, CONTRACT, LABELS).predict(images)
    assert backend.batches[0] is images


@given(shares=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=8), count=st.integers(1, 5))
def test_the_stub_answers_each_image_with_its_fixed_probabilities(shares: list[float], count: int) -> None:
    labels = tuple(f"class_{i}" for i in range(len(shares)))
    prediction = Classifier(StubBackend(shares), CONTRACT, labels).predict(batch(count))
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.tolist() == [shares] * count
    assert prediction.labels == (labels[int(np.argmax(shares))],) * count


def test_a_prepared_image_is_what_predict_wants() -> None:
    image = prepare(np.zeros((50, 40, 3), np.uint8), CONTRACT)
    assert Classifier(StubBackend([1, 0, 0]), CONTRACT, LABELS).predict(image[None]).labels == ("left",)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "got no images"),
        ((), "got no images"),
        (batch(1)[0, :3], r"got shape \(3, 6, 3\)"),
        (batch(1)[0, ..., 0], r"got shape \(4, 6\)"),
        (list(batch(1)[:, :3]), r"got shape \(1, 3, 6, 3\)"),
        ([batch(1), batch(1)], r"got shape \(2, 1, 4, 6, 3\)"),
        ([batch(1)[0], batch(1)[0].astype(np.float32)], "got dtype float32"),
        (batch(1).transpose(0, 3, 1, 2), r"got shape \(1, 3, 4, 6\)"),
        (batch(1).transpose(0, 2, 1, 3), r"got shape \(1, 6, 4, 3\)"),
        (batch(1)[..., :1], r"got shape \(1, 4, 6, 1\)"),
        (batch(1)[:0], "got an empty batch"),
        (batch(1).astype(np.float32), "got dtype float32"),
        (batch(1).astype(np.int8), "got dtype int8"),
        (batch(1).astype(object), "got dtype object"),
    ],
)
def test_images_that_break_the_contract_never_reach_the_engine(images: Any, message: str) -> None:
    backend = Recording([0.2, 0.3, 0.5])
    with pytest.raises(InputMismatch, match=message) as caught:
        Classifier(backend, CONTRACT, LABELS).predict(images)
    assert "the model wants uint8 array N×4×6×3 (NHWC, RGB), values 0–255" in str(caught.value)
    assert backend.batches == []


@pytest.mark.parametrize("image", [None, 7, b"cell.png", [[0]], object()])
def test_what_is_no_image_is_refused_alone_and_in_a_list(image: Any) -> None:
    backend = Recording([0.2, 0.3, 0.5])
    for images in (image, [image], [batch(1)[0], image]):
        with pytest.raises(InputMismatch, match="wanted a file, a Pillow image or an array"):
            Classifier(backend, CONTRACT, LABELS).predict(images)
    assert backend.batches == []


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (batch(1), "got dtype uint8; the model wants float32 array"),
        (batch(1).astype(np.float64), "got dtype float64"),
        (batch(1).astype(np.float32) / 255, "as if divided by 255"),
        (batch(1).astype(np.float32) / 127.5 - 1, "values span -"),
        (batch(1).astype(np.float32) * 2, "values span"),
        (np.full((1, 4, 6, 3), np.nan, np.float32), r"value at \[0, 0, 0, 0\] is nan"),
    ],
)
def test_float_values_that_break_the_contract_never_reach_the_engine(images: NDArray[Any], message: str) -> None:
    backend = Recording([0.2, 0.3, 0.5])
    contract = InputContract(height=4, width=6, dtype="float32")
    with pytest.raises(InputMismatch, match=message):
        Classifier(backend, contract, LABELS).predict(images)
    assert backend.batches == []


@pytest.mark.parametrize("shape", [(2, 4), (2, 2), (3, 3), (1, 3), (3,), (2, 3, 1), (2, 1, 1, 3)])
def test_an_engine_that_answers_with_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    classifier = Classifier(Fixed(np.zeros(shape, np.float32)), CONTRACT, LABELS)
    with pytest.raises(BackendError) as caught:
        classifier.predict(batch(2))
    assert str(caught.value) == f"the engine returned shape {shape}, expected (2, 3)"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_engine_that_answers_with_no_number_is_refused(value: float) -> None:
    answers = np.array([[0.5, value, 0.5]], np.float32)
    with pytest.raises(BackendError, match="finite"):
        Classifier(Fixed(answers), CONTRACT, LABELS).predict(batch(1))


@pytest.mark.parametrize("value", [1e30, 1.02, -0.02])
def test_an_engine_that_answers_with_no_probability_is_refused(value: float) -> None:
    classifier = Classifier(Fixed(np.array([[0.5, 0.5, value]], np.float32)), CONTRACT, LABELS)
    with pytest.raises(BackendError, match="which are no probabilities"):
        classifier.predict(batch(1))


def test_a_prediction_cannot_be_changed() -> None:
    prediction = Classifier(StubBackend([1, 0, 0]), CONTRACT, LABELS).predict(batch(1))
    with pytest.raises(AttributeError):
        prediction.labels = ("right",)  # type: ignore[misc]


def test_the_default_threads_are_between_one_and_four() -> None:
    assert 1 <= default_threads() <= 4


def test_all_names_are_there() -> None:
    from bctoolkit import runtime

    assert all(hasattr(runtime, name) for name in runtime.__all__)


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_classifier_is_not_pickled_or_copied(duplicate: Any) -> None:
    with pytest.raises(BackendError, match="hand on the bundle's path and load it there"):
        duplicate(Classifier(StubBackend([0.2, 0.3, 0.5]), CONTRACT, LABELS))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_of_the_process_is_told_to_load_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(StubBackend([0.2, 0.3, 0.5]), CONTRACT, LABELS)
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(BackendError, match=f"opened in process {parent} and this is a fork of it"):
        classifier.predict(batch(1))
