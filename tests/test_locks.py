"""What is unfinished is held by a lock: it is cleared away once nobody holds it, in whatever container."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bctoolkit.errors import RecipeError
from bctoolkit.files import atomic_file, atomic_folder, in_use, resumable_folder, scratch_folder
from tests.support.writers import FOLDER, NEW, OLD, WAITING, content_of, fill, names, run, write_new


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


def test_what_a_killed_writer_left_of_a_file_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".a.npz.partial-0123abcd").write_bytes(b"half")
    alive = tmp_path / ".a.npz.partial-4567cdef"
    alive.write_bytes(b"of a writer that still runs")
    with held(alive):
        atomic_file(tmp_path / "a.npz", b"new")
    assert names(tmp_path) == [alive.name, "a.npz"]


def test_where_the_system_lists_no_locks_the_holder_is_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise FileNotFoundError

    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(Path, "read_text", refuse)
    with held(tmp_path / "folder"), pytest.raises(RecipeError, match="in use: another process works on it"):
        in_use(tmp_path / "folder").__enter__()


def test_unfinished_work_is_done_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with (
        resumable_folder(folder, {}, lambda: True),
        pytest.raises(RecipeError, match=f"in use: process {os.getpid()} works on it"),
    ):
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
