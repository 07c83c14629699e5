"""What an evaluation says of each class and each corruption, for the terminal and the page alike."""

from bctoolkit.data.corruptions.suite import display_name
from bctoolkit.evaluate.report import Evaluation
from bctoolkit.rendering.table import Table
from bctoolkit.statistics.independent import Estimate

__all__ = ["classes_table", "corruptions_table", "home_table", "macro_line", "site_lines", "unreadable_line"]


def unreadable_line(evaluation: Evaluation) -> str:
    """How many files of which class could not be read."""
    by_class = ", ".join(f"{name} {count:,}" for name, count in evaluation.unreadable.items())
    return f"not read, and left out of the set: {sum(evaluation.unreadable.values()):,} files ({by_class})"


def macro_line(evaluation: Evaluation) -> str:
    """Macro recall with its interval; empty of older evaluations, which have none."""
    return "" if evaluation.macro_recall is None else f"macro recall {_interval(evaluation.macro_recall)}"


def site_lines(evaluation: Evaluation) -> list[str]:
    """What is to be said of another site's set: macro recall among its classes alone, and how it is beside home."""
    lines = []
    if evaluation.restricted is not None:
        one = evaluation.restricted
        lines.append(
            f"answers among the set's {len(one.classes)} classes alone: macro recall {_interval(one.macro_recall)}, "
            f"accuracy {_interval(one.accuracy)}"
        )
    if evaluation.home is not None:
        home = evaluation.home
        lines.append(
            f"at home, on {home.count:,} images of the {home.part} part: macro recall {home.macro_recall:.2%}, here "
            f"{_change(home.macro_recall_change)}; accuracy {home.accuracy:.2%}, here {_change(home.accuracy_change)}"
        )
    return lines


def home_table(evaluation: Evaluation) -> Table:
    """Recall of each class here and at home; empty where none is known there."""
    changes = {} if evaluation.home is None else evaluation.home.recall_change
    rows = [
        (name, f"{evaluation.counts[name]:,}", _percent(evaluation.recall[name]), _change(change))
        for name, change in changes.items()
    ]
    return Table(("class", "images", "recall", "points beside home, 95 % interval"), rows)


def _interval(one: Estimate) -> str:
    return f"{one.value:.2%} ({one.low:.2%}–{one.high:.2%})"


def _change(one: Estimate) -> str:
    return f"{100 * one.value:+.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f})"


def classes_table(evaluation: Evaluation) -> Table:
    """Precision, recall with its interval and F1 of each class, and what its images are most often taken for."""
    confused, between = "most often taken for", "95 % interval"
    rows = [
        (
            name,
            f"{evaluation.counts[name]:,}",
            _percent(evaluation.precision[name]),
            _percent(evaluation.recall[name]),
            "{:.1%}–{:.1%}".format(*evaluation.recall_ci95[name]) if name in evaluation.recall_ci95 else "–",
            _percent(evaluation.f1[name]),
            _confused_with(evaluation, row),
        )
        for row, name in enumerate(evaluation.labels)
    ]
    columns = ("class", "images", "precision", "recall", between, "F1", confused)
    return Table(columns, rows, text_columns=frozenset({confused}))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


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
