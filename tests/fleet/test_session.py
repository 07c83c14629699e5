"""What comes from a machine is another's: only parts of a journal are kept, whole, and where they belong."""

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bctoolkit.errors import DeviceError
from bctoolkit.fleet import session
from bctoolkit.fleet.address import parse
from bctoolkit.fleet.agent import Died, End, Part, Step
from bctoolkit.fleet.session import Device, RemoteRun
from bctoolkit.progress import Silent


@pytest.fixture
def remote(tmp_path: Path) -> RemoteRun:
    device = Device(parse("ssh://pi"), tmp_path, Silent(), threading.Event())
    plan: Any = None
    connection: Any = None
    facts: Any = type("Facts", (), {"executable": "/usr/bin/python3"})
    return RemoteRun(device, plan, connection, facts)


def line(event: msgspec.Struct) -> bytes:
    return msgspec.json.encode(event)


def test_pieces_become_a_part_when_the_last_has_come(remote: RemoteRun, tmp_path: Path) -> None:
    assert not remote._take(line(Part("session-0-x@2.json", b"ab", False)))
    assert list(tmp_path.iterdir()) == []
    assert not remote._take(line(Part("session-0-x@2.json", b"c", True)))
    assert (tmp_path / "session-0-x@2.json").read_bytes() == b"abc"
    assert remote._take(line(End("")))


@pytest.mark.parametrize(
    "name", ["../x.json", "/etc/x.json", ".hidden.json", "request.json", "a/b.npz", "x.py", "", "x.json\n", "x" * 300]
)
def test_no_other_file_is_written(remote: RemoteRun, tmp_path: Path, name: str) -> None:
    with pytest.raises(DeviceError, match="none of ours"):
        remote._take(line(Part(name, b"", True)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"type":"part"}', b"[" * 5000, line(Step("a", 1, 2, ""))[:-1]]
)
def test_what_is_no_event_is_refused(remote: RemoteRun, content: bytes) -> None:
    with pytest.raises(DeviceError, match="none of ours"):
        remote._take(content)


def test_a_part_is_bounded(remote: RemoteRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MOST_PART", 10)
    for _ in range(2):
        remote._take(line(Part("session-0-x.json", b"12345", False)))
    with pytest.raises(DeviceError, match="more than 10 bytes"):
        remote._take(line(Part("session-0-x.json", b"1", False)))


@pytest.mark.parametrize(("event", "message"), [(End("no engine"), "pi: no engine"), (Died(""), "has died")])
def test_how_it_failed_there_is_said(remote: RemoteRun, event: msgspec.Struct, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        remote._take(line(event))
