"""What a dossier's reader has to know before signing, by rule: what is missing, and what is weak.

Each rule yields markup, one line for each limit it finds; together they are in `RULES`. They stand on what the files
say, so a limit that no file tells of is not among them.
"""

from collections.abc import Callable, Iterator

from bctoolkit.documents import Outcome
from bctoolkit.dossier.evidence import Evidence, Key
from bctoolkit.dossier.forms import count, percent, text
from bctoolkit.dossier.section import caption
from bctoolkit.dossier.sources import Sources

__all__ = ["ELSEWHERE", "OWN", "RULES", "known_limits"]

FEW = 100
"""Images of a class below which even without an error the exact interval reaches below 96.4 %."""
FEW_GOLDEN = 30


def known_limits(sources: Sources) -> list[str]:
    """All of them, in the order of the rules; markup."""
    return [line for rule in RULES for line in rule(sources)]


def _labelled(sources: Sources) -> Iterator[str]:
    stated = sources.bundle.manifest.labelled
    measured = any(result.parity.labelled for _, result in sources.results)
    evaluated = any(each.evaluation.kind == "bundle" for each in sources.evaluations)
    if stated is None and not measured and not evaluated:
        yield "No labelled figures of this artifact: how often it is right is not known."
    elif stated is not None and stated.part == "validation" and not measured and not evaluated:
        yield (
            "The only labelled figures are of the validation part, on which integer forms are chosen: they are "
            "optimistic."
        )


def _gate(sources: Sources) -> Iterator[str]:
    gate = sources.bundle.manifest.gate
    if gate is not None and gate.outcome is Outcome.UNDECIDED:
        images = sources.manifest.figure(count, "gate", "count")
        yield f"Its integers may cost accuracy: {images} validation images could not say whether they keep the limit."


def _few(sources: Sources) -> Iterator[str]:
    """Classes with few images, in the largest set that each was measured on."""
    for position, name in enumerate(sources.bundle.manifest.labels):
        found = [(one.get(*path) or 0, one, path) for one, path in _class_counts(sources, name)]
        if not found:
            continue
        most, one, path = max(found, key=lambda item: item[0])
        label = sources.manifest.figure(text, "labels", position)
        if most == 0:
            yield f"Class {label} was measured on no image."
        elif most < FEW:
            yield (
                f"Class {label} was measured on {one.figure(count, *path)} images ({caption(one)}), fewer than a "
                "hundred: its interval is wide."
            )


def _class_counts(sources: Sources, name: str) -> Iterator[tuple[Evidence, tuple[Key, ...]]]:
    """Where files say how many images of a class this artifact was measured on."""
    if sources.bundle.manifest.labelled is not None:
        yield sources.manifest, ("labelled", "recall", name, "count")
    for evidence, result in sources.results:
        if result.parity.labelled is not None and result.parity.labelled.class_changes:
            yield evidence, ("parity", "labelled", "class_changes", name, "count")
    for each in sources.evaluations:
        if each.evaluation.kind == "bundle":
            yield each.evidence, ("counts", name)


def _other_site(sources: Sources) -> Iterator[str]:
    """Whether anything was measured on images that are not of the network's own set."""
    selections = [(each.evidence, each.evaluation.selection) for each in sources.evaluations]
    if not any(ELSEWHERE in selection for _, selection in selections):
        yield (
            "No figures that are known to be from another site: other microscopes, stains and people are not covered."
        )
    unclear = [one for one, selection in selections if not selection.startswith(OWN) and ELSEWHERE not in selection]
    unclear += [
        evidence.within("parity", "labelled")
        for evidence, result in sources.results
        if result.parity.labelled is not None and result.parity.labelled.split != "test part"
    ]
    for one in unclear:
        yield (
            f"The images of {one.figure(text, 'source')} ({caption(one)}) are not known to be those of the test part: "
            "the network may have been trained on some."
        )


OWN, ELSEWHERE = ("the bundle's test part", "the run's"), "none of them"
"""What `bctk evaluate` says of images of the network's own set, and of images that it does not know."""


def _site(sources: Sources) -> Iterator[str]:
    measured = [each.evidence for each in sources.evaluations]
    measured += [evidence.within("parity", "labelled") for evidence, _ in sources.results]
    for one in measured:
        if one.get("site", "outcome") == Outcome.FAILED:
            yield (
                f"The images of {one.figure(text, 'source')} look different from the validation images "
                f"({caption(one)}): figures measured on one say nothing of the other."
            )


def _images(sources: Sources) -> Iterator[str]:
    manifest = sources.bundle.manifest
    if manifest.golden.images == "synthetic":
        yield (
            "The golden images are synthetic: that a device computes what was exported is checked on drawn pictures, "
            "not on microscope images."
        )
    if manifest.golden.count < FEW_GOLDEN:
        yield f"There are only {sources.manifest.figure(count, 'golden', 'count')} golden images."
    for each in sources.evaluations:
        if each.evaluation.images == "synthetic":
            yield f"The evaluation {caption(each.evidence)} was made on drawn pictures."
    if not manifest.licence:
        yield "The licence of the training images is not stated."


def _devices(sources: Sources) -> Iterator[str]:
    if not sources.results:
        yield "Measured on no device: neither latency and memory nor parity are known where it will run."
    for evidence, result in sources.results:
        if result.latency_ms.warnings:
            reasons = evidence.figure(text, "latency_ms", "warnings")
            yield f"The latency in {caption(evidence)} is unstable ({reasons}): no verdict rests on it."
    for report in sources.reports:
        if not report.recomputed:
            yield (
                f"The predictions did not lie beside {caption(report.evidence)}: its figures stand as it states them, "
                "and were not computed again."
            )


def _verdicts(sources: Sources) -> Iterator[str]:
    judged = [(evidence, result.verdict) for evidence, result in sources.results if result.verdict is not None]
    if not judged:
        yield "No budget: nothing was judged by limits."
    for evidence, verdict in judged:
        for position, check in enumerate(verdict.checks):
            if check.outcome is not Outcome.PASSED:
                one = evidence.within("verdict", "checks", position)
                yield f"The limit {one.figure(text, 'name')} is {one.figure(text, 'outcome')} ({caption(evidence)})."


def _regressions(sources: Sources) -> Iterator[str]:
    for evidence, result in sources.results:
        labelled = result.parity.labelled
        if labelled is not None and labelled.regressed_classes:
            names = evidence.figure(text, "parity", "labelled", "regressed_classes")
            yield f"Recall has fallen beyond chance, relative to the trained network, in {names} ({caption(evidence)})."


def _robustness(sources: Sources) -> Iterator[str]:
    reported = any(result.parity.labelled and result.parity.labelled.robustness for _, result in sources.results)
    if not reported and not any(each.evaluation.corruptions for each in sources.evaluations):
        yield "Not measured under corruptions: blur, noise, stain and light may cost more than is shown here."


def _acceptance(sources: Sources) -> Iterator[str]:
    manifest = sources.manifest
    if sources.bundle.manifest.acceptance is None:
        yield "It answers every image, foreign ones too: the bundle has no rule of which answers to accept."
        return
    refuses = manifest.figure(percent, "acceptance", "coverage")
    yield f"It is meant to accept about {refuses} of images like those of validation; an app must show what it refuses."


def _training(sources: Sources) -> Iterator[str]:
    if sources.bundle.manifest.adopted is not None:
        yield "The artifact was made elsewhere: how it was trained and converted is not known here."
    if sources.run is None:
        yield "The training run is not at hand: split, recipe and epochs are not documented here."
    elif not _groups(sources):
        yield (
            "No groups are stated: images of one patient or slide may lie on both sides of the split, which makes "
            "figures optimistic."
        )


def _groups(sources: Sources) -> bool:
    """Whether the run knows which images belong together."""
    run = sources.run
    if run is None:
        return False
    counted = None if run.metrics is None else run.metrics.get("groups")
    return counted is not None or bool(run.recipe.get("split", "group"))


def _arithmetic(sources: Sources) -> Iterator[str]:
    manifest = sources.bundle.manifest
    if manifest.integer_products is not None and manifest.integer_products.saturating:
        yield "Some integer products can saturate on x86 without VNNI: other CPUs may answer otherwise."
    if not manifest.parity_steps:
        yield "The steps from the trained network to the artifact are not recorded."


def _signature(sources: Sources) -> Iterator[str]:
    if not sources.bundle.signed_by:
        checked = "is not signed" if sources.signature is None else "is signed, but by whom was not checked"
        yield f"The bundle {checked}: who vouches for it is not known."


RULES: tuple[Callable[[Sources], Iterator[str]], ...] = (
    _labelled,
    _gate,
    _few,
    _other_site,
    _site,
    _regressions,
    _verdicts,
    _devices,
    _robustness,
    _acceptance,
    _images,
    _training,
    _arithmetic,
    _signature,
)
