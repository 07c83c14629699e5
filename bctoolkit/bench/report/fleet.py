"""The report of several machines: one table of all, and a section for each; its own whole report lies beside it.

::

    benchmarks/reports/<name>/
      report.json    the document: the whole report of each machine
      report.md, report.html, report.csv, junit.xml
      devices/<machine>/   the report folder of each, as `bctk bench` writes it there
"""

from collections.abc import Iterator
from pathlib import Path

from bctoolkit.bench.documents.fleet import DEVICES, DeviceReport, Fleet
from bctoolkit.bench.documents.report import REPORT
from bctoolkit.bench.report.page import machine_facts
from bctoolkit.bench.report.relative import relative_table
from bctoolkit.bench.report.summary import ResultSummary, summaries
from bctoolkit.bench.report.tables import figures_table, merged_csv_table, merged_figures_table
from bctoolkit.bench.report.write import junit_of
from bctoolkit.documents import to_json
from bctoolkit.escaping.text import for_html, for_markdown
from bctoolkit.rendering import html
from bctoolkit.rendering.table import Table

__all__ = ["OTHERS", "fleet_table", "told", "write"]

OTHERS = ("report.md", "report.html", "report.csv", "junit.xml", DEVICES)
"""What the folder holds besides the document."""
ALL = (
    "One row per bundle and machine. ~ marks an unstable latency. In brackets: the change of accuracy in points "
    "relative to the float32 reference on the same images."
)


def write(folder: Path, fleet: Fleet) -> None:
    """Write the documents of a fleet into a folder in which the reports of its machines are already."""
    (folder / REPORT).write_bytes(to_json(fleet))
    (folder / "report.md").write_text("\n".join(_markdown(fleet)) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(_page(fleet, folder), encoding="utf-8")
    reports = [(each.name, each.report) for each in fleet.devices]
    (folder / "report.csv").write_text(merged_csv_table(reports).to_csv(), encoding="utf-8", newline="")
    (folder / "junit.xml").write_bytes(junit_of([(f"{name}: ", report) for name, report in reports]))


def fleet_table(fleet: Fleet) -> Table:
    """One row per bundle and machine."""
    table = merged_figures_table([(each.name, each.report) for each in fleet.devices])
    columns = tuple("device" if column == "report" else column for column in table.columns)
    return Table(columns, table.rows, "All machines", ALL, text_columns=frozenset({"device"}))


def told(device: DeviceReport) -> list[str]:
    """The lines of a machine's results that a reader of all machines should not miss."""
    return [line for summary in summaries(device.report) for line in _lines(summary)]


def _lines(summary: ResultSummary) -> list[str]:
    verdict = [f"verdict {summary.outcome}"] if summary.outcome else []
    lines = [*summary.warnings, *verdict, *summary.unmet, *([summary.failure] if summary.failure else [])]
    return [f"{summary.title}: {line}" for line in lines]


def _machine(device: DeviceReport) -> str:
    machine = device.report.machine
    return f"{machine.cpu}, {machine.cores_usable} of {machine.cores} cores, {machine.system}"


def _markdown(fleet: Fleet) -> Iterator[str]:
    yield from ("# Benchmark report", "", f"{for_markdown(fleet.created)} · {len(fleet.devices)} machines", "")
    yield from (ALL, "", *fleet_table(fleet).to_markdown())
    if fleet.unmeasured:
        yield from ("", "Not measured:", "", *(f"- {for_markdown(each.message)}" for each in fleet.unmeasured))
    for device in fleet.devices:
        yield from ("", f"## {for_markdown(device.name)}", "", for_markdown(_machine(device)), "")
        yield from figures_table(device.report).to_markdown()
        ratios = relative_table(device.report)
        if ratios is not None:
            yield from ("", f"{ratios.title}. {ratios.description}", "", *ratios.to_markdown())
        lines = told(device)
        yield from ("", *(f"- {for_markdown(line)}" for line in lines)) if lines else ()


def _page(fleet: Fleet, folder: Path) -> str:
    sections = [html.section("All machines", for_html(ALL), fleet_table(fleet).to_html())]
    if fleet.unmeasured:
        items = "".join(f"<li>{for_html(each.message)}</li>" for each in fleet.unmeasured)
        sections.append(html.section("Not measured", "", f"<ul>{items}</ul>"))
    sections += [html.section(device.name, _link(device, folder), _device(device)) for device in fleet.devices]
    return html.document(
        "Benchmark report",
        f"{len(fleet.devices)} machines",
        sections,
        f"{for_html(fleet.created)} · not a medical device",
    )


def _link(device: DeviceReport, folder: Path) -> str:
    """To the machine's own page, where it could be drawn."""
    page = f"{DEVICES}/{device.name}/report.html"
    link = f' · <a href="{for_html(page)}">its own report</a>' if (folder / page).exists() else ""
    return for_html(_machine(device)) + link


def _device(device: DeviceReport) -> str:
    ratios = relative_table(device.report)
    lines = told(device)
    return "\n".join(
        [
            figures_table(device.report).to_html(),
            *(
                []
                if ratios is None
                else [f"<p>{for_html(ratios.title)}. {for_html(ratios.description)}</p>", ratios.to_html()]
            ),
            *([f"<ul>{''.join(f'<li>{for_html(line)}</li>' for line in lines)}</ul>"] if lines else []),
            html.facts(machine_facts(device.report)),
        ]
    )
