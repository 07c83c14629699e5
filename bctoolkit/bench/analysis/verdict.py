"""Hold a result against a device's budget: passed, failed, or not enough data to say."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bctoolkit.bench.analysis import statistics
from bctoolkit.bench.documents.report import Check, Labelled, Latency, Outcome, Result, Verdict
from bctoolkit.recipes import Budget
from bctoolkit.statistics import metrics
from bctoolkit.statistics.paired import Loss, images_needed, loss_limits

__all__ = ["judge"]

MEGABYTE = 1e6
NEEDS_LABELS = "not measured: give labelled images with --data"
NEEDS_REFERENCE = "not measured: give labelled images with --data, for a bundle that carries reference.npz"
NEEDS_SAMPLES = "not measured: p99 needs at least 1,000 samples; measure with --publish"
NEEDS_SUITE = "not measured: give --corruptions with --data, and the float bundle of the same network beside this one"

Interval = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """What was measured, as a limit sees it."""

    interval: Interval | None
    note: str = ""
    known: bool = True
    """False where the interval is not to be relied on; `note` says why."""
    count: int = 0
    """Images it rests on, where more of them would narrow it."""
    project: Callable[[int], Interval] | None = None
    """The interval that so many images would give at the same rates."""


def judge(result: Result, budget: Budget) -> Verdict:
    """Check every limit the budget sets.

    A verdict fails if one check does. It is undecided if none fails but one cannot say: its limit lies inside the 95 %
    interval, its figure was not measured, or its latency is unstable.
    """
    checks = tuple(_checks(result, budget))
    outcomes = {check.outcome for check in checks}
    found = next((o for o in (Outcome.FAILED, Outcome.UNDECIDED) if o in outcomes), Outcome.PASSED)
    return Verdict(found is Outcome.PASSED, checks, found)


def _checks(result: Result, budget: Budget) -> Iterator[Check]:
    for name, measure in AT_MOST.items():
        limit = getattr(budget, name)
        if limit is not None:
            yield _at_most(name, limit, measure(result))
    for name, measure in AT_LEAST.items():
        limit = getattr(budget, name)
        if limit is not None:
            yield _at_least(name, limit, measure(result))
    if budget.max_recall_drop is not None:
        yield _worst_class("max_recall_drop", budget.max_recall_drop, result.parity.labelled)


def _at_most(name: str, limit: float, figure: Figure) -> Check:
    observed = None if figure.interval is None else figure.interval[1]
    return _check(name, limit, observed, figure, lambda interval: _beside(interval, limit))


def _at_least(name: str, limit: float, figure: Figure) -> Check:
    observed = None if figure.interval is None else figure.interval[0]
    return _check(name, limit, observed, figure, lambda interval: _beside((-interval[1], -interval[0]), -limit))


def _beside(interval: Interval, limit: float) -> Outcome:
    """Where an interval lies beside the most that is allowed."""
    low, high = interval
    if high <= limit:
        return Outcome.PASSED
    return Outcome.FAILED if low > limit else Outcome.UNDECIDED


def _check(
    name: str, limit: float, observed: float | None, figure: Figure, place: Callable[[Interval], Outcome]
) -> Check:
    if figure.interval is None or not figure.known:
        return Check(name, limit, observed, False, figure.note, Outcome.UNDECIDED, figure.interval)
    outcome, note, enough = place(figure.interval), figure.note, None
    if outcome is Outcome.UNDECIDED and (project := figure.project) is not None:
        enough = images_needed(lambda count: place(project(count)) is not Outcome.UNDECIDED, figure.count)
        more = "no number of images would" if enough is None else f"about {enough:,} would, if the rates stay"
        note = f"{note}; {figure.count:,} images cannot say, {more}".removeprefix("; ")
    elif outcome is Outcome.UNDECIDED:
        note = "the interval holds the limit; measure longer with --publish"
    return Check(name, limit, observed, outcome is Outcome.PASSED, note, outcome, figure.interval, enough)


def _latency(latency: Latency, interval: Interval | None, missing: str = "") -> Figure:
    if interval is None:
        return Figure(None, missing)
    reasons = "; ".join(reason.advice for reason in latency.unstable)
    return Figure(interval, "" if latency.stable else f"unstable: {reasons}".rstrip(": "), latency.stable)


def _p99(result: Result) -> Figure:
    latency = result.latency_ms
    single = None if latency.p99 is None else (latency.p99, latency.p99)
    return _latency(latency, latency.ci95_p99 or single, NEEDS_SAMPLES)


def _over_sessions(values: list[float], typical: float) -> Figure:
    """What each session's process measured once; reports without sessions know only the typical value."""
    return Figure(statistics.mean_interval(values) if values else (typical, typical))


def _exactly(value: float) -> Figure:
    return Figure((value, value))


def _share(share: float, count: int, note: str) -> Figure:
    """A share of `count` images with its exact binomial interval."""

    def project(images: int) -> Interval:
        return metrics.exact_interval(round(share * images), images)

    return Figure(project(count), note, True, count, project)


def _agreement(result: Result) -> Figure:
    """On the labelled images, which are many, where the reference's answers are known; else on the golden ones."""
    labelled, golden = result.parity.labelled, result.parity.golden
    if labelled is not None and labelled.top1_agreement is not None:
        return _share(labelled.top1_agreement, labelled.count, "on the labelled images")
    return _share(golden.top1_agreement, golden.count, "on the golden images")


def _accuracy(result: Result) -> Figure:
    labelled = result.parity.labelled
    return Figure(None, NEEDS_LABELS) if labelled is None else _share(labelled.accuracy, labelled.count, "")


def _drop(result: Result) -> Figure:
    labelled = result.parity.labelled
    if labelled is None or labelled.accuracy_drop_ci95 is None:
        return Figure(None, NEEDS_REFERENCE)
    return Figure(labelled.accuracy_drop_ci95) if labelled.loss is None else _lost(labelled.loss)


def _lost(loss: Loss, note: str = "") -> Figure:
    def project(images: int) -> Interval:
        return loss_limits(loss.losses * images / loss.count, loss.gains * images / loss.count, images)

    return Figure(loss.ci95, note, True, loss.count, project)


def _excess(result: Result) -> Figure:
    labelled = result.parity.labelled
    robustness = None if labelled is None else labelled.robustness
    if robustness is not None and result.quantization == "fp32":
        return Figure((0.0, 0.0), "the float form itself, which others are held against")
    if robustness is None or robustness.excess is None or robustness.excess_ci95 is None:
        return Figure(None, NEEDS_SUITE)
    (low, high), count = robustness.excess_ci95, robustness.count
    middle = (low + high) / 2

    def project(images: int) -> Interval:
        reach = (high - low) / 2 * (count / images) ** 0.5
        return middle - reach, middle + reach

    return Figure(robustness.excess_ci95, f"against {robustness.against}", True, count, project)


def _worst_class(name: str, limit: float, labelled: Labelled | None) -> Check:
    """The check of the class that keeps the limit least surely.

    A class that is shown to lose too much comes before one that merely might.
    """
    if labelled is None or labelled.worst_recall_drop is None:
        return _at_most(name, limit, Figure(None, NEEDS_REFERENCE))
    if not labelled.class_loss:
        return _at_most(name, limit, _exactly(labelled.worst_recall_drop))
    order = (Outcome.FAILED, Outcome.UNDECIDED, Outcome.PASSED)
    checks = [_at_most(name, limit, _lost(loss, f"class {label}")) for label, loss in labelled.class_loss.items()]
    return min(checks, key=lambda check: (order.index(check.outcome or Outcome.PASSED), -(check.observed or 0.0)))


AT_MOST: dict[str, Callable[[Result], Figure]] = {
    "max_p50_ms": lambda result: _latency(result.latency_ms, result.latency_ms.ci95_p50),
    "max_p99_ms": _p99,
    "max_end_to_end_p50_ms": lambda result: _latency(result.end_to_end_ms, result.end_to_end_ms.ci95_p50),
    "max_load_ms": lambda result: _over_sessions([s.load_ms for s in result.sessions], result.load_ms),
    "max_first_ms": lambda result: _over_sessions([s.first_ms for s in result.sessions], result.first_ms),
    "max_cold_start_ms": lambda result: _over_sessions(
        [s.load_ms + s.first_ms for s in result.sessions], result.load_ms + result.first_ms
    ),
    "max_size_mb": lambda result: _exactly(result.size_bytes / MEGABYTE),
    "max_peak_rss_mb": lambda result: _over_sessions(
        [s.peak_rss_bytes / MEGABYTE for s in result.sessions], result.peak_rss_bytes / MEGABYTE
    ),
    "max_abs_diff": lambda result: _exactly(result.parity.golden.max_abs_diff),
    "max_accuracy_drop": _drop,
    "max_corruption_excess": _excess,
}
"""Limits of a budget that a figure must not exceed, but for that on each class."""

AT_LEAST: dict[str, Callable[[Result], Figure]] = {"min_top1_agreement": _agreement, "min_accuracy": _accuracy}
