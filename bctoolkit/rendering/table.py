"""One table for every reader: its cells are decided once, as text, and laid out as Markdown, HTML or CSV.

The terminal's layout, which needs rich, is `bctoolkit.cli.output.print_table`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bctoolkit.escaping.text import for_csv, for_html, for_markdown_cell
from bctoolkit.rendering import html

__all__ = ["Cell", "Table", "text_of"]


class Cell(NamedTuple):
    """Text with a remark, or in the colour of an outcome."""

    text: str
    note: str = ""
    """In brackets behind the text; on a page in small letters below it."""
    outcome: str = ""
    """`passed`, `failed` or `undecided`: the colour, on a page, of the note where there is one, else of the text."""


def text_of(cell: str | Cell) -> str:
    """The cell in plain text."""
    if isinstance(cell, str):
        return cell
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


@dataclass(frozen=True)
class Table:
    """Cells in plain text; the first of each row is its heading."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str | Cell]]
    title: str = ""
    description: str = ""
    """How to read it."""
    notes: tuple[str, ...] = ()
    """Lines that stand below it."""
    text_columns: frozenset[str] = frozenset()
    """Columns besides the first that hold text and not figures: they stand on the left."""

    def is_text(self, column: int) -> bool:
        """Whether the column at this position holds text."""
        return column == 0 or self.columns[column] in self.text_columns

    def to_text(self) -> list[str]:
        """The lines of the table alone, as wide as its cells are."""
        rows = [[text_of(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                cell.ljust(width) if self.is_text(column) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]

    def to_markdown(self) -> list[str]:
        """The lines of the table alone, without title, description and notes."""
        head, *rows = [
            f"| {' | '.join(for_markdown_cell(text_of(cell)) for cell in row)} |" for row in (self.columns, *self.rows)
        ]
        return [head, "|" + "---|" * len(self.columns), *rows]

    def to_html(self) -> str:
        """The markup of the table alone. Where the screen is narrow it scrolls, or each of its rows becomes a card."""
        rows = [[self._markup(column, cell) for column, cell in enumerate(row)] for row in self.rows]
        return html.table(self.columns, rows, self.text_columns)

    def to_csv(self) -> str:
        """A line of headings and a line for each row."""
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerows([for_csv(text_of(cell)) for cell in row] for row in (self.columns, *self.rows))
        return buffer.getvalue()

    def _markup(self, column: int, cell: str | Cell) -> str:
        text, note, outcome = Cell(cell) if isinstance(cell, str) else cell
        colour = f"outcome {for_html(outcome)}" if outcome else ""
        markup = for_html(text)
        if colour and not note:
            markup = f'<span class="{colour}">{markup}</span>'
        elif not self.is_text(column):
            markup = f'<span class="line">{markup}</span>'
        if not note:
            return markup
        return markup + (f'<small class="{colour}">' if colour else "<small>") + f"{for_html(note)}</small>"
