"""What is exported: a run folder or a bare Keras file, with the labels and images that belong to it."""

from dataclasses import dataclass
from pathlib import Path

import keras

from bctoolkit import networks, run
from bctoolkit.bundle import Source
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, Parts, load, split
from bctoolkit.data.split import read as read_split
from bctoolkit.errors import DatasetError
from bctoolkit.export.classifier import require_classifier
from bctoolkit.files import sha256_file
from bctoolkit.progress import Progress
from bctoolkit.recipes import Split

__all__ = ["Origin", "images_of", "open_origin"]


@dataclass(frozen=True)
class Origin:
    """A trained network and what is known of it."""

    name: str
    model: keras.Model
    contract: InputContract
    labels: tuple[str, ...] | None
    """None where a bare file does not tell."""
    data: str | None
    """Where its images are, if that is known."""
    stored_split: Path | None
    source: Source


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
        source = Source(facts.name, sha256_file(model_file), facts.data.sha256, facts.recipe_sha256)
        model = networks.load_model(model_file)
        return Origin(facts.name, model, facts.input, facts.labels, facts.data.source, path / run.SPLIT, source)
    model = networks.load_model(path)
    require_classifier(model, str(path))
    _, height, width, _ = model.input_shape
    contract = InputContract(height=height, width=width)
    return Origin(path.stem, model, contract, None, None, None, Source(path.stem, sha256_file(path)))


def images_of(origin: Origin, data: str | None, progress: Progress) -> tuple[Dataset, Parts] | None:
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
    if origin.labels is not None:
        dataset = dataset.in_order_of(origin.labels)
    elif len(dataset.classes) != origin.model.output_shape[-1]:
        outputs = origin.model.output_shape[-1]
        raise DatasetError(f"{source}: {len(dataset.classes)} classes, but {origin.name} has {outputs} outputs")
    parts = split(dataset, Split()) if origin.stored_split is None else read_split(origin.stored_split, dataset)
    if len(parts.test) == 0:
        raise DatasetError(f"{source}: holds no image of the run's test part; say where they are with --data")
    return dataset, parts
