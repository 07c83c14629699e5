"""Many threads, one order, bounded memory, limited time."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.errors import MissingExtra
from bctoolkit.runtime import Classifier, ClassifierInfo
from bctoolkit.scoring import stream
from bctoolkit.scoring.batches import answers_depend_on_batch, knee
from bctoolkit.scoring.inputs import Inputs, Item
from bctoolkit.scoring.rows import Row
from bctoolkit.scoring.stream import batches, score_here
from tests.support.scoring import CONTRACT, LABELS, MeanColour, alone, classifier, pictures


def scored(asked: Classifier, words: list[str], batch: int) -> list[Row]:
    return [row for rows in score_here(asked, Inputs(words), batch, 60) for row in rows]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_rows_are_those_of_one_thread_in_the_order_of_the_images(tmp_path: Path, batch: int) -> None:
    """Its answers depend on the batch, so that another grouping would show."""
    words, asked = pictures(tmp_path, "gggbggmgkggwg"), classifier(of_batch=3.0)
    expected = [row for rows in alone(asked, Inputs(words), batch) for row in rows]
    assert scored(asked, words, batch) == expected


class Uneven(MeanColour):
    """The first images take longest."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.threads, self.calls, self.most, self._lock = threads, 0, 0, threading.Lock()

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        with self._lock:
            self.calls += 1
            self.most = max(self.most, self.calls)
        time.sleep(0.02 * int(batch[0, 0, 0, 0]) / 255)
        with self._lock:
            self.calls -= 1
        return super().run(batch)


@pytest.mark.parametrize(("cpus", "threads", "calls"), [(4, 1, 4), (4, 2, 2), (1, 2, 1)])
def test_calls_at_once_are_as_many_as_the_cpus_suffice_for(
    monkeypatch: pytest.MonkeyPatch, cpus: int, threads: int, calls: int
) -> None:
    monkeypatch.setattr(stream, "usable_cpus", lambda: cpus)
    backend = Uneven(threads)
    images = [np.full(CONTRACT.shape, value, np.uint8) for value in range(255, 5, -5)]
    items = [Item("x", number, image) for number, image in enumerate(images)]
    rows = [row for some in score_here(Classifier(backend, CONTRACT, LABELS), items, 1, 60) for row in some]
    assert [row.place for row in rows] == list(range(len(items)))
    assert backend.most == calls


def test_no_more_is_read_ahead_than_some_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "usable_cpus", lambda: 2)
    [name] = pictures(tmp_path, "g")
    read = 0

    def endless() -> Iterator[Item]:
        nonlocal read
        while True:
            read += 1
            yield Item(name, None, name)

    answered = score_here(classifier(), endless(), 8, 60)
    for number in range(1, 20):
        next(answered)
        assert read <= 8 * (number + 4)
    answered.close()  # type: ignore[attr-defined]  # of a generator


def test_what_is_no_fault_of_an_image_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise MissingExtra("this needs the package 'PIL.Image'")

    monkeypatch.setattr("bctoolkit.scoring.rows.prepare", missing)
    with pytest.raises(MissingExtra):
        scored(classifier(), pictures(tmp_path, "ggg"), 1)


def test_a_batch_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait for a batch is within a limit, and nothing else is."""
    limits: list[int] = []

    class Limit:
        def __init__(self, seconds: int) -> None:
            limits.append(seconds)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(stream, "time_limit", Limit)
    list(score_here(classifier(), Inputs(pictures(tmp_path, "ggggg")), 2, 7))
    assert limits == [7, 7, 7]


def test_batches_hold_every_item_once() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], 3)) == []


class Overhead(MeanColour):
    """A call takes as long as so many images, by its own clock."""

    def __init__(self, overhead: int) -> None:
        super().__init__()
        self._overhead, self.clock = overhead, 0.0

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.clock += 0.01 * (self._overhead + len(batch))
        return super().run(batch)


def opened(backend: MeanColour, form: str | None = None, quantization: str | None = None) -> Classifier:
    info = ClassifierInfo(
        provider="cpu", threads=1, labels=LABELS, input=CONTRACT, format=form, quantization=quantization
    )
    return Classifier(backend, CONTRACT, LABELS, info)


@pytest.mark.parametrize(("overhead", "size"), [(0, 1), (1, 16), (1000, 64)])
def test_the_knee_is_where_larger_batches_gain_no_twentieth(
    monkeypatch: pytest.MonkeyPatch, overhead: int, size: int
) -> None:
    """With an overhead of one image, 16 reach 16/17 of what is possible, and 64, the most that is tried, 64/65."""
    backend = Overhead(overhead)
    monkeypatch.setattr("bctoolkit.scoring.batches.time.perf_counter", lambda: backend.clock)
    assert knee(opened(backend)) == size


@pytest.mark.parametrize(
    ("form", "quantization", "depends"),
    [("onnx", "int8-dynamic", True), ("onnx", "int8", False), ("tflite", "int8-dynamic", False), (None, None, False)],
)
def test_forms_whose_answers_depend_on_the_batch_are_asked_one_by_one(
    form: str | None, quantization: str | None, depends: bool
) -> None:
    asked = opened(Overhead(50), form, quantization)
    assert answers_depend_on_batch(asked.info()) == depends
    if depends or form == "tflite":
        assert knee(asked) == 1
