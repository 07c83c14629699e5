"""What an unfinished benchmark keeps is read as a file of others is: bounded, and of its kind."""

from pathlib import Path

import pytest

from bctoolkit.bench import checkpoint
from bctoolkit.bench.checkpoint import Checkpoint
from bctoolkit.bench.documents.samples import SessionSamples
from bctoolkit.errors import RecipeError


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"provider": 3}', b'{"provider": "cpu", "threads": "two"}'])
def test_a_damaged_part_is_one_line_with_the_way_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session-0-x.json").write_bytes(content)
    with pytest.raises(RecipeError, match=r"session-0-x\.json: .*; remove it, and --resume measures this part again"):
        Checkpoint(tmp_path).read("session-0-x", SessionSamples)


def test_a_part_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MOST_PART", 10)
    (tmp_path / "session-0-x.json").write_bytes(b" " * 11)
    with pytest.raises(RecipeError, match="11 bytes; wanted at most 10"):
        Checkpoint(tmp_path).read("session-0-x", SessionSamples)


def test_what_is_kept_is_read(tmp_path: Path) -> None:
    kept = SessionSamples("cpu", 2, model=[1, 2], model_slices=[2])
    Checkpoint(tmp_path).keep("session-0-x", kept)
    assert Checkpoint(tmp_path).read("session-0-x", SessionSamples) == kept
    assert Checkpoint(tmp_path).read("session-1-x", SessionSamples) is None
