"""What unfinished training keeps on disk: where it stands, and its logs.

::

    training/runs/.<name>.unfinished/
      recipe.toml        the resolved recipe
      beginning.json     where the images come from, their hash, and the weights it began with
      state.npz          place, weights, optimizer and moving average; replaced as a whole
      history.csv        one row per epoch
      tensorboard/       the same figures for TensorBoard
"""

import csv
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from msgspec import field
from numpy.typing import NDArray

from bctoolkit.documents import Document, parse, read_json, to_json
from bctoolkit.errors import RecipeError
from bctoolkit.files import sigterm_as_interrupt
from bctoolkit.recipes import TrainRecipe, read_train_recipe

__all__ = ["CSV", "TENSORBOARD", "Beginning", "Epoch", "Journal", "Place", "told_of_the_disk"]

RECIPE, BEGINNING, STATE = "recipe.toml", "beginning.json", "state.npz"
CSV, TENSORBOARD = "history.csv", "tensorboard"

Epoch = dict[str, Any]
"""A row of the history: phase, epoch, seconds, waiting_share, learning_rate, loss, accuracy, val_loss, val_accuracy."""


class Place(Document, frozen=True, kw_only=True):
    """Where training stands: before step `step` of epoch `epoch` of phase `phase`, all counted from 0."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    """Sum of the losses of this epoch's images so far."""
    correct: float = 0.0
    images: int = 0
    seconds: float = 0.0
    waiting_seconds: float = 0.0
    """Seconds of this epoch spent waiting for batches."""
    best: tuple[float, float] | None = None
    """Validation accuracy and negated loss of the phase's best epoch."""
    stale: int = 0
    """Epochs of the phase since then."""
    history: tuple[Epoch, ...] = field(default_factory=tuple)


class Beginning(Document, frozen=True):
    """What a run was begun with, besides its recipe."""

    source: str
    sha256: str
    """Of the images and labels."""
    weights: str
    """What the network started from, in words."""


@contextmanager
def told_of_the_disk(path: Path) -> Iterator[None]:
    """Turn a disk that does not take `path` into one line of what to do.

    Raises:
        RecipeError: the block raised an `OSError`.
    """
    try:
        yield
    except OSError as problem:
        raise RecipeError(
            f"cannot write {path}: {problem.strerror or problem}; make room there, then go on with --resume"
        ) from None


class Journal:
    """The folder of an unfinished run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def begun(self, recipe: TrainRecipe, beginning: Beginning) -> Iterator["Journal"]:
        """Make the folder; where the block fails before there is a state to go on from, it is removed again."""
        missing = [parent for parent in self.folder.parents if not parent.exists()]
        with sigterm_as_interrupt():
            with told_of_the_disk(self.folder):
                self.folder.mkdir(parents=True)
            try:
                with told_of_the_disk(self.folder):
                    (self.folder / RECIPE).write_bytes(msgspec.toml.encode(recipe))
                    (self.folder / BEGINNING).write_bytes(to_json(beginning))
                yield self
            except BaseException:
                if not self.has_state:
                    shutil.rmtree(self.folder, ignore_errors=True)
                    for parent in missing:
                        with suppress(OSError):  # another run may be in it by now
                            parent.rmdir()
                raise

    @property
    def has_state(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.folder / STATE).is_file()

    def beginning(self) -> tuple[TrainRecipe, Beginning]:
        """What the run was begun with."""
        path = self.folder / BEGINNING
        facts = read_json(path, Beginning, RecipeError, f"remove {self.folder} and train anew")
        return read_train_recipe(self.folder / RECIPE), facts

    def save(self, place: Place, arrays: dict[str, list[NDArray[Any]]]) -> None:
        """Replace the state by this one; a kill at any moment leaves the one or the other.

        Raises:
            RecipeError: the disk does not take it.
        """
        partial = self.folder / f"{STATE}.partial"
        named = {f"{group}/{i}": array for group, values in arrays.items() for i, array in enumerate(values)}
        try:
            with told_of_the_disk(self.folder / STATE), partial.open("wb") as file:
                np.savez(file, place=np.frombuffer(msgspec.json.encode(place), np.uint8), **named)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
                partial.replace(self.folder / STATE)
        finally:
            partial.unlink(missing_ok=True)

    def load(self) -> tuple[Place, dict[str, list[NDArray[Any]]]] | None:
        """The state last saved, or None.

        Raises:
            RecipeError: the file was damaged since.
        """
        if not self.has_state:
            return None
        try:
            with (self.folder / STATE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                named = {name: stored[name] for name in stored.files}
            raw = json.loads(named.pop("place").tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            raise RecipeError(f"{self.folder / STATE}: damaged; remove {self.folder} and train anew") from None
        arrays: dict[str, list[NDArray[Any]]] = {}
        for name, array in named.items():
            arrays.setdefault(name.partition("/")[0], []).append(array)
        return parse(Place, raw, str(self.folder / STATE), RecipeError), arrays

    def log(self, history: Iterable[Epoch]) -> None:
        """Write the epochs so far as CSV, and the last one for TensorBoard."""
        rows = list(history)
        with told_of_the_disk(self.folder / CSV), (self.folder / CSV).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        with told_of_the_disk(self.folder / TENSORBOARD):
            try:
                _write_events(self.folder / TENSORBOARD, rows[-1])
            except tf.errors.OpError as problem:
                raise OSError(0, problem.message.rpartition("}} ")[2].splitlines()[0]) from None


def _write_events(folder: Path, row: Epoch) -> None:
    writer = tf.summary.create_file_writer(str(folder))
    scalars = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    with writer.as_default(step=row["epoch"]):
        for name, figure in row.items():
            if isinstance(figure, float):
                tf.summary.write(name, tf.constant(figure, tf.float32), metadata=scalars)
    writer.close()
