"""`bctk predict` on many images: what a user sees, and what is left where it is stopped."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Refused, snapshot
from tests.support.bundles import STORED, reseal
from tests.support.cli import Bctk, fresh_bctk
from tests.support.scoring import pictures

KINDS = "gbgmwg"


def chunk(content: bytes) -> bytes:
    """A piece of a PNG."""
    return (len(content) - 4).to_bytes(4, "big") + content + zlib.crc32(content).to_bytes(4, "big")


HUGE = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR\0\1\0\0\0\1\0\0\x08\2\0\0\0") + chunk(b"IDAT\0")
"""The beginning of a picture of 65,536 × 65,536 pixels."""


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    pictures(tmp_path / "images", KINDS)
    (tmp_path / "images" / "006.png").write_bytes(HUGE)
    return tmp_path / "images"


def test_what_cannot_be_used_is_told_and_the_others_go_on(bctk: Bctk, images: Path) -> None:
    done = bctk("predict", STORED, *pictures(images, KINDS))
    assert done.returncode == 1
    assert [line.partition(":")[0][-7:] for line in done.stdout.splitlines()] == ["000.png", "002.png", "005.png"]
    *told, last = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in told)
    assert all(name in line for name, line in zip(("001.png", "003.png", "004.png"), told, strict=True))
    assert last == "error: 3 of 6 images could not be classified"


def test_json_has_a_line_for_each_image(bctk: Bctk, images: Path) -> None:
    done = bctk("predict", STORED, images, "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, False, True, False, True]
    assert all(answer["image"] in answer["error"] for answer in answers if "error" in answer)
    assert done.returncode == 1


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_has_a_row_for_each_image(bctk: Bctk, tmp_path: Path, images: Path, suffix: str) -> None:
    done = bctk("predict", STORED, images, "--out", f"made/r{suffix}")
    assert done.returncode == 1
    assert done.stdout == f"made/r{suffix}: 6 images\n"
    why = "error: 3 of 6 images could not be classified; the column 'error' says why\n"
    assert done.stderr == why
    assert [path.name for path in (tmp_path / "made").iterdir()] == [f"r{suffix}"]
    if suffix == ".csv":
        rows = table(tmp_path / "made" / "r.csv")
        assert [row["file"][-7:] for row in rows] == ["000.png", "001.png", "002.png", "004.png", "005.png", "006.png"]
        assert [row["label"] == "" for row in rows] == [False, True, False, True, False, True]
        assert "65,536×65,536" in rows[-1]["error"]
        printed = json.loads(bctk("predict", STORED, rows[0]["file"], "--json").stdout)
        assert printed["label"] == rows[0]["label"]
        assert np.float32(printed["probabilities"][printed["label"]]) == np.float32(rows[0][f"p_{printed['label']}"])


def test_a_list_an_archive_and_a_folder_go_together(bctk: Bctk, tmp_path: Path) -> None:
    words = pictures(tmp_path / "images", "ggg")
    (tmp_path / "list.txt").write_text("\n".join(["images/000.png", "images/absent.png"]))
    np.savez(tmp_path / "set.npz", images=np.stack([np.asarray(Image.open(word)) for word in words]))
    done = bctk("predict", STORED, "list.txt", "set.npz", "images", "--out", "r.csv")
    assert done.returncode == 1
    rows = table(tmp_path / "r.csv")
    assert [(row["file"], row["index"]) for row in rows] == [
        ("images/000.png", ""),
        ("images/absent.png", ""),
        *(("set.npz", str(n)) for n in range(3)),
        *((f"images/{n:03d}.png", "") for n in range(3)),
    ]
    assert rows[1]["error"] == "images/absent.png: no such file"
    answers = [[value for name, value in row.items() if name.startswith("p_")] for row in rows]
    assert answers[2:5] == answers[5:8]
    assert answers[0] == answers[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("empty",), "no image in empty"),
        (("empty", "--out", "made/r.csv"), "no image in empty"),
        (("@absent", "--out", "r.csv"), "absent: no such file"),
        (("four.npz", "--out", "r.csv"), "four.npz: its images are 16×16×4; the model wants uint8 array"),
        (("x.png", "--out", "r.txt"), "--out r.txt: give a file that ends in .csv or .parquet"),
        (
            ("x.png", "--out", "r.csv", "--resume"),
            "r.csv was not begun, there is nothing to resume",
        ),
        (("x.png", "--resume"), "--resume goes on with a file; name it with --out"),
        (("x.png", "--out", "r.csv", "--json"), "--json prints and --out writes: ask for one at a time"),
        (("x.png", "--runner", "ray"), "a Ray cluster is for many images: name a file for their rows with --out"),
        (("x.png", "--engine", "ray"), "a Ray cluster is for many images"),
        (("x.png", "--workers", "2"), "--workers are processes on Ray; add --runner ray"),
        (("", "--out", "r.csv"), "got an empty name"),
    ],
)
def test_what_makes_no_sense_is_refused(refused: Refused, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    np.savez(tmp_path / "four.npz", images=np.zeros((2, 16, 16, 4), np.uint8))
    assert message in refused("predict", STORED, *words)


@pytest.mark.parametrize("batch", ["0", "many", "-1", "5000", "1.5"])
def test_a_batch_is_a_number_or_auto(bctk: Bctk, batch: str) -> None:
    done = bctk("predict", STORED, "x.png", "--batch", batch)
    assert done.returncode == 2
    assert "is neither a number from 1 to 4096 nor 'auto'" in done.stderr


def test_a_form_whose_answers_depend_on_the_batch_is_asked_one_by_one(bctk: Bctk, tmp_path: Path) -> None:
    dynamic = Path(shutil.copytree(STORED, tmp_path / "dynamic"))
    reseal(dynamic, lambda raw: raw.update(quantization="int8-dynamic"))
    pictures(tmp_path / "images", "ggg")
    asked = [bctk("predict", dynamic, "images", "--out", f"{n}.csv", "--batch", n) for n in ("auto", "2", "1")]
    assert [done.returncode for done in asked] == [0, 0, 0], asked[0].stderr
    assert asked[0].stderr == "batch 1: an answer of this form depends on those beside it\n"
    assert asked[1].stderr.startswith("warning: this form takes its ranges over a whole batch; answers in ")
    assert asked[2].stderr == ""
    plain = bctk("predict", STORED, "images", "--out", "plain.csv", "--batch", "auto")
    assert plain.stderr.startswith("batch ")


def test_names_that_are_no_utf_8_or_formulas_come_through(bctk: Bctk, tmp_path: Path) -> None:
    [name] = pictures(tmp_path / "images", "g")
    hostile = [b"caf\xe9.png", b"=1+1.png", b"a\x1b[2J\n.png"]
    for each in hostile:
        shutil.copy(name, tmp_path / "images" / os.fsdecode(each))
    assert bctk("predict", STORED, "images", "--out", "r.csv").returncode == 0
    assert {row["file"] for row in table(tmp_path / "r.csv")} == {
        "images/000.png", "images/caf\\udce9.png", "images/=1+1.png", "images/a\\u001b[2J\\n.png",
    }  # fmt: skip
    shown = bctk("predict", STORED, "images").stdout
    assert "images/caf\\udce9.png: " in shown
    assert "\x1b" not in shown
    answers = [json.loads(line) for line in bctk("predict", STORED, "images", "--json").stdout.splitlines()]
    assert {os.fsencode(answer["image"]) for answer in answers} == {b"images/" + n for n in (b"000.png", *hostile)}
    fresh_bctk("predict", STORED, "=1+1.png", "--out", "../formula.csv", cwd=tmp_path / "images")
    assert [row["file"] for row in table(tmp_path / "formula.csv")] == ["'=1+1.png"]


def started(tmp_path: Path, *options: str) -> "subprocess.Popen[str]":
    """A group of its own, so that a signal reaches the command and the process that runs its model."""
    command = [sys.executable, "-m", "bctoolkit", "predict", str(STORED), "@list.txt", "--out", "r.csv", *options]
    return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)


def stopped(tmp_path: Path, number: signal.Signals, rows: int, *options: str) -> CompletedProcess[str]:
    """Send a signal once so many rows are kept."""
    kept = tmp_path / ".r.csv.unfinished" / "rows.jsonl"
    with started(tmp_path, *options) as process:
        deadline = time.monotonic() + 120
        while not (kept.exists() and kept.read_bytes().count(b"\n") >= rows):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=120)
    return CompletedProcess("bctk", process.returncode, "", errors)


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_to_the_same_file(bctk: Bctk, tmp_path: Path) -> None:
    words = pictures(tmp_path / "images", "gbgkg")
    (tmp_path / "list.txt").write_text("\n".join(words * 1500))
    whole = bctk("predict", STORED, "@list.txt", "--out", "whole.csv")
    assert whole.returncode == 1
    killed = stopped(tmp_path, signal.SIGKILL, 50)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir() if "r.csv" in path.name) == [".r.csv.unfinished"]
    refused = bctk("predict", STORED, "@list.txt", "--out", "r.csv")
    assert (refused.returncode, "go on with --resume, or remove" in refused.stderr) == (1, True)
    interrupted = stopped(tmp_path, signal.SIGINT, 3000, "--resume")
    assert interrupted.returncode == 130
    assert interrupted.stderr == "interrupted; go on with the same command and --resume\n\nAborted!\n"
    other = bctk("predict", STORED, *words, "--out", "r.csv", "--resume")
    assert "r.csv was begun with other images" in other.stderr
    done = bctk("predict", STORED, "@list.txt", "--out", "r.csv", "--resume")
    assert (done.returncode, done.stderr) == (whole.returncode, whole.stderr)
    assert (tmp_path / "r.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "list.txt", "r.csv", "whole.csv"]


def test_a_full_disk_is_one_line_and_goes_on_once_there_is_room(bctk: Bctk, tmp_path: Path) -> None:
    words = pictures(tmp_path / "images", "g")
    (tmp_path / "list.txt").write_text("\n".join(words * 200))
    full = bctk("predict", STORED, "@list.txt", "--out", "r.csv", most_bytes=5000)
    assert (full.returncode, full.stderr) == (1, "error: r.csv: File too large\n")
    assert not (tmp_path / "r.csv").exists()
    assert bctk("predict", STORED, "@list.txt", "--out", "r.csv", "--resume").returncode == 0
    assert len(table(tmp_path / "r.csv")) == 200


def test_a_disk_that_takes_nothing_is_left_as_it_was(bctk: Bctk, tmp_path: Path) -> None:
    pictures(tmp_path / "images", "g")
    before = snapshot(tmp_path)
    full = bctk("predict", STORED, "images", "--out", "new/r.csv", most_bytes=100)
    assert full.returncode == 1
    assert len(full.stderr.splitlines()) == 1
    assert "File too large" in full.stderr
    assert snapshot(tmp_path) == before


def test_a_reader_that_goes_ends_it_without_a_word(tmp_path: Path) -> None:
    words = pictures(tmp_path / "images", "g")
    (tmp_path / "list.txt").write_text("\n".join(words * 5000))
    script = f'"{sys.executable}" -m bctoolkit predict "{STORED}" @list.txt | head -1'
    done = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
