"""What an evaluation says of each class and each corruption, for the terminal and the page alike."""

from bctoolkit.data.corruptions.suite import display_name
from bctoolkit.evaluate.report import Evaluation
from bctoolkit.rendering.table import Table

__all__ = ["classes_table", "corruptions_table", "unreadable_line"]


def unreadable_line(evaluation: Evaluation) -> str:
    """How many files of which class could not be read."""
    by_class = ", ".join(f"{name} {count:,}" for name, count in evaluation.unreadable.items())
    return f"not read, and left out of the set: {sum(evaluation.unreadable.values()):,} files ({by_class})"


def classes_table(evaluation: Evaluation) -> Table:
    """Precision, recall and F1 of each class, and what its images are most often taken for."""
    confused, measures = "most often taken for", (evaluation.precision, evaluation.recall, evaluation.f1)
    rows = [
        (
            name,
            f"{evaluation.counts[name]:,}",
            *("–" if share[name] is None else f"{share[name]:.2%}" for share in measures),
            _confused_with(evaluation, row),
        )
        for row, name in enumerate(evaluation.labels)
    ]
    return Table(("class", "images", "precision", "recall", "F1", confused), rows, text_columns=frozenset({confused}))


def _confused_with(evaluation: Evaluation, row: int) -> str:
    """The class that images of this one are most often taken for, with how many."""
    errors = [0 if column == row else count for column, count in enumerate(evaluation.confusion[row])]
    most = max(errors)
    return f"{evaluation.labels[errors.index(most)]} ({most:,})" if most else ""


def corruptions_table(evaluation: Evaluation) -> Table:
    """Accuracy under each corruption and severity, the best mean first; empty where none was measured."""
    similar = "similar augmentations"
    rows = [
        (
            display_name(name),
            *(f"{share:.2%}" for share in (row.mild, row.middle, row.severe, row.mean)),
            ", ".join(row.similar_augmentations) or "none",
        )
        for name, row in sorted((evaluation.corruptions or {}).items(), key=lambda item: -item[1].mean)
    ]
    columns = ("corruption", "mild", "middle", "severe", "mean", similar)
    return Table(columns, rows, text_columns=frozenset({similar}))
