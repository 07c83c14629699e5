"""`bctk data clean`: write a set again without what does not belong there, and a manifest of what went and why.

Nothing is changed in the set that is read. What is kept is kept as it is: files byte for byte, pixels unchanged.
"""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bctoolkit.data.dataset import Dataset
from bctoolkit.data.quality.findings import REASONS
from bctoolkit.data.quality.inspect import Inspection, look_over
from bctoolkit.data.quality.manifest import Manifest, Removed
from bctoolkit.data.quality.measures import Measures, measure
from bctoolkit.data.quality.outliers import LIMIT
from bctoolkit.data.quality.write_clean import write_archive, write_folder
from bctoolkit.data.sources.collection import Collection, open_collection
from bctoolkit.errors import DatasetError, RecipeError
from bctoolkit.progress import Progress, Silent

__all__ = ["clean"]


def clean(
    source: str,
    out: Path,
    keep: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> tuple[Manifest, Inspection]:
    """Write the set without what is foreign, repeated, unreadable or filed twice.

    Args:
        source: a folder of class folders, an `.npz`, a folder of arrays, or `synthetic`.
        out: a folder to make, or an `.npz`; its manifest is `manifest.json` in the folder, `NAME.manifest.json`
            beside the archive. An earlier cleaned set is replaced.
        keep: reasons not to act on.
        drop: reasons to act on besides those that are acted on by default.
        progress: told how many images are read and written.

    Raises:
        DatasetError: the set cannot be read, a class would have no image left, or the disk does not take the set.
        RecipeError: unknown or contradicting reasons, or an `out` that is in the way.
    """
    reasons = _reasons(keep, drop)
    _require_free(source, out)
    told = progress or Silent()
    collection = open_collection(source)
    measures = measure(collection, told)
    seen = look_over(collection, measures)
    removed = _removed(collection, measures, seen, reasons)
    gone = {entry.image for entry in removed}
    kept = np.array([i for i, name in enumerate(collection.names) if name not in gone], np.int64)
    manifest = _manifest(collection, measures, seen, reasons, removed, kept)
    _require_images(manifest)
    try:
        if out.suffix == ".npz":
            write_archive(collection, measures, kept, out, manifest, told)
        else:
            write_folder(collection, kept, out, manifest, told)
    except OSError as problem:
        what = f"{problem.filename}: " if problem.filename else ""
        raise DatasetError(f"cannot write {out}: {what}{problem.strerror or problem}; nothing is left of it") from None
    return manifest, seen


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
    return tuple(name for name, reason in REASONS.items() if (reason.goes or name in drop) and name not in keep)


def _require_free(source: str, out: Path) -> None:
    """Refuse before any work to write over what is not an earlier cleaned set, or into what is read."""
    target, origin = out.resolve(), Path(source).resolve()
    if source != "synthetic" and (target == origin or origin in target.parents or target in origin.parents):
        raise RecipeError(f"--out {out} lies in {source} or holds it; the set that is read is never written to")
    if not target.exists() or (target.is_dir() and out.suffix != ".npz" and not any(target.iterdir())):
        return
    manifest = out.with_suffix(".manifest.json") if out.suffix == ".npz" else out / "manifest.json"
    if not _is_ours(manifest):
        raise RecipeError(
            f"{out} exists and is no earlier cleaned set ({manifest} is missing or another); choose another"
        )


def _is_ours(manifest: Path) -> bool:
    try:
        return bool(json.loads(manifest.read_bytes()).get("kind") == "cleaned-set")
    except (OSError, ValueError, AttributeError):
        return False


def _removed(
    collection: Collection, measures: Measures, seen: Inspection, reasons: tuple[str, ...]
) -> tuple[Removed, ...]:
    """What goes; each image for the first reason that applies."""
    position = {name: i for i, name in enumerate(collection.names)}
    removed: dict[str, Removed] = {}
    for finding in seen.findings:
        if finding.reason not in reasons:
            continue
        left = [name for name in finding.images if name not in removed]
        spared = left[0] if left and REASONS[finding.reason].spares_first else None
        for name in left[1:] if spared else left:
            index = position[name]
            removed[name] = Removed(
                image=name,
                label=collection.classes[collection.labels[index]],
                reason=finding.reason,
                why=finding.why,
                sha256=None if index in measures.problems else bytes(measures.hashes[index]).hex(),
                kept_instead=spared,
            )
    return tuple(sorted(removed.values(), key=lambda entry: position[entry.image]))


def _manifest(
    collection: Collection,
    measures: Measures,
    seen: Inspection,
    reasons: tuple[str, ...],
    removed: tuple[Removed, ...],
    kept: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> Manifest:
    stays = {collection.names[i] for i in kept}
    flagged: Counter[str] = Counter()
    for finding in seen.findings:
        if finding.reason not in reasons:
            flagged[finding.reason] += sum(name in stays for name in finding.images)
    labels = collection.labels[kept]
    bare = Dataset(np.empty((len(kept), 0, 0, 3), np.uint8), labels, collection.classes, measures.hashes[kept], "")
    after = np.bincount(labels, minlength=len(collection.classes)).tolist()
    return Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        source=collection.source,
        acted_on=reasons,
        foreign_from=LIMIT,
        counts_before={name: figures.count for name, figures in seen.classes.items()},
        counts_after=dict(zip(collection.classes, after, strict=True)),
        removed_by_reason=dict(Counter(entry.reason for entry in removed)),
        flagged_but_kept={name: count for name, count in flagged.items() if count},
        dataset_sha256=bare.sha256,
        removed=removed,
    )


def _require_images(manifest: Manifest) -> None:
    for name, count in manifest.counts_after.items():
        before = manifest.counts_before[name]
        if count == 0 and before:
            why = Counter(entry.reason for entry in manifest.removed if entry.label == name)
            told = ", ".join(f"{number} {reason}" for reason, number in why.most_common())
            raise DatasetError(
                f"{manifest.source}: class {name!r} would have no image left of {before} ({told}); "
                "look at them with bctk data inspect --html, and name what to keep with --keep REASON"
            )
