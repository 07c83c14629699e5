"""`bctk data inspect` and `bctk data clean` as a user calls them."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit.data.quality.findings import REASONS
from bctoolkit.data.quality.inspect import Inspection
from tests.support.cli import Bctk


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Two classes with a copy, a copy under another label, a damaged and a grey file."""
    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    for name in ("left", "right"):
        (root / name).mkdir(parents=True)
        for index in range(4):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    (root / "left" / "copy.png").write_bytes((root / "left" / "0.png").read_bytes())
    (root / "right" / "[b]wrong.png").write_bytes((root / "left" / "1.png").read_bytes())
    (root / "right" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    Image.new("L", (16, 16), 80).save(root / "right" / "grey.png")
    return root


FLAGGED = {"unreadable": 1, "label-conflict": 2, "duplicate": 2}


def test_inspect_prints_a_table(bctk: Bctk, spoilt: Path) -> None:
    done = bctk("data", "inspect", spoilt)
    assert done.returncode == 0, done.stderr
    assert "12 images, 9 different pictures; sizes 16×16 (11); modes RGB (10), L (1)" in done.stdout
    for reason in FLAGGED:
        assert reason in done.stdout
    assert "left/1.png" in done.stdout
    assert "too few to tell foreign ones" in done.stdout
    assert "next: bctk data clean" in done.stdout


def test_inspect_prints_one_json_document(bctk: Bctk, spoilt: Path, tmp_path: Path) -> None:
    done = bctk("data", "inspect", spoilt, "--json", "--html", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    inspection = msgspec.json.decode(done.stdout, type=Inspection, strict=True)
    assert json.loads(done.stdout)["schema"] == 1
    assert inspection.flagged == FLAGGED
    assert "[b]wrong.png" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_clean_writes_what_the_rest_can_train_on(bctk: Bctk, spoilt: Path, tmp_path: Path) -> None:
    done = bctk("data", "clean", spoilt, "--out", "cleaned", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    assert "cleaned: 8 images kept, 4 left out" in done.stdout
    assert (tmp_path / "page.html").is_file()
    assert bctk("data", "inspect", "cleaned", "--json").stdout.count('"reason"') == 0
    again = bctk("data", "clean", spoilt, "--out", "cleaned", "--keep", "label-conflict")
    assert "cleaned: 10 images kept, 2 left out" in again.stdout
    assert "flagged but kept: 2 label-conflict" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "nowhere"), "error: nowhere: no such folder or file"),
        (("clean", "nowhere", "--out", "out"), "error: nowhere: no such folder or file"),
        (("clean", "images", "--out", "images/out"), "is never written to"),
        (("clean", "images", "--out", "out", "--keep", "ugly"), "unknown reason 'ugly'; there are: unreadable"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    bctk: Bctk, spoilt: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = bctk("data", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_clean_without_out_is_wrong_usage(bctk: Bctk, spoilt: Path) -> None:
    assert bctk("data", "clean", spoilt).returncode == 2


def test_the_help_of_clean_names_every_reason(bctk: Bctk) -> None:
    text = bctk("data", "clean", "--help").stdout
    assert not [reason for reason in REASONS if reason not in text]
