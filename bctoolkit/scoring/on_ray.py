"""Images through many classifiers on the machines of a Ray cluster: one actor each, rows in the order of the images.

Bundle and images are opened where an actor runs, so every machine has to see them under the same paths. Ray is started
in this machine's processes unless `RAY_ADDRESS` names a cluster; its usage reports and its dashboard stay off.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
RETRIES = 3
"""How often an actor is started anew, and a task given to another, before a crash counts as the model's."""
START_SECONDS = 600
"""For a cluster to start its actors, each of which imports an engine and opens the model."""

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
    with _cluster(opening.threads, workers) as actors:
        rows = data.from_arrow(tables).map_batches(
            _Actor,
            fn_constructor_args=(opening, parts, seconds),
            batch_size=batch,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=min(actors, len(tables))),
            num_cpus=opening.threads,
            max_restarts=RETRIES,
            max_task_retries=RETRIES,
        )
        answered = rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        yield from _in_time(answered, START_SECONDS + seconds, seconds * (per_task // batch + 1))


def _in_time(tables: Iterable[Any], first: int, later: int) -> Iterator[Sequence[Row]]:
    """The rows of each table; the first has more time, for actors have to start."""
    waiting, limit = iter(tables), first
    while True:
        with time_limit(limit), _told():
            table = next(waiting, None)
        if table is None:
            return
        yield [row_from_json(line) for line in table["row"].to_pylist()]
        limit = later


class _Actor:
    """One classifier in a process of its own."""

    def __init__(self, opening: Opening, parts: Sequence[Any], seconds: int) -> None:
        self._parts, self._seconds = parts, seconds
        self._thread = ThreadPoolExecutor(1)
        self._classifier = self._limited(partial(_open, opening))

    def __call__(self, batch: Any) -> dict[str, list[str]]:
        items = [_item(text, self._parts) for text in batch["item"].to_pylist()]
        rows = self._limited(partial(self._rows, items))
        return {"row": [row_to_json(row) for row in rows]}

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
    """A running Ray, and how many actors it has CPUs for."""
    ray: Any = require("ray", "ray")
    address = os.environ.get("RAY_ADDRESS")
    ours = {} if address else {"num_cpus": threads * workers if workers else max(threads, usable_cpus())}
    with _told():
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=True,
            **ours,
        )
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
    finally:
        ray.shutdown()


@contextmanager
def _told() -> Iterator[None]:
    """Turn what Ray raises into one line; what an actor raised on purpose comes through as it was."""
    try:
        yield
    except BctkError:
        raise
    except Exception as problem:
        cause: BaseException | None = problem
        while cause is not None and not isinstance(cause, BctkError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            raise cause from None
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
    array, offset = item.picture
    if not parts or parts[-1] is not array:
        parts.append(array)
    return json.dumps([item.file, item.place, len(parts) - 1, offset])


def _item(text: str, parts: Sequence[Any]) -> Item:
    file, place, part, offset = json.loads(text)
    return Item(file, place, file if part is None else Stored(parts[part], offset))
