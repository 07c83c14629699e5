"""Files are whole or absent, whatever ends the process that writes them."""

import errno
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bctoolkit.errors import RecipeError
from bctoolkit.files import (
    atomic_file,
    atomic_folder,
    atomic_path,
    resumable_folder,
    sha256_bytes,
    sha256_file,
    without_empty_folders,
)
from tests.support.writers import FOLDER, NEW, OLD, WAITING, content_of, fill, names, run, write_new


def kills(script: str, root: Path, earlier: dict[str, str] | str | None) -> Iterator[Path]:
    """The target after a writer was killed before its first step, before its second, and so on to its last."""
    for fatal in range(100):
        target = root / f"case{fatal}" / "target"
        target.parent.mkdir()
        if isinstance(earlier, str):
            target.write_text(earlier)
        elif earlier is not None:
            fill(target, earlier)
        done = run(script, target, fatal)
        if done.returncode == 0:
            assert fatal > 2, "nothing was killed"
            return
        assert done.returncode == -signal.SIGKILL, done.stderr
        yield target


def write_and_fail(target: Path, error: type[BaseException]) -> None:
    with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
        fill(folder, NEW)
        raise error


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    for content in (b"old", b"new and longer"):
        atomic_file(tmp_path / "a.json", content)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.json": content}


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.json" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"a\.json"):
        atomic_file(tmp_path / "a.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_whose_block_fails_stays_as_it_was(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_path(tmp_path / "a.npz") as partial:
            partial.write_bytes(b"half of the new")
            raise MemoryError

    (tmp_path / "a.npz").write_bytes(b"old")
    with pytest.raises(MemoryError):
        write_half()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.npz": b"old"}


def begin_and_fail(folder: Path, error: type[BaseException], state: str | None) -> None:
    with resumable_folder(folder, {"begin.json": b"{}"}, lambda: (folder / "state").exists()):
        assert content_of(folder) == {"begin.json": "{}"}
        if state is not None:
            (folder / "state").write_text(state)
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_unfinished_folder_stays_only_if_it_can_be_resumed(tmp_path: Path, error: type[BaseException]) -> None:
    folder = tmp_path / "deep" / "folder"
    with pytest.raises(error):
        begin_and_fail(folder, error, None)
    assert names(tmp_path) == []
    with pytest.raises(error):
        begin_and_fail(folder, error, "half")
    assert content_of(folder) == {"begin.json": "{}", "state": "half"}


def test_an_unfinished_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path / "folder", OLD)
    with pytest.raises(FileExistsError):
        begin_and_fail(tmp_path / "folder", ValueError, None)
    assert content_of(tmp_path / "folder") == OLD


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
        fill(folder, NEW)
        assert folder.name.startswith(".")
        assert folder.parent == target.parent
        assert not target.exists()
    assert content_of(target) == NEW
    assert names(target.parent) == ["target"]


def test_an_earlier_folder_is_replaced_whole(tmp_path: Path) -> None:
    fill(tmp_path / "target", OLD)
    with atomic_folder(tmp_path / "target", "a.txt", ("*.txt",)) as folder:
        fill(folder, NEW)
        assert content_of(tmp_path / "target") == OLD
    assert content_of(tmp_path / "target") == NEW
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("content", [{"holiday.jpg": "mine"}, {"A.TXT.bak": "mine", ".hidden": "mine"}])
def test_a_folder_with_other_things_is_never_replaced(tmp_path: Path, content: dict[str, str]) -> None:
    fill(tmp_path / "target", content)
    with pytest.raises(RecipeError, match=r"target .*a\.txt"):
        write_new(tmp_path / "target")
    assert content_of(tmp_path / "target") == content
    assert names(tmp_path) == ["target"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    with pytest.raises(RecipeError, match="target"):
        write_new(tmp_path / "target")
    assert (tmp_path / "target").read_text() == "mine"


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    write_new(tmp_path / "target")
    assert content_of(tmp_path / "target") == NEW
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("earlier", [None, OLD], ids=["nothing before", "an earlier one"])
def test_a_block_that_fails_leaves_all_as_it_was(
    tmp_path: Path, error: type[BaseException], earlier: dict[str, str] | None
) -> None:
    target = tmp_path / "target"
    if earlier is not None:
        fill(target, earlier)
    with pytest.raises(error):
        write_and_fail(target, error)
    assert content_of(target) == earlier
    assert names(tmp_path) == (["target"] if earlier else [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_process_cleans_up_behind_itself(tmp_path: Path, number: signal.Signals) -> None:
    target = tmp_path / "target"
    fill(target, OLD)
    command = [sys.executable, "-c", WAITING, str(target), "-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "inside\n"
        child.send_signal(number)
        assert child.wait(timeout=30) != 0
    assert content_of(target) == OLD
    assert names(tmp_path) == ["target"]


def test_a_killed_process_leaves_no_half_folder_and_the_next_write_cleans_up(tmp_path: Path) -> None:
    for target in kills(FOLDER, tmp_path, None):
        assert content_of(target) in (None, NEW)
        assert all(name.startswith(".target.") for name in names(target.parent) if name != "target")
        write_new(target)
        assert content_of(target) == NEW
        assert names(target.parent) == ["target"]


def test_a_killed_process_leaves_the_earlier_folder_or_the_new_one_never_a_mixture(tmp_path: Path) -> None:
    for target in kills(FOLDER, tmp_path, OLD):
        assert content_of(target) in (None, OLD, NEW)
        write_new(target)
        assert content_of(target) == NEW
        assert names(target.parent) == ["target"]


def test_a_killed_process_never_costs_the_earlier_folder(tmp_path: Path) -> None:
    """Killed between the two renames, the earlier folder stands aside; the next write must not throw it away."""
    for target in kills(FOLDER, tmp_path, OLD):
        with pytest.raises(MemoryError):
            write_and_fail(target, MemoryError)
        assert content_of(target) in (OLD, NEW), names(target.parent)


def test_hidden_folders_of_other_targets_are_left_alone(tmp_path: Path) -> None:
    fill(tmp_path / ".target2.partial-0123abcd", OLD)
    fill(tmp_path / ".target.partial-notes", OLD)
    write_new(tmp_path / "target")
    assert names(tmp_path) == [".target.partial-notes", ".target2.partial-0123abcd", "target"]


@pytest.mark.parametrize("name", ["run", "run[1]", "run*", "a.b", "zelle ü"])
def test_an_abandoned_folder_is_removed_whatever_the_target_is_called(tmp_path: Path, name: str) -> None:
    fill(tmp_path / f".{name}.partial-0123abcd", OLD)
    write_new(tmp_path / name)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("mine", ["notes.md", ".hidden", "a.txt.bak"])
def test_a_folder_of_ours_that_holds_something_else_too_is_never_replaced(tmp_path: Path, mine: str) -> None:
    content = {**OLD, mine: "mine"}
    fill(tmp_path / "target", content)
    with pytest.raises(RecipeError, match=f"holds {re.escape(mine)}, which is not ours"):
        write_new(tmp_path / "target")
    assert content_of(tmp_path / "target") == content
    assert names(tmp_path) == ["target"]


def test_the_terminate_handler_is_the_earlier_one_again(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with atomic_folder(tmp_path / "target", "a.txt", ("*.txt",)):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_may_write_a_folder(tmp_path: Path) -> None:
    worker = threading.Thread(target=write_new, args=(tmp_path / "target",))
    worker.start()
    worker.join()
    assert content_of(tmp_path / "target") == NEW


def test_hashes_are_sha_256_of_the_content(tmp_path: Path) -> None:
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "abc") == known


def test_a_long_file_is_hashed_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    (tmp_path / "long").write_bytes(content)
    assert sha256_file(tmp_path / "long") == sha256_bytes(content)


@pytest.mark.parametrize("failing", [False, True])
def test_folders_that_stay_empty_go_again(tmp_path: Path, failing: bool) -> None:
    old = tmp_path / "old"
    old.mkdir()
    empty, full = tmp_path / "a" / "b" / "empty", tmp_path / "a" / "full"

    def work() -> None:
        with without_empty_folders(old, empty, full, tmp_path / "never" / "made"):
            empty.mkdir(parents=True)
            full.mkdir()
            (full / "file").write_text("x")
            if failing:
                raise KeyboardInterrupt

    if failing:
        with pytest.raises(KeyboardInterrupt):
            work()
    else:
        work()
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {"old", "a", "a/full", "a/full/file"}


def test_an_error_of_the_disk_names_what_was_to_be_written(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for write in (atomic_path(tmp_path / "a.npz"), atomic_folder(tmp_path / "a", "a.txt", ())):
        with pytest.raises(OSError, match=r"No space left on device: '.*/a(\.npz)?'"), write:
            fail()
    with pytest.raises(FileNotFoundError, match=r"'.*/a/b/c'"), atomic_folder(tmp_path / "a", "a.txt", ()) as folder:
        (folder / "b" / "c").write_text("no folder b")
    assert names(tmp_path) == []
