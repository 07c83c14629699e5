"""Tables of measurements in pages, each between two marks that name the program which writes it."""

from pathlib import Path

from bctoolkit.files import atomic_file

__all__ = ["write_table"]


def write_table(page: Path, program: str, content: str) -> None:
    """Put a program's table between its marks in a page.

    Raises:
        SystemExit: the page has no such marks.
    """
    begin, end = (f"<!-- table of {program}: {where} -->" for where in ("begin", "end"))
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise SystemExit(f"{page}: has no place for the table; write {begin} and {end} where it belongs")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    atomic_file(page, f"{before}{begin}\n{content}\n{end}{after}".encode())
