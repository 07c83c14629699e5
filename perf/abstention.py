"""Whether a bundle knows when it does not know: the figures of docs/abstention.md.

usage: python -m perf.abstention BUNDLE… --data images/ [--fit] [--corruptions N]

Held-back coverage and foreign pictures by kind, other scores at the same coverage, the site check, and what it costs.
With `--fit` a copy of each bundle gets a rule first. No foreign picture takes part in fitting anything.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle
from bctoolkit.contract import prepare
from bctoolkit.data import Dataset, load, split
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bctoolkit.export.checks.acceptance import add_acceptance, fitting_images
from bctoolkit.lazy import require
from bctoolkit.progress import Silent
from bctoolkit.recipes import Split
from bctoolkit.rendering.acceptance import accepted_line, site_line
from bctoolkit.runtime import Classifier
from bctoolkit.runtime import load as load_classifier
from bctoolkit.statistics import metrics
from bctoolkit.statistics.acceptance import AcceptanceRule, Judged
from bctoolkit.statistics.metrics import exact_interval
from bctoolkit.statistics.neighbours import Neighbours
from perf.foreign import KINDS, LATER, foreign_pictures

TENTH = 10
"""Per cent: of many runs beside other work the fastest tenth is the most like the machine alone."""


@dataclass(frozen=True)
class Answers:
    """What a bundle says of images."""

    images: NDArray[np.uint8]
    raw: NDArray[np.float32]
    judged: Judged

    @classmethod
    def to(cls, classifier: Classifier, rule: AcceptanceRule, images: NDArray[np.uint8]) -> "Answers":
        """One image at a time."""
        raw = classifier.predict_each(images)
        return cls(images, raw, rule.judge(images, raw))


@dataclass(frozen=True)
class Case:
    """A bundle with its rule, and its answers to the parts of its set and to foreign pictures."""

    bundle: Bundle
    classifier: Classifier
    rule: AcceptanceRule
    fitted: Answers
    labels: NDArray[np.int64]
    """Of the held-back images."""
    hashes: NDArray[np.uint8]
    held_back: Answers
    foreign: dict[str, Answers]


def open_case(folder: Path, dataset: Dataset) -> Case:
    """Let a bundle answer to all images."""
    bundle, classifier = bundles.read(folder), load_classifier(folder)
    rule = bundle.acceptance_rule()
    if rule is None:
        raise SystemExit(f"{folder} has no acceptance rule; give --fit")
    parts = split(dataset, Split())
    fitted, test = fitting_images(dataset, parts), dataset.take(parts.test)
    if fitted is None or fitted.sha256 != rule.stated.images_sha256:
        raise SystemExit(f"{folder}: its rule was not fitted to these images")
    pictures = foreign_pictures(96, KINDS, seed=0) | {
        kind + " (another draw)" if kind in ("noise", "drawings") else kind: images
        for kind, images in foreign_pictures(96, LATER, seed=1).items()
    }
    answers = {kind: Answers.to(classifier, rule, images) for kind, images in pictures.items()}
    return Case(
        bundle, classifier, rule, Answers.to(classifier, rule, fitted.images[:]), test.labels, test.hashes,
        Answers.to(classifier, rule, test.images[:]), answers,
    )  # fmt: skip


def held_back(case: Case) -> Iterator[str]:
    """Coverage, accuracy and calibration on the images that nothing was fitted to."""
    raw = metrics.expected_calibration_error(case.labels, case.held_back.raw)
    yield f"- {accepted_line(case.rule.accepted_answers(case.labels, case.held_back.judged))}; ECE without {raw:.4f}"


def by_kind(case: Case) -> Iterator[str]:
    """Foreign pictures refused, with exact binomial intervals."""
    yield "| foreign pictures | count | refused | share, 95 % interval |"
    yield "|---|---|---|---|"
    refused = {kind: ~answers.judged.accepted for kind, answers in case.foreign.items()}
    for kind, each in [*refused.items(), ("all", np.concatenate(list(refused.values())))]:
        low, high = exact_interval(int(each.sum()), len(each))
        yield f"| {kind} | {len(each)} | {each.sum()} | {each.mean():.1%} ({low:.1%}–{high:.1%}) |"


def scores(case: Case) -> dict[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Scores of the fitted, the held-back and the foreign pictures, the higher the more usual."""
    pictures = list(case.foreign.values())
    foreign = Answers(
        np.concatenate([each.images for each in pictures]),
        np.concatenate([each.raw for each in pictures]),
        Judged(*(np.concatenate(each) for each in zip(*(each.judged for each in pictures), strict=True))),
    )
    one_by_one: dict[str, Callable[[Answers], NDArray[Any]]] = {
        "maximum probability, calibrated": lambda answers: answers.judged.confidence,
        "margin of the first two": lambda answers: metrics.margin(answers.judged.probabilities),
        "entropy": lambda answers: -_entropy(answers.judged.probabilities),
        "energy of the centred logits": lambda answers: -np.log(np.maximum(answers.raw, 1e-34)).mean(1),
        "distance of image features": lambda answers: -answers.judged.distances,
    }
    samples = case.fitted, case.held_back, foreign
    found = {name: tuple(score(each) for each in samples) for name, score in one_by_one.items()}
    found["distance of image features"] = (
        -case.rule.neighbours.among_themselves, *found["distance of image features"][1:]
    )  # fmt: skip
    if case.bundle.manifest.format == "onnx":
        pooled = [_pooled(case.bundle, each.images) for each in samples]
        neighbours = Neighbours(pooled[0])
        found["distance of the network's pooled features"] = (
            -neighbours.among_themselves, *(-neighbours.distances(each) for each in pooled[1:])
        )  # fmt: skip
    return found  # type: ignore[return-value]


def _entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    return -(probabilities * np.log(np.maximum(probabilities, 1e-34))).sum(1)


def _pooled(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What goes into the head, by one more output of the graph."""
    onnx, runtime = require("onnx", "export"), require("onnxruntime", "onnx")
    model = onnx.load_from_string(bundle.model())
    [name] = [node.input[0] for node in model.graph.node if node.output[0] == "head_logits/MatMul"]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    return np.concatenate([session.run([name], {entry: images[i : i + 1]})[0] for i in range(len(images))])


def compared(case: Case) -> Iterator[str]:
    """Each score alone, with the threshold that accepts the stated share of the images it was fitted to."""
    yield "| score alone | held-back coverage | errors refused | foreign refused |"
    yield "|---|---|---|---|"
    wrong = case.held_back.raw.argmax(1) != case.labels
    coverage = case.rule.stated.coverage
    for name, (fitted, held, foreign) in scores(case).items():
        needed = min(len(fitted), int(np.ceil(coverage * (len(fitted) + 1))))
        threshold = np.sort(fitted)[len(fitted) - needed]
        refused = foreign < threshold
        low, high = exact_interval(int(refused.sum()), len(refused))
        yield (
            f"| {name} | {(held >= threshold).mean():.1%} | {(wrong & (held < threshold)).sum()} of {wrong.sum()} | "
            f"{refused.mean():.1%} ({low:.1%}–{high:.1%}) |"
        )
    kept, refused = case.held_back.judged.accepted, ~np.concatenate([e.judged.accepted for e in case.foreign.values()])
    low, high = exact_interval(int(refused.sum()), len(refused))
    yield (
        f"| **the rule**: maximum probability and distance of image features | {kept.mean():.1%} | "
        f"{(wrong & ~kept).sum()} of {wrong.sum()} | {refused.mean():.1%} ({low:.1%}–{high:.1%}) |"
    )


def sites(case: Case, other: Path | None) -> Iterator[str]:
    """The site check on honest halves and samples, single classes, stains, foreign pictures, and another crop."""
    rng = np.random.default_rng(0)
    judged, count = case.held_back.judged, len(case.labels)

    def outcome(answers: Judged, index: Any = slice(None)) -> str:
        return str(case.rule.site(Judged(*(each[index] for each in answers))).outcome)

    for size, times in ((count // 2, 20), (100, 1000), (20, 1000)):
        found = [outcome(judged, rng.permutation(count)[:size]) for _ in range(times)]
        yield f"- {times} samples of {size} held-back images: {_counted(found)}"
    names = case.bundle.manifest.labels
    alone = {name: outcome(judged, case.labels == i) for i, name in enumerate(names)}
    yield f"- held-back images of one class alone: {', '.join(f'{name} {each}' for name, each in alone.items())}"
    for severity in SEVERITIES:
        stained = corrupt(case.held_back.images, case.hashes, "stain", severity)
        answers = Answers.to(case.classifier, case.rule, stained).judged
        found = [outcome(answers, rng.permutation(count)[:20]) for _ in range(1000)]
        yield f"- {severity} stain: {site_line(case.rule.site(answers))}; 1000 samples of 20: {_counted(found)}"
    for kind, pictures in case.foreign.items():
        yield f"- {kind}: {site_line(case.rule.site(pictures.judged))}"
    if other is not None:
        contract = msgspec.structs.replace(case.bundle.manifest.input, dtype="uint8")
        files = sorted(other.glob("*/*.jpg"))
        truth = np.array([names.index(file.parent.name) for file in files])
        whole = Answers.to(case.classifier, case.rule, np.stack([prepare(file, contract) for file in files]))
        right, kept = whole.raw.argmax(1) == truth, whole.judged.accepted
        yield (
            f"- {len(files)} photographs of the set, uncropped: {site_line(case.rule.site(whole.judged))}; right "
            f"{right.mean():.1%}, accepted {kept.mean():.1%}, right of the accepted {right[kept].mean():.1%}"
        )


def _counted(found: list[str]) -> str:
    return ", ".join(f"{found.count(name)} {name}" for name in ("passed", "undecided", "failed"))


def corrupted(case: Case, most: int) -> Iterator[str]:
    """Share accepted under each corruption, and accuracy of all and of these."""
    images, hashes, labels = case.held_back.images[:most], case.hashes[:most], case.labels[:most]
    yield "| corruption | accepted: mild, middle, severe | right of all | right of the accepted |"
    yield "|---|---|---|---|"
    for name in CORRUPTIONS:
        answers = [Answers.to(case.classifier, case.rule, corrupt(images, hashes, name, each)) for each in SEVERITIES]
        right = [each.raw.argmax(1) == labels for each in answers]
        kept = [each.judged.accepted for each in answers]
        cells = [
            ", ".join(f"{each.mean():.0%}" for each in kept),
            ", ".join(f"{each.mean():.0%}" for each in right),
            ", ".join(f"{r[k].mean():.0%}" if k.any() else "–" for r, k in zip(right, kept, strict=True)),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def cost(case: Case) -> Iterator[str]:
    """What the rule adds to an inference, in turns of hundred runs."""
    images, raw, spent = case.held_back.images, case.held_back.raw, {"model": [0.0], "rule": [0.0]}
    for index in range(1000):
        one = slice(index, index + 1)
        for name, work in (
            ("model", lambda one=one: case.classifier.raw_probabilities(images[one])),
            ("rule", lambda one=one: case.rule.judge(images[one], raw[one])),
        ):
            begin = time.perf_counter()
            work()
            spent[name].append(time.perf_counter() - begin)
    model, rule = (float(np.percentile(times[1:], TENTH)) for times in spent.values())
    yield f"- the rule takes {rule / model:.1%} of the model's time (fastest tenth of 1,000 runs each, in turns)"


def main() -> None:
    """Print it all as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--data", required=True, help="the bundles' labelled images")
    parser.add_argument("--fit", action="store_true", help="fit a rule to a copy of each bundle first")
    parser.add_argument("--whole", type=Path, help="the set's photographs as published, uncropped")
    parser.add_argument("--corruptions", type=int, default=0, help="so many held-back images go through the suite")
    options = parser.parse_args()
    for folder in options.bundles:
        with tempfile.TemporaryDirectory() as scratch:
            at = folder
            if options.fit:
                copy = Path(shutil.copytree(folder, Path(scratch, folder.name)))
                at = add_acceptance(copy, options.data, Silent()).path
            _report(at, options)


def _report(folder: Path, options: argparse.Namespace) -> None:
    manifest = bundles.read(folder).manifest
    contract = msgspec.structs.replace(manifest.input, dtype="uint8")
    case = open_case(folder, load(options.data, contract, Silent()).in_order_of(manifest.labels))
    print(f"\n## {folder.name}\n")
    parts = [held_back(case), by_kind(case), compared(case), sites(case, options.whole), cost(case)]
    parts += [corrupted(case, options.corruptions)] if options.corruptions else []
    for part in parts:
        print("\n".join(part) + "\n", flush=True)


if __name__ == "__main__":
    main()
