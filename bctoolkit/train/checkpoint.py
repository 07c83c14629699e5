"""What unfinished training keeps on disk: its state, and its logs.

::

    training/runs/.<name>.unfinished/
      recipe.toml        the resolved recipe
      start.json         where the images come from, their hash, and the weights training started from
      state.npz          position, weights, optimizer and moving average; replaced as a whole
      history.csv        one row per epoch
      tensorboard/       the same figures for TensorBoard
"""

import csv
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit.documents import Document, parse, read_json, to_json, to_toml
from bctoolkit.errors import RecipeError
from bctoolkit.escaping.text import for_csv
from bctoolkit.files import atomic_path, resumable_folder
from bctoolkit.recipes import TrainRecipe, read_train_recipe
from bctoolkit.run import EpochRow

__all__ = ["CSV", "TENSORBOARD", "RunStart", "TrainingCheckpoint", "TrainingState", "translate_disk_errors"]

RECIPE, START, STATE = "recipe.toml", "start.json", "state.npz"
CSV, TENSORBOARD = "history.csv", "tensorboard"

Arrays = dict[str, list[NDArray[Any]]]
"""Values of variables by what they belong to: `model`, `optimizer`, `average`, `best`."""


class TrainingState(Document, frozen=True, kw_only=True):
    """The position in training, before step `step` of epoch `epoch` of phase `phase`, all counted from 0."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    """Sum of the losses of this epoch's images so far."""
    correct: float = 0.0
    """How many of this epoch's images so far were classified correctly."""
    images: int = 0
    """How many images of this epoch were trained on so far."""
    seconds: float = 0.0
    """Seconds this epoch took so far, over all sittings."""
    waiting_seconds: float = 0.0
    """Seconds of this epoch spent waiting for batches."""
    best: tuple[float, float] | None = None
    """Validation accuracy and negated loss of the phase's best epoch."""
    epochs_without_improvement: int = 0
    """Epochs of the phase since its best one."""
    history: tuple[EpochRow, ...] = ()


class RunStart(Document, frozen=True):
    """What a run started from, besides its recipe."""

    source: str
    sha256: str
    """Hash of the images and labels."""
    weights: str
    """What the network started from, as text."""


@contextmanager
def translate_disk_errors(path: Path) -> Iterator[None]:
    """Turn the error of a disk that cannot take `path` into one line of what to do.

    Raises:
        RecipeError: the block raised an `OSError`.
    """
    try:
        yield
    except OSError as problem:
        raise RecipeError(
            f"cannot write {path}: {problem.strerror or problem}; make room there, then continue with --resume"
        ) from None


class TrainingCheckpoint:
    """The folder of an unfinished run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def begin(self, recipe: TrainRecipe, start: RunStart) -> Iterator["TrainingCheckpoint"]:
        """Make the folder; where the block fails before there is a state to resume from, it is removed again.

        Raises:
            RecipeError: the disk cannot take it.
        """
        files = {RECIPE: to_toml(recipe), START: to_json(start)}
        with ExitStack() as stack:
            with translate_disk_errors(self.folder):
                stack.enter_context(resumable_folder(self.folder, files, lambda: self.has_state))
            yield self

    @property
    def has_state(self) -> bool:
        """Whether there is a state to resume from."""
        return (self.folder / STATE).is_file()

    def start(self) -> tuple[TrainRecipe, RunStart]:
        """The recipe and what else the run started from.

        Raises:
            RecipeError: a file is missing or damaged.
        """
        remedy = f"remove {self.folder} and train anew"
        start = read_json(self.folder / START, RunStart, RecipeError, remedy)
        return read_train_recipe(self.folder / RECIPE), start

    def save(self, state: TrainingState, arrays: Arrays) -> None:
        """Replace the stored state by this one; a kill at any moment leaves the one or the other.

        Raises:
            RecipeError: the disk cannot take it.
        """
        flat = {f"{group}/{i}": array for group, values in arrays.items() for i, array in enumerate(values)}
        encoded = np.frombuffer(msgspec.json.encode(state), np.uint8)
        path = self.folder / STATE
        with translate_disk_errors(path), atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, state=encoded, **flat)  # type: ignore[arg-type]

    def load(self) -> tuple[TrainingState, Arrays] | None:
        """The state last saved, or None.

        Raises:
            RecipeError: the file was damaged since.
        """
        if not self.has_state:
            return None
        try:
            with (self.folder / STATE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                flat = {name: stored[name] for name in stored.files}
            raw = json.loads(flat.pop("state").tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            raise RecipeError(f"{self.folder / STATE}: damaged; remove {self.folder} and train anew") from None
        arrays: Arrays = {}
        for name, array in flat.items():
            arrays.setdefault(name.partition("/")[0], []).append(array)
        return parse(TrainingState, raw, str(self.folder / STATE), RecipeError), arrays

    def log(self, history: Sequence[EpochRow]) -> None:
        """Write the epochs so far as CSV, and the last one for TensorBoard.

        Raises:
            RecipeError: the disk cannot take it.
        """
        with (
            translate_disk_errors(self.folder / CSV),
            (self.folder / CSV).open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(EpochRow.__struct_fields__)
            writer.writerows([for_csv(str(figure)) for figure in msgspec.structs.astuple(row)] for row in history)
        with translate_disk_errors(self.folder / TENSORBOARD):
            try:
                _write_events(self.folder / TENSORBOARD, history[-1])
            except tf.errors.OpError as problem:
                raise OSError(0, problem.message.rpartition("}} ")[2].splitlines()[0]) from None


def _write_events(folder: Path, row: EpochRow) -> None:
    writer = tf.summary.create_file_writer(str(folder))
    scalars = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    with writer.as_default(step=row.epoch):
        for name, figure in msgspec.structs.asdict(row).items():
            if isinstance(figure, float):
                tf.summary.write(name, tf.constant(figure, tf.float32), metadata=scalars)
    writer.close()
