"""The manifest of a cleaned set: what was left out and why."""

from bctoolkit.documents import Document

__all__ = ["KIND", "MANIFEST", "Manifest", "Removed"]

MANIFEST, KIND = "manifest.json", "cleaned-set"
"""Its name, in a folder or within an archive, and what it says of itself."""


class Removed(Document, frozen=True, kw_only=True):
    """One image that was left out."""

    image: str
    label: str
    reason: str
    """The first of the reasons that apply and that cleaning acts on."""
    why: str
    sha256: str | None
    """Of the decoded RGB pixels; None where they cannot be decoded."""
    kept_instead: str | None = None
    """The copy that stays, where there is one."""


class Manifest(Document, frozen=True, kw_only=True):
    """`manifest.json` of a cleaned set."""

    schema: int = 1
    kind: str = KIND
    created: str
    source: str
    acted_on: tuple[str, ...]
    """The reasons for which images were left out."""
    outlier_threshold: float
    """Outlier score above which a picture was taken for foreign."""
    counts_before: dict[str, int]
    counts_after: dict[str, int]
    removed_by_reason: dict[str, int]
    flagged_but_kept: dict[str, int]
    """Reason → images that were flagged for it and stay."""
    dataset_sha256: str
    """Of the images and labels that stay, as training records it."""
    removed: tuple[Removed, ...]
