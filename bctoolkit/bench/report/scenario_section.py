"""The report page's part on the scenarios beside single-stream, and on energy."""

from collections.abc import Iterator, Sequence
from html import escape

from bctoolkit.bench.documents.measured import Offline, Sustained
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.report import charts
from bctoolkit.bench.report.scenario_tables import tables
from bctoolkit.rendering import html

__all__ = ["METHOD", "sections"]

METHOD = (
    ("offline", "a fresh process per session; each batch size has a quarter of a session's least seconds after two "
     "untimed batches; images / time within the calls; the doubling ends after two that gain less than 5 %, at 256, or "
     "before memory runs out, and later sessions repeat the first one's sizes"),
    ("knee", "the smallest batch within 5 % of the best throughput, among those whose answers keep the quantization's "
     "tolerance against single images"),
    ("multi-stream", "a thread and a classifier per stream, which share the threads; all begin together and end when "
     "each has enough; throughput is all queries / the time from the first begin to the last end"),
    ("sustained", "one process after the turns; p50 and p99 by windows of a sixtieth of it and at least 1 s; clock and "
     "temperature are read at the end of each"),
    ("energy", "RAPL's counters of the processors, else the discharging battery's power before and after × time, over "
     "the timed runs alone; Student's interval over the sessions"),
)  # fmt: skip


def sections(report: Report) -> Iterator[str]:
    """A section for each scenario that was measured, its plots below its table."""
    for table in tables(report):
        rows = [[f'<span class="line">{escape(cell)}</span>' for cell in row] for row in table.rows]
        plots = "".join(f'<figure class="plot">{plot}</figure>' for plot in _plots(report, table.heading))
        remarks = "".join(f"<p>{escape(remark)}</p>" for remark in table.remarks)
        yield html.section(table.heading, escape(table.what), html.table(table.columns, rows) + remarks + plots)


def _plots(report: Report, heading: str) -> Iterator[str]:
    if heading == "Offline":
        measured = [(result.bundle, result.offline) for result in report.results if result.offline]
        yield throughput(measured) + charts.key([name for name, _ in measured])
    if heading == "Sustained":
        runs = [(result.bundle, result.sustained) for result in report.results if result.sustained]
        yield sustained_latency(runs) + charts.key([name for name, _ in runs])
        for field, words in (("frequency_mhz", "clock, MHz"), ("temperature_c", "temperature, °C")):
            known = [run for run in runs if any(getattr(window, field) is not None for window in run[1].windows)]
            if known:
                yield sustained_state(known, field, words) + charts.key([name for name, _ in known])


def throughput(measured: Sequence[tuple[str, Offline]]) -> str:
    """Images per second by batch size with the sessions' intervals; the knee is ringed."""
    drawn, (axis,) = charts.canvas(1, charts.SIZE)
    for place, (_, offline) in enumerate(measured):
        colour = charts.colour(place)
        ordered = sorted(offline.batches, key=lambda batch: batch.batch)
        sizes, rates = [each.batch for each in ordered], [each.images_per_s for each in ordered]
        ends = [each.ci95_images_per_s for each in ordered]
        reach = [[r - low for r, (low, _) in zip(rates, ends, strict=True)],
                 [high - r for r, (_, high) in zip(rates, ends, strict=True)]]  # fmt: skip
        axis.errorbar(sizes, rates, yerr=reach, color=colour, marker=charts.mark(place), markersize=4, capsize=3)
        at_knee = rates[sizes.index(offline.knee)]
        axis.plot(offline.knee, at_knee, "o", markersize=14, markerfacecolor="none", markeredgecolor=colour,
                  markeredgewidth=1.8)  # fmt: skip
    sizes = sorted({each.batch for _, offline in measured for each in offline.batches})
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.set_xticks([], minor=True)
    axis.set(xlabel="images in a batch (ring: the knee)", ylabel="images per second")
    axis.set_ylim(bottom=0)
    return charts.svg(drawn, "throughput of each artifact by batch size")


def sustained_latency(measured: Sequence[tuple[str, Sustained]]) -> str:
    """p50 (lines) and p99 (marks, where a window has 1,000 runs) of each window."""
    drawn, (axis,) = charts.canvas(1, charts.SIZE)
    for place, (_, sustained) in enumerate(measured):
        colour = charts.colour(place)
        minutes = [window.seconds / 60 for window in sustained.windows]
        axis.plot(minutes, [window.p50_ms for window in sustained.windows], color=colour)
        tails = [(window.seconds / 60, window.p99_ms) for window in sustained.windows if window.p99_ms is not None]
        if tails:
            axis.plot(*zip(*tails, strict=True), charts.mark(place), color=colour, markersize=4)
    axis.set(xlabel="minutes", ylabel="ms per run, model alone")
    axis.set_ylim(bottom=0)
    return charts.svg(drawn, "latency of each artifact over a sustained run")


def sustained_state(measured: Sequence[tuple[str, Sustained]], field: str, words: str) -> str:
    """The machine's clock or temperature at the end of each window."""
    drawn, (axis,) = charts.canvas(1, charts.SIZE)
    for place, (_, sustained) in enumerate(measured):
        told = [(window.seconds / 60, getattr(window, field)) for window in sustained.windows]
        known = [(minutes, value) for minutes, value in told if value is not None]
        colour = charts.colour(place)
        axis.plot(*zip(*known, strict=True), color=colour, marker=charts.mark(place), markersize=4)
    axis.set(xlabel="minutes", ylabel=words)
    axis.ticklabel_format(axis="y", useOffset=False)
    return charts.svg(drawn, f"{words.split(',')[0]} over a sustained run")
