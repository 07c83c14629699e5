"""The machines that the bundle was measured on, and how fast it is there."""

from bctoolkit.dossier import plots
from bctoolkit.dossier.evidence import Evidence
from bctoolkit.dossier.forms import count, gigabytes, megabytes, milliseconds, number, text
from bctoolkit.dossier.section import Missing, Section, caption, fact_rows, figures, what_ran
from bctoolkit.dossier.sources import Sources
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html

__all__ = ["fingerprint", "ratios", "section"]

RATIOS = {
    "latency": "model alone",
    "end_to_end": "from a PNG's bytes to the label",
    "cold_start": "loading and first inference",
    "peak_rss": "largest resident memory",
    "size": "size of the model file",
}
HEADS = ("latency in ms", "median", "95 % interval", "p99", "95 % interval", "runs")


def section(sources: Sources) -> Section:
    """A fingerprint and a table for each result."""
    if not sources.results:
        missing = Missing("not measured on any device", "bctk bench BUNDLE --data PATH")
        return Section("Devices", (), missing=(missing,))
    parts = [_overview(sources)] if len(sources.results) > 1 else []
    for report in sources.reports:
        parts += [_device(report.evidence, evidence) for evidence, _ in report.results]
        parts += _failures(report.evidence, {result.bundle for _, result in report.results})
    files = tuple(report.evidence.source for report in sources.reports)
    return Section("Devices", files, "\n".join(parts))


def _overview(sources: Sources) -> str:
    """The median latency of each result, side by side."""
    measured = [(report.evidence, result) for report in sources.reports for result, _ in report.results]
    ends = [end for _, one in measured for end in (*one.get("latency_ms", "ci95_p50"), one.get("latency_ms", "p50"))]
    scale = plots.Scale(0.0, 1.05 * max(ends))
    rows = []
    for report, result in measured:
        latency, cpu = result.within("latency_ms"), fingerprint(report, result)
        interval = latency.get("ci95_p50")
        rows.append(
            [
                f"{cpu.figure(text, 'cpu')}<small>{_title(result)}</small>",
                latency.figure(milliseconds, "p50"),
                latency.interval(milliseconds, "ci95_p50"),
                plots.strip(scale, latency.get("p50"), (interval[0], interval[1]), "median latency"),
                "stable" if latency.get("stable") else "unstable",
            ]
        )
    heads = ("median latency of the model alone, ms", "median", "95 % interval", "from zero on", "it is")
    return html.table(heads, rows, frozenset(heads[3:]))


def _device(report: Evidence, result: Evidence) -> str:
    return f"<h3>{_title(result)}</h3>\n{_machine(report, result)}{_latency(result)}{ratios(result)}"


def _title(one: Evidence) -> str:
    return f"{one.figure(text, 'bundle')} {what_ran(one)} with {one.figure(text, 'threads')} threads ({caption(one)})"


def _machine(report: Evidence, result: Evidence) -> str:
    """What tells this machine from others; what its system does not report is left out."""
    one = fingerprint(report, result)
    rows = [
        ("CPU", one.figure(text, "cpu")),
        ("instruction sets", one.figure(text, "cpu_flags") if one.get("cpu_flags") else ""),
        ("cores", f"{one.figure(count, 'cores_usable')} usable of {one.figure(count, 'cores')}"),
        ("memory", one.figure(gigabytes, "memory_bytes")),
        ("system", one.figure(text, "system")),
        ("governor", one.figure(text, "governor")),
        ("load before", one.figure(number, "load_average")),
        ("software", _versions(one)),
        ("measured", report.figure(text, "created")),
        ("load", f"{result.figure(milliseconds, 'load_ms')} ms"),
        ("first inference", f"{result.figure(milliseconds, 'first_ms')} ms"),
        ("largest resident memory", result.figure(megabytes, "peak_rss_bytes")),
        ("sessions", report.figure(count, "settings", "sessions")),
    ]
    return fact_rows(rows)


def fingerprint(report: Evidence, result: Evidence) -> Evidence:
    """The machine of a result: its own where a report joins several, else that of the report."""
    own = result.within("machine")
    return own if isinstance(own.value, dict) else report.within("machine")


def _versions(machine: Evidence) -> str:
    return ", ".join(
        f"{for_html(name)} {machine.figure(text, 'versions', name)}" for name in machine.get("versions") or {}
    )


def _latency(result: Evidence) -> str:
    """Both latencies in milliseconds, and whether anything may rest on them."""
    rows = [
        _row(result.within(key), name)
        for key, name in (("latency_ms", "model alone"), ("end_to_end_ms", RATIOS["end_to_end"]))
    ]
    warnings = result.figure(text, "latency_ms", "warnings") if result.get("latency_ms", "warnings") else ""
    note = f"<p>Unstable ({warnings}): no verdict rests on this latency.</p>" if warnings else ""
    return html.table(HEADS, rows) + note


def _row(one: Evidence, name: str) -> list[str]:
    return [
        name,
        one.figure(milliseconds, "p50"),
        one.interval(milliseconds, "ci95_p50"),
        one.figure(milliseconds, "p99"),
        one.interval(milliseconds, "ci95_p99"),
        one.figure(count, "n"),
    ]


def ratios(result: Evidence) -> str:
    """What each figure is relative to the report's baseline, where it has one."""
    one = result.within("relative")
    if one.value is None:
        return ""
    named = [(key, name) for key, name in RATIOS.items() if one.get(key) is not None]
    ends = [end for key, _ in named for end in (*(one.get(key, "ci95") or ()), one.get(key, "value"))]
    scale = plots.Scale.around(ends, within=(0.0, max(ends) * 2), line=1.0)
    rows = [
        [
            name,
            one.figure(number, key, "value"),
            one.interval(number, key, "ci95"),
            plots.strip(scale, one.get(key, "value"), one.get(key, "ci95"), f"ratio of {name}"),
        ]
        for key, name in named
    ]
    told = (
        f"Times the baseline's, {one.figure(text, 'baseline')}, in the same rounds; the upright line is as much as it"
    )
    heads = ("figure", "ratio", "95 % interval", f"from {scale.low:.2f} to {scale.high:.2f}")
    return figures([(told, html.table(heads, rows, frozenset({heads[3]})))])


def _failures(report: Evidence, names: set[str]) -> list[str]:
    """What could not be measured of a bundle of that name."""
    failures = [report.within("failures", at) for at in range(len(report.get("failures") or ()))]
    return [_failure(one) for one in failures if one.get("bundle") in names]


def _failure(one: Evidence) -> str:
    return f"<p>Could not be measured: {one.figure(text, 'bundle')} {what_ran(one)}: {one.figure(text, 'message')}</p>"
