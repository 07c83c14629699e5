"""What is reused of an earlier export, and when it is not."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.export import cache
from bctoolkit.export.cache import PredictionCache, digest

PREDICTIONS = np.array([[0.25, 0.75]], np.float32)


class Counted:
    """Predicts, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> NDArray[np.float32]:
        self.times += 1
        return PREDICTIONS


def cached_predictions(
    folder: Path | None, key: str, predict: Counted, max_bytes: int = cache.MAX_BYTES
) -> NDArray[np.float32]:
    """What one export after another gets."""
    predictions = PredictionCache(folder, max_bytes)
    result = predictions.lookup(key, predict)
    predictions.keep()
    return result


def test_nothing_is_written_before_it_is_to_be_kept(tmp_path: Path) -> None:
    predict, predictions = Counted(), PredictionCache(tmp_path / "new" / "folder")
    for _ in range(2):
        assert np.array_equal(predictions.lookup("a" * 64, predict), PREDICTIONS)
    assert predict.times == 1
    assert not list(tmp_path.iterdir())
    predictions.keep()
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 1


def test_a_prediction_is_made_once(tmp_path: Path) -> None:
    predict = Counted()
    for _ in range(3):
        assert np.array_equal(cached_predictions(tmp_path / "new" / "folder", "a" * 64, predict), PREDICTIONS)
    assert predict.times == 1
    cached_predictions(tmp_path / "new" / "folder", "b" * 64, predict)
    assert predict.times == 2


def test_without_a_folder_nothing_is_cached() -> None:
    predict = Counted()
    assert np.array_equal(cached_predictions(None, "a" * 64, predict), PREDICTIONS)
    cached_predictions(None, "a" * 64, predict)
    assert predict.times == 2


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04 torn"])
def test_damaged_predictions_are_made_again(tmp_path: Path, damage: bytes) -> None:
    predict = Counted()
    cached_predictions(tmp_path, "a" * 64, predict)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert np.array_equal(cached_predictions(tmp_path, "a" * 64, predict), PREDICTIONS)
    cached_predictions(tmp_path, "a" * 64, predict)
    assert predict.times == 2


def test_a_flipped_bit_of_cached_predictions_is_noticed(tmp_path: Path) -> None:
    predict = Counted()
    cached_predictions(tmp_path, "a" * 64, predict)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[content.index(PREDICTIONS.tobytes())] ^= 1
    file.write_bytes(content)
    assert np.array_equal(cached_predictions(tmp_path, "a" * 64, predict), PREDICTIONS)
    assert predict.times == 2


def test_the_predictions_used_longest_ago_go_first(tmp_path: Path) -> None:
    predict = Counted()
    for age, key in ((300, "a"), (200, "b"), (100, "c")):
        cached_predictions(tmp_path, key * 64, predict)
        path = tmp_path / f"predictions-{key * 32}.npz"
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    cached_predictions(tmp_path, "a" * 64, predict)  # used now
    size = (tmp_path / f"predictions-{'a' * 32}.npz").stat().st_size
    cached_predictions(tmp_path, "d" * 64, predict, max_bytes=2 * size)
    assert {path.name[12] for path in tmp_path.iterdir()} == {"a", "d"}


PARTS = st.lists(st.one_of(st.text(max_size=5), st.integers(0, 9), st.lists(st.integers(0, 9), max_size=3)), max_size=4)


@given(PARTS, PARTS)
def test_different_parts_have_different_digests(first: list[object], second: list[object]) -> None:
    assert (digest(*first) == digest(*second)) == (first == second)


def test_another_version_of_a_tool_is_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest("a")
    monkeypatch.setattr(cache, "versions", lambda *names: dict.fromkeys(names, "0"))
    assert digest("a") != before
