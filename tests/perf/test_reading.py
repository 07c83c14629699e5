"""The measurement of reading runs, and its table goes between its marks and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from perf.pages import write_table

BEGIN, END = "<!-- table of perf.reading: begin -->", "<!-- table of perf.reading: end -->"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("PNG, 16 bits", marks=pytest.mark.soak), ".npz"])
def test_a_kind_is_read_by_both_and_stands_in_the_page(tmp_path: Path, kind: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    options = ("--count", "16", "--rounds", "1", "--only", kind, "--page", str(page))
    done = subprocess.run([sys.executable, "-m", "perf.reading", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    rows = [line for line in text.splitlines() if line.startswith(f"| {kind}")]
    assert len(rows) == 1
    assert rows[0].count("|") == 8


def test_a_page_without_a_place_for_the_table_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a page\n")
    with pytest.raises(SystemExit, match=r"page\.md: has no place for the table"):
        write_table(page, "perf.reading", "table")
    assert page.read_text() == "a page\n"
