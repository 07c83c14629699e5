"""The table of site shifts has a row for each, and a user's mistake is one line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.data.shifts import KINDS, SHIFTS, shift
from bctoolkit.evaluate.subject import Subject
from bctoolkit.progress import Silent
from perf.shifts import table


def test_the_table_holds_each_shift_s_own_figures(cells: Dataset) -> None:
    """A classifier that knows the images by heart, and takes what it does not know for the first class."""
    classes = len(cells.classes)
    known = {image.tobytes(): label for image, label in zip(cells.images[:], cells.labels, strict=True)}

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.eye(classes, dtype=np.float32)[[known.get(image.tobytes(), 0) for image in images]]

    contract = InputContract(height=48, width=48)
    subject = Subject("heart", "run", "", contract, cells.classes, predict, None, None, lambda *_: pytest.fail("asked"))
    lines = [line.strip("| ").split(" | ") for line in table(subject, cells, Silent())][2:]
    rows = {cells[0]: cells[1:] for cells in lines if cells[0] != "**mean**"}
    assert set(rows) - {"first set-up", "second set-up"} == {"none", *SHIFTS}
    assert rows["none"][2] == "100.00%"
    first = (cells.labels == 0).mean()
    assert all((shift(np.asarray(cells.images[:]), name) != cells.images[:]).any((1, 2, 3)).all() for name in SHIFTS)
    assert {rows[name][2] for name in SHIFTS} == {f"{first:.2%}"}
    assert {rows[name][4] for name in SHIFTS} == {f"{1 / classes:.2%}"}
    assert [line[1] for line in lines if line[0] == "**mean**"] == list(KINDS)


@pytest.mark.slow
def test_what_is_neither_run_nor_bundle_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "perf.shifts", str(tmp_path / "nothing"), "--data", "synthetic"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "neither a finished run" in done.stderr
    assert done.stderr.count("\n") == 1
