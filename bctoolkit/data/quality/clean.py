"""`bctk data clean`: write a set again without what does not belong there, and a manifest of what was left out and why.

Nothing is changed in the set that is read. What stays is not changed either: files byte for byte, pixels unchanged.
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import White
from bctoolkit.data.dataset import dataset_sha256
from bctoolkit.data.quality.findings import REASONS, Finding, find
from bctoolkit.data.quality.inspect import Inspection, summarize
from bctoolkit.data.quality.manifest import KIND, MANIFEST, Manifest, Removed
from bctoolkit.data.quality.measures import Measures, measure
from bctoolkit.data.quality.outliers import THRESHOLD
from bctoolkit.data.quality.write_clean import write_archive, write_folder
from bctoolkit.data.sources.collection import Collection, open_collection
from bctoolkit.data.sources.image_array import MOST_MEMBERS
from bctoolkit.documents.names import class_folder_fault
from bctoolkit.errors import DatasetError, RecipeError
from bctoolkit.progress import Progress, Silent
from bctoolkit.system import utc_now
from bctoolkit.untrusted.archives import open_archive, open_member
from bctoolkit.untrusted.files import open_regular, read_bounded
from bctoolkit.untrusted.values import from_json

__all__ = ["clean"]

MOST_BYTES = 2**28
"""Of the manifest of an earlier cleaned set, which names each image that was left out."""


def clean(
    source: str,
    out: Path,
    keep: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
    progress: Progress | None = None,
    white: White | None = None,
) -> tuple[Manifest, Inspection]:
    """Write the set without what is foreign, repeated, unreadable or filed twice.

    Args:
        source: a folder of class folders, an `.npz`, a folder of arrays, or `synthetic`.
        out: a folder to make, or an `.npz`; either holds the manifest as `manifest.json`. An earlier cleaned set is
            replaced.
        keep: reasons not to act on.
        drop: reasons to act on besides those that are acted on by default.
        progress: shows how many images are read and written.
        white: which value is white in files of 16 bits a channel; None where such files cannot be read.

    Raises:
        DatasetError: the set cannot be read, a class would have no image left, or the disk does not take the set.
        RecipeError: unknown or contradicting reasons, an `out` that is in the way, or one of class folders where a
            class cannot be the name of one.
    """
    reasons = _reasons(keep, drop)
    _require_free(source, out)
    progress = progress or Silent()
    collection = open_collection(source, white)
    if out.suffix != ".npz":
        _require_folder_names(collection.classes, out)
    measures = measure(collection, progress)
    findings = find(collection.labels, measures)
    inspection = summarize(collection, measures, findings)
    removed = _removed(collection, measures, findings.findings, reasons)
    stays = ~np.isin(np.arange(len(collection.names)), list(removed))
    manifest = _manifest(collection, measures, findings.findings, reasons, removed, stays)
    _require_images(manifest)
    index = np.flatnonzero(stays)
    try:
        if out.suffix == ".npz":
            write_archive(collection, measures, index, out, manifest, progress)
        else:
            write_folder(collection, index, out, manifest, progress)
    except OSError as problem:
        file = f"{problem.filename}: " if problem.filename not in (None, str(out), str(out.absolute())) else ""
        raise DatasetError(f"cannot write {out}: {file}{problem.strerror or problem}; nothing is left of it") from None
    return manifest, inspection


def _reasons(keep: tuple[str, ...], drop: tuple[str, ...]) -> tuple[str, ...]:
    """The reasons to act on."""
    for name in (*keep, *drop):
        if name not in REASONS:
            raise RecipeError(f"unknown reason {name!r}; there are: {', '.join(REASONS)}")
    both = set(keep) & set(drop)
    if both:
        raise RecipeError(f"{min(both)!r} is both to be kept and to be dropped; give it once")
    if "unreadable" in keep:
        raise RecipeError("unreadable images cannot be kept: nothing could train on them")
    return tuple(name for name, reason in REASONS.items() if (reason.dropped or name in drop) and name not in keep)


def _require_free(source: str, out: Path) -> None:
    """Refuse before any work to write over what is not an earlier cleaned set, or into what is read."""
    target, origin = (Path(os.path.realpath(path)) for path in (out, source))
    if source != "synthetic" and (target == origin or origin in target.parents or target in origin.parents):
        raise RecipeError(f"--out {out} lies in {source} or holds it; the set that is read is never written to")
    if not target.exists() or (target.is_dir() and out.suffix != ".npz" and not any(target.iterdir())):
        return
    if not _is_ours(out):
        raise RecipeError(
            f"{out} exists and is no earlier cleaned set (its {MANIFEST} is missing or another); choose another"
        )


def _is_ours(out: Path) -> bool:
    try:
        return bool(from_json(_stored_manifest(out)).get("kind") == KIND)
    except (DatasetError, ValueError, AttributeError):
        return False


def _stored_manifest(out: Path) -> bytes:
    """The manifest of what may be an earlier cleaned set."""
    if out.suffix != ".npz":
        return read_bounded(out / MANIFEST, MOST_BYTES, DatasetError)
    with (
        open_regular(out, DatasetError) as file,
        open_archive(file, str(out), DatasetError, most_members=MOST_MEMBERS) as archive,
        open_member(archive, MANIFEST) as stream,
    ):
        return stream.read(MOST_BYTES)


def _require_folder_names(classes: tuple[str, ...], out: Path) -> None:
    for name in classes:
        fault = class_folder_fault(name) or (f"{name!r} is taken by the manifest" if name == MANIFEST else None)
        if fault is not None:
            raise RecipeError(f"--out {out}: class {fault}; write an archive, where it can: --out {out.name}.npz")


def _removed(
    collection: Collection, measures: Measures, findings: tuple[Finding, ...], reasons: tuple[str, ...]
) -> dict[int, Removed]:
    """What is left out, by position; each image for the first reason that applies."""
    removed: dict[int, Removed] = {}
    for finding in findings:
        if finding.reason not in reasons:
            continue
        remaining = [index for index in finding.images if index not in removed]
        spared = remaining.pop(0) if remaining and REASONS[finding.reason].spares_first else None
        for index in remaining:
            removed[index] = Removed(
                image=collection.names[index],
                label=collection.classes[collection.labels[index]],
                reason=finding.reason,
                why=finding.why,
                sha256=None if index in measures.problems else bytes(measures.hashes[index]).hex(),
                kept_instead=None if spared is None else collection.names[spared],
            )
    return removed


def _manifest(
    collection: Collection,
    measures: Measures,
    findings: tuple[Finding, ...],
    reasons: tuple[str, ...],
    removed: dict[int, Removed],
    stays: NDArray[np.bool_],
) -> Manifest:
    flagged: Counter[str] = Counter()
    for finding in findings:
        if finding.reason not in reasons:
            flagged[finding.reason] += int(stays[list(finding.images)].sum())
    classes, labels = collection.classes, collection.labels
    before, after = (np.bincount(part, minlength=len(classes)).tolist() for part in (labels, labels[stays]))
    return Manifest(
        created=utc_now(),
        source=collection.source,
        acted_on=reasons,
        outlier_threshold=THRESHOLD,
        counts_before=dict(zip(classes, before, strict=True)),
        counts_after=dict(zip(classes, after, strict=True)),
        removed_by_reason=dict(Counter(entry.reason for entry in removed.values())),
        flagged_but_kept={name: count for name, count in flagged.items() if count},
        dataset_sha256=dataset_sha256(measures.hashes[stays], labels[stays], classes),
        removed=tuple(removed[index] for index in sorted(removed)),
    )


def _require_images(manifest: Manifest) -> None:
    for name, count in manifest.counts_after.items():
        before = manifest.counts_before[name]
        if count == 0 and before:
            counts = Counter(entry.reason for entry in manifest.removed if entry.label == name)
            reasons = ", ".join(f"{number} {reason}" for reason, number in counts.most_common())
            raise DatasetError(
                f"{manifest.source}: class {name!r} would have no image left of {before} ({reasons}); "
                "look at them with bctk data inspect --html, and name what to keep with --keep REASON"
            )
