"""`bctk data fetch` as a user meets it; the server is a local one, as the public one is not for tests."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bctoolkit.cli import cli, data
from bctoolkit.data.sources.download import SETS
from tests.support.cli import Bctk

Refused = Callable[..., str]
CONTENT = bytes(range(256)) * 2_000
HALF = len(CONTENT) // 2


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that has `bloodmnist.npz`, not the published one, and of `bloodmnist_64.npz` sends half and waits."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in ("/bloodmnist.npz", "/bloodmnist_64.npz"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            if self.path == "/bloodmnist.npz":
                self.wfile.write(CONTENT)
            else:
                self.wfile.write(CONTENT[:HALF])
                over.wait()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        over.set()
        server.shutdown()
        thread.join()


def test_licence_and_citations_are_told(mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, for only here the published checksum can be that of the local file."""
    md5 = hashlib.md5(CONTENT).hexdigest()
    monkeypatch.setitem(SETS, "bloodmnist", replace(SETS["bloodmnist"], files={28: ("bloodmnist.npz", md5)}))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["data", "fetch", "bloodmnist", "--size", "28", "--mirror", mirror])
    assert done.exit_code == 0, done.output
    assert Path("training/data/bloodmnist.npz").read_bytes() == CONTENT
    assert Path("training/data/bloodmnist.classes.txt").read_text().splitlines()[3] == "ig"
    for words in ("licence: CC BY 4.0", "cite: Yang et al.", "cite: Acevedo et al.", "bctk train --data training/data"):
        assert words in done.stdout


def test_the_choices_are_those_of_the_table() -> None:
    name, size = data.fetch.params[:2]
    assert isinstance(name.type, click.Choice)
    assert isinstance(size.type, click.Choice)
    assert list(name.type.choices) == list(SETS)
    assert all([int(choice) for choice in size.type.choices] == list(release.files) for release in SETS.values())


def test_another_file_than_the_published_one_is_refused(bctk: Bctk, mirror: str, tmp_path: Path) -> None:
    done = bctk("data", "fetch", "bloodmnist", "--size", 28, "--out", ".", "--mirror", mirror)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {mirror}/bloodmnist.npz: its MD5 is ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_one_line(refused: Refused, mirror: str) -> None:
    line = refused("data", "fetch", "bloodmnist", "--size", 224, "--mirror", mirror)
    assert f"{mirror}/bloodmnist_224.npz: the server answers 404 Not Found" in line


def test_nobody_listening_is_one_line(refused: Refused) -> None:
    line = refused("data", "fetch", "bloodmnist", "--mirror", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9/bloodmnist_128.npz: Connection refused" in line


def test_a_full_disk_is_one_line_and_what_was_written_stays(mirror: str, tmp_path: Path) -> None:
    """A limit on the size of files (in blocks of 512 or 1,024 bytes) stands in for the end of a disk."""
    limited = ["sh", "-c", 'ulimit -f 200; exec "$@"', "sh", sys.executable, "-B", "-m", "bctoolkit"]
    command = [*limited, "data", "fetch", "bloodmnist", "--size", "28", "--out", ".", "--mirror", mirror]
    unwatched = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(command, cwd=tmp_path, env=unwatched, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: .bloodmnist.npz.partial: cannot be written (File too large)\n"
    left = (tmp_path / ".bloodmnist.npz.partial").read_bytes()
    assert 0 < len(left) < len(CONTENT)
    assert CONTENT.startswith(left)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_an_interrupted_download_leaves_is_hidden(mirror: str, tmp_path: Path, number: signal.Signals) -> None:
    partial = tmp_path / "training" / "data" / ".bloodmnist_64.npz.partial"
    command = [sys.executable, "-m", "bctoolkit", "data", "fetch", "bloodmnist", "--size", "64", "--mirror", mirror]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in errors
    assert [path.name for path in partial.parent.iterdir()] == [partial.name]
    assert CONTENT.startswith(partial.read_bytes())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bloodmnist", "--size", "96"], "'96' is not one of '28', '64', '128', '224'"),
        (["pathmnist"], "'pathmnist' is not 'bloodmnist'"),
        ([], "Missing argument '{bloodmnist}'"),
    ],
)
def test_wrong_usage_is_exit_code_2(bctk: Bctk, arguments: list[str], message: str) -> None:
    done = bctk("data", "fetch", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
