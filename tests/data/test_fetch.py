"""Fetching: from a local server that behaves, dies, ignores a range, or has something else."""

import hashlib
import io
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.data import load
from bctoolkit.data.sources import download
from bctoolkit.data.sources.download import SETS, Release, fetch
from bctoolkit.errors import DatasetError, RecipeError
from bctoolkit.files import in_use
from bctoolkit.progress import Silent

MakeImages = Callable[..., NDArray[np.uint8]]
NAME, PARTIAL = "cells.npz", ".cells.npz.partial"


@dataclass
class Server:
    """What a local server has, how it answers, and what was requested."""

    content: bytes = b""
    address: str = ""
    status: int | None = None
    """Answer with this error."""
    dies_after: int | None = None
    """Close the connection after so many bytes of an answer."""
    resumes: bool = True
    tells_length: bool = True
    leads_to: str = ""
    """Answer with this address."""
    ranges: list[str | None] = field(default_factory=list)
    """The `Range` of each request."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.leads_to and not request.path.startswith("/elsewhere"):
            request.send_response(302)
            request.send_header("Location", self.leads_to)
            request.end_headers()
            return
        requested = request.headers["Range"]
        self.ranges.append(requested)
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested and self.resumes else 0
        if self.status or start >= len(self.content):
            request.send_error(self.status or 416)
            return
        request.send_response(206 if requested and self.resumes else 200)
        if self.tells_length:
            request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        request.wfile.write(self.content[start:][: self.dies_after])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        state.address = f"http://127.0.0.1:{httpd.server_port}"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        httpd.shutdown()
        thread.join()


@pytest.fixture
def release(server: Server, make_images: MakeImages) -> Release:
    """A set in MedMNIST's form, of 28×28 pixels, which the server has."""
    arrays: dict[str, Any] = {}
    for seed, part in enumerate(("train", "val", "test")):
        arrays[f"{part}_images"] = make_images(80, seed=seed, height=28, width=28)
        arrays[f"{part}_labels"] = np.arange(80, dtype=np.uint8)[:, None] % 8
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    server.content = buffer.getvalue()
    md5 = hashlib.md5(server.content).hexdigest()
    return replace(SETS["bloodmnist"], url=server.address + "/{file}?download=1", files={28: (NAME, md5)})


def get(release: Release, folder: Path, mirror: str | None = None) -> Path:
    return fetch(release, 28, folder, Silent(), mirror)


def refusal(release: Release, folder: Path, mirror: str | None = None) -> str:
    with pytest.raises(DatasetError) as caught:
        get(release, folder, mirror)
    assert "\n" not in str(caught.value)
    assert not (folder / NAME).exists(), "half a file got the name of a whole one"
    return str(caught.value)


def held(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_fetched_set_loads_with_its_class_names_and_its_split(
    server: Server, release: Release, tmp_path: Path
) -> None:
    file = get(release, tmp_path / "new" / "data")
    assert file.read_bytes() == server.content
    assert held(file.parent) == {NAME, "cells.classes.txt"}
    dataset = load(str(file), InputContract(height=28, width=28))
    assert dataset.classes == release.classes
    assert dataset.published is not None
    assert np.bincount(dataset.published).tolist() == [80, 80, 80]


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_a_broken_download_goes_on_where_it_ended(
    server: Server, release: Release, tmp_path: Path, share: float
) -> None:
    there = server.dies_after = int(len(server.content) * share)
    message = refusal(release, tmp_path)
    assert f"the connection ended after {there:,} of {len(server.content):,} bytes; run the same command" in message
    assert held(tmp_path) == {PARTIAL}
    assert (tmp_path / PARTIAL).read_bytes() == server.content[:there]
    server.dies_after = None
    assert get(release, tmp_path).read_bytes() == server.content
    assert server.ranges == [None, f"bytes={there}-"]
    assert held(tmp_path) == {NAME, "cells.classes.txt"}


def test_a_download_that_breaks_again_and_again_ends_in_the_right_file(
    server: Server, release: Release, tmp_path: Path
) -> None:
    server.dies_after = len(server.content) // 3 - 1
    for _ in range(3):
        refusal(release, tmp_path)
    assert get(release, tmp_path).read_bytes() == server.content
    assert len(server.ranges) == 4


def test_a_server_that_can_not_resume_sends_everything_again(server: Server, release: Release, tmp_path: Path) -> None:
    (tmp_path / PARTIAL).write_bytes(server.content[:1000])
    server.resumes = False
    assert get(release, tmp_path).read_bytes() == server.content


def test_a_server_that_does_not_tell_the_length_is_read_to_its_end(
    server: Server, release: Release, tmp_path: Path
) -> None:
    server.tells_length = False
    assert get(release, tmp_path).read_bytes() == server.content


def test_a_download_killed_just_before_its_end_needs_no_byte_more(
    server: Server, release: Release, tmp_path: Path
) -> None:
    """The server has nothing to send behind the end (416)."""
    (tmp_path / PARTIAL).write_bytes(server.content)
    assert get(release, tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("before", [None, b"of another file", b"longer than the whole file" * 10_000])
def test_what_is_not_the_published_file_is_refused_and_removed(
    server: Server, release: Release, tmp_path: Path, before: bytes | None
) -> None:
    if before is None:
        server.content = b"something else altogether"
    else:
        (tmp_path / PARTIAL).write_bytes(before)
    message = refusal(release, tmp_path)
    assert f"published is {release.files[28][1]}; what was fetched is removed, try again" in message
    assert held(tmp_path) == set()


@pytest.mark.parametrize(("status", "words"), [(404, "404 Not Found"), (503, "503 Service Unavailable")])
def test_an_error_of_the_server_is_reported_and_what_was_fetched_is_kept(
    server: Server, release: Release, tmp_path: Path, status: int, words: str
) -> None:
    server.status = status
    assert f"{server.address}/{NAME}?download=1: the server answers {words}" in refusal(release, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / PARTIAL).write_bytes(server.content[:100])
    refusal(release, tmp_path)
    assert (tmp_path / PARTIAL).read_bytes() == server.content[:100]


def test_a_range_that_is_refused_without_a_request_for_one_is_an_error(
    server: Server, release: Release, tmp_path: Path
) -> None:
    server.status = 416
    assert "the server answers 416" in refusal(release, tmp_path)


def test_nobody_listening_is_one_line(release: Release, tmp_path: Path) -> None:
    message = refusal(release, tmp_path / "none", "http://127.0.0.1:9")
    assert f"http://127.0.0.1:9/{NAME}: Connection refused; run the same command again" in message
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("address", ["ftp://host/set", "/a/folder", "file:///etc", "http://", "host/set", ""])
def test_a_mirror_that_is_no_web_address_is_refused(release: Release, tmp_path: Path, address: str) -> None:
    assert refusal(release, tmp_path, address) == f"--mirror {address}: not an http(s) address"


@pytest.mark.parametrize("end", ["", "/"])
def test_a_mirror_takes_the_publishers_place(server: Server, release: Release, tmp_path: Path, end: str) -> None:
    away = replace(release, url="http://127.0.0.1:9/{file}")
    assert get(away, tmp_path, f"{server.address}/medmnist{end}").read_bytes() == server.content


def test_a_whole_file_is_not_fetched_again(server: Server, release: Release, tmp_path: Path) -> None:
    file = get(release, tmp_path)
    (tmp_path / "cells.classes.txt").unlink()
    (tmp_path / PARTIAL).write_bytes(b"left by another download")
    assert get(release, tmp_path) == file
    assert file.read_bytes() == server.content
    assert "cells.classes.txt" in held(tmp_path)
    assert len(server.ranges) == 1


def test_another_file_of_the_same_name_is_left_alone(server: Server, release: Release, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(DatasetError, match=r"cells.npz: exists, but its MD5 is not the published .*; move it away"):
        get(release, tmp_path)
    assert held(tmp_path) == {NAME}
    assert (tmp_path / NAME).read_bytes() == b"mine"
    assert server.ranges == []


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_a_planted_link_is_never_written_through(server: Server, release: Release, tmp_path: Path, link: str) -> None:
    mine, data = tmp_path / "mine", tmp_path / "data"
    mine.write_bytes(b"mine")
    data.mkdir()
    (data / PARTIAL).symlink_to(mine) if link == "symbolic" else (data / PARTIAL).hardlink_to(mine)
    assert PARTIAL in refusal(release, data)
    assert mine.read_bytes() == b"mine"
    assert server.ranges == []


def test_a_pipe_in_the_way_is_one_line(release: Release, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / PARTIAL)
    refusal(release, tmp_path)


def test_one_process_fetches_a_file_at_a_time(server: Server, release: Release, tmp_path: Path) -> None:
    (tmp_path / PARTIAL).write_bytes(server.content[:100])
    with in_use(tmp_path / PARTIAL), pytest.raises(RecipeError, match=r"in use: process \d+ works on it"):
        get(release, tmp_path)
    assert (tmp_path / PARTIAL).read_bytes() == server.content[:100]


@pytest.mark.parametrize("tells_length", [False, True])
def test_a_server_that_sends_more_than_there_can_be_is_refused(
    server: Server, release: Release, tmp_path: Path, tells_length: bool
) -> None:
    server.content, server.tells_length = b"x" * 10_000_000, tells_length
    small = replace(release, images=240)
    assert f"the file has at most {240 * 28 * 28 * 3 + 2**20:,}" in refusal(small, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= small.most_bytes(28)


def test_a_server_that_sends_a_byte_at_a_time_is_given_up(
    server: Server, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0)
    monkeypatch.setattr(download, "SLOWEST", 2**30)
    assert "run the same command again to go on" in refusal(release, tmp_path)


@pytest.mark.parametrize("where", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x", "//127.0.0.1:9/x"])
def test_a_redirection_leads_to_the_web_alone(server: Server, release: Release, tmp_path: Path, where: str) -> None:
    server.leads_to = where
    message = refusal(release, tmp_path)
    assert ("is no http or https address" in message or "is not allowed" in message) != where.startswith("//")


def test_a_redirection_is_followed(server: Server, release: Release, tmp_path: Path) -> None:
    server.leads_to = f"{server.address}/elsewhere"
    assert get(release, tmp_path).read_bytes() == server.content


def test_a_safe_address_leads_to_no_open_one() -> None:
    request = Request("https://example.org/x")
    with pytest.raises(DatasetError, match="is no https address"):
        download._Redirects().redirect_request(request, io.BytesIO(), 302, "", HTTPMessage(), "http://example.org/x")


def test_a_folder_that_can_not_be_made_is_named(release: Release, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DatasetError, match=rf"{tmp_path}/data: cannot be written \((File exists|Not a directory)\)"):
        get(release, tmp_path / "data")


class TestTable:
    """What is written down about the published sets."""

    sizes: ClassVar = [(name, size) for name, release in SETS.items() for size in release.files]

    @pytest.mark.parametrize(("name", "size"), sizes)
    def test_every_file_has_a_name_of_its_own_and_an_md5(self, name: str, size: int) -> None:
        file, md5 = SETS[name].files[size]
        assert file.startswith(name)
        assert re.fullmatch(r"[0-9a-f]{32}", md5)
        assert len(set(SETS[name].files.values())) == len(SETS[name].files)

    @pytest.mark.parametrize("name", SETS)
    def test_address_licence_and_citation_are_there(self, name: str) -> None:
        release = SETS[name]
        assert release.url.format(file="x.npz").startswith("https://")
        assert "CC BY 4.0" in release.licence
        assert all("doi:" in citation for citation in release.citations)
        assert len(set(release.classes)) == len(release.classes) == 8
