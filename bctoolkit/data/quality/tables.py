"""What an inspection says of each class and each kind of finding, as tables."""

from bctoolkit.data.quality.findings import REASONS
from bctoolkit.data.quality.inspect import Inspection
from bctoolkit.rendering.table import Table

__all__ = ["classes_table", "flagged_table"]


def classes_table(inspection: Inspection) -> Table:
    """How many images each class has, and their mean colour, saturation, brightness and sharpness."""
    columns = ("class", "images", "unreadable", "red", "green", "blue", "saturation", "brightness", "sharpness")
    rows = []
    for name, figures in inspection.classes.items():
        row = [name, f"{figures.count:,}", f"{figures.unreadable:,}"]
        if figures.mean_rgb is None:
            rows.append(row + ["–"] * 6)
            continue
        tones = [f"{tone:.0f}" for tone in figures.mean_rgb]
        rows.append(
            [*row, *tones, f"{figures.saturation:.2f}", f"{figures.brightness:.0f}", f"{figures.sharpness:.0f}"]
        )
    return Table(columns, rows)


def flagged_table(inspection: Inspection) -> Table:
    """How many images were flagged for each reason, with the first of them."""
    rows = []
    for reason, count in inspection.flagged.items():
        first = next(finding for finding in inspection.findings if finding.reason == reason)
        rows.append((reason, f"{count:,}", REASONS[reason].what, f"{first.images[0]}: {first.why}"))
    columns = ("flagged", "images", "what it means", "first")
    return Table(columns, rows, text_columns=frozenset(columns) - {"images"})
