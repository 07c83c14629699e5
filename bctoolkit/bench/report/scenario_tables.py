"""The scenarios beside single-stream, and energy, as tables: for the terminal, Markdown, the page and spreadsheets."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bctoolkit.bench.documents.measured import Energy, Interval, Offline, Sustained
from bctoolkit.bench.documents.report import Report, Result

__all__ = ["Table", "columns", "markdown", "tables"]

SOURCES = {"package": "processors (RAPL)", "battery": "whole machine (battery)"}


class Table(NamedTuple):
    """A table in plain text, the first cell of each row its heading."""

    heading: str
    what: str
    """How to read it."""
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    remarks: tuple[str, ...] = ()
    """What stands below it."""


def tables(report: Report) -> list[Table]:
    """Those that have rows."""
    made = (_offline_table(report), _streams_table(report), _sustained_table(report), _energy_table(report))
    return [table for table in made if table.rows]


def markdown(report: Report) -> list[str]:
    """The tables as lines."""
    lines = []
    for table in tables(report):
        lines += ["", f"## {table.heading}", "", table.what, "", f"| {' | '.join(table.columns)} |"]
        lines += ["|" + "---|" * len(table.columns), *(f"| {' | '.join(row)} |" for row in table.rows)]
        lines += ["", *(f"- {remark}" for remark in table.remarks)] if table.remarks else []
    return lines


def columns(result: Result) -> dict[str, object]:
    """What a spreadsheet has of them; None where it was not measured."""
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
        "Offline",
        f"Throughput by batch size, model alone, {report.settings.threads} threads. The knee is the smallest batch "
        "within 5 % of the best throughput; in brackets the range of the sessions' own. As alone: the share of images "
        "with the class that they have one at a time. ~ marks what was disturbed.",
        ("bundle", "batch", "images/s", "95 % interval", "p50 ms", "peak MB", "as alone", "knee"),
        [row for result in report.results if result.offline for row in _offline(result.bundle, result.offline)],
        tuple(
            f"{result.bundle}: {remark}"
            for result in report.results
            if result.offline
            for remark in _remarks(result.offline)
        ),
    )


def _offline(bundle: str, offline: Offline) -> Iterator[tuple[str, ...]]:
    low, high = offline.knee_range
    for batch in offline.batches:
        yield (
            bundle,
            str(batch.batch),
            f"{batch.images_per_s:.1f}{' ~' if offline.unstable else ''}",
            _interval(batch.ci95_images_per_s, 1),
            f"{batch.p50_ms:.2f}",
            f"{batch.peak_rss_bytes / 1e6:.0f}",
            f"{batch.top1_agreement:.2%}",
            f"knee ({low} to {high})" if batch.batch == offline.knee else "",
        )


def _remarks(offline: Offline) -> Iterator[str]:
    if offline.fixed_batch is not None:
        yield f"the format's graph takes {offline.fixed_batch} image at a time, so there are no other batches"
    for batch in offline.batches:
        if batch.broken:
            yield f"batches of {batch.batch} depart from single images, so they are no knee: {', '.join(batch.broken)}"
    if offline.ended:
        yield f"no batch above {offline.batches[-1].batch}: {offline.ended}"
    yield from (reason.advice for reason in offline.unstable)


def _streams_table(report: Report) -> Table:
    return Table(
        "Multi-stream",
        "Streams at once in one process, each with a classifier of its own: latency of a query, throughput of all "
        f"together, and that / single-stream on {report.settings.threads} threads in the same turns. ~ marks an "
        "unstable latency.",
        ("bundle", "streams", "threads each", "p50 ms", "p90 ms", "p99 ms", "images/s", "95 % interval",
         "× single-stream", "95 % interval", "peak MB"),
        [row for result in report.results for row in _streams(result)],
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
        "Sustained",
        f"One process without pause, {report.settings.threads} threads. Slow-down: p50 of the last tenth of the runs / "
        "of the first. Clock and temperature: after the first window → lowest or hottest → at the end, one figure "
        "where they are alike; – where the system does not tell.",
        ("bundle", "minutes", "runs", "p50 ms", "p99 ms", "slow-down", "MHz", "°C", "disturbed by"),
        [_sustained(result.bundle, result.sustained) for result in report.results if result.sustained],
    )


def _sustained(bundle: str, sustained: Sustained) -> tuple[str, ...]:
    return (
        bundle,
        f"{sustained.minutes:.1f}",
        f"{sustained.n:,}",
        f"{sustained.p50_ms:.2f}",
        _number(sustained.p99_ms, 2),
        _number(sustained.slow_down, 3),
        _course([window.frequency_mhz for window in sustained.windows], min),
        _course([window.temperature_c for window in sustained.windows], max),
        ", ".join(sustained.unstable) or "nothing",
    )


def _energy_table(report: Report) -> Table:
    return Table(
        "Energy",
        "From what the system counts: all that ran meanwhile is in it, and what idles too.",
        ("bundle", "of", "counted", "joules", "mJ per inference", "95 % interval"),
        [row for result in report.results for row in _energies(result)],
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
    """The first, the extreme and the last of the known values; one where they are alike."""
    known = [value for value in values if value is not None]
    told = [f"{value:.0f}" for value in (known[0], extreme(known), known[-1])] if known else ["–"]
    return told[0] if len(set(told)) == 1 else "→".join(told)


def _interval(interval: Interval, decimals: int) -> str:
    return f"{interval[0]:.{decimals}f}–{interval[1]:.{decimals}f}"


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
