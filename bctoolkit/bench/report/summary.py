"""What is worth telling of each result, decided once: terminal, Markdown, page and JUnit only lay it out."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from bctoolkit.bench.analysis.wording import check_line, failure_title, points, title, what_ran
from bctoolkit.bench.documents.judgements import Check, Labelled, Robustness
from bctoolkit.bench.documents.measurements import Latency, Profile
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.documents import Outcome
from bctoolkit.rendering.acceptance import accepted_line, curve_line, foreign_line, site_line
from bctoolkit.rendering.groups import over_groups

__all__ = [
    "CORRUPTIONS",
    "ResultSummary",
    "placement",
    "profile_caption",
    "robustness_by_title",
    "robustness_line",
    "summaries",
]

IN_A_LINE = 5
"""Types of operators in a line."""
CORRUPTIONS = (
    "Accuracy under the corruption suite, and in points what is lost relative to the float bundle of the same network "
    "on the same images: the mean over all corruptions and severities, and how it compares with the loss on clean "
    "images."
)


class ResultSummary(NamedTuple):
    """One result, or a bundle that could not be measured, in plain text."""

    title: str
    details: tuple[str, ...] = ()
    """Every figure that has no column of its own, a line each."""
    highlights: tuple[str, ...] = ()
    """Robustness, where the time goes, and which answers are accepted."""
    warnings: tuple[str, ...] = ()
    """Classes that regress, and why the latency is unstable."""
    outcome: Outcome | None = None
    """Of the budget; None where there is none."""
    checks: tuple[Check, ...] = ()
    unmet: tuple[str, ...] = ()
    """The limits that are not shown to hold, a line each."""
    failure: str = ""
    """Why it could not be measured."""


def summaries(report: Report) -> list[ResultSummary]:
    """A summary of each result in their order, then of each failure."""
    measured = [_summary(result, title(result, report.settings)) for result in report.results]
    return measured + [ResultSummary(failure_title(each), failure=each.message) for each in report.failures]


def _summary(result: Result, name: str) -> ResultSummary:
    labelled, verdict = result.parity.labelled, result.verdict
    robustness = None if labelled is None else labelled.robustness
    return ResultSummary(
        title=name,
        details=tuple(_details(result)),
        highlights=(
            *([f"time goes to {_profile_line(result.profile)}"] if result.profile else []),
            *([robustness_line(robustness)] if robustness else []),
            *_acceptance(result),
        ),
        warnings=tuple(_warnings(result)),
        outcome=None if verdict is None else verdict.outcome,
        checks=() if verdict is None else verdict.checks,
        unmet=() if verdict is None else tuple(_unmet(check) for check in verdict.checks if not check.passed),
    )


def _unmet(check: Check) -> str:
    """The advice on an unstable latency stands among the warnings already."""
    unstable = check.note.startswith("unstable: ")
    return check_line(msgspec.structs.replace(check, note="unstable") if unstable else check)


def _warnings(result: Result) -> Iterator[str]:
    labelled = result.parity.labelled
    if labelled is not None and labelled.site is not None and labelled.site.outcome is Outcome.FAILED:
        yield site_line(labelled.site)
    if labelled is not None and labelled.regressed_classes:
        changes = [(name, labelled.class_changes[name]) for name in labelled.regressed_classes]
        classes = ", ".join(
            f"{name} by {points(change.drop)} points ({points(change.ci95[0])} to {points(change.ci95[1])})"
            for name, change in changes
        )
        yield f"recall regressed beyond chance: {classes}"
    yield from (f"unstable: {warning.advice}" for warning in result.latency_ms.warnings)


def _acceptance(result: Result) -> Iterator[str]:
    labelled, foreign = result.parity.labelled, result.parity.foreign
    if labelled is not None and labelled.accepted is not None:
        yield accepted_line(labelled.accepted)
    if foreign is not None:
        yield foreign_line(foreign)


def _details(result: Result) -> Iterator[str]:
    golden = result.parity.golden
    yield (
        f"{result.format}, {result.quantization}, {what_ran(result)} with {result.threads} threads{placement(result)}"
    )
    if result.adopted is not None:
        by = f" by {result.adopted.producer}" if result.adopted.producer else ""
        yield f"made elsewhere{by}, adopted from {result.adopted.file}"
    yield f"model alone: {_latency(result.latency_ms)}"
    if result.end_to_end_ms is None:
        yield "from PNG bytes to label: not measured, as Pillow was not installed there"
    else:
        yield f"from PNG bytes to label: {_latency(result.end_to_end_ms)}"
    yield f"golden: mean |Δp| {golden.mean_abs_diff:.1e}, max {golden.max_abs_diff:.1e}"
    if result.parity.labelled is not None:
        yield from _labelled(result.parity.labelled)
    yield from _acceptance(result)


def placement(result: Result) -> str:
    """What ran the operators, in brackets to follow the provider; empty where the engine does not report it."""
    if result.placement is None:
        return ""
    parts = [f"{count} operators by {where}" for where, count in result.placement.operators.items()]
    if partitions := result.placement.partitions:
        parts.append(f"{partitions} partition{'s' if partitions > 1 else ''} of the delegate")
    return f" ({', '.join(parts)})"


def _latency(latency: Latency) -> str:
    p99 = "" if latency.p99 is None else f", p99 {latency.p99:.2f}"
    if latency.ci95_p99 is not None:
        p99 += f" ({latency.ci95_p99[0]:.2f}–{latency.ci95_p99[1]:.2f})"
    low, high = latency.ci95_p50
    return (
        f"p50 {latency.p50:.2f} ms (95 % interval {low:.2f}–{high:.2f}), p90 {latency.p90:.2f}{p99}, "
        f"{latency.samples} runs, sessions {latency.spread:.0%} apart: {'stable' if latency.stable else 'unstable'}"
    )


def _labelled(labelled: Labelled) -> Iterator[str]:
    low, high = labelled.accuracy_ci95
    over = over_groups(labelled.groups)
    yield (
        f"labelled: {labelled.count} images of {labelled.source} ({labelled.split}), accuracy {labelled.accuracy:.2%} "
        f"(95 % interval {low:.2%}–{high:.2%}{over}), ECE {labelled.ece:.4f}"
    )
    if labelled.change is None:
        yield "no reference outputs for these images; no comparison possible"
    else:
        low, high = labelled.change.ci95
        yield (
            f"relative to the reference's {labelled.reference_accuracy:.2%}: drop {points(labelled.change.drop)} "
            f"points (95 % interval {points(low)} to {points(high)}{over}), "
            f"McNemar p {labelled.mcnemar_p:.3f}, top-1 agreement {labelled.top1_agreement:.2%}, "
            f"worst class loses {points(labelled.worst_recall_drop or 0)} points of recall"
        )
    if labelled.ece_drift is not None and labelled.ece_drift_ci95 is not None:
        low, high = labelled.ece_drift_ci95
        yield f"ECE has drifted by {labelled.ece_drift:+.4f} (95 % interval {low:+.4f} to {high:+.4f})"
    if labelled.temperature is not None:
        yield (
            f"temperature fitted anew: {labelled.temperature:.2f}, with it ECE {labelled.ece_tempered:.4f} on the "
            "same images (nothing applies it)"
        )
    if labelled.risk_coverage is not None:
        yield curve_line(labelled.risk_coverage)
    if labelled.site is not None:
        yield site_line(labelled.site)
    recall = ", ".join(f"{name} {'–' if each is None else f'{each:.2%}'}" for name, each in labelled.recall.items())
    yield f"recall: {recall}"


def _profile_line(profile: Profile) -> str:
    """Where most of the time goes."""
    return ", ".join(f"{operator.name} {operator.share:.0%}" for operator in profile.operators[:IN_A_LINE])


def profile_caption(profile: Profile) -> str:
    """How a profile was taken."""
    nodes = ", ".join(f"{count} by {where}" for where, count in profile.nodes.items())
    return (
        f"{profile.method}, {profile.runs} inferences after {profile.warmup_runs} of warm-up: "
        f"{sum(profile.nodes.values())} operators ({nodes}), {profile.ms:.2f} ms together"
    )


def robustness_line(robustness: Robustness) -> str:
    """The accuracy under corruptions, relative to which bundle, and on how many images."""
    alone = (
        f"under corruptions {robustness.accuracy:.2%} (clean {robustness.clean_accuracy:.2%}) on "
        f"{robustness.count:,} images; "
    )
    drop, interval = robustness.relative_corruption_drop, robustness.relative_corruption_drop_ci95
    if robustness.drop is None or drop is None or interval is None:
        return alone + "no more precise bundle of the same network was measured with it; no comparison possible"
    low, high = map(points, interval)
    return (
        f"{alone}relative to {robustness.baseline} {points(robustness.drop)} points lost, of clean images "
        f"{points(robustness.clean_drop or 0)}; relative drop {points(drop)} (95 % interval {low} to {high})"
    )


def robustness_by_title(report: Report) -> dict[str, Robustness]:
    """The robustness of each target, once however many numbers of threads it was timed with."""
    settings = msgspec.structs.replace(report.settings, sweep=())
    return {
        title(result, settings): labelled.robustness
        for result in report.results
        if (labelled := result.parity.labelled) is not None and labelled.robustness is not None
    }
