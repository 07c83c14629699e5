"""What one export is asked to do, once the images are known and before any network is loaded."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS
from bctoolkit.errors import RecipeError
from bctoolkit.export.cache import digest
from bctoolkit.export.checks.images import Evidence
from bctoolkit.export.source import Known, Origin
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe

__all__ = ["Artifact", "Job", "plan"]

Artifact = tuple[str, str]
"""Format and quantization."""


@dataclass(frozen=True)
class Job:
    """What all artifacts of one export share."""

    origin: Origin
    recipe: ExportRecipe
    known: Known | None
    evidence: Evidence
    target: Path
    progress: Progress
    cache: Path | None = None
    """Where the reference's answers are kept for the next export."""
    bisect: bool = False
    """Whether a failure is traced to a layer."""

    @property
    def contract(self) -> InputContract:
        """What the artifacts eat."""
        return msgspec.structs.replace(self.origin.contract, dtype=self.recipe.input)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of the outputs: the run's own, those of the images, or numbers."""
        if self.origin.labels is not None:
            return self.origin.labels
        if self.known is not None:
            return self.known.dataset.classes
        outputs = self.origin.load().output_shape[-1]
        return tuple(f"class_{i}" for i in range(outputs))

    @property
    def reports(self) -> Path:
        """Where it is told what quantization harmed: in the run's folder, or beside the bundles of a bare file."""
        folder = self.target if self.origin.stored_split is None else self.origin.file.parent
        return folder / "quantization"

    def name(self, artifact: Artifact) -> str:
        """The bundle's name."""
        return "-".join((self.origin.name, *artifact))

    def inputs_sha256(self, artifact: Artifact) -> str:
        """Hash of all that decides an artifact and its bundle."""
        recipe = msgspec.structs.replace(self.recipe, formats=artifact[:1], quantizations=artifact[1:])
        evidence = self.evidence
        facts = (self.origin.name, self.origin.source, self.labels, self.contract, recipe)
        images = (evidence.hashes, evidence.golden, evidence.kind, evidence.truth)
        if self.known is None:
            return digest(*facts, *images)
        dataset, parts = self.known.dataset, self.known.parts
        return digest(
            *facts, *images, dataset.sha256, *(dataset.hashes[p] for p in (parts.train, parts.validation, parts.test))
        )


def plan(recipe: ExportRecipe) -> list[Artifact]:
    """The pairs of format and quantization to make, checked against the table before any work is done.

    Raises:
        RecipeError: a format lacks a quantization that is asked for by name, or the input does not go with it.
    """
    found: dict[Artifact, None] = {}
    for name in recipe.formats:
        known = FORMATS[name].quantizations
        for kind in recipe.quantizations:
            if kind not in (*known, "all"):
                raise RecipeError(f"{name} has no quantization {kind!r}; it has {', '.join(known)}")
            found |= dict.fromkeys((name, each) for each in (known if kind == "all" else (kind,)))
    for name, kind in found:
        if kind == "int8-full" and recipe.input != "uint8":
            raise RecipeError(f"{name} int8-full takes uint8 images; leave out --input {recipe.input}")
    return list(found)
