"""Several threads on one classifier: each gets the answers to its own images. `python -m perf.threads` asks longer."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit import bundle
from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS
from bctoolkit.errors import BackendError
from bctoolkit.runtime import Classifier, StubBackend, load, on_litert
from bctoolkit.runtime.on_litert import Pool
from perf.threads import GROWTH_LIMIT, ask_at_once

ROOT = Path(__file__).parents[1]
ZOO = ROOT.parent / "exports" / "zoo"
PARTLY = ROOT / "stored" / "partly-delegated.tflite"
"""A TFLite file of a few operators for images of 32 pixels, four classes."""
THREADS = 8


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("seconds", "threads"), [(0.5, 1), (0.5, 2), pytest.param(10.0, 1, marks=pytest.mark.soak)])
def test_eight_threads_on_one_classifier_never_get_each_other_s_answers(
    name: str, seconds: float, threads: int
) -> None:
    path = ZOO / f"atto-{name}-int8-dynamic"
    classifier = load(path, threads=threads, self_test="never")
    outcome = ask_at_once(classifier, bundle.read(path).golden().images, THREADS, seconds, least=31)
    assert (outcome.wrong, outcome.errors) == (0, 0), outcome
    if seconds > 10:
        assert outcome.growth <= GROWTH_LIMIT, outcome


def tiny(name: str) -> tuple[Classifier, NDArray[np.uint8]]:
    """A classifier of a network that answers in microseconds, and images for it."""
    rng = np.random.default_rng(0)
    if name == "onnx":
        opened = load(ROOT / "stored" / "bundle-1", threads=1)
        return opened, rng.integers(0, 256, (50, *opened.contract.shape), dtype=np.uint8)
    backend = on_litert.open_model(PARTLY.read_bytes(), "cpu", 1)
    images = rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    return Classifier(backend, InputContract(height=32, width=32), ("a", "b", "c", "d")), images


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("answers", [2_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_not_one_of_many_answers_is_another_image_s(name: str, answers: int) -> None:
    classifier, images = tiny(name)
    distinct = {classifier.predict(image).probabilities.tobytes() for image in images}
    assert len(distinct) == len(images)
    outcome = ask_at_once(classifier, images.astype(classifier.contract.dtype), THREADS, 0.2, least=answers)
    assert outcome.answers >= answers
    assert (outcome.wrong, outcome.errors) == (0, 0), outcome


class Mixed(StubBackend):
    """An engine as LiteRT's interpreter is: it keeps the last image, whoever it came from."""

    def __init__(self) -> None:
        super().__init__([])
        self._image: NDArray[Any] | None = None

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self._image = batch
        threading.Event().wait(1e-4)
        return np.array([[self._image.mean() / 255, 0]], np.float32)


def test_a_mixed_up_answer_would_be_noticed() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 6, 3), dtype=np.uint8)
    classifier = Classifier(Mixed(), InputContract(height=4, width=6), ("a", "b"))
    assert ask_at_once(classifier, images, THREADS, 0.5).wrong > 0


@pytest.mark.parametrize(("cpus", "threads", "most"), [(1, 1, 1), (3, 1, 3), (5, 2, 2), (2, 4, 1)])
def test_litert_opens_as_many_interpreters_as_their_threads_have_cpus(
    cpus: int, threads: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    litert: Any = pytest.importorskip("ai_edge_litert.interpreter")
    opened, together = Counter[str](), threading.Barrier(most)

    class Counting(litert.Interpreter):
        def __init__(self, **options: Any) -> None:
            opened["interpreters"] += 1
            super().__init__(**options)

    monkeypatch.setattr(litert, "Interpreter", Counting)
    monkeypatch.setattr(on_litert, "usable_cpus", lambda: cpus)
    backend = on_litert.open_model(PARTLY.read_bytes(), "cpu", threads)
    assert opened.total() == 1

    def busy(_: int) -> None:
        with backend._interpreters.lend():
            together.wait(30)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(busy, range(most)))
        list(pool.map(backend.run, np.zeros((64, 1, 32, 32, 3), np.uint8)))
    assert opened.total() == most


def test_a_pool_lends_each_thing_once_at_a_time_and_makes_no_more_than_it_may() -> None:
    made = iter(range(1, 100))
    pool, lent, doubles = Pool(0, lambda: next(made), 3), set[int](), list[int]()

    def use(_: int) -> None:
        with pool.lend() as item:
            if item in lent:
                doubles.append(item)
            lent.add(item)
            threading.Event().wait(1e-4)
            lent.discard(item)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(use, range(400)))
    assert doubles == []
    assert 2 <= next(made) <= 3


def test_a_thing_is_given_back_though_its_use_fails_and_one_that_cannot_be_made_takes_no_place() -> None:
    outcomes = iter((BackendError("no memory"), "second"))

    def make() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, BackendError):
            raise outcome
        return str(outcome)

    pool = Pool("first", make, 2)
    with pytest.raises(ZeroDivisionError), pool.lend():
        raise ZeroDivisionError
    with pool.lend() as first:
        with pytest.raises(BackendError, match="no memory"), pool.lend():
            pass
        with pool.lend() as second:
            assert (first, second) == ("first", "second")
