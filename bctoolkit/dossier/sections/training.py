"""How the network was trained."""

from itertools import pairwise

from bctoolkit.dossier import plots
from bctoolkit.dossier.evidence import Evidence
from bctoolkit.dossier.forms import count, number, percent, text
from bctoolkit.dossier.section import Missing, Section, fact_rows, figures
from bctoolkit.dossier.sources import RunSource, Sources
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html

__all__ = ["section"]


def section(sources: Sources) -> Section:
    """Recipe, phases, curves, and how often the trained network is right itself."""
    run = sources.run
    if run is None:
        missing = Missing("not at hand: the run that trained the network", "bctk dossier BUNDLE --run RUN")
        return Section("Training", (), missing=(missing,))
    markup = _facts(run) + _phases(run.recipe)
    if run.history is not None and run.history.value:
        markup += _epochs(run.history)
    absent = [
        Missing(f"not at hand: {what}", "bctk train --recipe RECIPE --data PATH")
        for what, document in (
            ("the curves of the training", run.history),
            ("test figures of the network", run.metrics),
        )
        if document is None
    ]
    return Section("Training", tuple(each.source for each in run.all), markup, tuple(absent))


def _facts(run: RunSource) -> str:
    facts, metrics = run.facts, run.metrics
    rows = [
        ("network", f"{facts.figure(text, 'model')}, {facts.figure(count, 'parameters')} parameters"),
        ("started from", facts.figure(text, "weights")),
        ("precision", facts.figure(text, "precision")),
        ("seed", run.recipe.figure(text, "seed")),
        ("batch size", run.recipe.figure(text, "batch_size")),
        ("time", f"{facts.figure(number, 'seconds')} s of training steps"),
        ("trained", facts.figure(text, "created")),
        ("SHA-256 of the recipe", facts.figure(text, "recipe_sha256")),
        (
            "tools",
            ", ".join(f"{for_html(name)} {facts.figure(text, 'tools', name)}" for name in facts.get("tools") or {}),
        ),
    ]
    if metrics is not None:
        interval = metrics.interval(percent, "accuracy_ci95")
        rows.append(
            ("trained network itself", f"accuracy {metrics.figure(percent, 'accuracy')} ({interval}) on "
             f"{metrics.figure(count, 'count')} images of the {metrics.figure(text, 'split')} part, macro-F1 "
             f"{metrics.figure(number, 'macro_f1')}, calibration error {metrics.figure(number, 'ece')}")
        )  # fmt: skip
    return fact_rows(rows)


def _phases(recipe: Evidence) -> str:
    phases = recipe.get("phases")
    if not isinstance(phases, list) or not phases:
        return ""
    names = ("name", "epochs", "learning_rate", "unfreeze", "schedule")
    rows = [[recipe.figure(text, "phases", at, name) for name in names] for at in range(len(phases))]
    return html.table(("phase", "epochs", "learning rate", "unfreezes", "schedule"), rows)


def _epochs(history: Evidence) -> str:
    """Curves, and the figures of the last epoch."""
    rows = history.value
    starts = [at for at, (before, row) in enumerate(pairwise(rows), 1) if row["phase"] != before["phase"]]
    drawn = [
        (
            f"{what} of each epoch: training solid, validation dashed"
            + ("; upright lines begin a phase" if starts else ""),
            plots.curves(
                {"training": [row[name] for row in rows], "validation": [row[f"val_{name}"] for row in rows]},
                starts,
                f"{what} by epoch",
            ),
        )
        for what, name in (("Loss", "loss"), ("Accuracy", "accuracy"))
    ]
    last = len(rows) - 1
    told = fact_rows(
        [
            (
                "last epoch",
                f"epoch {history.figure(text, last, 'epoch')}: loss {history.figure(number, last, 'loss')}, on "
                f"validation images {history.figure(number, last, 'val_loss')}, accuracy there "
                f"{history.figure(percent, last, 'val_accuracy')}",
            )
        ]
    )
    return f'<div class="pairs">{figures(drawn)}</div>{told}'
