"""What is no regular file of the stated size is refused before a byte of it is read."""

import os
import socket
from pathlib import Path

import pytest

from bctoolkit.errors import BundleError
from bctoolkit.untrusted.files import open_regular, read_bounded


def refused(path: Path, most: int = 100, within: Path | None = None) -> str:
    with pytest.raises(BundleError) as caught:
        read_bounded(path, most, BundleError, within=within)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_bounded(tmp_path / "file", 100, BundleError) == b"x" * 100
    (tmp_path / "empty").write_bytes(b"")
    assert read_bounded(tmp_path / "empty", 0, BundleError) == b""


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(100 * 2**30)
    assert refused(tmp_path / "sparse") == f"{tmp_path}/sparse: 107,374,182,400 bytes; wanted at most 100"


def test_whatever_is_no_file_is_named_for_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        server.bind("socket")
        kinds = {name: refused(tmp_path / name) for name in ("pipe", "link", "folder", "socket", "absent")}
    assert {name: message.partition(": ")[2] for name, message in kinds.items()} == {
        "pipe": "is a named pipe, not a file",
        "link": "is a named pipe, not a file",
        "folder": "is a folder, not a file",
        "socket": "is a socket, not a file",
        "absent": "no such file",
    }
    assert "is a device, not a file" in refused(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "loop/x"])
def test_a_name_that_no_file_can_have_is_no_traceback(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / name)
    refused(tmp_path / name, within=tmp_path)


def test_a_link_may_lead_anywhere_but_out_of_the_folder_that_is_stated(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "folder"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "inside").write_bytes(b"inside")
    (folder / "there").symlink_to("data/inside")
    (folder / "out").symlink_to("../secret")
    assert read_bounded(folder / "out", 9, BundleError) == b"secret"
    assert read_bounded(folder / "there", 9, BundleError, within=folder) == b"inside"
    assert "is a link to a file outside" in refused(folder / "out", within=folder)
    assert "is a link to a file outside" in refused(folder / ".." / "secret", within=folder)


def test_a_file_that_claims_another_size_is_refused() -> None:
    assert "is being changed" in refused(Path("/proc/self/status"), 10**6)


def test_an_opened_file_can_be_read_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123")
    with open_regular(tmp_path / "file", BundleError) as file:
        assert file.read(2) + file.read(5) == b"0123"
