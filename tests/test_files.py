"""Files are whole or absent, whatever ends the process that writes them."""

import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bctoolkit.errors import RecipeError
from bctoolkit.files import (
    atomic_file,
    atomic_folder,
    atomic_path,
    in_use,
    resumable_folder,
    scratch_folder,
    sha256_bytes,
    sha256_file,
    without_empty_folders,
)

OLD = {"a.txt": "old a", "b.txt": "old b"}
NEW = {"a.txt": "new a", "c.txt": "new c"}

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from bctoolkit.files import atomic_folder
target, fatal, seen = Path(sys.argv[1]), int(sys.argv[2]), 0
WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}

def die_before_step(event, arguments):
    '''Kill this process with SIGKILL just before it does its step number `fatal` on the file system.'''
    global seen
    if event in WATCHED and (event in ("os.remove", "os.rmdir") or str(arguments[0]).startswith(str(target.parent))):
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1
"""
FOLDER = (
    PRELUDE
    + """
sys.addaudithook(die_before_step)
with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
    (folder / "a.txt").write_text("new a")
    (folder / "c.txt").write_text("new c")
print(seen)
"""
)
WAITING = (
    PRELUDE
    + """
with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
    (folder / "a.txt").write_text("new a")
    print("inside", flush=True)
    time.sleep(60)
"""
)


def fill(folder: Path, content: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in content.items():
        (folder / name).write_text(text)


def content_of(folder: Path) -> dict[str, str] | None:
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else None


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(script: str, target: Path, fatal: int = -1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, str(target), str(fatal)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


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


def write_new(target: Path) -> None:
    with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
        fill(folder, NEW)


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


def test_what_a_killed_writer_left_of_a_file_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".a.npz.partial-0123abcd").write_bytes(b"half")
    alive = tmp_path / ".a.npz.partial-4567cdef"
    alive.write_bytes(b"of a writer that still runs")
    with held(alive):
        atomic_file(tmp_path / "a.npz", b"new")
    assert names(tmp_path) == [alive.name, "a.npz"]


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


@contextmanager
def held(path: Path) -> Iterator[None]:
    """As its writer holds what is unfinished."""
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


@pytest.mark.parametrize("kind", ["partial", "replaced"])
def test_the_folder_of_a_writer_that_still_runs_is_left_alone(tmp_path: Path, kind: str) -> None:
    other = tmp_path / f".target.{kind}-0123abcd"
    fill(other, OLD)
    with held(other):
        write_new(tmp_path / "target")
    assert content_of(other) == OLD


def test_a_file_system_without_locks_never_calls_anything_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fill(tmp_path / ".target.partial-0123abcd", OLD)
    monkeypatch.setattr(fcntl, "flock", refuse)
    write_new(tmp_path / "target")
    assert content_of(tmp_path / "target") == NEW
    assert names(tmp_path) == [".target.partial-0123abcd", "target"]


def test_what_is_taken_for_abandoned_at_once_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between making its folder and locking it, a writer cannot keep others from clearing it away."""
    original, thieves = fcntl.flock, [1]

    def flock(descriptor: int, operation: int) -> None:
        if thieves.pop() if thieves else 0:
            shutil.rmtree(next(tmp_path.glob(".target.partial-*")))
        original(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    write_new(tmp_path / "target")
    assert content_of(tmp_path / "target") == NEW
    assert names(tmp_path) == ["target"]


def test_writers_in_two_containers_on_one_volume_leave_each_other_alone(tmp_path: Path) -> None:
    """Each is process 1 or so of its own namespace: an id says nothing of the other's."""
    if subprocess.run(["unshare", "-Upf", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    target = tmp_path / "target"
    command = ["unshare", "-Upf", "--kill-child", sys.executable, "-c", WAITING, str(target), "-1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "inside\n"
        (unfinished,) = tmp_path.iterdir()
        second = run(FOLDER, target)
        assert second.returncode == 0, second.stderr
        assert unfinished.is_dir()
        assert content_of(target) == NEW
        first.kill()
        with held(unfinished):  # waits for the end of the process within
            pass
    write_new(target)
    assert names(tmp_path) == ["target"]


def test_two_writers_of_one_folder_end_with_one_of_theirs(tmp_path: Path) -> None:
    """Whichever comes last; neither fails, and nothing is left beside it."""
    target, problems = tmp_path / "target", list[BaseException]()

    def write(text: str) -> None:
        try:
            for _ in range(40):
                with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
                    fill(folder, {"a.txt": text, "b.txt": text})
        except BaseException as problem:
            problems.append(problem)

    workers = [threading.Thread(target=write, args=(text,)) for text in ("one", "two")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not problems
    assert content_of(target) in [{"a.txt": text, "b.txt": text} for text in ("one", "two")]
    assert names(tmp_path) == ["target"]


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


def test_unfinished_work_is_done_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with resumable_folder(folder, {}, lambda: True), pytest.raises(RecipeError, match="in use: another process"):
        in_use(folder).__enter__()
    with in_use(folder):
        pass


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_temporary_files_of_a_killed_process_are_cleared_away_by_the_next(temporary: Path) -> None:
    with scratch_folder() as first:
        fill(first, OLD)
        left = first.with_name(first.name[:-8] + "0123abcd")
        fill(left, OLD)
        with scratch_folder():
            assert content_of(first) == OLD
            assert not left.exists()
    assert names(temporary) == []


def test_only_folders_are_taken_for_left_behind(temporary: Path) -> None:
    with scratch_folder() as first:
        prefix = first.name[:-8]
    mine = temporary / "mine"
    fill(mine, OLD)
    (temporary / f"{prefix}link").symlink_to(mine)
    (temporary / f"{prefix}file").write_text("mine")
    with scratch_folder():
        pass
    assert content_of(mine) == OLD
    assert names(temporary) == [f"{prefix}file", f"{prefix}link", "mine"]


def test_an_error_of_the_disk_names_what_was_to_be_written(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for write in (atomic_path(tmp_path / "a.npz"), atomic_folder(tmp_path / "a", "a.txt", ())):
        with pytest.raises(OSError, match=r"No space left on device: '.*/a(\.npz)?'"), write:
            fail()
    with pytest.raises(FileNotFoundError, match=r"'.*/a/b/c'"), atomic_folder(tmp_path / "a", "a.txt", ()) as folder:
        (folder / "b" / "c").write_text("no folder b")
    assert names(tmp_path) == []
