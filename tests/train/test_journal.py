"""What unfinished training keeps on disk."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.errors import RecipeError
from bctoolkit.files import unfinished
from bctoolkit.recipes import Augment, Changes, Distill, Phase, TrainRecipe
from bctoolkit.train.journal import Beginning, Journal, Place

RECIPE = TrainRecipe(
    model="baseline_cnn",
    phases=(Phase("one", 1, 1e-3, ("*",)), Phase("two", 2, 1e-4, unfreeze_stages=1)),
    augment=Augment(one_of=(Changes(), Changes(noise=0.1, blur=0.3, randaugment=1)), mixup=0.2),
    distill=Distill("runs/x", 0.3, 4.0),
)
BEGINNING = Beginning("/images", "abc", "fresh weights")
ROW = {"phase": "one", "epoch": 1, "seconds": 1.5, "loss": 0.25, "val_loss": 0.5, "val_accuracy": 0.75}

FullDisk = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(unfinished(tmp_path / "runs" / "x")).begun(RECIPE, BEGINNING) as begun:
        yield begun


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


def test_what_a_run_was_begun_with_is_read_back(journal: Journal) -> None:
    assert Journal(journal.folder).beginning() == (RECIPE, BEGINNING)
    assert not journal.has_state
    assert journal.load() is None


def test_the_state_comes_back_to_the_last_bit_and_in_order(journal: Journal) -> None:
    place = Place(phase=1, epoch=2, step=3, loss=0.1 + 0.2, best=(0.5, -1 / 3), stale=1, history=(ROW, ROW))
    journal.save(Place(), arrays(1))
    journal.save(place, arrays())
    stored = journal.load()
    assert stored is not None
    assert stored[0] == place
    for group, values in arrays().items():
        for found, expected in zip(stored[1].get(group, []), values, strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    assert sorted(path.name for path in journal.folder.iterdir()) == ["beginning.json", "recipe.toml", "state.npz"]


sums = st.floats(allow_nan=False, allow_infinity=False)


@given(loss=sums, correct=sums, best=st.none() | st.tuples(sums, sums), seconds=sums)
def test_a_place_keeps_every_bit_of_its_sums(loss: float, correct: float, best: Any, seconds: float) -> None:
    import msgspec

    place = Place(loss=loss, correct=correct, best=best, seconds=seconds, history=({"loss": loss},))
    assert msgspec.json.decode(msgspec.json.encode(place), type=Place) == place


def test_a_full_disk_is_one_line_and_the_state_before_stays(journal: Journal, full_disk: FullDisk) -> None:
    journal.save(Place(epoch=1), arrays())
    before = content(journal.folder)
    with (
        full_disk(64 * 1024),
        pytest.raises(RecipeError, match=r"cannot write .*state\.npz: File too large; make room") as caught,
    ):
        journal.save(Place(epoch=2), arrays(size=100_000))
    assert "\n" not in str(caught.value)
    assert content(journal.folder) == before
    stored = journal.load()
    assert stored is not None
    assert stored[0].epoch == 1


def test_a_full_disk_while_the_log_is_written_is_one_line_too(journal: Journal, full_disk: FullDisk) -> None:
    with full_disk(0), pytest.raises(RecipeError, match=r"cannot write .*history\.csv: File too large"):
        journal.log([ROW])


def test_a_full_disk_while_tensorboard_s_file_is_written_is_one_line_too(journal: Journal) -> None:
    (journal.folder / "tensorboard").write_text("a file where a folder should be")
    with pytest.raises(RecipeError, match=r"cannot write .*tensorboard: .*; make room there") as caught:
        journal.log([ROW])
    assert "\n" not in str(caught.value)


def test_a_full_disk_at_the_very_beginning_leaves_nothing(tmp_path: Path, full_disk: FullDisk) -> None:
    with (
        full_disk(0),
        pytest.raises(RecipeError, match=r"cannot write .*\.x\.unfinished: File too large"),
        Journal(unfinished(tmp_path / "runs" / "x")).begun(RECIPE, BEGINNING),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be")
    with (
        pytest.raises(RecipeError, match=r"cannot write .*: Not a directory"),
        Journal(unfinished(tmp_path / "runs" / "x")).begun(RECIPE, BEGINNING),
    ):
        pass
    assert (tmp_path / "runs").is_file()


def fail(folder: Path, error: type[BaseException], place: Place | None) -> None:
    """Begin a run, write its first checkpoint if a place is given, and fail."""
    with Journal(folder).begun(RECIPE, BEGINNING) as journal:
        journal.log([ROW])
        if place is not None:
            journal.save(place, arrays())
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_what_fails_before_the_first_checkpoint_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        fail(unfinished(tmp_path / "training" / "runs" / "x"), error, None)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_later_keeps_the_state(tmp_path: Path) -> None:
    folder = unfinished(tmp_path / "runs" / "x")
    with pytest.raises(KeyboardInterrupt):
        fail(folder, KeyboardInterrupt, Place(epoch=1))
    assert Journal(folder).has_state
    assert Journal(folder).beginning() == (RECIPE, BEGINNING)


def test_a_run_of_the_same_name_that_was_begun_meanwhile_is_left_alone(journal: Journal) -> None:
    before = content(journal.folder)
    with pytest.raises(RecipeError, match="File exists"), Journal(journal.folder).begun(RECIPE, BEGINNING):
        pass
    assert content(journal.folder) == before


@pytest.mark.parametrize("damage", [b"", b"{", b'{"source": 1}', None])
def test_a_damaged_beginning_says_what_to_do(journal: Journal, damage: bytes | None) -> None:
    path = journal.folder / "beginning.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(RecipeError, match=r"beginning\.json: "):
        journal.beginning()


@pytest.mark.parametrize("cut", [0, 10, 0.5, -1])
def test_a_damaged_state_says_what_to_do(journal: Journal, cut: float) -> None:
    journal.save(Place(), arrays())
    path = journal.folder / "state.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole)) if isinstance(cut, float) else cut])
    with pytest.raises(RecipeError, match=r"state\.npz: damaged; remove .*\.x\.unfinished and train anew"):
        journal.load()


def test_one_flipped_byte_of_the_state_is_noticed(journal: Journal) -> None:
    journal.save(Place(), arrays())
    path = journal.folder / "state.npz"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(RecipeError, match="damaged"):
        journal.load()


def scalars(folder: Path) -> dict[int, dict[str, float]]:
    """Step → name → figure, of all event files."""
    found: dict[int, dict[str, float]] = {}
    for path in sorted(folder.iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found.setdefault(event.step, {})[value.tag] = float(tf.make_ndarray(value.tensor))
    return found


def test_the_epochs_are_logged_for_spreadsheets_and_for_tensorboard(journal: Journal) -> None:
    rows = [ROW, ROW | {"epoch": 2, "loss": 0.125}]
    journal.log(rows[:1])
    journal.log(rows)
    with (journal.folder / "history.csv").open(newline="", encoding="utf-8") as file:
        stored = list(csv.DictReader(file))
    assert stored == [{name: str(value) for name, value in row.items()} for row in rows]
    names = {name for name, value in ROW.items() if isinstance(value, float)}
    assert scalars(journal.folder / "tensorboard") == {
        row["epoch"]: {name: row[name] for name in names} for row in rows
    }
