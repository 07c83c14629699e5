"""A result judged by a device's budget: passed, failed, or undecided for want of data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from bctoolkit.bench.analysis import statistics
from bctoolkit.bench.documents.judgements import Check, Labelled, Verdict
from bctoolkit.bench.documents.measurements import Interval, Latency
from bctoolkit.bench.documents.report import Result
from bctoolkit.documents import Outcome, worst
from bctoolkit.recipes import Budget
from bctoolkit.rendering.groups import over_groups
from bctoolkit.statistics import metrics
from bctoolkit.statistics.paired import PairedChange, images_needed

__all__ = ["check_budget"]

MEGABYTE = 1e6
NEEDS_LABELS = "not measured: give labelled images with --data"
NEEDS_REFERENCE = "not measured: give labelled images with --data, for a bundle that carries reference.npz"
NEEDS_SAMPLES = "not measured: p99 needs at least 1,000 samples; measure with --publish"
NEEDS_BASELINE = "not measured: measure it beside its float bundle, or another --baseline, in 2 sessions or more"
NEEDS_SUITE = "not measured: give --corruptions with --data, and the float bundle of the same network too"


@dataclass(frozen=True)
class Figure:
    """What was measured, as a limit sees it."""

    interval: Interval | None
    note: str = ""
    reliable: bool = True
    """False where the interval is not to be relied on; `note` says why."""
    count: int = 0
    """Images it rests on, where more of them would narrow it."""
    project: Callable[[int], Interval] | None = None
    """The interval that so many images would give at the same rates."""


def check_budget(result: Result, budget: Budget, baseline: str | None = None) -> Verdict:
    """Check every limit the budget sets; the report's baseline is not held against itself.

    A verdict fails if one check does. It is undecided if none fails but one cannot say: its limit lies inside the 95 %
    interval, its figure was not measured, or its latency is unstable.
    """
    if result.bundle == baseline:
        budget = replace(budget, max_latency_ratio=None)
    checks = tuple(_checks(result, budget))
    return Verdict(worst(check.outcome for check in checks), checks)


def _checks(result: Result, budget: Budget) -> Iterator[Check]:
    for name, measure in AT_MOST.items():
        limit = getattr(budget, name)
        if limit is not None:
            yield _at_most(name, limit, measure(result))
    for name, measure in AT_LEAST.items():
        limit = getattr(budget, name)
        if limit is not None:
            yield _at_least(name, limit, measure(result))
    if budget.max_worst_recall_drop is not None:
        yield _worst_class("max_worst_recall_drop", budget.max_worst_recall_drop, result.parity.labelled)


def _at_most(name: str, limit: float, figure: Figure) -> Check:
    observed = None if figure.interval is None else figure.interval[1]
    return _check(name, limit, observed, figure, lambda interval: _compared(interval, limit))


def _at_least(name: str, limit: float, figure: Figure) -> Check:
    observed = None if figure.interval is None else figure.interval[0]
    return _check(name, limit, observed, figure, lambda interval: _compared((-interval[1], -interval[0]), -limit))


def _compared(interval: Interval, limit: float) -> Outcome:
    """An interval compared with the most that is allowed."""
    low, high = interval
    if high <= limit:
        return Outcome.PASSED
    return Outcome.FAILED if low > limit else Outcome.UNDECIDED


def _check(
    name: str, limit: float, observed: float | None, figure: Figure, outcome_of: Callable[[Interval], Outcome]
) -> Check:
    if figure.interval is None or not figure.reliable:
        return Check(
            name=name,
            limit=limit,
            outcome=Outcome.UNDECIDED,
            observed=observed,
            interval=figure.interval,
            note=figure.note,
        )
    outcome, note, needed = outcome_of(figure.interval), figure.note, None
    if outcome is Outcome.UNDECIDED and (project := figure.project) is not None:
        needed = images_needed(lambda count: outcome_of(project(count)) is not Outcome.UNDECIDED, figure.count)
        more = "no number of images would" if needed is None else f"about {needed:,} would, if the rates stay"
        note = f"{note}; {figure.count:,} images cannot say, {more}".removeprefix("; ")
    elif outcome is Outcome.UNDECIDED:
        note = "the interval holds the limit; measure longer with --publish"
    return Check(
        name=name,
        limit=limit,
        outcome=outcome,
        observed=observed,
        interval=figure.interval,
        images_needed=needed,
        note=note,
    )


def _latency(latency: Latency, interval: Interval | None, missing: str = "") -> Figure:
    if interval is None:
        return Figure(None, missing)
    reasons = "; ".join(reason.advice for reason in latency.warnings)
    return Figure(interval, "" if latency.stable else f"unstable: {reasons}", latency.stable)


def _p99(result: Result) -> Figure:
    return _latency(result.latency_ms, result.latency_ms.ci95_p99, NEEDS_SAMPLES)


def _latency_ratio(result: Result) -> Figure:
    """A ratio holds where the latency itself is unstable."""
    if result.relative is None or result.relative.latency.ci95 is None:
        return Figure(None, NEEDS_BASELINE)
    return Figure(result.relative.latency.ci95, f"relative to {result.relative.baseline}")


def _over_sessions(values: list[float]) -> Figure:
    """What each session's process measured once."""
    return Figure(statistics.mean_interval(values))


def _exactly(value: float) -> Figure:
    return Figure((value, value))


def _narrowing(interval: Interval, middle: float, count: int, note: str) -> Figure:
    """A figure whose interval narrows as the root of the number of images, those of groups in groups like these."""
    low, high = interval

    def project(images: int) -> Interval:
        scale = (count / images) ** 0.5
        return middle - (middle - low) * scale, middle + (high - middle) * scale

    return Figure(interval, note, True, count, project)


def _share(share: float, count: int, note: str) -> Figure:
    """A share of `count` images with its exact binomial interval."""

    def project(images: int) -> Interval:
        return metrics.exact_interval(round(share * images), images)

    return Figure(project(count), note, True, count, project)


def _agreement(result: Result) -> Figure:
    """On the labelled images, which are many, where the bundle carries its reference; else on the golden ones."""
    labelled, golden = result.parity.labelled, result.parity.golden
    if labelled is not None and labelled.top1_agreement is not None:
        if labelled.groups is not None and labelled.top1_agreement_ci95 is not None:
            note = f"on the labelled images{over_groups(labelled.groups)}"
            return _narrowing(labelled.top1_agreement_ci95, labelled.top1_agreement, labelled.count, note)
        return _share(labelled.top1_agreement, labelled.count, "on the labelled images")
    return _share(golden.top1_agreement, golden.count, "on the golden images")


def _labelled_accuracy(result: Result) -> Figure:
    labelled = result.parity.labelled
    if labelled is None:
        return Figure(None, NEEDS_LABELS)
    if labelled.groups is None:
        return _share(labelled.accuracy, labelled.count, "")
    return _narrowing(labelled.accuracy_ci95, labelled.accuracy, labelled.count, _over(labelled))


def _drop(result: Result) -> Figure:
    labelled = result.parity.labelled
    if labelled is None or labelled.change is None:
        return Figure(None, NEEDS_REFERENCE)
    return _change(labelled.change, _over(labelled))


def _over(labelled: Labelled) -> str:
    return over_groups(labelled.groups).removeprefix(", ")


def _change(change: PairedChange, note: str) -> Figure:
    return Figure(change.ci95, note, True, change.count, change.interval)


def _relative_corruption_drop(result: Result) -> Figure:
    labelled = result.parity.labelled
    robustness = None if labelled is None else labelled.robustness
    if robustness is not None and result.quantization == "fp32":
        return Figure((0.0, 0.0), "the float form itself, the baseline of the others")
    if robustness is None or robustness.relative_corruption_drop_ci95 is None:
        return Figure(None, NEEDS_SUITE)
    interval, count = robustness.relative_corruption_drop_ci95, robustness.count
    return _narrowing(interval, sum(interval) / 2, count, f"relative to {robustness.baseline}")


def _worst_class(name: str, limit: float, labelled: Labelled | None) -> Check:
    """The check of the class that keeps the limit least surely.

    A class that is shown to lose too much comes before one that merely might.
    """
    if labelled is None or not labelled.class_changes:
        return _at_most(name, limit, Figure(None, NEEDS_REFERENCE))
    checks = [
        _at_most(name, limit, _change(change, f"class {label}{over_groups(labelled.groups)}"))
        for label, change in labelled.class_changes.items()
    ]
    return max(checks, key=lambda check: (check.outcome.severity, check.observed or 0.0))


def _end_to_end(result: Result) -> Figure:
    whole = result.end_to_end_ms
    return Figure(None, "not measured: Pillow was not installed") if whole is None else _latency(whole, whole.ci95_p50)


AT_MOST: dict[str, Callable[[Result], Figure]] = {
    "max_p50_ms": lambda result: _latency(result.latency_ms, result.latency_ms.ci95_p50),
    "max_p99_ms": _p99,
    "max_end_to_end_p50_ms": _end_to_end,
    "max_latency_ratio": _latency_ratio,
    "max_load_ms": lambda result: _over_sessions([session.load_ms for session in result.sessions]),
    "max_first_ms": lambda result: _over_sessions([session.first_ms for session in result.sessions]),
    "max_cold_start_ms": lambda result: _over_sessions(
        [session.load_ms + session.first_ms for session in result.sessions]
    ),
    "max_size_mb": lambda result: _exactly(result.size_bytes / MEGABYTE),
    "max_peak_rss_mb": lambda result: _over_sessions(
        [session.peak_rss_bytes / MEGABYTE for session in result.sessions]
    ),
    "max_abs_diff": lambda result: _exactly(result.parity.golden.max_abs_diff),
    "max_accuracy_drop": _drop,
    "max_corruption_excess": _relative_corruption_drop,
}
"""Limits of a budget that a figure must not exceed, but for that on each class."""

AT_LEAST: dict[str, Callable[[Result], Figure]] = {"min_top1_agreement": _agreement, "min_accuracy": _labelled_accuracy}
