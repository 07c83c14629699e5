"""The tables of a report: figures, limits, classes, operators, corruptions, and all that a spreadsheet has."""

from dataclasses import replace

from bctoolkit.bench.analysis.wording import observed, points, title
from bctoolkit.bench.documents.judgements import Labelled, Robustness, UnderCorruption, Verdict
from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.report.relative import RATIO, latency_ratio, latency_ratio_of, ratio_text, relative_columns
from bctoolkit.bench.report.scenario_tables import scenario_columns
from bctoolkit.data.corruptions.suite import SEVERITIES, display_name
from bctoolkit.rendering.table import Cell, Table, text_of

__all__ = [
    "classes_table",
    "corruption_means_table",
    "corruption_table",
    "csv_table",
    "figures_table",
    "limits_table",
    "merged_csv_table",
    "merged_figures_table",
    "operators_table",
]

FIGURES = (
    "bundle", "size MB", "load ms", "first ms", "p50 ms", RATIO, "p99 ms", "end-to-end ms", "images/s", "peak MB",
    "agreement", "max Δp", "accuracy",
)  # fmt: skip
ELSEWHERE = "made elsewhere"
"""The mark of a bundle that was adopted."""
OPERATORS = 10
"""Types of operators in a table."""


def figures_table(report: Report) -> Table:
    """One row per result."""
    description = (
        "~ marks an unstable latency. In brackets: the change of accuracy in points relative to the float32 reference "
        "on the same images."
    )
    rows = [_figures(result, report) for result in report.results]
    if report.baseline is None:
        return _without_ratios(Table(FIGURES, rows, "Figures", description))
    return Table(FIGURES, rows, "Figures", f"{RATIO}: {latency_ratio_of(report.baseline)} {description}")


def _without_ratios(table: Table) -> Table:
    """The table of figures that are relative to nothing."""
    at = table.columns.index(RATIO)
    rows = [(*row[:at], *row[at + 1 :]) for row in table.rows]
    return replace(table, columns=(*table.columns[:at], *table.columns[at + 1 :]), rows=rows)


def merged_figures_table(reports: list[tuple[str, Report]]) -> Table:
    """The results of several named reports, those of one bundle below each other."""
    rows = [
        (cells[0], name, *cells[1:])
        for name, report in reports
        for cells in (_figures(result, report) for result in report.results)
    ]
    table = Table(
        (FIGURES[0], "report", *FIGURES[1:]),
        sorted(rows, key=lambda cells: text_of(cells[0])),
        text_columns=frozenset({"report"}),
    )
    baselines = {report.baseline for _, report in reports}
    return table if len(baselines) == 1 and None not in baselines else _without_ratios(table)


def _figures(result: Result, report: Report) -> tuple[str | Cell, ...]:
    settings = report.settings
    latency, golden, labelled = result.latency_ms, result.parity.golden, result.parity.labelled
    drop = None if labelled is None else labelled.accuracy_drop
    change = "" if drop is None else f" ({points(-drop, '+')})"
    return (
        Cell(title(result, settings), ELSEWHERE) if result.adopted else title(result, settings),
        f"{result.size_bytes / 1e6:.1f}",
        f"{result.load_ms:.0f}",
        f"{result.first_ms:.1f}",
        f"{latency.p50:.2f}" + ("" if latency.stable else " ~"),
        ratio_text(latency_ratio(result), result.bundle == report.baseline),
        "–" if latency.p99 is None else f"{latency.p99:.2f}",
        "–" if result.end_to_end_ms is None else f"{result.end_to_end_ms.p50:.2f}",
        f"{result.throughput_per_s:.0f}",
        f"{result.peak_rss_bytes / 1e6:.0f}",
        f"{golden.top1_agreement:.2%}",
        f"{golden.max_abs_diff:.1e}",
        "–" if labelled is None else f"{labelled.accuracy:.2%}{change}",
    )


def limits_table(verdict: Verdict) -> Table:
    """Every limit of the budget and what was measured, kept or not."""
    rows = [
        (check.name, f"{check.limit:g}", observed(check), Cell(check.outcome, outcome=check.outcome))
        for check in verdict.checks
    ]
    return Table(("limit", "at", "95 % interval", ""), rows)


def classes_table(labelled: Labelled) -> Table:
    """The recall of each class, and what it has lost."""
    rows: list[tuple[str | Cell, ...]] = []
    for name, recall in labelled.recall.items():
        change = labelled.class_changes.get(name)
        cells: list[str | Cell] = ["–"] * 3
        if change is not None:
            low, high = map(points, change.ci95)
            beyond = name in labelled.regressed_classes
            interval = Cell(f"{low} to {high}", *(("beyond chance", "failed") if beyond else ()))
            cells = [str(change.count), points(change.drop), interval]
        rows.append((name, "–" if recall is None else f"{recall:.2%}", *cells))
    return Table(("class", "recall", "images", "lost", "95 % interval"), rows)


def operators_table(profile: Profile) -> Table:
    """The types of operators that take the longest, and all others together."""
    top, rest = profile.operators[:OPERATORS], profile.operators[OPERATORS:]
    rows = [(each.name, f"{each.share:.1%}", f"{each.ms:.3f}", str(each.count), each.where) for each in top]
    if rest:
        count, ms, share = (sum(getattr(each, name) for each in rest) for name in ("count", "ms", "share"))
        rows.append((f"{len(rest)} other types", f"{share:.1%}", f"{ms:.3f}", str(count), ""))
    return Table(("operator", "share", "ms", "count", "run by"), rows, text_columns=frozenset({"run by"}))


def corruption_means_table(robustness: dict[str, Robustness]) -> Table:
    """One column per target, by its title: the mean of the severities of each corruption."""
    names = next(iter(robustness.values())).corruptions
    rows = [(display_name(name), *(_mean(each.corruptions[name]) for each in robustness.values())) for name in names]
    return Table(("mean of three severities", *robustness), rows)


def _mean(cells: dict[str, UnderCorruption]) -> str:
    accuracy = sum(cell.accuracy for cell in cells.values()) / len(cells)
    drops = [cell.change.drop for cell in cells.values() if cell.change is not None]
    return f"{accuracy:.2%}" + (f" ({points(-sum(drops) / len(drops), '+')})" if drops else "")


def corruption_table(robustness: Robustness) -> Table:
    """The accuracy under each corruption at each severity, and what is lost."""
    rows = [
        (display_name(name), *(_under_corruption(cells[severity]) for severity in SEVERITIES))
        for name, cells in robustness.corruptions.items()
    ]
    return Table(("corruption", *SEVERITIES), rows)


def _under_corruption(cell: UnderCorruption) -> str | Cell:
    if cell.change is None:
        return f"{cell.accuracy:.2%}"
    low, high = map(points, cell.change.ci95)
    outcome = "failed" if cell.change.ci95[0] > 0 else ""
    return Cell(f"{cell.accuracy:.2%}", f"{points(cell.change.drop)} ({low} to {high})", outcome)


def csv_table(report: Report) -> Table:
    """One row per result, for spreadsheets; what was not measured is empty."""
    rows = [_csv_row(result) for result in report.results]
    return Table(tuple(rows[0]), [["" if value is None else str(value) for value in row.values()] for row in rows])


def merged_csv_table(reports: list[tuple[str, Report]]) -> Table:
    """The same of several named reports, below each other."""
    tables = [(name, csv_table(report)) for name, report in reports]
    rows = [(name, *row) for name, table in tables for row in table.rows]
    return Table(("device", *tables[0][1].columns), rows)


def _csv_row(result: Result) -> dict[str, object]:
    latency, labelled = result.latency_ms, result.parity.labelled
    robustness = None if labelled is None else labelled.robustness
    return {
        "bundle": result.bundle,
        "format": result.format,
        "quantization": result.quantization,
        "adopted": result.adopted and result.adopted.file,
        "engine": result.engine,
        "provider": result.provider,
        "threads": result.threads,
        "size_bytes": result.size_bytes,
        "load_ms": result.load_ms,
        "first_ms": result.first_ms,
        "p50_ms": latency.p50,
        "p50_ms_low": latency.ci95_p50[0],
        "p50_ms_high": latency.ci95_p50[1],
        "p90_ms": latency.p90,
        "p99_ms": latency.p99,
        "warnings": ", ".join(latency.warnings),
        "end_to_end_p50_ms": result.end_to_end_ms and result.end_to_end_ms.p50,
        "throughput_per_s": result.throughput_per_s,
        "peak_rss_bytes": result.peak_rss_bytes,
        "steady_rss_bytes": result.steady_rss_bytes,
        **relative_columns(result),
        "golden_agreement": result.parity.golden.top1_agreement,
        "golden_max_abs_diff": result.parity.golden.max_abs_diff,
        "accuracy": labelled and labelled.accuracy,
        "accuracy_drop": labelled and labelled.accuracy_drop,
        "worst_recall_drop": labelled and labelled.worst_recall_drop,
        "corruption_accuracy": robustness and robustness.accuracy,
        "corruption_drop": robustness and robustness.drop,
        "relative_corruption_drop": robustness and robustness.relative_corruption_drop,
        "outcome": result.verdict and result.verdict.outcome,
        **scenario_columns(result),
    }
