"""What one export is to do, once the images are known and before any network is loaded."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.errors import RecipeError
from bctoolkit.export.cache import digest
from bctoolkit.export.checks.images import CheckImages
from bctoolkit.export.source import ModelData, ModelSource
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe

__all__ = ["Artifact", "Job", "plan"]

Artifact = tuple[str, str]
"""Format and quantization."""


@dataclass(frozen=True)
class Job:
    """What all artifacts of one export share."""

    source: ModelSource
    recipe: ExportRecipe
    data: ModelData | None
    check_images: CheckImages
    target: Path
    progress: Progress
    cache: Path | None = None
    """Where the reference's predictions are cached for the next export."""
    bisect: bool = False
    """Whether a failure is traced to a layer."""

    @property
    def contract(self) -> InputContract:
        """What the artifacts take."""
        return msgspec.structs.replace(self.source.contract, dtype=self.recipe.input.dtype)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of the outputs: the run's own, those of the images, or numbers."""
        if self.source.labels is not None:
            return self.source.labels
        if self.data is not None:
            return self.data.dataset.classes
        outputs = self.source.load().output_shape[-1]
        return tuple(f"class_{i}" for i in range(outputs))

    @property
    def reports(self) -> Path:
        """Where reports of quantization go: into the run's folder, or beside the bundles of a bare file."""
        folder = self.target if self.source.stored_split is None else self.source.file.parent
        return folder / "quantization"

    def name(self, artifact: Artifact) -> str:
        """The bundle's name."""
        return "-".join((self.source.name, *artifact))

    def inputs_sha256(self, artifact: Artifact) -> str:
        """Hash of all that decides an artifact and its bundle."""
        recipe = msgspec.structs.replace(self.recipe, formats=artifact[:1], quantizations=artifact[1:])
        images = self.check_images
        facts = (self.source.name, self.source.provenance, self.labels, self.contract, recipe, self.source.code_sha256)
        checks = (images.hashes, images.golden, images.kind, images.truth)
        if self.data is None:
            return digest(*facts, *checks)
        dataset, parts = self.data.dataset, self.data.parts
        members = (dataset.hashes[part] for part in (parts.train, parts.validation, parts.test))
        groups = None if dataset.groups is None else dataset.groups.astype(str).tolist()
        return digest(*facts, *checks, dataset.sha256, groups, *members)


def plan(recipe: ExportRecipe) -> list[Artifact]:
    """The pairs of format and quantization to export, checked against the table before any work is done.

    Raises:
        RecipeError: a format lacks a quantization that the recipe names, or the input does not go with it.
    """
    artifacts: dict[Artifact, None] = {}
    for name in recipe.formats:
        available = FORMATS[name].quantizations
        for kind in recipe.quantizations:
            if kind not in (*available, "all"):
                raise RecipeError(f"{name} has no quantization {kind!r}; it has {', '.join(available)}")
            kinds = [each for each in available if not QUANTIZATIONS[each].by_name] if kind == "all" else [kind]
            artifacts |= dict.fromkeys((name, each) for each in kinds)
    for name, kind in artifacts:
        if QUANTIZATIONS[kind].throughout and recipe.input.dtype != "uint8":
            raise RecipeError(f"{name} {kind} takes uint8 images; leave out --input {recipe.input.dtype}")
    return list(artifacts)
