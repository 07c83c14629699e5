"""What a quantization lost, and which layers had to stay in float for it: as a document, a page and a picture."""

from pathlib import Path

from msgspec import field

from bctoolkit.documents import Document, to_json
from bctoolkit.documents.quantization import Gate, GateResult
from bctoolkit.escaping.text import for_markdown, for_markdown_cell
from bctoolkit.export.sensitivity.search import MixedPrecisionResult, Ranking
from bctoolkit.rendering.groups import over_groups
from bctoolkit.rendering.plots import figure

__all__ = ["QuantizationReport", "write_report"]

FLOAT, INTEGER = "#12406f", "#9ec5e8"
SHOWN = 40
"""Layers in the picture; the page lists all."""


class QuantizationReport(Document, frozen=True, kw_only=True):
    """`<name>.json`."""

    schema: int = 1
    name: str
    gate: Gate
    first: GateResult | None
    """With no layer in float but those of the recipe; None where no labelled images were known."""
    final: GateResult | None
    """Of the artifact as it is."""
    first_violations: tuple[str, ...] = ()
    """What broke the limits on the distance from the reference, with no layer in float but those of the recipe."""
    keep_float: tuple[str, ...] = field(default_factory=tuple)
    """Layers in float, of the recipe or returned."""
    ranking: Ranking | None = None
    """None where the gate did not fail at once."""


def write_report(folder: Path, name: str, gate: Gate, result: MixedPrecisionResult) -> QuantizationReport:
    """Write `<name>.json`, `<name>.md` and, where layers were ranked, `<name>.png` to an existing folder."""
    report = QuantizationReport(
        name=name,
        gate=gate,
        first=result.first.gate,
        final=result.final.gate,
        first_violations=result.first.violations,
        keep_float=tuple(sorted(result.keep_float)),
        ranking=result.ranking,
    )
    (folder / f"{name}.json").write_bytes(to_json(report))
    (folder / f"{name}.md").write_text(markdown(report), encoding="utf-8")
    if report.ranking is not None:
        _draw(folder / f"{name}.png", report, report.ranking)
    return report


def markdown(report: QuantizationReport) -> str:
    """The report as people read it."""
    rows = [("nothing returned to float", report.first, report.first_violations)]
    if report.ranking is not None:
        rows.append((f"layers in float: {len(report.keep_float)}", report.final, ()))
    lines = [
        f"# Quantization of {for_markdown(report.name)}",
        "",
        _measure(report),
        "",
        "| | gate | accuracy drop | 95 % interval | largest recall drop |",
        "|---|---|---|---|---|",
        *(f"| {label} | {_cells(result, violations)} |" for label, result, violations in rows),
    ]
    reasons = report.first_violations + (() if report.final is None else report.final.reasons)
    if reasons:
        lines += ["", *(f"- {for_markdown(reason)}" for reason in reasons)]
    if report.ranking is not None:
        lines += ["", *_table(report, report.ranking)]
    return "\n".join(lines) + "\n"


def _measure(report: QuantizationReport) -> str:
    if report.final is None:
        return "No labelled validation images are known: judged by its distance from the float32 reference alone."
    gate = report.gate
    images = f"{report.final.count} labelled validation images{over_groups(report.final.groups)}"
    return (
        f"On {images}, against the float32 reference. Allowed: accuracy drop up to {gate.max_accuracy_drop:.2%} (upper "
        "end of its 95 % interval), significant recall drop of any class up to "
        f"{gate.max_recall_drop:.2%}."
    )


def _cells(result: GateResult | None, violations: tuple[str, ...]) -> str:
    far = "too far from the reference" if violations else "passed"
    if result is None:
        return f"{far} | – | – | –"
    low, high = result.accuracy_drop_ci95
    return (
        f"{far if violations else result.outcome} | {result.accuracy_drop:.2%} | {low:.2%} … {high:.2%} | "
        f"{result.worst_recall_drop:.2%} ({for_markdown_cell(result.worst_class)})"
    )


def _table(report: QuantizationReport, ranking: Ranking) -> list[str]:
    total = sum(entry.kl_divergence for entry in ranking.layers)
    rows = [
        f"| {rank} | {for_markdown_cell(entry.layer)} | {entry.kl_divergence:.2e} | "
        f"{entry.kl_divergence / total if total else 0:.1%} | "
        f"{'float' if entry.layer in report.keep_float else 'int8'} |"
        for rank, entry in enumerate(ranking.layers, 1)
    ]
    return [
        f"Each layer quantized alone, all others float, on {ranking.images} images: mean Kullback-Leibler "
        "divergence of the predictions from the reference's.",
        "",
        "| | layer | sensitivity (nats) | of all | stays |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _draw(path: Path, report: QuantizationReport, ranking: Ranking) -> None:
    """A bar per layer, the most sensitive on top; dark ones stay in float."""
    top = ranking.layers[:SHOWN]
    fig, (ax,) = figure(1, (8, 1.5 + 0.22 * len(top)))
    in_float = [entry.layer in report.keep_float for entry in ranking.layers]
    for label, colour, flag in (("returned to float", FLOAT, True), ("int8", INTEGER, False)):
        bars = [index for index in range(len(top)) if in_float[index] == flag]
        ax.barh(bars, [max(top[index].kl_divergence, 1e-12) for index in bars], color=colour, label=label)
    ax.set_yticks(range(len(top)), [entry.layer for entry in top], fontsize=8)
    ax.set_ylim(len(top) - 0.4, -0.6)
    drops = [f"{gate.accuracy_drop:.2%}" if gate else "unknown" for gate in (report.first, report.final)]
    ax.set(
        xscale="log",
        xlabel="sensitivity: mean KL divergence from the float32 reference (nats)",
        title=f"{report.name}: accuracy drop {drops[0]}, with {sum(in_float)} layers in float {drops[1]}",
    )
    ax.grid(alpha=0.3, axis="x")
    ax.legend()
    fig.savefig(path, dpi=120)
