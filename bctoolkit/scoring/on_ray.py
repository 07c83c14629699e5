"""Images through many classifiers on the machines of a Ray cluster: one actor each, rows in the order of the images.

Bundle and images are opened where an actor runs, so every machine has to see them under the same paths. Ray is started
in this machine's processes unless `RAY_ADDRESS` names a cluster; its usage reports and its dashboard stay off.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bctoolkit.errors import BackendError, BctkError, DatasetError
from bctoolkit.lazy import require
from bctoolkit.runtime import Classifier, load
from bctoolkit.scoring.inputs import Item, Stored
from bctoolkit.scoring.rows import Row, answer, prepared, row_from_json, row_to_json
from bctoolkit.scoring.stream import batches
from bctoolkit.supervision.time_limit import time_limit
from bctoolkit.system import usable_cpus

__all__ = ["Opening", "on_ray"]

BLOCK = 64
"""Images of a task, in whole batches: what is lost and done again where a worker is killed."""
TASK_SECONDS = 600
"""To wait for a task besides a batch's time: actors have to start, and where one is lost Ray gives its task to another,
for ever if the model crashes them all."""
PROBLEM = "problem"

T = TypeVar("T")


class Opening(NamedTuple):
    """How each actor opens the bundle."""

    bundle: str
    """Its path, as all others below `folder` where it is not absolute."""
    engine: str | None
    provider: str
    threads: int
    keys: tuple[Path, ...] | None
    """Trusted keys; None where no signature is asked for."""
    folder: str
    """The working folder, so that a path means, and an error says, the same as here."""


def on_ray(opening: Opening, workers: int | None, seconds: int) -> Callable[..., Iterator[Sequence[Row]]]:
    """A runner for `score`.

    Args:
        opening: the same that this process's classifier was opened with.
        workers: actors; as many as the cluster's CPUs suffice for by default.
        seconds: the longest that opening the model, or one batch, may take.

    Raises:
        MissingExtra: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
    require("ray.data", "ray")
    return partial(_score, opening=opening, workers=workers, seconds=seconds)


def _score(
    classifier: Classifier,
    items: Iterable[Item],
    batch: int,
    *,
    opening: Opening,
    workers: int | None,
    seconds: int,
) -> Iterator[Sequence[Row]]:
    """See `Runner`.

    Raises:
        DatasetError: an array that can only be read in its order.
        BackendError: the model crashed again and again, or gave no answer in time.
    """
    arrow: Any = require("pyarrow", "ray")
    data: Any = require("ray.data", "ray")
    per_task = batch * max(1, BLOCK // batch)
    parts: list[Any] = []
    tables = [arrow.table({"item": [_place(item, parts) for item in some]}) for some in batches(items, per_task)]
    if not tables:
        return
    with _cluster(opening.threads, workers) as actors:
        rows = data.from_arrow(tables).map_batches(
            _Actor,
            fn_constructor_args=(opening, parts, seconds),
            batch_size=batch,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=min(actors, len(tables))),
            num_cpus=opening.threads,
        )
        answered = rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        yield from _in_time(answered, TASK_SECONDS + seconds)


def _in_time(tables: Iterable[Any], limit: int) -> Iterator[Sequence[Row]]:
    """The rows of each table, which has so many seconds."""
    waiting = iter(tables)
    while True:
        with time_limit(limit), _told():
            table = next(waiting, None)
        if table is None:
            return
        if PROBLEM in table.column_names:
            raise BackendError(table[PROBLEM].drop_null()[0].as_py())  # other batches of the task may have had answers
        yield [row_from_json(line) for line in table["row"].to_pylist()]


class _Actor:
    """One classifier in a process of its own.

    What goes wrong with the model is an answer, too: of an exception Ray keeps the text of its traceback alone, and an
    actor that cannot start it takes for a lost machine.
    """

    def __init__(self, opening: Opening, parts: Sequence[Any], seconds: int) -> None:
        self._parts, self._seconds = parts, seconds
        self._thread = ThreadPoolExecutor(1)
        self._problem: BctkError | None = None
        try:
            self._classifier = self._limited(partial(_open, opening))
        except BctkError as problem:
            self._problem = problem

    def __call__(self, batch: Any) -> dict[str, list[str]]:
        items = [_item(text, self._parts) for text in batch["item"].to_pylist()]
        try:
            if self._problem is not None:
                raise self._problem
            return {"row": [row_to_json(row) for row in self._limited(partial(self._rows, items))]}
        except BctkError as problem:
            return {PROBLEM: [str(problem)]}

    def _rows(self, items: list[Item]) -> list[Row]:
        pictures = [prepared(item, self._classifier.contract) for item in items]
        return answer(self._classifier, items, pictures)

    def _limited(self, work: Callable[[], T]) -> T:
        """In a thread that is given up after its time; an actor has no main thread that a signal could end."""
        try:
            return self._thread.submit(work).result(self._seconds)
        except TimeoutError:
            raise BackendError("the model gave no answer within the time limit; allow more with --time-limit") from None


def _open(opening: Opening) -> Classifier:
    with suppress(OSError):  # another machine need not have it where all paths are absolute
        os.chdir(opening.folder)
    return load(
        opening.bundle,
        engine=opening.engine,
        provider=opening.provider,
        threads=opening.threads,
        trusted_keys=opening.keys,
    )


@contextmanager
def _cluster(threads: int, workers: int | None) -> Iterator[int]:
    """A running Ray, and how many actors it has CPUs for; what it prints meanwhile goes to standard error."""
    ray: Any = require("ray", "ray")
    address = os.environ.get("RAY_ADDRESS")
    ours = {} if address else {"num_cpus": threads * workers if workers else max(threads, usable_cpus())}
    with redirect_stdout(sys.stderr), ExitStack() as ending:
        ending.callback(ray.shutdown)
        with _told():
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
                **ours,
            )
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what Ray raises into one line."""
    try:
        yield
    except BctkError:
        raise
    except Exception as problem:
        reason = " ".join(str(problem).split())[:300] or type(problem).__name__
        raise BackendError(f"Ray failed: {reason}") from None


def _place(item: Item, parts: list[Any]) -> str:
    """An item as text, without its pixels; arrays are numbered in `parts`."""
    if isinstance(item.picture, str):
        return json.dumps([item.file, None, None, None])
    if not isinstance(item.picture, Stored):
        raise DatasetError(
            f"{item.file}: a compressed .npz cannot be read in parts by several workers; write it again with np.savez"
        )
    reader, location = item.picture
    if not parts or parts[-1] is not reader:
        parts.append(reader)
    return json.dumps([item.file, item.place, len(parts) - 1, location.tolist()])


def _item(text: str, parts: Sequence[Any]) -> Item:
    file, place, part, location = json.loads(text)
    return Item(file, place, file if part is None else Stored(parts[part], np.array(location)))
