"""The report as people read it: one table for the terminal and for Markdown, and what stands below it."""

from bctoolkit.bench.analysis.wording import check_words, outcome_of, points, title
from bctoolkit.bench.documents.report import (
    Labelled,
    Latency,
    Report,
    Result,
    Settings,
)
from bctoolkit.bench.report import profile_section, scenario_tables

__all__ = ["HEADINGS", "markdown", "row"]

HEADINGS = (
    "bundle", "size MB", "load ms", "first ms", "p50 ms", "p99 ms", "end-to-end ms", "images/s", "peak MB",
    "agreement", "max Δp", "accuracy",
)  # fmt: skip


def row(result: Result, settings: Settings | None = None) -> tuple[str, ...]:
    """One result in the order of `HEADINGS`."""
    latency, golden = result.latency_ms, result.parity.golden
    return (
        title(result, settings),
        f"{result.size_bytes / 1e6:.1f}",
        f"{result.load_ms:.0f}",
        f"{result.first_ms:.1f}",
        f"{latency.p50:.2f}" + ("" if latency.stable else " ~"),
        "–" if latency.p99 is None else f"{latency.p99:.2f}",
        f"{result.end_to_end_ms.p50:.2f}",
        f"{result.throughput_per_s:.0f}",
        f"{result.peak_rss_bytes / 1e6:.0f}",
        f"{golden.top1_agreement:.2%}",
        f"{golden.max_abs_diff:.1e}",
        _accuracy(result.parity.labelled),
    )


def _accuracy(labelled: Labelled | None) -> str:
    if labelled is None:
        return "–"
    drop = labelled.accuracy_drop
    return f"{labelled.accuracy:.2%}" + ("" if drop is None else f" ({points(-drop, '+')})")


def markdown(report: Report) -> str:
    """The whole report in Markdown."""
    machine, settings = report.machine, report.settings
    threads = ", ".join(map(str, settings.sweep or (settings.threads,)))
    first = report.results[0].parity.golden
    kind = report.results[0].parity.golden_images
    lines = [
        "# Benchmark report",
        "",
        f"{report.created} · {machine.cpu}, {machine.cores_usable} of {machine.cores} cores, {machine.system}",
        "",
        f"| {' | '.join(HEADINGS)} |",
        "|" + "---|" * len(HEADINGS),
        *(f"| {' | '.join(row(result, settings))} |" for result in report.results),
        "",
        f"Batch 1, {threads} threads, {settings.sessions} sessions per bundle in turns, each a fresh process; "
        f"at least {settings.min_runs} runs and {settings.min_seconds:g} s each after warm-up. `~` marks an "
        "unstable result: no verdict rests on it. p99 needs 1,000 samples. Peak is resident memory. Loading is timed "
        "in a fresh process, with the bundle's files in the system's page cache.",
        "",
        f"Parity: against the float32 Keras reference on {first.count} {kind} golden images. Accuracy: on labelled "
        "images (in brackets the change in points against the reference on the same images).",
    ]
    if report.failures:
        lines += ["", "Not measured:", "", *(f"- {failure.message}" for failure in report.failures)]
    lines += scenario_tables.markdown(report)
    for result in report.results:
        lines += ["", f"## {title(result, settings)}", "", *_details(result)]
        lines += profile_section.markdown(result.profile)
    return "\n".join(lines) + "\n"


def _details(result: Result) -> list[str]:
    lines = [
        f"- {result.format}, {result.quantization}, on {result.provider} with {result.threads} threads"
        f"{profile_section.placed(result)}",
        f"- model alone: {_latency(result.latency_ms)}",
        f"- from PNG bytes to label: {_latency(result.end_to_end_ms)}",
        f"- golden: mean |Δp| {result.parity.golden.mean_abs_diff:.1e}, max {result.parity.golden.max_abs_diff:.1e}",
    ]
    if result.parity.labelled is not None:
        lines += _labelled(result.parity.labelled)
    if result.verdict is not None:
        lines.append(f"- verdict: **{outcome_of(result.verdict)}**")
        lines += [f"  - {check_words(check)}" for check in result.verdict.checks]
    return lines


def _latency(latency: Latency) -> str:
    p99 = "" if latency.p99 is None else f", p99 {latency.p99:.2f}"
    if latency.ci95_p99 is not None:
        p99 += f" ({latency.ci95_p99[0]:.2f}–{latency.ci95_p99[1]:.2f})"
    low, high = latency.ci95_p50
    reasons = "; ".join(reason.advice for reason in latency.unstable)
    state = "stable" if latency.stable else f"unstable: {reasons}".rstrip(": ")
    return (
        f"p50 {latency.p50:.2f} ms (95 % interval {low:.2f}–{high:.2f}), p90 {latency.p90:.2f}{p99}, "
        f"{latency.n} runs, sessions {latency.spread:.0%} apart: {state}"
    )


def _labelled(labelled: Labelled) -> list[str]:
    low, high = labelled.accuracy_ci95
    lines = [
        f"- labelled: {labelled.count} images of {labelled.source} ({labelled.split}), "
        f"accuracy {labelled.accuracy:.2%} (95 % interval {low:.2%}–{high:.2%}), ECE {labelled.ece:.4f}"
    ]
    if labelled.accuracy_drop is None or labelled.accuracy_drop_ci95 is None:
        lines.append("- the bundle knows no reference answers for these images: the figures stand alone")
    else:
        low, high = labelled.accuracy_drop_ci95
        lines.append(
            f"- against the reference's {labelled.reference_accuracy:.2%}: drop {points(labelled.accuracy_drop)} "
            f"points (95 % interval {points(low)} to {points(high)}), McNemar p {labelled.mcnemar_p:.3f}, "
            f"top-1 agreement {labelled.top1_agreement:.2%}, "
            f"worst class loses {points(labelled.worst_recall_drop or 0)} points of recall"
        )
    if labelled.ece_drift is not None and labelled.ece_drift_ci95 is not None:
        low, high = labelled.ece_drift_ci95
        lines.append(f"- ECE has drifted by {labelled.ece_drift:+.4f} (95 % interval {low:+.4f} to {high:+.4f})")
    if labelled.losing:
        lost = ", ".join(
            f"{name} {points(labelled.class_loss[name].drop)} points ({points(labelled.class_loss[name].ci95[0])} to "
            f"{points(labelled.class_loss[name].ci95[1])})"
            for name in labelled.losing
        )
        lines.append(f"- **classes that lose recall beyond chance: {lost}**")
    if labelled.temperature is not None:
        lines.append(
            f"- temperature fitted anew: {labelled.temperature:.2f}, with it ECE {labelled.ece_tempered:.4f} on the "
            "same images (nothing applies it)"
        )
    recall = ", ".join(f"{name} {'–' if r is None else f'{r:.2%}'}" for name, r in labelled.recall.items())
    return [*lines, f"- recall: {recall}"]
