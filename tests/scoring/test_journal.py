"""What an interrupted scoring keeps, and refuses to go on with."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.errors import RecipeError
from bctoolkit.files import in_use
from bctoolkit.scoring.journal import Journal, Request
from bctoolkit.scoring.rows import Row, row_to_json

ROWS = [Row(f"caf\udce9{n}.png", None, "a", None, (0.25, 0.75)) if n % 3 else Row("b", n, error="no") for n in range(7)]
LINES = [(row_to_json(row) + "\n").encode() for row in ROWS]


def request(batch: int = 1, **changes: object) -> Request:
    fields = {"manifest": "m", "engine": "e", "engine_version": "1", "provider": "cpu", "threads": 1}
    return Request(**(fields | {"batch": batch, "count": len(ROWS), "inputs": "i"} | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal")


def interrupted(folder: Path, batch: int = 1) -> Journal:
    """A journal with all rows but no result."""
    shutil.rmtree(folder / "j", ignore_errors=True)
    journal = Journal(folder / "j", folder / "result.csv")

    def work() -> None:
        assert list(journal.keep([ROWS[:3], ROWS[3:]])) == [ROWS[:3], ROWS[3:]]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), journal.begin(request(batch)):
        work()
    return journal


@given(st.integers(0, sum(map(len, LINES))), st.integers(1, 9))
def test_cut_anywhere_it_goes_on_behind_the_last_whole_batch(folder: Path, size: int, batch: int) -> None:
    journal = interrupted(folder, batch)
    os.truncate(folder / "j" / "rows.jsonl", size)
    whole = sum(sum(map(len, LINES[: n + 1])) <= size for n in range(len(LINES)))
    expected = whole if whole == len(ROWS) else whole // batch * batch
    with journal.go_on(request(batch)) as done:
        assert done == expected
        assert list(journal.rows()) == ROWS[:expected]
        list(journal.keep([ROWS[expected:]]))
        assert list(journal.rows()) == ROWS


def test_before_the_first_row_nothing_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "j", tmp_path / "result.csv")
    with pytest.raises(KeyboardInterrupt), journal.begin(request()):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"manifest": "x"}, "another bundle"),
        ({"inputs": "x"}, "other images"),
        ({"count": 6}, "other images"),
        ({"batch": 2}, "batch 1, not 2"),
        ({"engine_version": "2"}, "engine version 1, not 2"),
        ({"provider": "cuda"}, "provider cpu, not cuda"),
        ({"threads": 2}, "threads 1, not 2"),
    ],
)
def test_it_goes_on_only_with_what_it_was_begun_with(folder: Path, change: dict[str, object], words: str) -> None:
    journal = interrupted(folder)
    message = f"result.csv was begun with {words}; go on with what it was begun with, or remove "
    with pytest.raises(RecipeError, match=message), journal.go_on(request(**change)):  # type: ignore[arg-type]
        pass
    assert list(journal.rows()) == ROWS


@pytest.mark.parametrize("damage", [b"\0" * 40 + b"\n", b"[1]\n", b"x" * 100 + b"\n", b"\xff\n", LINES[0]])
def test_a_damaged_one_is_refused_in_one_line(folder: Path, damage: bytes) -> None:
    journal = interrupted(folder)
    with (folder / "j" / "rows.jsonl").open("ab") as file:
        file.write(damage)
    with pytest.raises(RecipeError, match="remove"), journal.go_on(request()):
        pass


def test_a_missing_request_is_one_line(folder: Path) -> None:
    journal = interrupted(folder)
    (folder / "j" / "request.json").unlink()
    with pytest.raises(RecipeError, match="start anew"), journal.go_on(request()):
        pass


def test_two_processes_do_not_work_on_one(folder: Path) -> None:
    journal = interrupted(folder)
    with in_use(folder / "j"), pytest.raises(RecipeError, match="in use"), journal.go_on(request()):
        pass
