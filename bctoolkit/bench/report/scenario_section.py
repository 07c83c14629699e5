"""The report page's part on the scenarios beside single-stream, and on energy."""

from collections.abc import Iterator, Sequence

from bctoolkit.bench.documents.measurements import Offline, Sustained
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.report import charts
from bctoolkit.bench.report.scenario_tables import scenario_tables
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html

__all__ = ["METHOD", "sections"]

METHOD = (
    ("offline", "a fresh process per session; each batch size has a quarter of a session's least seconds after two "
     "untimed batches; images / time within the calls; the doubling ends after two that gain less than 5 %, at 256, or "
     "before memory runs out, and later sessions repeat the first one's sizes"),
    ("knee", "the smallest batch within 5 % of the best throughput, among those whose outputs keep the quantization's "
     "tolerance against single images"),
    ("multi-stream", "a thread and a classifier per stream, which share the threads; all begin together and end when "
     "each has enough runs; throughput is all queries / the time from the first begin to the last end"),
    ("sustained", "one process after the rounds; p50 and p99 by windows of a sixtieth of it and at least 1 s; clock "
     "and temperature are read at the end of each"),
    ("energy", "RAPL's counters of the processors, else the discharging battery's power before and after × time, over "
     "the timed runs alone; Student's interval over the sessions"),
)  # fmt: skip


def sections(report: Report) -> Iterator[str]:
    """A section for each scenario that was measured, its plots below its table."""
    for table in scenario_tables(report):
        plots = "".join(f'<figure class="plot">{plot}</figure>' for plot in _plots(report, table.title))
        notes = "".join(f"<p>{for_html(note)}</p>" for note in table.notes)
        yield html.section(table.title, for_html(table.description), table.to_html() + notes + plots)


def _plots(report: Report, heading: str) -> Iterator[str]:
    if heading == "Offline":
        measured = [(result.bundle, result.offline) for result in report.results if result.offline]
        yield throughput(measured) + charts.key([name for name, _ in measured])
    if heading == "Sustained":
        runs = [(result.bundle, result.sustained) for result in report.results if result.sustained]
        yield sustained_latency(runs) + charts.key([name for name, _ in runs])
        for field, label in (("frequency_mhz", "clock, MHz"), ("temperature_c", "temperature, °C")):
            reported = [run for run in runs if any(getattr(window, field) is not None for window in run[1].windows)]
            if reported:
                yield sustained_state(reported, field, label) + charts.key([name for name, _ in reported])


def throughput(measured: Sequence[tuple[str, Offline]]) -> str:
    """Images per second by batch size with the sessions' intervals; the knee is ringed."""
    fig, ax = charts.canvas(charts.SIZE)
    for index, (_, offline) in enumerate(measured):
        colour = charts.colour(index)
        ordered = sorted(offline.batches, key=lambda batch: batch.batch)
        sizes, rates = [each.batch for each in ordered], [each.images_per_s for each in ordered]
        ends = [each.ci95_images_per_s for each in ordered]
        reach = [[r - low for r, (low, _) in zip(rates, ends, strict=True)],
                 [high - r for r, (_, high) in zip(rates, ends, strict=True)]]  # fmt: skip
        ax.errorbar(sizes, rates, yerr=reach, color=colour, marker=charts.mark(index), markersize=4, capsize=3)
        at_knee = rates[sizes.index(offline.knee)]
        ax.plot(offline.knee, at_knee, "o", markersize=14, markerfacecolor="none", markeredgecolor=colour,
                  markeredgewidth=1.8)  # fmt: skip
    sizes = sorted({each.batch for _, offline in measured for each in offline.batches})
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="images in a batch (ring: the knee)", ylabel="images per second")
    ax.set_ylim(bottom=0)
    return charts.svg(fig, "throughput of each artifact by batch size")


def sustained_latency(measured: Sequence[tuple[str, Sustained]]) -> str:
    """p50 (lines) and p99 (marks, where a window has 1,000 runs) of each window."""
    fig, ax = charts.canvas(charts.SIZE)
    for index, (_, sustained) in enumerate(measured):
        colour = charts.colour(index)
        minutes = [window.seconds / 60 for window in sustained.windows]
        ax.plot(minutes, [window.p50_ms for window in sustained.windows], color=colour)
        tails = [(window.seconds / 60, window.p99_ms) for window in sustained.windows if window.p99_ms is not None]
        if tails:
            ax.plot(*zip(*tails, strict=True), charts.mark(index), color=colour, markersize=4)
    ax.set(xlabel="minutes", ylabel="ms per run, model alone")
    ax.set_ylim(bottom=0)
    return charts.svg(fig, "latency of each artifact over a sustained run")


def sustained_state(measured: Sequence[tuple[str, Sustained]], field: str, label: str) -> str:
    """The machine's clock or temperature at the end of each window."""
    fig, ax = charts.canvas(charts.SIZE)
    for index, (_, sustained) in enumerate(measured):
        values = [(window.seconds / 60, getattr(window, field)) for window in sustained.windows]
        reported = [(minutes, value) for minutes, value in values if value is not None]
        colour = charts.colour(index)
        ax.plot(*zip(*reported, strict=True), color=colour, marker=charts.mark(index), markersize=4)
    ax.set(xlabel="minutes", ylabel=label)
    ax.ticklabel_format(axis="y", useOffset=False)
    return charts.svg(fig, f"{label.split(',')[0]} over a sustained run")
