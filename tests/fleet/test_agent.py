"""The work on a machine, without a connection: packed, unpacked, measured once, told from any line, and removed."""

import io
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.measuring import ImageSets
from bctoolkit.bench.pipeline import open_named, request_for
from bctoolkit.bench.worker.machine import fingerprint
from bctoolkit.fleet import agent
from bctoolkit.fleet.agent import Died, End, Event, Part
from bctoolkit.fleet.programs import PREFIX, PROBE, REMOVE, UNPACK
from bctoolkit.fleet.transfer import Job, pack_code, pack_job, remote_bundle, stored_images
from tests.support.bundles import STORED


def program(text: str, *arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)


@pytest.fixture
def folder(tmp_path: Path, short: Settings) -> Path:
    """A temporary folder as a machine gets it."""
    there, images, journal = tmp_path / f"{PREFIX}x", tmp_path / "images", tmp_path / "journal"
    for each in (there, images, journal):
        each.mkdir()
    (bundle,) = open_named([STORED])
    labelled, foreign = stored_images([bundle], ImageSets(), images)
    request = request_for([bundle], short, fingerprint(), data=None, foreign=None, budget=None)
    request = msgspec.structs.replace(request, bundles=(str(there / remote_bundle(0, bundle)),))
    archives = (
        pack_code(tmp_path / "code", None),
        pack_job(tmp_path / "job", [bundle], Job(request, labelled, foreign), images, journal),
    )
    for archive in archives:
        assert program(UNPACK, there, stdin=archive.read_bytes()).returncode == 0
    return there


def start(folder: Path) -> None:
    """With the code that was sent."""
    command = [sys.executable, "-P", "-m", "bctoolkit.fleet.agent", "start", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(folder / "code")}
    subprocess.run(command, env=environment, check=True, timeout=120)


def told(folder: Path, seen: int = 0) -> list[Event]:
    output = io.BytesIO()
    agent.follow(folder, seen, output)
    return [msgspec.json.decode(line, type=Event) for line in output.getvalue().splitlines()]


@pytest.mark.slow
def test_it_measures_once_and_tells_all_of_it_from_any_line(folder: Path, short: Settings) -> None:
    start(folder)
    events = told(folder)
    start(folder)
    assert told(folder) == events
    assert told(folder, seen=3) == events[3:]
    names = [event.name for event in events if isinstance(event, Part) and event.last]
    assert len(set(names)) == len(names) == short.sessions + 1
    for event in events:
        if isinstance(event, Part):
            assert (folder / "journal" / event.name).read_bytes() == event.content
    assert events[-1] == End("")
    assert {path.name for path in (folder / "code").iterdir()} == {"bctoolkit"}
    assert program(REMOVE, folder).returncode == 0
    assert not folder.exists()


@pytest.mark.slow
def test_what_runs_is_ended_before_its_folder_is_removed(folder: Path) -> None:
    job = msgspec.json.decode((folder / "job.json").read_bytes(), type=Job)
    endless = msgspec.structs.replace(job.request.settings, min_seconds=600.0)
    request = msgspec.structs.replace(job.request, settings=endless)
    (folder / "job.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(job, request=request)))
    start(folder)
    group = int((folder / "lock").read_text())
    assert program(REMOVE, folder).returncode == 0
    assert not folder.exists()
    running = subprocess.run(["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True, check=False)
    assert all(line.startswith("Z") for line in running.stdout.split())


def test_a_benchmark_that_died_is_told(tmp_path: Path) -> None:
    for name, content in (("events", b""), ("lock", b"1"), ("log", b"first\nMemoryError\n")):
        (tmp_path / name).write_bytes(content)
    assert told(tmp_path) == [Died("MemoryError")]


def test_only_folders_of_ours_are_removed(tmp_path: Path) -> None:
    assert program(REMOVE, tmp_path).returncode == 1
    assert tmp_path.exists()


def test_no_process_is_signalled_that_does_not_hold_the_lock(tmp_path: Path) -> None:
    """Its number may be another's by now."""
    sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
    folder = tmp_path / f"{PREFIX}x"
    folder.mkdir()
    (folder / "lock").write_text(str(sleeper.pid))
    try:
        assert program(REMOVE, folder).returncode == 0
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_probe_makes_a_private_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    facts = msgspec.json.decode(program(PROBE, "numpy", "no_such_module").stdout)
    assert facts["installed"] == ["numpy"]
    assert Path(facts["folder"]).stat().st_mode & 0o777 == 0o700
    assert facts["version"] == list(sys.version_info[:2])
