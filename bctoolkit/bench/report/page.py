"""The report as one self-contained page: the verdict first, then the figures, then what stands behind them.

A section is a function that yields the markup of its part of the page, made with `html.section`, and yields nothing
where there is nothing to tell; `render` lists them in the order of the page. Plots are SVG in the page's own colours,
from `bctoolkit.bench.report.charts`. How a figure is computed is a row of `METHOD`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.analysis import wording
from bctoolkit.bench.documents.predictions import Answered
from bctoolkit.bench.documents.report import Check, Labelled, Report, Result
from bctoolkit.bench.report import charts, profile_section, robustness_section, scenario_section, tables
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions
from bctoolkit.rendering import html
from bctoolkit.statistics import metrics

__all__ = ["Evidence", "render"]

WORST = 8
"""Images shown of each bundle."""

METHOD = (
    ("session", "a fresh process that opens one bundle, answers a first image, warms up until three block medians in a "
     "row agree within 5 %, and times; bundles take turns"),
    ("size", "bytes of the model's file; 1 MB is 1,000,000 bytes"),
    ("load, first", "medians over the sessions; the bundle's files are in the system's page cache"),
    ("p50, p90, p99", "of all runs of all sessions; no run is left out; p99 from 1,000 runs on"),
    ("interval of p50", "Student's, over the sessions' medians, on the scale of the logarithm"),
    ("interval of p99", "Woodruff's, of the share of runs below it, with the effective number of runs that blocks of "
     "neighbouring runs show"),
    ("end-to-end", "p50 from a PNG's bytes to the label: decode, crop and resize, check, model"),
    ("images/s", "one after the other: 1,000 ms by the mean time of the model alone"),
    ("peak, steady", "resident memory of a session's process: the largest ever, and after the last timed run"),
    ("unstable", "sessions more than 10 % apart, other programs on more than a quarter of the CPUs, a throttled CPU, a "
     "clock too coarse, or fewer than 3 sessions or 100 runs; no verdict rests on it"),
    ("checks while timing", "every output is compared with the session's first; one image repeated must not be more "
     "than 10 % faster than different ones"),
    ("agreement", "the share of images with the same most probable class as the float32 Keras reference says"),
    ("max Δp", "the largest difference from the reference in any class's probability, over the golden images"),
    ("accuracy, recall", "the share of labelled images, of all and of a class, whose most probable class is the true "
     "one"),
    ("their intervals", "exact binomial (Clopper & Pearson), for agreement as well"),
    ("drop, loss of recall", "paired with the reference image by image: Tango's score interval, McNemar's exact test"),
    ("recall lost beyond chance", "McNemar's score test, at a level shared among the classes that can be named "
     "(Tarone 1990)"),
    ("ECE, reliability", "expected calibration error over 15 bins of equal width"),
    ("interval of ECE's drift", "Student's over the images, widened by the bins in which the sign of "
     "the gap is not known; on the safe side"),
    ("under corruptions", "the same images under each corruption, paired with the float bundle's answers; "
     "an image is one observation, however often it recurs"),
    ("temperature", "fitted by maximum likelihood to the same labelled images; nothing applies it"),
    ("Pareto front", "those results than which no other is at least as accurate, fast and small, and better in one"),
    ("verdict", "a limit is kept where the whole 95 % interval keeps it, broken where the whole interval lies beyond, "
     "else undecided"),
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What stands behind one result."""

    samples: list[NDArray[np.float64]]
    """Milliseconds of the model alone, one array per session."""
    bundle: Bundle
    answered: Answered
    dataset: Dataset | None
    """The labelled images, in any order."""


def render(report: Report, evidence: list[Evidence]) -> str:
    """The page in HTML.

    Args:
        report: the document.
        evidence: of each result, in their order.
    """
    names = [wording.title(result, report.settings) for result in report.results]
    judged = _first_of_each_subject(report, evidence)
    sections = [
        *_verdicts(report, names),
        *_table(report),
        *_limits(report, names),
        *_pareto(report, names),
        *_latency(names, evidence),
        *profile_section.sections(names, report.results),
        *scenario_section.sections(report),
        *_classes(judged),
        *_confusions(judged),
        *_reliability(judged),
        *robustness_section.section(report),
        *_worst(judged),
        *_machine(report),
        html.section("How each number was computed", "", html.facts(METHOD + scenario_section.METHOD)),
    ]
    footer = f"{escape(report.created)} · {escape(_tools(report))} · not a medical device"
    return html.document("Benchmark report", f"{len(names)} results", sections, footer)


def _first_of_each_subject(report: Report, evidence: list[Evidence]) -> list[tuple[Result, Evidence]]:
    """Answers do not depend on the number of threads: a sweep over them shows one, under the name of its subject."""
    found: dict[str, tuple[Result, Evidence]] = {}
    settings = msgspec.structs.replace(report.settings, sweep=())
    for result, behind in zip(report.results, evidence, strict=True):
        name = wording.title(result, settings)
        found.setdefault(name, (msgspec.structs.replace(result, bundle=name), behind))
    return list(found.values())


def _verdicts(report: Report, names: list[str]) -> Iterator[str]:
    """The outcome of each result, and what to know of it; without a budget one line instead of the outcomes."""
    budget = any(result.verdict for result in report.results)
    items = [] if budget else ["<li>no budget given: nothing is judged by limits</li>"]
    for name, result in zip(names, report.results, strict=True):
        outcome = "" if result.verdict is None else wording.outcome_of(result.verdict)
        lines = list(_to_know(result))
        if lines or budget:
            items.append(_item(name, outcome or ("no budget given" if budget else ""), lines))
    items += [_item(wording.failed(failure), "not measured", [failure.message]) for failure in report.failures]
    yield html.section("Verdict", "", f'<ul class="verdicts">{"".join(items)}</ul>')


def _to_know(result: Result) -> Iterator[str]:
    """Classes that lose, why the latency is unstable, and the limits that are not kept, in plain text."""
    labelled = result.parity.labelled
    if labelled and labelled.losing:
        yield f"loses recall beyond chance: {', '.join(labelled.losing)}"
    yield from (f"unstable: {reason.advice}" for reason in result.latency_ms.unstable)
    for check in () if result.verdict is None else result.verdict.checks:
        if not check.passed:
            told = check.note.startswith("unstable") and result.latency_ms.unstable
            yield wording.check_words(msgspec.structs.replace(check, note="unstable") if told else check)


def _item(name: str, outcome: str, lines: list[str]) -> str:
    colour = "failed" if outcome == "not measured" else outcome.split(" ")[0]
    word = f': <span class="outcome {colour}">{outcome}</span>' if outcome else ""
    more = f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
    return f"<li>{escape(name)}{word}{more}</li>"


def _table(report: Report) -> Iterator[str]:
    rows = [[escape(cell) for cell in tables.row(result, report.settings)] for result in report.results]
    what = (
        "~ marks an unstable latency. In brackets: the change of accuracy in points against the float32 reference on "
        "the same images."
    )
    yield html.section("Figures", what, html.table(tables.HEADINGS, rows))


def _limits(report: Report, names: list[str]) -> Iterator[str]:
    """Every limit of the budget beside what was measured, kept or not."""
    cells = []
    for name, result in zip(names, report.results, strict=True):
        if result.verdict is not None:
            rows = [_limit(check) for check in result.verdict.checks]
            cells.append((name, html.table(("limit", "at", "95 % interval", ""), rows)))
    what = "What a limit allows and what was measured: it is kept where the whole interval keeps it."
    yield from _side_by_side("Limits", what, cells, broad=True)


def _limit(check: Check) -> tuple[str, ...]:
    outcome = wording.check_outcome(check)
    word = f'<span class="outcome {outcome}">{outcome}</span>'
    return check.name, f"{check.limit:g}", wording.observed(check), word


def _pareto(report: Report, names: list[str]) -> Iterator[str]:
    found = [result.parity for result in report.results]
    accuracy = [p.golden.top1_agreement if p.labelled is None else p.labelled.accuracy for p in found]
    megabytes = [result.size_bytes / 1e6 for result in report.results]
    svg = charts.pareto(accuracy, [result.latency_ms.p50 for result in report.results], megabytes)
    key = charts.key([f"{name}, {size:.1f} MB" for name, size in zip(names, megabytes, strict=True)])
    what = (
        f"{'Agreement on golden' if found[0].labelled is None else 'Accuracy on labelled'} images; the area of a mark "
        "is the size of the file. A filled mark lies on the Pareto front: no other is at least as good in all three "
        "and better in one."
    )
    yield html.section("Accuracy, latency, size", what, f'<figure class="plot">{svg}{key}</figure>')


def _latency(names: list[str], evidence: list[Evidence]) -> Iterator[str]:
    samples, key = [behind.samples for behind in evidence], charts.key(names)
    cells = [
        ("The share of runs that took at most so long, all sessions together.", charts.latencies(samples) + key),
        ("The median of each session with the middle half of its runs, in turns.", charts.sessions(samples) + key),
    ]
    yield from _side_by_side("Latency", "", cells, broad=True)


def _classes(judged: list[tuple[Result, Evidence]]) -> Iterator[str]:
    """Recall of each class, and what it has lost."""
    known = [(result.bundle, labelled) for result, _ in judged if (labelled := result.parity.labelled) is not None]
    cells = [
        (f"{name}: {found.count:,} images of {found.source} ({found.split})", _recalls(found)) for name, found in known
    ]
    what = (
        "Recall, and the points of it that are lost against the float32 reference on the same images, with their 95 % "
        "interval."
    )
    yield from _side_by_side("Classes", what, cells, broad=True)


def _recalls(labelled: Labelled) -> str:
    rows = []
    for name, recall in labelled.recall.items():
        lost = labelled.class_loss.get(name)
        cells = ["–"] * 3
        if lost is not None:
            low, high = (wording.points(end) for end in lost.ci95)
            cells = [str(lost.count), wording.points(lost.drop), f"{low} to {high}"]
        if name in labelled.losing:
            cells[-1] += '<small class="outcome failed">beyond chance</small>'
        rows.append((escape(name), "–" if recall is None else f"{recall:.2%}", *cells))
    return html.table(("class", "recall", "images", "lost", "95 % interval"), rows)


def _pairs(judged: list[tuple[Result, Evidence]]) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.float32]]]:
    """Caption, labels and probabilities of the reference, then of each bundle."""
    told = False
    for result, behind in judged:
        known = behind.answered.labelled
        if known is None:
            continue
        if known.reference is not None and not told:
            told = True
            yield "float32 reference", known.labels, known.reference
        yield result.bundle, known.labels, known.observed


def _confusions(judged: list[tuple[Result, Evidence]]) -> Iterator[str]:
    names = judged[0][1].bundle.manifest.labels
    cells = [
        (caption, html.confusion(names, metrics.confusion(labels, said).tolist()))
        for caption, labels, said in _pairs(judged)
    ]
    what = "Rows are the true class, columns what was said; colour is the share of the row."
    yield from _side_by_side("Confusion matrices", what, cells, broad=True)


def _reliability(judged: list[tuple[Result, Evidence]]) -> Iterator[str]:
    cells = [
        (
            f"{caption}, ECE {metrics.expected_calibration_error(labels, said):.4f}",
            html.reliability(metrics.reliability(labels, said)),
        )
        for caption, labels, said in _pairs(judged)
    ]
    what = (
        "How often each is right (bars) at each confidence; on the dashed line it is as right as it is sure. Below: "
        "where the images lie."
    )
    drifts = [
        f"{result.bundle} {labelled.ece_drift:+.4f} ({low:+.4f} to {high:+.4f})"
        for result, _ in judged
        if (labelled := result.parity.labelled) is not None and labelled.ece_drift is not None
        for low, high in filter(None, (labelled.ece_drift_ci95,))
    ]
    if drifts:
        what += f" ECE has drifted from the reference's, with its 95 % interval, by {escape('; '.join(drifts))}."
    yield from _side_by_side("Reliability", what, cells)


def _side_by_side(heading: str, what: str, cells: list[tuple[str, str]], *, broad: bool = False) -> Iterator[str]:
    """A section of figures, each a caption in plain text and markup; nothing where there are none."""
    charts = "".join(
        f"<figure><figcaption>{escape(caption)}</figcaption>{markup}</figure>" for caption, markup in cells
    )
    if charts:
        yield html.section(heading, what, f'<div class="pairs{" broad" if broad else ""}">{charts}</div>')


def _worst(judged: list[tuple[Result, Evidence]]) -> Iterator[str]:
    """The images on which a bundle departs most from the reference."""
    for result, behind in judged:
        reference, observed, images, truth = _compared(behind)
        if reference is None:
            continue
        names = behind.bundle.manifest.labels
        departs = np.abs(reference - observed).max(1)
        cells = []
        for place in np.argsort(-departs, kind="stable")[:WORST]:
            before, after = int(reference[place].argmax()), int(observed[place].argmax())
            words = (
                f"{names[before]} {reference[place, before]:.2f} → {names[after]} {observed[place, after]:.2f}"
                f"{'' if truth[place] < 0 else f' (is {names[truth[place]]})'}, Δp {departs[place]:.2g}"
            )
            pixels = np.asarray(images[place : place + 1], np.uint8)
            cells.append(f"<figure>{html.picture(pixels, words)}<figcaption>{escape(words)}</figcaption></figure>")
        what = "What the float32 reference said → what this artifact says."
        yield html.section(f"Where {result.bundle} departs most", what, f'<div class="worst">{"".join(cells)}</div>')


def _compared(
    behind: Evidence,
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    """Reference, answers, images and labels: labelled ones where the reference knows them, else the golden ones."""
    known, golden = behind.answered.labelled, behind.bundle.golden()
    if known is None or known.reference is None or behind.dataset is None:
        return golden.probabilities, behind.answered.golden, golden.images, golden.labels
    departs = np.abs(known.reference - known.observed).max(1)
    worst = np.argsort(-departs, kind="stable")[:WORST]
    place = positions(known.hashes[worst], behind.dataset.hashes)
    images = np.asarray(behind.dataset.take(place).images[:], np.uint8)
    return known.reference[worst], known.observed[worst], images, known.labels[worst]


def _machine(report: Report) -> Iterator[str]:
    machine, settings = report.machine, report.settings
    told = {
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
        "order of images": f"drawn with seed {settings.seed}",
    }
    told |= {
        f"what ran {wording.title(result, settings)}": f"{result.provider}{profile_section.placed(result)}"
        for result in report.results
    }
    rows = [(escape(what), escape(value or "the system does not tell")) for what, value in told.items()]
    yield html.section("Machine and settings", "", html.facts(rows))


def _tools(report: Report) -> str:
    return ", ".join(f"{name} {version}" for name, version in report.machine.versions.items())
