"""What a dossier is read from: a bundle, and what is stored of it elsewhere. What is of another model is refused."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bctoolkit import bundle as bundles
from bctoolkit import run as runs
from bctoolkit.bench.documents import stored
from bctoolkit.bench.documents.report import REPORT, Report, Result
from bctoolkit.bench.documents.stored import StoredReport
from bctoolkit.bundle import MANIFEST, Bundle
from bctoolkit.documents import decode_json, parse
from bctoolkit.documents.base import MOST_JSON, MOST_TOML
from bctoolkit.dossier import recomputed
from bctoolkit.dossier.evidence import Evidence, SourceFile
from bctoolkit.errors import BundleCorrupt, ExportError, RecipeError
from bctoolkit.evaluate.report import Evaluation
from bctoolkit.manifest import Manifest
from bctoolkit.signing import SIGNATURE, TrustedKey
from bctoolkit.untrusted.files import read_bounded
from bctoolkit.untrusted.values import from_toml

__all__ = ["EVALUATION", "EvaluationSource", "ReportSource", "RunSource", "Sources", "gather"]

EVALUATION, EVALUATION_SCHEMA = "evaluation.json", 1
MOST_SIGNATURE = 2**20
"""Bytes of a file with a signature."""


@dataclass(frozen=True)
class ReportSource:
    """A report, and which of its results are of the bundle."""

    evidence: Evidence
    report: Report
    positions: tuple[int, ...]
    recomputed: bool
    """Whether the predictions lay beside it, and the figures of parity were computed from them again."""

    @property
    def results(self) -> list[tuple[Evidence, Result]]:
        """Those of the bundle, in the file and decoded."""
        return [(self.evidence.within("results", at), self.report.results[at]) for at in self.positions]


@dataclass(frozen=True)
class EvaluationSource:
    """An evaluation of the bundle, or of the network that it was made of."""

    evidence: Evidence
    evaluation: Evaluation


@dataclass(frozen=True)
class RunSource:
    """The documents of the run that the bundle comes from."""

    facts: Evidence
    stated: runs.RunFacts
    recipe: Evidence
    history: Evidence | None
    metrics: Evidence | None

    @property
    def all(self) -> list[Evidence]:
        """Those that are there."""
        return [each for each in (self.facts, self.recipe, self.history, self.metrics) if each is not None]


@dataclass(frozen=True)
class Sources:
    """All that a dossier is read from."""

    bundle: Bundle
    manifest: Evidence
    bom: Evidence | None
    signature: SourceFile | None
    reports: tuple[ReportSource, ...]
    evaluations: tuple[EvaluationSource, ...]
    run: RunSource | None

    @property
    def files(self) -> list[SourceFile]:
        """Each once."""
        measured = [each.evidence for each in self.reports] + [each.evidence for each in self.evaluations]
        of_run = [] if self.run is None else self.run.all
        found = [each.source for each in (self.manifest, self.bom, *measured, *of_run) if each is not None]
        return found + ([] if self.signature is None else [self.signature])

    @property
    def results(self) -> list[tuple[Evidence, Result]]:
        """Those of the bundle in all reports."""
        return [result for report in self.reports for result in report.results]


def gather(
    bundle: Path,
    reports: Sequence[Path],
    evaluations: Sequence[Path],
    run: Path | None,
    trusted: Sequence[TrustedKey] | None,
) -> Sources:
    """Read and check everything; each file of the bundle is held against its hash.

    Raises:
        BundleError: the bundle cannot be used, or is not as a trusted key signed it.
        RecipeError: a report, evaluation or run is none, or of another model, contradicts the bundle, or is
            given twice.
        ExportError: the run's documents are damaged.
    """
    opened = bundles.read(bundle, trusted)
    opened.check()
    sources = Sources(
        bundle=opened,
        manifest=_manifest(opened),
        bom=_bom(opened),
        signature=_signature(opened),
        reports=tuple(_report(opened, path, f"report-{at}.json") for at, path in enumerate(reports, 1)),
        evaluations=tuple(_evaluation(opened, path, f"evaluation-{at}.json") for at, path in enumerate(evaluations, 1)),
        run=None if run is None else _run(opened, run),
    )
    _require_different((*reports, *evaluations), [*sources.reports, *sources.evaluations])
    return sources


def _manifest(bundle: Bundle) -> Evidence:
    path = bundle.path / MANIFEST
    content = read_bounded(path, MOST_JSON, BundleCorrupt, within=bundle.path)
    raw = decode_json(content, str(path), BundleCorrupt, "copy the bundle again")
    if parse(Manifest, raw, str(path), BundleCorrupt) != bundle.manifest:
        raise BundleCorrupt(f"{path}: is being changed; make the dossier again when it is whole")
    return Evidence(SourceFile(MANIFEST, content, "the bundle's manifest"), raw)


def _bom(bundle: Bundle) -> Evidence | None:
    entry = bundle.manifest.bom
    if entry is None:
        return None
    path = bundle.path / entry.file
    content = read_bounded(path, MOST_JSON, BundleCorrupt, within=bundle.path)
    source = SourceFile("bom.cdx.json", content, "the bundle's bill of materials (CycloneDX)")
    if source.sha256 != entry.sha256:
        raise BundleCorrupt(f"{path}: SHA-256 differs from the manifest's; copy the bundle again")
    return Evidence(source, decode_json(content, str(path), BundleCorrupt, "export the bundle again"))


def _signature(bundle: Bundle) -> SourceFile | None:
    path = bundle.path / SIGNATURE
    if not os.path.lexists(path):
        return None
    return SourceFile(
        SIGNATURE, read_bounded(path, MOST_SIGNATURE, BundleCorrupt, within=bundle.path), "the bundle's signature"
    )


def _report(bundle: Bundle, path: Path, name: str) -> ReportSource:
    read = stored.read(path)
    digest = bundle.manifest.model.sha256
    mine = [at for at, result in enumerate(read.report.results) if result.model_sha256 == digest]
    if not mine:
        raise RecipeError(f"{path}: {_others(read)}; {_wanted(bundle)}, measure that with: bctk bench")
    for at in mine:
        _require_same_classes(bundle, read.report.results[at], f"{path}: {read.report.results[at].bundle}")
    again = [recomputed.require_same(bundle, read, read.report.results[at]) for at in mine]
    raw = decode_json(read.content, str(path), RecipeError, "measure again")
    source = SourceFile(name, read.content, f"a benchmark's {REPORT}")
    return ReportSource(Evidence(source, raw), read.report, tuple(mine), all(again))


def _others(read: StoredReport) -> str:
    """What a report holds instead."""
    results = read.report.results
    if not any(result.model_sha256 for result in results):
        return "does not say which model files it measured, as earlier reports"
    names = ", ".join(f"{result.bundle} ({result.model_sha256[:12]}…)" for result in results[:3])
    return f"is not of this bundle but of {names}{', …' if len(results) > 3 else ''}"


def _wanted(bundle: Bundle) -> str:
    return f"{bundle.manifest.name}'s model file is {bundle.manifest.model.sha256[:12]}…"


def _require_same_classes(bundle: Bundle, result: Result, source: str) -> None:
    """Refuse a result that has the hash of the model and yet speaks of something else."""
    manifest, labelled = bundle.manifest, result.parity.labelled
    if (result.format, result.quantization) != (manifest.format, manifest.quantization):
        raise RecipeError(f"{source}: is {result.format} {result.quantization}, which the bundle is not; measure again")
    if labelled is not None and tuple(labelled.recall) != manifest.labels:
        raise RecipeError(f"{source}: recall of other classes than the bundle has; measure again")
    if labelled is not None and not set(labelled.class_changes) <= set(manifest.labels):
        raise RecipeError(f"{source}: changes of other classes than the bundle has; measure again")


def _evaluation(bundle: Bundle, path: Path, name: str) -> EvaluationSource:
    file = path / EVALUATION if path.is_dir() else path
    remedy = f"give what bctk evaluate --json prints, or the {EVALUATION} that --out writes"
    try:
        content = read_bounded(file, MOST_JSON, RecipeError)
    except RecipeError as problem:
        raise RecipeError(f"{problem}; {remedy}") from None
    raw = decode_json(content, str(file), RecipeError, remedy)
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > EVALUATION_SCHEMA:
        raise RecipeError(f"{file}: schema {schema}, this bctoolkit reads up to {EVALUATION_SCHEMA}; upgrade bctoolkit")
    try:
        evaluation = parse(Evaluation, raw, str(file), RecipeError)
    except RecipeError as problem:
        raise RecipeError(f"{problem}; evaluate again with: bctk evaluate") from None
    manifest = bundle.manifest
    wanted = manifest.model.sha256 if evaluation.kind == "bundle" else manifest.source.model_sha256
    if evaluation.model_sha256 != wanted:
        raise RecipeError(
            f"{file}: is not of this bundle but of the {evaluation.kind} {evaluation.subject} "
            f"({evaluation.model_sha256[:12]}…); {_wanted(bundle)}, measure that with: bctk evaluate"
        )
    for key in ("labels", "counts", "precision", "recall", "f1"):
        if tuple(getattr(evaluation, key)) != manifest.labels:
            raise RecipeError(f"{file}: {key} of other classes than the bundle has; evaluate again")
    what = "an evaluation of the bundle" if evaluation.kind == "bundle" else "an evaluation of the trained network"
    return EvaluationSource(Evidence(SourceFile(name, content, what), raw), evaluation)


def _run(bundle: Bundle, folder: Path) -> RunSource:
    stated, source = runs.read(folder), bundle.manifest.source
    if not source.model_sha256 or stated.model_sha256 != source.model_sha256:
        made_of = f"{source.model_sha256[:12]}…" if source.model_sha256 else "a network of no stated hash"
        raise RecipeError(
            f"{folder}: is not the run that {bundle.manifest.name} was made of: its network is "
            f"{stated.model_sha256[:12]}…, the bundle's {made_of}; give that one, or leave --run out"
        )
    recipe = _recipe(folder / runs.RECIPE, stated.recipe_sha256)
    return RunSource(
        _of_run(folder, runs.FACTS, "the run's facts", runs.RunFacts),
        stated,
        recipe,
        _if_there(folder, runs.HISTORY, "the run's epochs", tuple[runs.EpochRow, ...]),
        _if_there(folder, runs.METRICS, "the run's test figures", runs.TestMetrics),
    )


def _if_there(folder: Path, name: str, what: str, kind: Any) -> Evidence | None:
    return _of_run(folder, name, what, kind) if os.path.lexists(folder / name) else None


def _of_run(folder: Path, name: str, what: str, kind: Any) -> Evidence:
    path = folder / name
    content = read_bounded(path, MOST_JSON, ExportError)
    raw = decode_json(content, str(path), ExportError, "train the run again")
    parse(kind, raw, str(path), ExportError)
    return Evidence(SourceFile(name, content, what), raw)


def _recipe(path: Path, sha256: str) -> Evidence:
    content = read_bounded(path, MOST_TOML, ExportError)
    source = SourceFile(path.name, content, "the run's resolved recipe")
    if source.sha256 != sha256:
        raise ExportError(f"{path}: SHA-256 differs from the one in {runs.FACTS}; give the run as it was trained")
    try:
        return Evidence(source, from_toml(content))
    except ValueError as problem:
        raise ExportError(f"{path} is not valid TOML: {problem}") from None


def _require_different(paths: Iterable[Path], read: list[ReportSource | EvaluationSource]) -> None:
    """Refuse what is given twice: it would look like two measurements."""
    counts = Counter(each.evidence.source.sha256 for each in read)
    for path, each in zip(paths, read, strict=True):
        if counts[each.evidence.source.sha256] > 1:
            raise RecipeError(f"{path}: is given twice; give each report and evaluation once")
