"""`score`: a classifier and images → a file with a row for each, which can be resumed after every batch."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from bctoolkit.bundle import MANIFEST
from bctoolkit.errors import DatasetError, RecipeError
from bctoolkit.files import atomic_path, sha256_file, unfinished
from bctoolkit.progress import Progress, duration
from bctoolkit.runtime import Classifier, ClassifierInfo
from bctoolkit.scoring.batches import answers_depend_on_batch, knee
from bctoolkit.scoring.inputs import Inputs, Item
from bctoolkit.scoring.journal import Journal, Request
from bctoolkit.scoring.rows import Row
from bctoolkit.scoring.writers import GROUP, writer_for

__all__ = ["Outcome", "Runner", "batch_size", "require_target", "score"]

STEP_SECONDS = 0.2
"""Between two looks of the progress."""


class Runner(Protocol):
    """Where the work is done."""

    def __call__(self, classifier: Classifier, items: Iterable[Item], batch: int, /) -> Iterator[Sequence[Row]]:
        """The rows of each batch, in the order of the items."""


class Outcome(NamedTuple):
    """What became of the images."""

    images: int
    errors: int
    not_accepted: int


def require_target(target: Path, resume: bool) -> None:
    """Refuse what cannot be written, before any work.

    Args:
        target: a `.csv` or `.parquet`.
        resume: whether to go on with what is unfinished.

    Raises:
        RecipeError: another suffix; the file exists; there is something unfinished, or nothing to resume.
        MissingExtra: Parquet needs pyarrow.
    """
    writer_for(target)
    folder = unfinished(target)
    if resume:
        if not folder.is_dir():
            state = "is finished" if target.exists() else "was not begun"
            raise RecipeError(f"{target} {state}, there is nothing to resume; leave --resume out")
        return
    if target.exists():
        raise RecipeError(f"{target} exists; choose another name, or remove it")
    if folder.exists():
        raise RecipeError(f"{target} is unfinished; go on with --resume, or remove {folder}")


def score(
    classifier: Classifier,
    bundle: Path,
    inputs: Inputs,
    target: Path,
    run: Runner,
    progress: Progress,
    *,
    batch: int | None = 1,
    resume: bool = False,
) -> Outcome:
    """Write a row for each image.

    Rows are kept in a hidden folder beside `target` as they come; `target` is written from them at the end. Interrupted
    or killed, it goes on with `resume`, and the file is that of an unbroken run.

    Args:
        classifier: the bundle, opened.
        bundle: its folder.
        inputs: the images.
        target: a `.csv` or `.parquet` that `require_target` allows.
        run: does the work.
        progress: notified of each step.
        batch: images of a call; None: the knee, measured now or, when resumed, earlier.
        resume: whether to go on.

    Raises:
        DatasetError: no image, an array that the model cannot take, or images that went while they were scored.
        RecipeError: what is resumed was begun with something else, or is damaged.
        OSError: the disk is full; names `target`.
    """
    inputs.require(classifier.contract, progress)
    survey = inputs.survey()
    journal = Journal(unfinished(target), target)
    earlier = journal.request().batch if resume and batch is None else batch
    size = batch_size(classifier, earlier, progress)
    request = _request(classifier.info(), sha256_file(bundle / MANIFEST), size, survey.images, survey.sha256)
    with journal.go_on(request) if resume else journal.begin(request) as done:
        rows = run(classifier, islice(inputs, done, survey.images), size)
        reached = _watched(journal.keep(rows), done, survey.images, progress)
        if reached < survey.images:
            raise DatasetError(f"{inputs}: {survey.images:,} images at first, {reached:,} now; start anew")
        outcome = _write(journal, target, request, classifier.info(), progress)
        journal.remove()
    return outcome


def batch_size(classifier: Classifier, asked: int | None, progress: Progress) -> int:
    """Images of a call: what was asked for, or the knee; says what it is, or what becomes of the answers."""
    depends = answers_depend_on_batch(classifier.info())
    if asked is None:
        size = knee(classifier)
        progress.say(f"batch {size}" + (": an answer of this form depends on those beside it" if depends else ""))
        return size
    if depends and asked > 1:
        progress.say(
            f"warning: this form takes its ranges over a whole batch; answers in batches of {asked} differ from those "
            "of single images, which were checked at export"
        )
    return asked


def _request(info: ClassifierInfo, manifest: str, batch: int, count: int, inputs: str) -> Request:
    return Request(
        manifest=manifest,
        engine=info.engine or "",
        engine_version=info.engine_version,
        provider=info.provider,
        threads=info.threads,
        batch=batch,
        inputs=inputs,
        count=count,
    )


def _watched(batches: Iterable[Sequence[Row]], done: int, total: int, progress: Progress) -> int:
    """Show where the work is; returns how many rows there are at its end."""
    before, begun = done, time.monotonic()
    shown = begun
    for rows in batches:
        done += len(rows)
        now = time.monotonic()
        if now - shown >= STEP_SECONDS:
            shown, rate = now, (done - before) / (now - begun)
            progress.step("images", done, total, f"{rate:.0f} images/s, {duration((total - done) / rate)} left")
    progress.step("images", total, total)
    return done


def _write(journal: Journal, target: Path, request: Request, info: ClassifierInfo, progress: Progress) -> Outcome:
    """Make the result of the rows that are kept."""
    count = errors = not_accepted = 0

    def counted() -> Iterator[Row]:
        nonlocal count, errors, not_accepted
        for row in journal.rows():
            count += 1
            errors += row.error is not None
            not_accepted += row.accepted is False
            if count % GROUP == 0:
                progress.step("rows written", count, request.count)
            yield row

    facts = {
        "bundle": info.bundle or "",
        "manifest_sha256": request.manifest,
        "engine": f"{request.engine} {request.engine_version}",
        "provider": request.provider,
        "batch": str(request.batch),
    }
    with atomic_path(target) as partial:
        writer_for(target)(partial, info.labels, counted(), facts)
    progress.step("rows written", count, count)
    return Outcome(count, errors, not_accepted)
