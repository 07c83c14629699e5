"""The scenarios beside single-stream, and energy, as tables and as columns of a spreadsheet."""

from collections.abc import Callable, Iterator

from bctoolkit.bench.documents.measurements import Energy, Interval, Offline, Sustained
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.rendering.table import Table

__all__ = ["scenario_columns", "scenario_tables"]

SOURCES = {"package": "processors (RAPL)", "battery": "whole machine (battery)"}


def scenario_tables(report: Report) -> list[Table]:
    """Those that have rows."""
    every = (_offline_table(report), _streams_table(report), _sustained_table(report), _energy_table(report))
    return [table for table in every if table.rows]


def scenario_columns(result: Result) -> dict[str, object]:
    """What a spreadsheet has of them, by heading; None where it was not measured."""
    offline, streams, sustained = result.offline, result.multi_stream, result.sustained
    at_knee = None if offline is None else next(each for each in offline.batches if each.batch == offline.knee)
    return {
        "offline_knee": None if offline is None else offline.knee,
        "offline_images_per_s": None if at_knee is None else at_knee.images_per_s,
        "streams": None if streams is None else streams.streams,
        "streams_p50_ms": None if streams is None else streams.latency_ms.p50,
        "streams_p99_ms": None if streams is None else streams.latency_ms.p99,
        "streams_images_per_s": None if streams is None else streams.images_per_s,
        "streams_ratio": None if streams is None else streams.ratio,
        "sustained_minutes": None if sustained is None else sustained.minutes,
        "sustained_p50_ms": None if sustained is None else sustained.p50_ms,
        "sustained_p99_ms": None if sustained is None else sustained.p99_ms,
        "slow_down": None if sustained is None else sustained.slow_down,
        "energy_mj": None if result.energy is None else result.energy.mj_per_inference,
        "energy_source": None if result.energy is None else result.energy.source,
    }


def _offline_table(report: Report) -> Table:
    return Table(
        ("bundle", "batch", "images/s", "95 % interval", "p50 ms", "peak MB", "as alone", "knee"),
        [row for result in report.results if result.offline for row in _offline(result.bundle, result.offline)],
        "Offline",
        f"Throughput by batch size, model alone, {report.settings.threads} threads. The knee is the smallest batch "
        "within 5 % of the best throughput; in brackets the range of the sessions' own. As alone: the share of images "
        "with the class that they have one at a time. ~ marks interference.",
        tuple(
            f"{result.bundle}: {note}" for result in report.results if result.offline for note in _notes(result.offline)
        ),
        frozenset({"knee"}),
    )


def _offline(bundle: str, offline: Offline) -> Iterator[tuple[str, ...]]:
    low, high = offline.knee_range
    for batch in offline.batches:
        yield (
            bundle,
            str(batch.batch),
            f"{batch.images_per_s:.1f}{' ~' if offline.warnings else ''}",
            _interval(batch.ci95_images_per_s, 1),
            f"{batch.p50_ms:.2f}",
            f"{batch.peak_rss_bytes / 1e6:.0f}",
            f"{batch.top1_agreement:.2%}",
            f"knee ({low} to {high})" if batch.batch == offline.knee else "",
        )


def _notes(offline: Offline) -> Iterator[str]:
    if offline.fixed_batch is not None:
        yield f"the format's graph takes {offline.fixed_batch} image at a time, so there are no other batches"
    for batch in offline.batches:
        if batch.violations:
            violations = ", ".join(batch.violations)
            yield f"batches of {batch.batch} differ from single images, so they are no knee: {violations}"
    if offline.stop_reason:
        yield f"no batch above {offline.batches[-1].batch}: {offline.stop_reason}"
    yield from (warning.advice for warning in offline.warnings)


def _streams_table(report: Report) -> Table:
    return Table(
        ("bundle", "streams", "threads each", "p50 ms", "p90 ms", "p99 ms", "images/s", "95 % interval",
         "× single-stream", "95 % interval", "peak MB"),
        [row for result in report.results for row in _streams(result)],
        "Multi-stream",
        "Streams at once in one process, each with a classifier of its own: latency of a query, throughput of all "
        f"together, and that / single-stream on {report.settings.threads} threads in the same rounds. ~ marks an "
        "unstable latency.",
    )  # fmt: skip


def _streams(result: Result) -> Iterator[tuple[str, ...]]:
    streams = result.multi_stream
    if streams is None:
        return
    latency = streams.latency_ms
    yield (
        result.bundle,
        str(streams.streams),
        str(streams.threads),
        f"{latency.p50:.2f}{'' if latency.stable else ' ~'}",
        f"{latency.p90:.2f}",
        _number(latency.p99, 2),
        f"{streams.images_per_s:.1f}",
        _interval(streams.ci95_images_per_s, 1),
        f"{streams.ratio:.2f}",
        "–" if streams.ci95_ratio is None else _interval(streams.ci95_ratio, 2),
        f"{streams.peak_rss_bytes / 1e6:.0f}",
    )


def _sustained_table(report: Report) -> Table:
    return Table(
        ("bundle", "minutes", "runs", "p50 ms", "p99 ms", "slow-down", "MHz", "°C", "interference"),
        [_sustained(result.bundle, result.sustained) for result in report.results if result.sustained],
        "Sustained",
        f"One process without pause, {report.settings.threads} threads. Slow-down: p50 of the last tenth of the runs / "
        "of the first. Clock and temperature: after the first window → lowest or hottest → at the end, one figure "
        "where they are alike; – where not available.",
        text_columns=frozenset({"interference"}),
    )


def _sustained(bundle: str, sustained: Sustained) -> tuple[str, ...]:
    return (
        bundle,
        f"{sustained.minutes:.1f}",
        f"{sustained.samples:,}",
        f"{sustained.p50_ms:.2f}",
        _number(sustained.p99_ms, 2),
        _number(sustained.slow_down, 3),
        _course([window.frequency_mhz for window in sustained.windows], min),
        _course([window.temperature_c for window in sustained.windows], max),
        ", ".join(sustained.warnings) or "none",
    )


def _energy_table(report: Report) -> Table:
    return Table(
        ("bundle", "of", "counted", "joules", "mJ per inference", "95 % interval"),
        [row for result in report.results for row in _energies(result)],
        "Energy",
        "From what the system counts: all that ran meanwhile is in it, and what idles too.",
        text_columns=frozenset({"of", "counted"}),
    )


def _energies(result: Result) -> Iterator[tuple[str, ...]]:
    for of, energy in (
        ("single-stream", result.energy),
        ("sustained", result.sustained.energy if result.sustained else None),
    ):
        if energy is not None:
            yield (result.bundle, of, *_energy(energy))


def _energy(energy: Energy) -> tuple[str, ...]:
    interval = "–" if energy.ci95 is None else _interval(energy.ci95, 2)
    return SOURCES[energy.source], f"{energy.joules:.1f}", f"{energy.mj_per_inference:.2f}", interval


def _course(values: list[float | None], extreme: Callable[[list[float]], float]) -> str:
    """The first, the extreme and the last of the values that the system reports; one where they are alike."""
    numbers = [value for value in values if value is not None]
    texts = [f"{value:.0f}" for value in (numbers[0], extreme(numbers), numbers[-1])] if numbers else ["–"]
    return texts[0] if len(set(texts)) == 1 else "→".join(texts)


def _interval(interval: Interval, decimals: int) -> str:
    return f"{interval[0]:.{decimals}f}–{interval[1]:.{decimals}f}"


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
