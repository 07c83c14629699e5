"""Two reports, or two bundles of one report: changes told from noise."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np

from bctoolkit.bench.analysis import statistics, wording
from bctoolkit.bench.documents.measurements import Interval, Session
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.documents.settings import Machine
from bctoolkit.bench.documents.stored import StoredReport
from bctoolkit.data.dataset import positions
from bctoolkit.documents import Document
from bctoolkit.errors import RecipeError
from bctoolkit.statistics import paired

__all__ = [
    "Change",
    "Comparison",
    "Trend",
    "compare_reports",
    "compare_with_baseline",
    "merged",
    "same_devices",
]

SMALL_DROP = 0.005
"""An accuracy that has fallen by less, as a share, counts as the same."""


class Trend(StrEnum):
    """What an interval says of a change."""

    WORSE = "worse"
    """The whole interval lies beyond the margin: a regression."""
    BETTER = "better"
    SAME = "same"
    """The whole interval lies within the margin."""
    UNCLEAR = "unclear"
    """The interval reaches over the margin: noise, or too few sessions."""


class Change(Document, frozen=True):
    """One figure of one bundle, old and new."""

    bundle: str
    figure: str
    old: float
    new: float
    change: float
    """New / old; of accuracy the drop, old − new on the same images."""
    ci95: Interval
    trend: Trend


class Comparison(Document, frozen=True):
    """All changes, and what could not be compared."""

    margin: float
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        """The regressions."""
        return tuple(change for change in self.changes if change.trend is Trend.WORSE)


class SessionFigure(NamedTuple):
    """A figure that each session's process measured anew, so that sessions give the interval of its ratio."""

    of_session: Callable[[Session], float | None]
    of_slices: Callable[[Session], tuple[float, ...]] = lambda session: ()
    """The same in each slice of the session, where it was measured in slices."""


SESSION_FIGURES = {
    "p50 ms": SessionFigure(lambda session: session.p50_ms, lambda session: session.slices_p50_ms),
    "end-to-end p50 ms": SessionFigure(
        lambda session: session.end_to_end_p50_ms, lambda session: session.slices_end_to_end_p50_ms
    ),
    "cold start ms": SessionFigure(lambda session: session.load_ms + session.first_ms),
    "peak MB": SessionFigure(lambda session: session.peak_rss_bytes / 1e6),
}

KEYS: tuple[Callable[[Result], tuple[object, ...]], ...] = (
    lambda result: (result.bundle, result.provider, result.threads),
    lambda result: (result.bundle, result.threads),
    lambda result: (result.format, result.quantization, result.provider, result.threads),
    lambda result: (result.format, result.quantization, result.threads),
)
"""What two results that are to be compared have in common, the surest first."""


def compare_reports(old: StoredReport, new: StoredReport, margin: float) -> Comparison:
    """Compare each bundle of a report with the same one of an earlier report, measured on the same machine.

    Results are matched by bundle, provider and threads, or by bundle and threads where none ran on the same provider;
    where no name occurs in both, by format and quantization instead. The reports are independent, so their intervals
    hold what differs between sessions, not what differs between days.

    Args:
        old: the earlier report.
        new: the later one.
        margin: a ratio within 1 ± so much counts as the same.

    Raises:
        RecipeError: no bundle occurs in both.
    """
    pairs = _matched(old.report, new.report)
    if not pairs:
        raise RecipeError(f"{old.name} and {new.name} have no bundle in common")
    notes = [*_elsewhere(old.report.machine, new.report.machine)]
    alike = not notes
    changes: list[Change] = []
    for before, after in pairs:
        name = wording.title(after, new.report.settings)
        changes += _changes(name, before, after, margin, paired_rounds=False, timed=alike, notes=notes)
        changes += _accuracy_change(name, old, before, new, after, notes)
    return Comparison(margin, tuple(changes), tuple(notes))


def compare_with_baseline(stored: StoredReport, baseline: str, margin: float) -> Comparison:
    """Compare each bundle of one report with one of them, by pairing the rounds they were measured in.

    Raises:
        RecipeError: the report has no such bundle, or no other.
    """
    bundles = dict.fromkeys(result.bundle for result in stored.report.results)
    if baseline not in bundles:
        raise RecipeError(f"{stored.name} has no bundle {baseline!r}; bundles: {', '.join(bundles)}")
    settings = stored.report.settings
    pairs = [
        (before, after)
        for before in stored.report.results
        for after in stored.report.results
        if before.bundle == baseline != after.bundle and before.threads == after.threads
        if before.provider == after.provider or len(settings.providers) < 2
    ]
    if not pairs:
        raise RecipeError(f"{stored.name} holds {baseline} alone; there is nothing to compare it with")
    notes: list[str] = []
    changes: list[Change] = []
    for before, after in pairs:
        name = wording.title(after, settings)
        changes += _changes(name, before, after, margin, paired_rounds=True, timed=True, notes=notes)
        changes += _accuracy_change(name, stored, before, stored, after, notes)
    return Comparison(margin, tuple(changes), tuple(notes))


def same_devices(old: list[StoredReport], new: list[StoredReport]) -> list[tuple[StoredReport, StoredReport]]:
    """Old and new report of each device, by its name; two reports of one device each are a pair whatever their names.

    Raises:
        RecipeError: a device occurs in one of them only.
    """
    if len(old) == len(new) == 1:
        return [(old[0], new[0])]
    before, after = ({each.name: each for each in reports} for reports in (old, new))
    alone = sorted(set(before) ^ set(after))
    if alone:
        raise RecipeError(
            f"{alone[0]} was measured in one of the two reports only; compare the other devices one by one"
        )
    return [(before[name], after[name]) for name in after]


def merged(comparisons: dict[str, Comparison]) -> Comparison:
    """Comparisons on several devices as one, by the devices' names; a single one as it is."""
    if len(comparisons) == 1:
        return next(iter(comparisons.values()))
    changes = [
        msgspec.structs.replace(change, bundle=f"{name}: {change.bundle}")
        for name, each in comparisons.items()
        for change in each.changes
    ]
    notes = [f"{name}: {note}" for name, each in comparisons.items() for note in each.notes]
    return Comparison(next(iter(comparisons.values())).margin, tuple(changes), tuple(notes))


def _matched(old: Report, new: Report) -> list[tuple[Result, Result]]:
    for key in KEYS:
        before = {key(result): result for result in old.results}
        pairs = [(before[key(result)], result) for result in new.results if key(result) in before]
        unique = len(before) == len(old.results) and len({key(result) for result in new.results}) == len(new.results)
        if pairs and unique:
            return pairs
    return []


def _elsewhere(old: Machine, new: Machine) -> Iterator[str]:
    """What makes times of two reports incomparable."""
    if (old.cpu, old.cores_usable) != (new.cpu, new.cores_usable):
        yield (
            f"measured on different machines ({old.cpu}, {old.cores_usable} cores; {new.cpu}, {new.cores_usable} cores)"
            ": times and memory are not compared"
        )


def _changes(
    name: str, old: Result, new: Result, margin: float, *, paired_rounds: bool, timed: bool, notes: list[str]
) -> Iterator[Change]:
    if timed:
        yield from _timed_changes(name, old, new, margin, paired_rounds, notes)
    ratio = new.size_bytes / old.size_bytes
    sizes = (old.size_bytes / 1e6, new.size_bytes / 1e6)
    yield Change(name, "size MB", *sizes, ratio, (ratio, ratio), _trend((ratio, ratio), margin))


def _timed_changes(
    name: str, old: Result, new: Result, margin: float, paired_rounds: bool, notes: list[str]
) -> Iterator[Change]:
    if old.provider != new.provider:
        notes.append(f"{name}: on {new.provider}, before on {old.provider}: times and memory are not compared")
        return
    if min(len(old.sessions), len(new.sessions)) < 2:
        notes.append(f"{name}: a report without two sessions gives no interval; measure it again")
        return
    if not (old.latency_ms.stable and new.latency_ms.stable):
        reasons = {*old.latency_ms.warnings, *new.latency_ms.warnings}
        notes.append(f"{name}: unstable ({', '.join(sorted(reasons))}), so intervals are wide")
    for label, figure in SESSION_FIGURES.items():
        before, after = (_measured(figure, result.sessions) for result in (old, new))
        if len(before) < len(old.sessions) or len(after) < len(new.sessions):
            notes.append(f"{name}: {label} was not measured in every session, so it is not compared")
            continue
        if paired_rounds and len(before) == len(after):
            ratio = _paired_ratio(figure, old.sessions, new.sessions)
        else:
            ratio = statistics.ratio(before, after, paired=False)
        interval = (ratio.low, ratio.high)
        values = (float(np.median(before)), float(np.median(after)))
        yield Change(name, label, *values, ratio.value, interval, _trend(interval, margin))


def _measured(figure: SessionFigure, sessions: tuple[Session, ...]) -> list[float]:
    """The figure of the sessions that measured it."""
    return [value for session in sessions if (value := figure.of_session(session)) is not None]


def _paired_ratio(figure: SessionFigure, old: tuple[Session, ...], new: tuple[Session, ...]) -> statistics.Ratio:
    """New / old over the sessions of the same rounds; within a round, the median ratio of slices side by side."""
    pairs = []
    whole = zip(_measured(figure, old), _measured(figure, new), strict=True)
    for before, after, medians in zip(old, new, whole, strict=True):
        slices = list(zip(figure.of_slices(before), figure.of_slices(after), strict=False))  # the faster needs fewer
        pairs.append(np.array(slices or [medians]))
    ratios = [float(np.exp(np.median(np.log(pair[:, 1] / pair[:, 0])))) for pair in pairs]
    return statistics.ratio(np.ones(len(ratios)), ratios, paired=True)


def _trend(interval: Interval, margin: float) -> Trend:
    low, high = interval
    if low > 1 + margin:
        return Trend.WORSE
    if high < 1 / (1 + margin):
        return Trend.BETTER
    return Trend.SAME if 1 / (1 + margin) <= low and high <= 1 + margin else Trend.UNCLEAR


def _accuracy_change(
    name: str, old: StoredReport, before: Result, new: StoredReport, after: Result, notes: list[str]
) -> Iterator[Change]:
    """The change in accuracy on the labelled images that both reports hold predictions for."""
    first, second = old.predictions(before), new.predictions(after)
    if first is None or second is None or first.labelled is None or second.labelled is None:
        notes.append(f"{name}: no labelled images in both reports, so accuracy is not compared")
        return
    index = positions(second.labelled.hashes, first.labelled.hashes)
    common = index >= 0
    if not common.any():
        notes.append(f"{name}: the reports hold different images, so accuracy is not compared")
        return
    labels = second.labelled.labels[common]
    was_right = first.labelled.observed[index[common]].argmax(1) == first.labelled.labels[index[common]]
    is_right = second.labelled.observed[common].argmax(1) == labels
    change = paired.paired_change(was_right, is_right)
    low, high = change.ci95
    trend = Trend.UNCLEAR
    if low > 0:
        trend = Trend.WORSE
    elif high < 0:
        trend = Trend.BETTER
    elif high <= SMALL_DROP:
        trend = Trend.SAME
    yield Change(name, "accuracy", float(was_right.mean()), float(is_right.mean()), change.drop, change.ci95, trend)
