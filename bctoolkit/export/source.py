"""What is exported: a run folder or a bare Keras file, with the labels and images that belong to it.

TensorFlow is imported only when a network is loaded: an export that finds its bundles made already needs none of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import run
from bctoolkit.bundle import Source
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, Parts, load, split
from bctoolkit.data.split import read as read_split
from bctoolkit.documents import parse
from bctoolkit.errors import DatasetError, ExportError
from bctoolkit.files import sha256_file
from bctoolkit.progress import Progress
from bctoolkit.recipes import Split
from bctoolkit.run import TestMetrics

if TYPE_CHECKING:
    import keras

__all__ = ["Known", "Origin", "images_of", "open_origin"]


@dataclass(frozen=True)
class Origin:
    """A trained network and what is known of it."""

    name: str
    file: Path
    contract: InputContract
    source: Source
    labels: tuple[str, ...] | None = None
    """None where a bare file does not tell."""
    data: str | None = None
    """Where its images are, if that is known."""
    stored_split: Path | None = None
    trained: TestMetrics | None = None
    """What training measured on the test part of the set `source.dataset_sha256`."""
    loaded: "keras.Model | None" = None

    def load(self) -> "keras.Model":
        """The trained network as its file has it.

        Raises:
            WeightsError: Keras cannot load the file safely.
        """
        return self.loaded or _load(self.file)


@dataclass(frozen=True)
class Known:
    """The images that belong to a network."""

    dataset: Dataset
    """Labels count in the order of the network's outputs."""
    parts: Parts
    truth: NDArray[np.str_]
    """The class of each image as the set itself names it, whatever order the outputs have."""


def open_origin(path: Path) -> Origin:
    """Open a run folder or a `.keras` / `.h5` file.

    Raises:
        ExportError: a run without its facts, or a network that is no image classifier.
        UnsupportedOp: a subclassed model, which has no graph.
        WeightsError: a file that Keras cannot load safely.
    """
    if path.is_dir():
        facts = run.read(path)
        model_file = path / run.MODEL
        return Origin(
            name=facts.name,
            file=model_file,
            contract=facts.input,
            source=Source(facts.name, sha256_file(model_file), facts.data.sha256, facts.recipe_sha256),
            labels=facts.labels,
            data=facts.data.source,
            stored_split=path / run.SPLIT,
            trained=_trained(path / run.METRICS),
        )
    model = _load(path)
    _, height, width, _ = model.input_shape
    contract = InputContract(height=height, width=width)
    return Origin(path.stem, path, contract, Source(path.stem, sha256_file(path)), loaded=model)


def images_of(origin: Origin, data: str | None, progress: Progress) -> Known | None:
    """The origin's images and their parts; None where no images are known.

    Raises:
        DatasetError: the images are not where the run found them, or their classes are not the network's.
    """
    source = data or origin.data
    if source is None:
        return None
    if data is None and source != "synthetic" and not Path(source).exists():
        raise DatasetError(
            f"{source}: the run's images are no longer there; say where with --data, or --golden synthetic"
        )
    dataset = load(source, origin.contract, progress)
    truth = np.array(dataset.classes)[dataset.labels]
    if origin.labels is not None:
        dataset = dataset.in_order_of(origin.labels)
    elif origin.loaded is not None and len(dataset.classes) != origin.loaded.output_shape[-1]:
        outputs = origin.loaded.output_shape[-1]
        raise DatasetError(f"{source}: {len(dataset.classes)} classes, but {origin.name} has {outputs} outputs")
    parts = split(dataset, Split()) if origin.stored_split is None else read_split(origin.stored_split, dataset)
    if len(parts.test) == 0:
        raise DatasetError(f"{source}: holds no image of the run's test part; say where they are with --data")
    return Known(dataset, parts, truth)


def _load(path: Path) -> Any:
    from bctoolkit.export.keras_graph.classifier import require_classifier  # imports TensorFlow
    from bctoolkit.networks import load_model

    model = load_model(path)
    require_classifier(model, str(path))
    return model


def _trained(path: Path) -> TestMetrics | None:
    """What training measured; None for a run that was not finished with a test."""
    if not path.is_file():
        return None
    try:
        raw = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError:
        raise ExportError(f"{path}: not readable as JSON; train the run again") from None
    return parse(TestMetrics, raw, str(path), ExportError)
