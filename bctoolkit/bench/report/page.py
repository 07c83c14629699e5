"""The report as one self-contained page: the verdict first, then the figures, then their context.

A section is a function that yields the markup of its part of the page, made with `html.section`, and yields nothing
where there is nothing to tell; `render` lists them in the order of the page. Plots are SVG in the page's own colours,
from `bctoolkit.bench.report.charts`. How a figure is computed is a row of `METHOD`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.analysis import wording
from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.report import (
    acceptance_section,
    charts,
    profile_section,
    relative,
    robustness_section,
    scenario_section,
)
from bctoolkit.bench.report.summary import ResultSummary, placement, summaries
from bctoolkit.bench.report.tables import classes_table, figures_table, limits_table
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html
from bctoolkit.statistics import metrics

__all__ = ["ResultDetails", "machine_facts", "render"]

WORST = 8
"""Images shown of each bundle."""

METHOD = (
    ("session", "a fresh process that opens one bundle, predicts a first image, warms up until three block medians in "
     "a row agree within 5 %, and times; bundles are timed in rounds"),
    ("size", "bytes of the model's file; 1 MB is 1,000,000 bytes"),
    ("load, first", "medians over the sessions; the bundle's files are in the system's page cache"),
    ("p50, p90, p99", "of all runs of all sessions; no run is left out; p99 from 1,000 runs on"),
    ("interval of p50", "Student's, over the sessions' medians, on the scale of the logarithm"),
    ("interval of p99", "Woodruff's, of the share of runs below it, with the effective number of runs that blocks of "
     "neighbouring runs show"),
    ("end-to-end", "p50 from a PNG's bytes to the label: decode, crop and resize, check, model, acceptance"),
    ("images/s", "one after the other: 1,000 ms by the mean time of the model alone"),
    ("peak, steady", "resident memory of a session's process: the largest ever, and after the last timed run"),
    ("unstable", "sessions more than 10 % apart, other programs on more than a quarter of the CPUs, a throttled CPU, a "
     "clock too coarse, or fewer than 3 sessions or 100 runs; no verdict rests on it"),
    ("checks while timing", "every output is compared with the session's first; one image repeated must not be more "
     "than 10 % faster than different ones"),
    ("agreement", "the share of images with the same most probable class as the float32 Keras reference"),
    ("max Δp", "the largest difference from the reference in any class's probability, over the golden images"),
    ("accuracy, recall", "the share of labelled images, of all and of a class, whose most probable class is the true "
     "one"),
    ("their intervals", "exact binomial (Clopper & Pearson), for agreement as well"),
    ("drop, loss of recall", "paired with the reference image by image: Tango's score interval, McNemar's exact test"),
    ("recall regressed beyond chance", "McNemar's score test, at a level shared among the classes that can be named "
     "(Tarone 1990)"),
    ("ECE, reliability", "expected calibration error over 15 bins of equal width"),
    ("interval of ECE's drift", "Student's over the images, widened by the bins in which the sign of "
     "the gap is uncertain; on the safe side"),
    ("under corruptions", "the same images under each corruption, paired with the float bundle's predictions; "
     "an image is one observation, however often it recurs"),
    ("temperature", "fitted by maximum likelihood to the same labelled images; nothing applies it"),
    ("accepted", "answers that keep both thresholds of the bundle's acceptance rule; exact binomial intervals"),
    ("risk–coverage", "share of errors among the answers of highest confidence; its area is the mean over all "
     "coverages (Geifman & El-Yaniv 2017)"),
    ("look alike", "share of pairs of a new and a validation image in which the new one is further off, or less sure "
     "(Mann & Whitney's), with Newcombe's interval of 99.9 %, against 70 %"),
    ("Pareto front", "those results than which no other is at least as accurate, fast and small, and better in one"),
    ("verdict", "passed where the whole 95 % interval keeps the limit, failed where the whole interval lies beyond, "
     "else undecided"),
)  # fmt: skip


@dataclass(frozen=True)
class ResultDetails:
    """What the page shows of one result besides the document."""

    samples: list[NDArray[np.float64]]
    """Milliseconds of the model alone, one array per session."""
    bundle: Bundle
    predictions: Predictions
    dataset: Dataset | None
    """The labelled images, in any order."""


def render(report: Report, details: list[ResultDetails]) -> str:
    """The page in HTML.

    Args:
        report: the document.
        details: of each result, in their order.
    """
    names = [wording.title(result, report.settings) for result in report.results]
    targets = _first_of_each_target(report, details)
    sections = [
        *_verdicts(report),
        *_figures(report),
        *relative.sections(report),
        *_limits(report, names),
        *_pareto(report, names),
        *_latency(names, details),
        *profile_section.sections(names, report.results),
        *scenario_section.sections(report),
        *_classes(targets),
        *_confusions(targets),
        *_reliability(targets),
        *acceptance_section.sections(report),
        *robustness_section.sections(report),
        *_worst(targets),
        *_machine(report),
        html.section(
            "How each number was computed", "", html.facts(METHOD + relative.METHOD + scenario_section.METHOD)
        ),
    ]
    footer = f"{for_html(report.created)} · {for_html(_tools(report))} · not a medical device"
    return html.document("Benchmark report", f"{len(names)} results", sections, footer)


def _first_of_each_target(report: Report, details: list[ResultDetails]) -> list[tuple[Result, ResultDetails]]:
    """Predictions do not depend on the number of threads: a sweep shows one result, under the name of its target."""
    first: dict[str, tuple[Result, ResultDetails]] = {}
    settings = msgspec.structs.replace(report.settings, sweep=())
    for result, each in zip(report.results, details, strict=True):
        name = wording.title(result, settings)
        first.setdefault(name, (msgspec.structs.replace(result, bundle=name), each))
    return list(first.values())


def _verdicts(report: Report) -> Iterator[str]:
    """What was found in a sentence, then the outcome of each result, and what to know of it.

    Without a budget there is one line instead of the outcomes.
    """
    results, found = summaries(report), relative.headline(report)
    budget = any(summary.outcome for summary in results)
    items = [f"<li>{for_html(found)}</li>"] if found else []
    items += [] if budget else ["<li>no budget given: nothing is judged by limits</li>"]
    for summary in results:
        lines = [*summary.warnings, *summary.unmet, *([summary.failure] if summary.failure else [])]
        if lines or budget:
            items.append(_verdict(summary, lines, budget))
    yield html.section("Verdict", "", f'<ul class="verdicts">{"".join(items)}</ul>')


def _verdict(summary: ResultSummary, lines: list[str], budget: bool) -> str:
    outcome, colour = summary.outcome or ("no budget given" if budget else ""), summary.outcome or "no"
    if summary.failure:
        outcome, colour = "not measured", "failed"
    text = f': <span class="outcome {colour}">{outcome}</span>' if outcome else ""
    more = f"<ul>{''.join(f'<li>{for_html(line)}</li>' for line in lines)}</ul>" if lines else ""
    return f"<li>{for_html(summary.title)}{text}{more}</li>"


def _figures(report: Report) -> Iterator[str]:
    table = figures_table(report)
    yield html.section(table.title, for_html(table.description), table.to_html())


def _limits(report: Report, names: list[str]) -> Iterator[str]:
    """Every limit of the budget and what was measured, kept or not."""
    cells = [
        (name, limits_table(result.verdict).to_html())
        for name, result in zip(names, report.results, strict=True)
        if result.verdict is not None
    ]
    what = "What a limit allows and what was measured: it is kept where the whole interval keeps it."
    yield from _side_by_side("Limits", what, cells, broad=True)


def _pareto(report: Report, names: list[str]) -> Iterator[str]:
    accuracy = [result.parity.headline_accuracy for result in report.results]
    megabytes = [result.size_bytes / 1e6 for result in report.results]
    svg = charts.pareto(accuracy, [result.latency_ms.p50 for result in report.results], megabytes)
    key = charts.key([f"{name}, {size:.1f} MB" for name, size in zip(names, megabytes, strict=True)])
    golden = report.results[0].parity.labelled is None
    what = (
        f"{'Agreement on golden' if golden else 'Accuracy on labelled'} images; the area of a mark "
        "is the size of the file. A filled mark lies on the Pareto front: no other is at least as good in all three "
        "and better in one."
    )
    yield html.section("Accuracy, latency, size", what, f'<figure class="plot">{svg}{key}</figure>')


def _latency(names: list[str], details: list[ResultDetails]) -> Iterator[str]:
    samples, key = [each.samples for each in details], charts.key(names)
    cells = [
        ("The share of runs that took at most so long, all sessions together.", charts.latencies(samples) + key),
        ("The median of each session with the middle half of its runs, by round.", charts.sessions(samples) + key),
    ]
    yield from _side_by_side("Latency", "", cells, broad=True)


def _classes(targets: list[tuple[Result, ResultDetails]]) -> Iterator[str]:
    """Recall of each class, and what it has lost."""
    cells = [
        (
            f"{result.bundle}: {labelled.count:,} images of {labelled.source} ({labelled.split})",
            classes_table(labelled).to_html(),
        )
        for result, _ in targets
        if (labelled := result.parity.labelled) is not None
    ]
    what = (
        "Recall, and the points of it that are lost relative to the float32 reference on the same images, with their "
        "95 % interval."
    )
    yield from _side_by_side("Classes", what, cells, broad=True)


def _predictions(
    targets: list[tuple[Result, ResultDetails]],
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.float32]]]:
    """Caption, labels and probabilities of the reference, then of each bundle."""
    shown_once = False
    for result, details in targets:
        labelled = details.predictions.labelled
        if labelled is None:
            continue
        if labelled.reference is not None and not shown_once:
            shown_once = True
            yield "float32 reference", labelled.labels, labelled.reference
        yield result.bundle, labelled.labels, labelled.observed


def _confusions(targets: list[tuple[Result, ResultDetails]]) -> Iterator[str]:
    names = targets[0][1].bundle.manifest.labels
    cells = [
        (caption, html.confusion(names, metrics.confusion(labels, probabilities).tolist()))
        for caption, labels, probabilities in _predictions(targets)
    ]
    what = "Rows are the true class, columns the predicted one; colour is the share of the row."
    yield from _side_by_side("Confusion matrices", what, cells, broad=True)


def _reliability(targets: list[tuple[Result, ResultDetails]]) -> Iterator[str]:
    cells = [
        (
            f"{caption}, ECE {metrics.expected_calibration_error(labels, probabilities):.4f}",
            html.reliability(metrics.reliability(labels, probabilities)),
        )
        for caption, labels, probabilities in _predictions(targets)
    ]
    what = (
        "How often each is right (bars) at each confidence; the dashed line is perfect calibration. Below: "
        "where the images lie."
    )
    drifts = [
        f"{result.bundle} {labelled.ece_drift:+.4f} ({low:+.4f} to {high:+.4f})"
        for result, _ in targets
        if (labelled := result.parity.labelled) is not None and labelled.ece_drift is not None
        for low, high in filter(None, (labelled.ece_drift_ci95,))
    ]
    if drifts:
        what += f" ECE has drifted from the reference's, with its 95 % interval, by {for_html('; '.join(drifts))}."
    yield from _side_by_side("Reliability", what, cells)


def _side_by_side(heading: str, what: str, cells: list[tuple[str, str]], *, broad: bool = False) -> Iterator[str]:
    """A section of figures, each a caption in plain text and markup; nothing where there are none."""
    figures = "".join(
        f"<figure><figcaption>{for_html(caption)}</figcaption>{markup}</figure>" for caption, markup in cells
    )
    if figures:
        yield html.section(heading, what, f'<div class="pairs{" broad" if broad else ""}">{figures}</div>')


def _worst(targets: list[tuple[Result, ResultDetails]]) -> Iterator[str]:
    """The images on which a bundle differs most from the reference."""
    for result, details in targets:
        reference, observed, images, truth = _compared(details)
        if reference is None:
            continue
        names = details.bundle.manifest.labels
        distance = np.abs(reference - observed).max(1)
        cells = []
        for row in np.argsort(-distance, kind="stable")[:WORST]:
            before, after = int(reference[row].argmax()), int(observed[row].argmax())
            caption = (
                f"{names[before]} {reference[row, before]:.2f} → {names[after]} {observed[row, after]:.2f}"
                f"{'' if truth[row] < 0 else f' (is {names[truth[row]]})'}, Δp {distance[row]:.2g}"
            )
            pixels = np.asarray(images[row : row + 1], np.uint8)
            picture = html.picture(pixels, caption)
            cells.append(f"<figure>{picture}<figcaption>{for_html(caption)}</figcaption></figure>")
        what = "The float32 reference's prediction → this artifact's."
        yield html.section(f"Where {result.bundle} differs most", what, f'<div class="worst">{"".join(cells)}</div>')


def _compared(
    details: ResultDetails,
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    """Reference, predictions, images and labels: labelled ones where the bundle carries them, else the golden ones."""
    labelled, golden = details.predictions.labelled, details.bundle.golden()
    if labelled is None or labelled.reference is None or details.dataset is None:
        return golden.probabilities, details.predictions.golden, golden.images, golden.labels
    distance = np.abs(labelled.reference - labelled.observed).max(1)
    worst = np.argsort(-distance, kind="stable")[:WORST]
    index = positions(labelled.hashes[worst], details.dataset.hashes)
    images = np.asarray(details.dataset.take(index).images[:], np.uint8)
    return labelled.reference[worst], labelled.observed[worst], images, labelled.labels[worst]


def _machine(report: Report) -> Iterator[str]:
    yield html.section("Machine and settings", "", html.facts(machine_facts(report)))


def machine_facts(report: Report) -> list[tuple[str, str]]:
    """What the figures were measured on and how: what and value, as markup."""
    machine, settings = report.machine, report.settings
    facts = {
        "CPU": machine.cpu,
        "instruction sets": ", ".join(machine.cpu_flags) or "none that matter",
        "cores": f"{machine.cores_usable} of {machine.cores}",
        "memory": f"{machine.memory_bytes / 1e9:.1f} GB",
        "system": machine.system,
        "governor": machine.governor,
        "frequency": None if machine.frequency_mhz is None else f"{machine.frequency_mhz:.0f} MHz",
        "temperature": None if machine.temperature_c is None else f"{machine.temperature_c:.0f} °C",
        "load before": None if machine.load_average is None else f"{machine.load_average:.2f}",
        "threads": ", ".join(map(str, settings.sweep or (settings.threads,))),
        "sessions": f"{settings.sessions}, each of at least {settings.min_runs} runs and {settings.min_seconds:g} s",
        "warm-up": f"at least {settings.warmup_runs} runs and {settings.warmup_seconds:g} s",
    }
    facts |= {
        f"what ran {wording.title(result, settings)}": f"{result.provider}{placement(result)}"
        for result in report.results
    }
    return [(for_html(what), for_html(value or "not available")) for what, value in facts.items()]


def _tools(report: Report) -> str:
    return ", ".join(f"{name} {version}" for name, version in report.machine.versions.items())
