"""What is exported: a run folder or a bare Keras file, with the labels and images that belong to it.

TensorFlow is imported only when a network is loaded: an export whose bundles are all up to date needs none of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit import run
from bctoolkit.bundle import Source
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, Parts, load, split
from bctoolkit.data.split import read as read_split
from bctoolkit.documents import read_json
from bctoolkit.errors import DatasetError, ExportError
from bctoolkit.files import sha256_file, sha256_folder
from bctoolkit.progress import Progress
from bctoolkit.recipes import Split
from bctoolkit.run import TestMetrics
from bctoolkit.trust import NOTHING, LoadOptions

if TYPE_CHECKING:
    import keras

__all__ = ["ModelData", "ModelSource", "load_data", "open_source"]


@dataclass(frozen=True)
class ModelSource:
    """A trained network and what is known of it."""

    name: str
    file: Path
    contract: InputContract
    provenance: Source
    """What a manifest says of where the artifact comes from."""
    labels: tuple[str, ...] | None = None
    """None for a bare file."""
    data_path: str | None = None
    """Where its images are, if that is known."""
    stored_split: Path | None = None
    test_metrics: TestMetrics | None = None
    """What training measured on the test part of the set `provenance.dataset_sha256`."""
    options: LoadOptions = NOTHING
    """The code that may run while it is loaded."""
    code_sha256: str = ""
    """Hash of that code; "" where none runs."""
    loaded: "keras.Model | None" = None

    def load(self) -> "keras.Model":
        """The trained network as its file has it.

        Raises:
            WeightsError: Keras cannot load the file safely.
        """
        return self.loaded or _load(self.file, self.options)


@dataclass(frozen=True)
class ModelData:
    """The images that belong to a network."""

    dataset: Dataset
    """Labels count in the order of the network's outputs."""
    parts: Parts
    truth: NDArray[np.str_]
    """The class of each image as the set itself names it, whatever order the outputs have."""


def open_source(path: Path, options: LoadOptions = NOTHING) -> ModelSource:
    """Open a run folder, a `.keras` / `.h5` file, or the folder of a SavedModel.

    Args:
        path: the file or folder.
        options: the code that may run while the network is loaded.

    Raises:
        ExportError: a run without its facts, or a network that is no image classifier.
        WeightsError: a file that Keras cannot load safely.
    """
    if (path / run.MODEL).exists():
        facts = run.read(path)
        model_file = path / run.MODEL
        return ModelSource(
            name=facts.name,
            file=model_file,
            contract=facts.input,
            provenance=Source(facts.name, sha256_file(model_file), facts.data.sha256, facts.recipe_sha256),
            labels=facts.labels,
            data_path=facts.data.source,
            stored_split=path / run.SPLIT,
            test_metrics=_test_metrics(path / run.METRICS),
            options=options,
        )
    model = _load(path, options)
    _, height, width, _ = model.input_shape
    contract = InputContract(height=height, width=width)
    name = path.resolve().name if path.is_dir() else path.stem
    provenance = Source(name, sha256_folder(path) if path.is_dir() else sha256_file(path))
    code = _code_sha256(options)
    return ModelSource(name, path, contract, provenance, options=options, code_sha256=code, loaded=model)


def load_data(source: ModelSource, data: str | None, progress: Progress) -> ModelData | None:
    """The network's images and their parts; None where no images are known.

    Raises:
        DatasetError: the images are not where the run has them from, or their classes are not the network's.
    """
    path = data or source.data_path
    if path is None:
        return None
    if data is None and path != "synthetic" and not Path(path).exists():
        raise DatasetError(
            f"{path}: the run's images are no longer there; say where with --data, or --golden synthetic"
        )
    dataset = load(path, source.contract, progress)
    truth = np.array(dataset.classes)[dataset.labels]
    if source.labels is not None:
        dataset = dataset.in_order_of(source.labels)
    elif source.loaded is not None and len(dataset.classes) != source.loaded.output_shape[-1]:
        outputs = source.loaded.output_shape[-1]
        raise DatasetError(f"{path}: {len(dataset.classes)} classes, but {source.name} has {outputs} outputs")
    parts = split(dataset, Split()) if source.stored_split is None else read_split(source.stored_split, dataset)
    if len(parts.test) == 0:
        raise DatasetError(f"{path}: holds no image of the run's test part; say where they are with --data")
    return ModelData(dataset, parts, truth)


def _load(path: Path, options: LoadOptions) -> Any:
    from bctoolkit.export.keras_graph.classifier import require_classifier  # imports TensorFlow
    from bctoolkit.networks import load_model

    model = load_model(path, options)
    require_classifier(model, str(path))
    return model


def _code_sha256(options: LoadOptions) -> str:
    """Hash of the modules that were run for the network."""
    from bctoolkit.networks.code import sha256_of_modules

    return sha256_of_modules(options.imports) if options.imports else ""


def _test_metrics(path: Path) -> TestMetrics | None:
    """What training measured; None for a run that was not finished with a test."""
    return read_json(path, TestMetrics, ExportError, "train the run again") if path.is_file() else None
