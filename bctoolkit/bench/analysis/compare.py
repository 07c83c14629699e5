"""Two reports, or two bundles of one report: changes told from noise."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from bctoolkit.bench.analysis import relative, statistics, wording
from bctoolkit.bench.documents.measurements import Interval, Session
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.documents.settings import Machine
from bctoolkit.bench.documents.stored import StoredReport
from bctoolkit.data.dataset import positions
from bctoolkit.documents import Document
from bctoolkit.errors import RecipeError
from bctoolkit.statistics import paired
from bctoolkit.statistics.clustered import taken

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


class Figure(NamedTuple):
    """What each session measured anew."""

    name: str
    """Among `relative.SESSION_FIGURES`, which compares what was measured in the same rounds."""
    label: str
    of_session: Callable[[Session], float | None]


FIGURES = (
    Figure("latency", "p50 ms", lambda session: session.p50_ms),
    Figure("end_to_end", "end-to-end p50 ms", lambda session: session.end_to_end_p50_ms),
    Figure("cold_start", "cold start ms", lambda session: session.load_ms + session.first_ms),
    Figure("peak_rss", "peak MB", lambda session: session.peak_rss_bytes / 1e6),
)
RATIOS = {"latency": "latency ratio", "end_to_end": "end-to-end ratio", "cold_start": "cold start ratio"}
"""Of two reports with the same baseline, the figures relative to it are compared too: they outlive a busy machine."""
BUSY = ("latency", "end_to_end")
"""What is not judged by itself where the latency is unstable and there is a ratio to judge."""

KEYS: tuple[Callable[[Result], tuple[object, ...]], ...] = (
    lambda result: (result.bundle, result.engine, result.provider, result.threads),
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
        if alike:
            ratios = list(_ratio_changes(name, (old.report, before), (new.report, after), pairs, margin))
            changes += _timed_changes(name, before, after, margin, bool(ratios), notes)
            changes += ratios
        changes.append(_size_change(name, before, after, margin))
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
    results = stored.report.results
    pairs = [(before, after) for after in results if (before := relative.counterpart(after, results, baseline))]
    if not pairs:
        raise RecipeError(f"{stored.name} holds {baseline} alone; there is nothing to compare it with")
    notes: list[str] = []
    changes: list[Change] = []
    for before, after in pairs:
        name = wording.title(after, settings)
        changes += _paired_changes(name, before, after, margin, notes)
        changes.append(_size_change(name, before, after, margin))
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


def _size_change(name: str, old: Result, new: Result, margin: float) -> Change:
    sizes = (old.size_bytes / 1e6, new.size_bytes / 1e6)
    return _change(name, "size MB", sizes, statistics.Ratio(*[new.size_bytes / old.size_bytes] * 3), margin)


def _change(name: str, label: str, values: tuple[float, float], ratio: statistics.Ratio, margin: float) -> Change:
    interval = (ratio.low, ratio.high)
    return Change(name, label, *values, ratio.value, interval, _trend(interval, margin))


def _timed_changes(
    name: str, old: Result, new: Result, margin: float, ratios_decide: bool, notes: list[str]
) -> Iterator[Change]:
    """Absolute figures of two reports; an unstable latency is not judged where ratios to a baseline are."""
    engines = {result.engine for result in (old, new) if result.engine is not None}
    if old.provider != new.provider or (old.format == new.format and len(engines) > 1):
        notes.append(
            f"{name}: {wording.what_ran(new)}, before {wording.what_ran(old)}: times and memory are not compared"
        )
        return
    if min(len(old.sessions), len(new.sessions)) < 2:
        notes.append(f"{name}: a report without two sessions gives no interval; measure it again")
        return
    stable = old.latency_ms.stable and new.latency_ms.stable
    if not stable:
        reasons = {*old.latency_ms.warnings, *new.latency_ms.warnings}
        means = "its ratios decide" if ratios_decide else "intervals are wide"
        notes.append(f"{name}: unstable ({', '.join(sorted(reasons))}), so {means}")
    for figure in FIGURES:
        before, after = (_measured(figure, each) for each in (old, new))
        if before is None or after is None:
            notes.append(f"{name}: {figure.label} was not measured in every session, so it is not compared")
            continue
        values = (float(np.median(before)), float(np.median(after)))
        change = _change(name, figure.label, values, statistics.ratio(before, after, paired=False), margin)
        if ratios_decide and not stable and figure.name in BUSY and change.trend is not Trend.SAME:
            change = replace(change, trend=Trend.UNCLEAR)
        yield change


def _ratio_changes(
    name: str, old: tuple[Report, Result], new: tuple[Report, Result], pairs: list[tuple[Result, Result]], margin: float
) -> Iterator[Change]:
    """Of two reports whose baselines are the same bundle: how the figures relative to it have changed."""
    baselines = [
        None if report.baseline is None else relative.counterpart(result, report.results, report.baseline)
        for report, result in (old, new)
    ]
    before, after = baselines
    stable = relative.end_to_end_is_stable(old[1], new[1], *filter(None, baselines))
    if before is None or after is None or not any(a is before and b is after for a, b in pairs):
        return
    if old[1].provider != new[1].provider or min(len(old[1].sessions), len(new[1].sessions)) < 2:
        return
    sessions = [session for each in (before, after, old[1], new[1]) for session in each.sessions]
    for figure, label in RATIOS.items():
        if not relative.SESSION_FIGURES[figure].measured(sessions):
            continue
        of_rounds = [
            relative.round_ratios(relative.SESSION_FIGURES[figure], baseline.sessions, result.sessions)
            for baseline, result in ((before, old[1]), (after, new[1]))
        ]
        values = tuple(float(np.exp(np.log(ratios).mean())) for ratios in of_rounds)
        change = _change(name, label, (values[0], values[1]), statistics.ratio(*of_rounds, paired=False), margin)
        few = figure != "latency" and not stable  # other programs may be in all of the few runs
        yield replace(change, trend=Trend.UNCLEAR) if few and change.trend is not Trend.SAME else change


def _paired_changes(name: str, old: Result, new: Result, margin: float, notes: list[str]) -> Iterator[Change]:
    """Of two results of one report, by pairing the rounds."""
    if len(old.sessions) != len(new.sessions) or len(new.sessions) < 2:
        notes.append(f"{name}: a report without two sessions gives no interval; measure it again")
        return
    fastest = all(session.slices_fastest_ms for session in (*old.sessions, *new.sessions))
    for figure in FIGURES:
        measured = relative.SESSION_FIGURES[figure.name]
        if not measured.measured((*old.sessions, *new.sessions)):
            notes.append(f"{name}: {figure.label} was not measured in every session, so it is not compared")
            continue
        ratio = relative.paired_ratio(measured, old.sessions, new.sessions)
        before, after = (float(np.median(list(map(measured.level, each.sessions)))) for each in (old, new))
        label = figure.label.replace("p50", "fastest") if fastest else figure.label
        yield _change(name, label, (before, after), ratio, margin)


def _measured(figure: Figure, result: Result) -> list[float] | None:
    """The figure in each session; None where one did not measure it."""
    values = [figure.of_session(session) for session in result.sessions]
    measured = [value for value in values if value is not None]
    return measured if len(measured) == len(values) else None


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
    labels, groups = second.labelled.labels[common], second.labelled.groups
    was_right = first.labelled.observed[index[common]].argmax(1) == first.labelled.labels[index[common]]
    is_right = second.labelled.observed[common].argmax(1) == labels
    change = paired.paired_change(was_right, is_right, taken(groups, common))
    low, high = change.ci95
    trend = Trend.UNCLEAR
    if low > 0:
        trend = Trend.WORSE
    elif high < 0:
        trend = Trend.BETTER
    elif high <= SMALL_DROP:
        trend = Trend.SAME
    yield Change(name, "accuracy", float(was_right.mean()), float(is_right.mean()), change.drop, change.ci95, trend)
