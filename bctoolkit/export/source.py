"""What is exported: a run folder or a bare Keras file, with the labels and images that belong to it.

TensorFlow is imported only when a network is loaded: an export whose bundles are all up to date needs none of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import run
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, Parts, load, split
from bctoolkit.data.groups import grouped
from bctoolkit.data.split import read as read_split
from bctoolkit.documents.preprocessing import Adaptation, InputSettings, OutputSettings
from bctoolkit.errors import DatasetError, ExportError, RecipeError
from bctoolkit.files import sha256_file, sha256_folder
from bctoolkit.manifest import Source
from bctoolkit.progress import Progress, Silent
from bctoolkit.recipes import ExportRecipe, Split
from bctoolkit.run import TestMetrics
from bctoolkit.trust import NOTHING, LoadOptions

if TYPE_CHECKING:
    import keras

    from bctoolkit.export.keras_graph.classifier import AdaptedNetwork

__all__ = ["ModelData", "ModelSource", "as_prepared", "load_data", "open_source"]


@dataclass(frozen=True)
class ModelSource:
    """A trained network and what is known of it."""

    name: str
    file: Path
    contract: InputContract
    provenance: Source
    """What a manifest says of where the artifact comes from."""
    labels: tuple[str, ...] | None = None
    """None for a bare file of which they were not stated."""
    data_path: str | None = None
    """Where its images are, if that is known."""
    group: str = ""
    """Pattern of what images belong to, see `data.groups.grouped`."""
    stored_split: Path | None = None
    test_metrics: TestMetrics | None = None
    """What training measured on the test part of the set `provenance.dataset_sha256`."""
    options: LoadOptions = NOTHING
    """The code that may run while it is loaded."""
    code_sha256: str = ""
    """Hash of that code; "" where none runs."""
    adapted: "AdaptedNetwork | None" = None
    """The network of a bare file, between what an app hands over and what it reads."""
    adaptation: Adaptation | None = None
    """What was added around it."""

    def load(self) -> "keras.Model":
        """The classifier that is exported: image 0–255 → probabilities.

        Raises:
            WeightsError: Keras cannot load the file safely.
        """
        return self.network().model

    def network(self) -> "AdaptedNetwork":
        """The network between what an app hands over and what it reads."""
        return self.adapted or _adapted(self.file, self.options, InputSettings(), OutputSettings(), "")


@dataclass(frozen=True)
class ModelData:
    """The images that belong to a network."""

    dataset: Dataset
    """Labels count in the order of the network's outputs."""
    parts: Parts
    truth: NDArray[np.str_]
    """The class of each image as the set itself names it, whatever order the outputs have."""


def open_source(
    path: Path,
    options: LoadOptions = NOTHING,
    recipe: ExportRecipe | None = None,
    progress: Progress | None = None,
) -> ModelSource:
    """Open a run folder, a `.keras` / `.h5` file, or the folder of a SavedModel.

    Args:
        path: of either.
        options: the code that may run while it is loaded.
        recipe: what a bare file's network eats, which of its outputs is exported, and what they mean.
        progress: told what is added around the network.

    Raises:
        ExportError: a run without its facts, or a network that is no image classifier.
        RecipeError: settings that a run's network has no use for, or labels of another number than its outputs.
        WeightsError: a file that Keras cannot load safely.
    """
    recipe = recipe or ExportRecipe()
    if (path / run.MODEL).exists():
        return _open_run(path, options, recipe)
    return _open_file(path, options, recipe, progress or Silent())


def _open_run(path: Path, options: LoadOptions, recipe: ExportRecipe) -> ModelSource:
    facts = run.read(path)
    if recipe.input != InputSettings(recipe.input.dtype) or recipe.output != OutputSettings():
        raise RecipeError(
            f"{facts.name}: a run's network takes {facts.input} and its labels are known; leave out --scale, "
            "--channels, --size, --white, --prepared, --output, --head and --labels"
        )
    model_file = path / run.MODEL
    return ModelSource(
        name=facts.name,
        file=model_file,
        contract=facts.input,
        provenance=Source(facts.name, sha256_file(model_file), facts.data.sha256, facts.recipe_sha256),
        labels=facts.labels,
        data_path=facts.data.source,
        group=recipe.group or facts.data.group,
        stored_split=path / run.SPLIT,
        test_metrics=run.read_metrics(path),
        options=options,
    )


def _open_file(path: Path, options: LoadOptions, recipe: ExportRecipe, progress: Progress) -> ModelSource:
    from bctoolkit.export.keras_graph.file_facts import facts_of  # imports Keras

    facts, settings = facts_of(path), recipe.input
    preprocessor = facts.preprocessor if settings.scale is None else None
    if preprocessor is not None:
        if preprocessor.problem:
            raise ExportError(
                f"{path}: its own preprocessor cannot be built in: {preprocessor.problem}; say what the network takes "
                "with --scale"
            )
        own = preprocessor.settings
        settings = msgspec.structs.replace(settings, scale=own.scale, size=settings.size or own.size)
        progress.say(f"  the file's own preprocessor is built in, with images resized by {preprocessor.resize}")
    adapted = _adapted(path, options, settings, recipe.output, facts.loss)
    for note in adapted.notes:
        progress.say(f"  {note}")
    adaptation, entry, outputs = adapted.adaptation, adapted.entry, adapted.model.output_shape[-1]
    if adaptation is not None and preprocessor is not None:
        adaptation = msgspec.structs.replace(adaptation, scale="preprocessor")
    labels = recipe.output.labels or None
    if labels is not None and len(labels) != outputs:
        raise RecipeError(f"{path}: --labels names {len(labels)} classes, but the network has {outputs} outputs")
    contract = InputContract(height=entry.height, width=entry.width, channels=entry.channels, white=settings.white)
    if preprocessor is not None:
        contract = msgspec.structs.replace(contract, crop=preprocessor.crop, resize=preprocessor.resize)
    contract = as_prepared(contract, settings)
    name = path.resolve().name if path.is_dir() else path.stem
    return ModelSource(
        name=name,
        file=path,
        contract=contract,
        provenance=Source(name, sha256_folder(path) if path.is_dir() else sha256_file(path)),
        labels=labels,
        group=recipe.group,
        options=options,
        code_sha256=_code_sha256(options),
        adapted=adapted,
        adaptation=adaptation,
    )


def as_prepared(contract: InputContract, settings: InputSettings) -> InputContract:
    """The contract, with the part of a picture that is stated of a bare file's images."""
    if settings.prepared is None:
        return contract
    crop, picture = settings.prepared
    return msgspec.structs.replace(contract, crop=crop, picture=picture)


def load_data(source: ModelSource, data: str | None, progress: Progress) -> ModelData | None:
    """The network's images and their parts; None where no images are known.

    Raises:
        DatasetError: the images are not where the run has them from, have no groups by the pattern, or other classes.
    """
    path = data or source.data_path
    if path is None:
        return None
    if data is None and path != "synthetic" and not Path(path).exists():
        raise DatasetError(
            f"{path}: the run's images are no longer there; say where with --data, or --golden synthetic"
        )
    dataset = grouped(load(path, source.contract, progress), source.group)
    truth = np.array(dataset.classes)[dataset.labels]
    parts = split(dataset, Split()) if source.stored_split is None else read_split(source.stored_split, dataset)
    if source.labels is not None:
        dataset = dataset.in_order_of(source.labels)
    elif len(dataset.classes) != (outputs := source.load().output_shape[-1]):
        raise DatasetError(
            f"{path}: {len(dataset.classes)} classes, but {source.name} has {outputs} outputs; name the outputs, in "
            "their order, with --labels"
        )
    if len(parts.test) == 0:
        raise DatasetError(f"{path}: holds no image of the run's test part; say where they are with --data")
    return ModelData(dataset, parts, truth)


def _adapted(
    path: Path, options: LoadOptions, settings: InputSettings, output: OutputSettings, loss: str
) -> "AdaptedNetwork":
    from bctoolkit.export.keras_graph.classifier import adapt_network  # imports TensorFlow
    from bctoolkit.networks import load_model

    return adapt_network(load_model(path, options), settings, str(path), output, loss)


def _code_sha256(options: LoadOptions) -> str:
    """Hash of the modules that were run for the network."""
    from bctoolkit.networks.code import sha256_of_modules

    return sha256_of_modules(options.imports) if options.imports else ""
