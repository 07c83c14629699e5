"""The same rows from several processes as from one, whatever becomes of the processes."""

import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bctoolkit.contract import InputContract
from bctoolkit.errors import DatasetError, MissingExtra
from bctoolkit.progress import Silent
from bctoolkit.scoring.inputs import Inputs
from bctoolkit.scoring.on_ray import Opening, _item, _place, on_ray
from tests.support.bundles import STORED
from tests.support.scoring import classifier, pictures

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install 'bctoolkit[ray]'")
ON_TWO = ("--runner", "ray", "--workers", "2")
OPENING = Opening(str(STORED), None, "cpu", 1, None, os.getcwd())


def bctk(tmp_path: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bctoolkit", "predict", str(STORED), *map(str, arguments)]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'bctoolkit\[ray\]'"):
        on_ray(OPENING, None, 60)


@with_ray
def test_where_all_rows_are_there_no_cluster_is_started() -> None:
    assert list(on_ray(OPENING, 1, 60)(classifier(), [], 1)) == []


@with_ray
def test_arrays_that_cannot_be_read_in_parts_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "set.npz", images=np.ones((3, 16, 16, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"set\.npz: a compressed \.npz cannot be read in parts"):
        next(on_ray(OPENING, 1, 60)(classifier(), Inputs([str(tmp_path / "set.npz")]), 1))


@with_ray
@pytest.mark.soak
@pytest.mark.parametrize("batch", ["1", "3"])
@pytest.mark.parametrize("words", [("--runner", "ray"), ("--engine", "ray")])
def test_two_workers_write_the_file_of_one_process(tmp_path: Path, batch: str, words: tuple[str, ...]) -> None:
    names = [Path(name).relative_to(tmp_path) for name in pictures(tmp_path / "images", "gbgmlg" * 30)]
    np.savez(tmp_path / "set.npz", images=np.ones((50, 16, 16, 3), np.uint8))
    here = bctk(tmp_path, *names, "set.npz", "--out", "here.csv", "--batch", batch)
    there = bctk(tmp_path, *names, "set.npz", "--out", "there.csv", "--batch", batch, *words, "--workers", "2")
    assert there.stderr == here.stderr
    assert there.returncode == here.returncode == 1
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


@with_ray
@pytest.mark.soak
def test_what_was_begun_here_is_finished_there(tmp_path: Path) -> None:
    """The disk is full after some rows."""
    words = pictures(tmp_path / "images", "gbg") * 100
    (tmp_path / "list.txt").write_text("\n".join(words))
    begin = [
        "sh",
        "-c",
        'ulimit -f 8; exec "$@"',
        "sh",
        sys.executable,
        "-B",
        "-m",
        "bctoolkit",
        "predict",
        str(STORED),
    ]
    unwatched = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    full = subprocess.run([*begin, "@list.txt", "--out", "there.csv"], cwd=tmp_path, env=unwatched, check=False)
    assert full.returncode == 1
    assert (tmp_path / ".there.csv.unfinished" / "rows.jsonl").read_bytes().count(b"\n") > 10
    assert bctk(tmp_path, "@list.txt", "--out", "there.csv", "--resume", *ON_TWO).returncode == 1
    assert bctk(tmp_path, "@list.txt", "--out", "here.csv").returncode == 1
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


def actors() -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["cmdline"]):
        is_actor = any("MapWorker" in word for word in process.info["cmdline"] or ())
        if is_actor and os.getpid() in (parent.pid for parent in process.parents()):
            yield process


@with_ray
@pytest.mark.soak
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    """Killed twice, while rows come."""
    words = pictures(tmp_path / "images", "ggbg") * 1500
    command = [sys.executable, "-m", "bctoolkit", "predict", str(STORED), "@list.txt"]
    (tmp_path / "list.txt").write_text("\n".join(words))
    assert subprocess.run([*command, "--out", "here.csv"], cwd=tmp_path, check=False).returncode == 1
    kept = tmp_path / ".there.csv.unfinished" / "rows.jsonl"
    killed: list[int] = []
    with subprocess.Popen([*command, "--out", "there.csv", *ON_TWO], cwd=tmp_path) as process:

        def kill() -> None:
            for rows in (1, 2500):
                while process.poll() is None and not (kept.exists() and kept.read_bytes().count(b"\n") >= rows):
                    time.sleep(0.05)
                for actor in [each for each in actors() if each.pid not in killed][:1]:
                    killed.append(actor.pid)
                    actor.send_signal(signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        assert process.wait(600) == 1
        thread.join()
    assert len(killed) == 2
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


ASK = """
import sys
from bctoolkit.errors import BctkError
from bctoolkit.scoring.inputs import Inputs
from bctoolkit.scoring.on_ray import Opening, on_ray
from tests.support.scoring import classifier
if __name__ == "__main__":
    run = on_ray(Opening(sys.argv[1], None, "cpu", 1, None, "."), 1, 60)
    try: list(run(classifier(), Inputs(["x.png"]), 1))
    except BctkError as problem: print(type(problem).__name__, problem)
"""


@with_ray
@pytest.mark.soak
def test_what_goes_wrong_at_a_worker_is_the_error_it_is_here(tmp_path: Path) -> None:
    """The bundle is where this process is, and not where the worker is."""
    command = [sys.executable, "-c", ASK, str(tmp_path / "absent")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout == f"BackendError {tmp_path / 'absent'}: no such folder\n", done.stderr


def test_a_worker_reads_the_images_that_it_is_told_places_of(tmp_path: Path) -> None:
    """What goes to it is a place as text, and once for each archive how to read it."""
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", train_images=images[:2] / 255, test_images=images[2:] / 255)
    np.save(tmp_path / "b.npy", images.transpose(0, 3, 1, 2))
    inputs, readers = Inputs([str(tmp_path / "a.npz"), str(tmp_path / "b.npy")]), list[Any]()
    inputs.require(InputContract(height=5, width=6), Silent())
    places = [_place(item, readers) for item in inputs]
    assert len(readers) == 2
    sent = pickle.loads(pickle.dumps(readers))
    read = [_item(place, sent).read() for place in places]
    assert np.array_equal(np.stack(read), np.concatenate([images, images]))
