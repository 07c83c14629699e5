"""Machines over a real sshd on loopback: what is refused, one round trip, cuts, Ctrl-C, and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import pytest

from bctoolkit.bench.documents import stored
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.errors import DeviceError
from bctoolkit.fleet import pipeline, session
from bctoolkit.fleet.agent import Part
from bctoolkit.fleet.programs import REMOVE
from bctoolkit.fleet.session import RemoteRun
from bctoolkit.progress import Silent
from tests.support.bundles import STORED
from tests.support.cli import fresh_bctk
from tests.support.sshd import Sshd

LONGER = Settings(sessions=4, min_runs=10, min_seconds=2.0, warmup_runs=5, warmup_seconds=0.01, threads=1)


def bctk(folder: Path, *arguments: object) -> CompletedProcess[str]:
    return fresh_bctk("bench", STORED, "--quick", "--out", "report", *arguments, cwd=folder)


def processes_in(folder: Path) -> list[str]:
    """Command lines that name a folder, but those of this test."""
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if f"{folder}/bctk-fleet" in line]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts of journals in the order in which they become whole here."""
    names: list[str] = []
    keep = RemoteRun._keep

    def recorded(self: RemoteRun, part: Part) -> None:
        keep(self, part)
        if part.last:
            names.append(part.name)

    monkeypatch.setattr(RemoteRun, "_keep", recorded)
    monkeypatch.setattr(session, "PAUSES", (0.2,))
    return names


@pytest.mark.slow
def test_there_and_back(sshd: Sshd, tmp_path: Path) -> None:
    done = bctk(tmp_path, "--on", sshd.address, "--ssh-config", sshd.config)
    assert done.returncode == 0, done
    (report,) = stored.read_all(tmp_path / "report")
    assert report.name == sshd.name
    assert [len(result.sessions) for result in report.report.results] == [3]
    assert (tmp_path / "report" / "devices" / sshd.name / "samples.json").is_file()
    assert sshd.left() == []
    assert list(sshd.home.iterdir()) == []
    assert processes_in(sshd.temporary) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "sshd"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("identity", "known", "message"),
    [("user", "nothing", "its host key is not known"), ("stranger", "known", "Permission denied")],
)
def test_a_stranger_is_refused_in_one_line(sshd: Sshd, tmp_path: Path, identity: str, known: str, message: str) -> None:
    config = sshd.write_config(tmp_path / "config", identity, known)
    done = bctk(tmp_path, "--on", sshd.address, "--ssh-config", config)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ssh://127.0.0.1")
    assert message in last
    assert sshd.left() == []
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_another_host_key_than_the_known_one_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    key = (sshd.folder / "user.pub").read_text()
    (sshd.folder / "other").write_text(f"[127.0.0.1]:{sshd.port} {key}")
    config = sshd.write_config(tmp_path / "config", known="other")
    config.write_text(config.read_text() + "  StrictHostKeyChecking no\n")
    done = bctk(tmp_path, "--on", sshd.address, "--ssh-config", config)
    assert done.returncode == 1
    assert "its host key is another than the known one" in done.stderr


@pytest.mark.soak
def test_a_machine_without_python_is_told_and_the_others_go_on(sshd: Sshd, tmp_path: Path) -> None:
    done = bctk(tmp_path, "--on", "local", "--on", f"ssh://127.0.0.1:{sshd.port}", "--python", "/no/python",
                "--ssh-config", sshd.config)  # fmt: skip
    assert done.returncode == 1
    assert "name its Python 3.11 or later with --python" in done.stderr.splitlines()[-1]
    assert [each.name for each in stored.read_all(tmp_path / "report")] == ["local"]
    again = fresh_bctk("bench", "--resume", "--out", "report", cwd=tmp_path)
    assert again.returncode == 1
    assert "local: measured" not in again.stderr


@pytest.mark.soak
def test_a_connection_cut_twice_goes_on_and_nothing_is_measured_twice(
    sshd: Sshd, tmp_path: Path, kept: list[str]
) -> None:
    cuts: list[int] = []

    def cut() -> None:
        for sessions in (1, 3):
            while sum(name.startswith("session") for name in kept) < sessions:
                time.sleep(0.05)
            cuts.append(sshd.cut())

    cutter = threading.Thread(target=cut)
    cutter.start()
    fleet = pipeline.bench(
        [STORED], LONGER, tmp_path / "report", Silent(), (sshd.address,), threads_given=True, ssh_config=sshd.config
    )
    cutter.join(60)
    assert len(cuts) == 2
    assert min(cuts) >= 1
    assert sorted(kept) == sorted(set(kept))
    assert sum(name.startswith("session") for name in kept) == LONGER.sessions
    assert [len(result.sessions) for result in fleet.devices[0].report.results] == [LONGER.sessions]
    assert sshd.left() == []


@pytest.mark.soak
def test_a_machine_that_has_gone_for_good_is_told_with_what_is_left(
    sshd: Sshd, tmp_path: Path, kept: list[str]
) -> None:
    def stop() -> None:
        while not kept:
            time.sleep(0.05)
        sshd.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(
        DeviceError, match=r"called for 3 s in vain; left there: /\S+bctk-fleet-\S+, and what runs"
    ) as told:
        pipeline.bench(
            [STORED], LONGER, tmp_path / "report", Silent(), (sshd.address,), threads_given=True,
            ssh_config=sshd.config, patience=3,
        )  # fmt: skip
    stopper.join(60)
    (left,) = sshd.left()
    assert left in str(told.value)
    before = list(kept)
    sshd.start()
    assert subprocess.run([sys.executable, "-c", REMOVE, sshd.temporary / left], check=False).returncode == 0
    fleet = pipeline.resume(tmp_path / "report", Silent())
    assert not {*before} & {*kept[len(before) :]}
    assert [len(result.sessions) for result in fleet.devices[0].report.results] == [LONGER.sessions]
    assert sshd.left() == []


@pytest.mark.soak
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_benchmark_leaves_nothing_there_and_goes_on(
    sshd: Sshd, tmp_path: Path, kind: signal.Signals
) -> None:
    command = [sys.executable, "-m", "bctoolkit", "bench", str(STORED), "--quick", "--on", sshd.address]
    process = subprocess.Popen(
        [*command, "--out", "report", "--ssh-config", str(sshd.config)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    journal = tmp_path / ".report.unfinished" / sshd.name
    while process.poll() is None and not list(journal.glob("session-*")):
        time.sleep(0.1)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert "bctk bench --resume --out report" in errors
    assert sshd.left() == []
    assert processes_in(sshd.temporary) == []
    finished = {path.name: path.stat().st_mtime_ns for path in journal.glob("session-*")}
    assert finished
    done = fresh_bctk("bench", "--resume", "--out", "report", cwd=tmp_path)
    assert done.returncode == 0, done
    assert sshd.left() == []


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Sshd, Sshd]]:
    """Machines with keys, homes and temporary folders of their own; the second has no network."""
    offline = 'unshare -Urn -- sh -c "$SSH_ORIGINAL_COMMAND"'
    if subprocess.run(["unshare", "-Urn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network can be taken away here (unshare)")
    first, second = Sshd(tmp_path / "first"), Sshd(tmp_path / "second", offline)
    for name in ("user", "known"):
        with (first.folder / name).open("a") as file:
            file.write((second.folder / name).read_text())
    shutil.copy(first.folder / "user.pub", second.folder / "authorized")
    yield first, second
    for server in (first, second):
        server.stop()


@pytest.mark.soak
def test_a_fleet_with_this_machine_and_one_without_network(two: tuple[Sshd, Sshd], tmp_path: Path) -> None:
    """The second has a bare system Python, so that packages are gathered here; all answer alike."""
    first, second = two
    shutil.copy(first.folder / "known", first.folder / "both")
    config = first.write_config(tmp_path / "config", known="both")
    python = shutil.which("python3", path="/usr/bin") or sys.executable
    zoo = Path(__file__).parents[2] / "exports" / "zoo"
    bundles = [zoo / f"atto-{kind}-int8-dynamic" for kind in ("onnx", "tflite")]
    done = fresh_bctk(
        "bench", *bundles, "--quick", "--out", "report", "--on", first.address, "--on", f"ssh://127.0.0.1:{second.port}",
        "--on", "local", "--python", python, "--ssh-config", config, "--threads", "1", cwd=tmp_path, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done
    reports = {each.name: each.report for each in stored.read_all(tmp_path / "report")}
    assert list(reports) == [first.name, second.name, "local"]
    for server in two:
        assert server.left() == []
        assert list(server.home.iterdir()) == []
    golden = {tuple(result.parity.golden.max_abs_diff for result in report.results) for report in reports.values()}
    assert len(golden) == 1
    compared = fresh_bctk("compare", "report", "--baseline", "atto-onnx-int8-dynamic", "--json", cwd=tmp_path)
    comparison = msgspec.json.decode(compared.stdout)
    ratios = {
        change["bundle"].partition(":")[0]: change["ci95"]
        for change in comparison["changes"]
        if change["figure"] == "fastest ms"
    }
    low, high = ratios["local"]
    for name in (first.name, second.name):
        assert ratios[name][0] <= high
        assert low <= ratios[name][1]
    assert fresh_bctk("choose", "report", "--max-size", "60MB", cwd=tmp_path).returncode == 0
    assert os.path.getsize(tmp_path / "report" / "junit.xml") > 100
