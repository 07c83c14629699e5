"""What unfinished training keeps on disk."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.errors import RecipeError
from bctoolkit.files import unfinished
from bctoolkit.recipes import Augment, AugmentOps, Distill, Phase, TrainRecipe
from bctoolkit.run import EpochRow
from bctoolkit.train.checkpoint import RunStart, TrainingCheckpoint, TrainingState

RECIPE = TrainRecipe(
    model="baseline_cnn",
    phases=(Phase("one", 1, 1e-3, ("*",)), Phase("two", 2, 1e-4, unfreeze_stages=1)),
    augment=Augment(one_of=(AugmentOps(), AugmentOps(noise=0.1, blur=0.3, randaugment=1)), mixup=0.2),
    distill=Distill("runs/x", 0.3, 4.0),
)
START = RunStart("/images", "abc", "fresh weights")
ROW = EpochRow(
    phase="one",
    epoch=1,
    seconds=1.5,
    waiting_share=0.125,
    learning_rate=0.0625,
    loss=0.25,
    accuracy=1.0,
    val_loss=0.5,
    val_accuracy=0.75,
)

FullDisk = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[TrainingCheckpoint]:
    with TrainingCheckpoint(unfinished(tmp_path / "runs" / "x")).begin(RECIPE, START) as checkpoint:
        yield checkpoint


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def arrays(seed: int = 0, size: int = 40) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    model = [rng.normal(size=(size, 3)).astype(np.float32) for _ in range(12)]
    return {
        "model": [*model, np.array([3, 4], np.uint32)],
        "optimizer": [np.array(7)],
        "average": [],
        "best": model[:2],
    }


def test_it_lies_hidden_beside_the_run(tmp_path: Path) -> None:
    assert unfinished(tmp_path / "a.b") == tmp_path / ".a.b.unfinished"


def test_what_a_run_started_from_is_read_back(checkpoint: TrainingCheckpoint) -> None:
    assert TrainingCheckpoint(checkpoint.folder).start() == (RECIPE, START)
    assert not checkpoint.has_state
    assert checkpoint.load() is None


def test_the_state_comes_back_to_the_last_bit_and_in_order(checkpoint: TrainingCheckpoint) -> None:
    state = TrainingState(
        phase=1, epoch=2, step=3, loss=0.1 + 0.2, best=(0.5, -1 / 3), epochs_without_improvement=1, history=(ROW, ROW)
    )
    checkpoint.save(TrainingState(), arrays(1))
    checkpoint.save(state, arrays())
    stored = checkpoint.load()
    assert stored is not None
    assert stored[0] == state
    for group, values in arrays().items():
        for array, expected in zip(stored[1].get(group, []), values, strict=True):
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == ["recipe.toml", "start.json", "state.npz"]


sums = st.floats(allow_nan=False, allow_infinity=False)


@given(loss=sums, correct=sums, best=st.none() | st.tuples(sums, sums), seconds=sums)
def test_a_state_keeps_every_bit_of_its_sums(loss: float, correct: float, best: Any, seconds: float) -> None:
    state = TrainingState(
        loss=loss, correct=correct, best=best, seconds=seconds, history=(msgspec.structs.replace(ROW, loss=loss),)
    )
    assert msgspec.json.decode(msgspec.json.encode(state), type=TrainingState) == state


def test_a_full_disk_is_one_line_and_the_state_before_stays(
    checkpoint: TrainingCheckpoint, full_disk: FullDisk
) -> None:
    checkpoint.save(TrainingState(epoch=1), arrays())
    before = content(checkpoint.folder)
    with (
        full_disk(64 * 1024),
        pytest.raises(RecipeError, match=r"cannot write .*state\.npz: File too large; make room") as caught,
    ):
        checkpoint.save(TrainingState(epoch=2), arrays(size=100_000))
    assert "\n" not in str(caught.value)
    assert content(checkpoint.folder) == before
    stored = checkpoint.load()
    assert stored is not None
    assert stored[0].epoch == 1


def test_a_full_disk_while_the_log_is_written_is_one_line_too(
    checkpoint: TrainingCheckpoint, full_disk: FullDisk
) -> None:
    with full_disk(0), pytest.raises(RecipeError, match=r"cannot write .*history\.csv: File too large"):
        checkpoint.log([ROW])


def test_a_full_disk_while_tensorboard_s_file_is_written_is_one_line_too(checkpoint: TrainingCheckpoint) -> None:
    (checkpoint.folder / "tensorboard").write_text("a file where a folder should be")
    with pytest.raises(RecipeError, match=r"cannot write .*tensorboard: .*; make room there") as caught:
        checkpoint.log([ROW])
    assert "\n" not in str(caught.value)


def test_a_full_disk_at_the_very_start_leaves_nothing(tmp_path: Path, full_disk: FullDisk) -> None:
    with (
        full_disk(0),
        pytest.raises(RecipeError, match=r"cannot write .*\.x\.unfinished: File too large"),
        TrainingCheckpoint(unfinished(tmp_path / "runs" / "x")).begin(RECIPE, START),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be")
    with (
        pytest.raises(RecipeError, match=r"cannot write .*: Not a directory"),
        TrainingCheckpoint(unfinished(tmp_path / "runs" / "x")).begin(RECIPE, START),
    ):
        pass
    assert (tmp_path / "runs").is_file()


def fail(folder: Path, error: type[BaseException], state: TrainingState | None) -> None:
    """Start a run, save a state if one is given, and fail."""
    with TrainingCheckpoint(folder).begin(RECIPE, START) as checkpoint:
        checkpoint.log([ROW])
        if state is not None:
            checkpoint.save(state, arrays())
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_what_fails_before_the_first_checkpoint_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        fail(unfinished(tmp_path / "training" / "runs" / "x"), error, None)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_later_keeps_the_state(tmp_path: Path) -> None:
    folder = unfinished(tmp_path / "runs" / "x")
    with pytest.raises(KeyboardInterrupt):
        fail(folder, KeyboardInterrupt, TrainingState(epoch=1))
    assert TrainingCheckpoint(folder).has_state
    assert TrainingCheckpoint(folder).start() == (RECIPE, START)


def test_a_run_of_the_same_name_that_was_started_meanwhile_is_left_alone(checkpoint: TrainingCheckpoint) -> None:
    before = content(checkpoint.folder)
    with pytest.raises(RecipeError, match="File exists"), TrainingCheckpoint(checkpoint.folder).begin(RECIPE, START):
        pass
    assert content(checkpoint.folder) == before


@pytest.mark.parametrize("damage", [b"", b"{", b'{"source": 1}', None])
def test_a_damaged_start_says_what_to_do(checkpoint: TrainingCheckpoint, damage: bytes | None) -> None:
    path = checkpoint.folder / "start.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(RecipeError, match=r"start\.json: "):
        checkpoint.start()


@pytest.mark.parametrize("cut", [0, 10, 0.5, -1])
def test_a_damaged_state_says_what_to_do(checkpoint: TrainingCheckpoint, cut: float) -> None:
    checkpoint.save(TrainingState(), arrays())
    path = checkpoint.folder / "state.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole)) if isinstance(cut, float) else cut])
    with pytest.raises(RecipeError, match=r"state\.npz: damaged; remove .*\.x\.unfinished and train anew"):
        checkpoint.load()


def test_one_flipped_byte_of_the_state_is_noticed(checkpoint: TrainingCheckpoint) -> None:
    checkpoint.save(TrainingState(), arrays())
    path = checkpoint.folder / "state.npz"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(RecipeError, match="damaged"):
        checkpoint.load()


def scalars(folder: Path) -> dict[int, dict[str, float]]:
    """Step → name → figure, of all event files."""
    figures: dict[int, dict[str, float]] = {}
    for path in sorted(folder.iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                figures.setdefault(event.step, {})[value.tag] = float(tf.make_ndarray(value.tensor))
    return figures


def test_the_epochs_are_logged_for_spreadsheets_and_for_tensorboard(checkpoint: TrainingCheckpoint) -> None:
    rows = [ROW, msgspec.structs.replace(ROW, epoch=2, loss=0.125)]
    checkpoint.log(rows[:1])
    checkpoint.log(rows)
    with (checkpoint.folder / "history.csv").open(newline="", encoding="utf-8") as file:
        stored = list(csv.DictReader(file))
    assert stored == [{name: str(value) for name, value in msgspec.structs.asdict(row).items()} for row in rows]
    names = set(EpochRow.__struct_fields__) - {"phase", "epoch"}
    assert scalars(checkpoint.folder / "tensorboard") == {
        row.epoch: {name: getattr(row, name) for name in names} for row in rows
    }
