"""What a quantization lost, and which layers had to stay in float for it: as a document, a page and a picture."""

from pathlib import Path

from msgspec import field

from bctoolkit.documents import Document, to_json
from bctoolkit.documents.quantization import Gate
from bctoolkit.export.checks.gate import Judgement
from bctoolkit.export.sensitivity.search import Ranking, Settled
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
    first: Judgement
    """With no layer but those asked for in float."""
    final: Judgement
    """Of the artifact as it is."""
    keep_float: tuple[str, ...] = field(default_factory=tuple)
    """Layers in float, asked for or returned."""
    ranking: Ranking | None = None
    """None where the gate held at once."""


def write_report(folder: Path, name: str, gate: Gate, settled: Settled) -> QuantizationReport:
    """Write `<name>.json`, `<name>.md` and, where layers were ranked, `<name>.png` to an existing folder."""
    report = QuantizationReport(
        name=name,
        gate=gate,
        first=settled.first,
        final=settled.judgement,
        keep_float=tuple(sorted(settled.keep_float)),
        ranking=settled.ranking,
    )
    (folder / f"{name}.json").write_bytes(to_json(report))
    (folder / f"{name}.md").write_text(markdown(report), encoding="utf-8")
    if report.ranking is not None:
        _draw(folder / f"{name}.png", report, report.ranking)
    return report


def markdown(report: QuantizationReport) -> str:
    """The report as people read it."""
    gate, final = report.gate, report.final
    rows = [("nothing returned to float", report.first)]
    if report.ranking is not None:
        rows.append((f"layers in float: {len(report.keep_float)}", final))
    lines = [
        f"# Quantization of {report.name}",
        "",
        f"On {final.count} labelled validation images, against the float32 reference. Allowed: accuracy drop up to "
        f"{gate.max_accuracy_drop:.2%} (upper end of its 95 % interval), recall drop of any class up to "
        f"{gate.max_recall_drop:.2%} beyond chance.",
        "",
        "| | gate | accuracy drop | 95 % interval | largest recall drop |",
        "|---|---|---|---|---|",
        *(f"| {label} | {_cells(judgement)} |" for label, judgement in rows),
    ]
    if final.reasons:
        lines += ["", *(f"- {reason}" for reason in final.reasons)]
    if report.ranking is not None:
        lines += ["", *_table(report, report.ranking)]
    return "\n".join(lines) + "\n"


def _cells(judgement: Judgement) -> str:
    low, high = judgement.accuracy_drop_ci95
    return (
        f"{judgement.outcome} | {judgement.accuracy_drop:.2%} | {low:.2%} … {high:.2%} | "
        f"{judgement.worst_recall_drop:.2%} ({judgement.worst_class})"
    )


def _table(report: QuantizationReport, ranking: Ranking) -> list[str]:
    total = sum(found.harm for found in ranking.layers)
    rows = [
        f"| {place} | `{found.layer}` | {found.harm:.2e} | {found.harm / total if total else 0:.1%} | "
        f"{'float' if found.layer in report.keep_float else 'int8'} |"
        for place, found in enumerate(ranking.layers, 1)
    ]
    return [
        f"Each layer quantized alone, all others float, on {ranking.images} validation images: mean Kullback-Leibler "
        "divergence of the answers from the reference's.",
        "",
        "| | layer | harm (nats) | of all | stays |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _draw(path: Path, report: QuantizationReport, ranking: Ranking) -> None:
    """A bar per layer, the most harmful on top; dark ones stay in float."""
    shown = ranking.layers[:SHOWN]
    drawn, (axis,) = figure(1, (8, 1.5 + 0.22 * len(shown)))
    kept = [found.layer in report.keep_float for found in ranking.layers]
    for label, colour, chosen in (("returned to float", FLOAT, True), ("int8", INTEGER, False)):
        places = [place for place in range(len(shown)) if kept[place] == chosen]
        axis.barh(places, [max(shown[place].harm, 1e-12) for place in places], color=colour, label=label)
    axis.set_yticks(range(len(shown)), [found.layer for found in shown], fontsize=8)
    axis.set_ylim(len(shown) - 0.4, -0.6)
    first, final = report.first.accuracy_drop, report.final.accuracy_drop
    axis.set(
        xscale="log",
        xlabel="harm alone: mean KL divergence from the float32 reference (nats)",
        title=f"{report.name}: accuracy drop {first:.2%}, with {sum(kept)} layers in float {final:.2%}",
    )
    axis.grid(alpha=0.3, axis="x")
    axis.legend()
    drawn.savefig(path, dpi=120)
