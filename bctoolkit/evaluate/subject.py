"""The subject of an evaluation: a run folder or a bundle, opened as one callable from images to probabilities."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit import run as runs
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions
from bctoolkit.data.split import read as read_split
from bctoolkit.errors import BundleError, DatasetError, RecipeError
from bctoolkit.evaluate.report import Part
from bctoolkit.evaluate.site_figures import HomeFigures
from bctoolkit.files import sha256_file
from bctoolkit.lazy import require
from bctoolkit.manifest import LabelledFigures
from bctoolkit.runtime import Classifier, load
from bctoolkit.runtime.backends import default_threads
from bctoolkit.signing import TrustedKey
from bctoolkit.statistics.acceptance import AcceptanceRule
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.workspace import Workspace

__all__ = ["Selection", "Subject", "is_run", "locate", "open_subject"]

Predict = Callable[[NDArray[np.uint8]], Probabilities]


class Selection(NamedTuple):
    """Some images of a set."""

    positions: NDArray[np.int64]
    description: str
    """Which ones they are, in words."""
    elsewhere: bool = False
    """Whether none of them is known to be of the set that the subject was trained on."""


@dataclass(frozen=True)
class Subject:
    """An opened run or bundle."""

    name: str
    kind: Literal["run", "bundle"]
    model_sha256: str
    contract: InputContract
    """How images are prepared for it; always uint8."""
    labels: tuple[str, ...]
    predict: Predict
    """Images N × height × width × channels uint8 → probabilities N × classes, not calibrated."""
    acceptance: AcceptanceRule | None
    """None of a run, and of a bundle without such a rule."""
    home: HomeFigures | None
    """Its figures on its own set; None of a run without a test, and of a bundle exported without labelled images."""
    select: Callable[[Dataset, Part], Selection]
    """The images of a part of the set.

    Raises:
        DatasetError: the part is empty.
        BundleError: a bundle has no record of the part.
    """


def locate(workspace: Workspace, name: str) -> Path:
    """The run or bundle given by path or by its name in the workspace.

    Raises:
        RecipeError: there is no such run or bundle; the message names those that exist.
    """
    for folder in (Path(name), workspace.runs / name, workspace.bundles / name):
        if is_run(folder) or (folder / bundles.MANIFEST).is_file():
            return folder
    existing = [
        f"{what} in {shelf}: {', '.join(sorted(path.parent.name for path in shelf.glob(f'[!.]*/{file}'))) or 'none'}"
        for what, shelf, file in (
            ("runs", workspace.runs, runs.MODEL),
            ("bundles", workspace.bundles, bundles.MANIFEST),
        )
    ]
    raise RecipeError(
        f"{name}: neither a finished run (it would hold {runs.MODEL} and {runs.FACTS}) nor a bundle "
        f"({bundles.MANIFEST}); {'; '.join(existing)}"
    )


def is_run(folder: Path) -> bool:
    """Whether `folder` holds a finished run."""
    return (folder / runs.MODEL).is_file() and (folder / runs.FACTS).is_file()


def open_subject(folder: Path, trusted_keys: Sequence[TrustedKey] | None = None) -> Subject:
    """Open a run folder, which needs TensorFlow, or a bundle, which needs its engine only.

    Args:
        folder: the run or the bundle.
        trusted_keys: as `bctoolkit.bundle.read` takes them; a run is never signed.

    Raises:
        RecipeError: keys are given for a run.
        BctkError: what is stored there is damaged, or cannot run here.
    """
    if not is_run(folder):
        return _open_bundle(folder, trusted_keys)
    if trusted_keys is not None:
        raise RecipeError(f"{folder}: is a run, which nobody signs; --trusted goes with a bundle")
    return _open_run(folder)


def _open_run(folder: Path) -> Subject:
    facts = runs.read(folder)
    sha256 = sha256_file(folder / runs.MODEL)
    if sha256 != facts.model_sha256:
        raise RecipeError(f"{folder / runs.MODEL}: SHA-256 differs from the one in {runs.FACTS}; train the run again")
    require("tensorflow", "train")
    from bctoolkit.networks import load_model
    from bctoolkit.networks.inference import in_float32, predictor

    return Subject(
        name=facts.name,
        kind="run",
        model_sha256=sha256,
        contract=facts.input,
        labels=facts.labels,
        predict=predictor(in_float32(load_model(folder / runs.MODEL)), facts.input.shape),
        acceptance=None,
        home=_home_of_run(folder),
        select=lambda dataset, part: _part_of_run(folder / runs.SPLIT, dataset, part),
    )


def _home_of_run(folder: Path) -> HomeFigures | None:
    figures = runs.read_metrics(folder)
    if figures is None:
        return None
    counts = np.array(figures.confusion)
    recall = {
        name: (right, total)
        for name, right, total in zip(figures.recall, counts.diagonal().tolist(), counts.sum(1).tolist(), strict=True)
        if total
    }
    return HomeFigures(figures.split, figures.count, int(np.trace(counts)), recall)


def _home_of_bundle(figures: LabelledFigures | None) -> HomeFigures | None:
    if figures is None:
        return None
    recall = {name: (round(each.recall * each.count), each.count) for name, each in figures.recall.items()}
    return HomeFigures(figures.part, figures.count, round(figures.accuracy * figures.count), recall)


def _part_of_run(split: Path, dataset: Dataset, part: Part) -> Selection:
    if part == "all":
        return _all(dataset, "all images, including the training part")
    parts = read_split(split, dataset)
    recorded = len(parts.train) + len(parts.validation) + len(parts.test)
    if recorded == 0:
        return _all(dataset, "all images: none of them is in the run's split", elsewhere=True)
    index: NDArray[np.int64] = getattr(parts, part)
    if index.size == 0:
        raise DatasetError(
            f"{dataset.source}: holds {recorded} images of the run's set but none of its {part} part; "
            "give the images the run was trained with, or --part all"
        )
    others = len(dataset) - recorded
    left_out = f"; {others} images that are not in the run's split are left out" if others else ""
    return Selection(index, f"the run's {part} part{left_out}")


def _open_bundle(folder: Path, trusted_keys: Sequence[TrustedKey] | None) -> Subject:
    opened = bundles.read(folder, trusted_keys)
    manifest = opened.manifest
    workers = [load(folder, threads=1, trusted_keys=trusted_keys) for _ in range(default_threads())]

    def predict(images: NDArray[np.uint8]) -> Probabilities:
        """Each worker a share: many images go faster one per thread than one after the other with all threads."""
        with ThreadPoolExecutor(len(workers)) as pool:
            shares = np.array_split(images, min(len(workers), len(images)))
            return np.concatenate(list(pool.map(Classifier.predict_each, workers, shares)))

    return Subject(
        name=manifest.name,
        kind="bundle",
        model_sha256=manifest.model.sha256,
        contract=msgspec.structs.replace(manifest.input, dtype="uint8"),
        labels=manifest.labels,
        predict=predict,
        acceptance=workers[0].acceptance,
        home=_home_of_bundle(manifest.labelled),
        select=lambda dataset, part: _part_of_bundle(opened, dataset, part),
    )


def _part_of_bundle(bundle: bundles.Bundle, dataset: Dataset, part: Part) -> Selection:
    """A bundle records the hashes of the test part only."""
    if part == "all":
        return _all(dataset, "all images, possibly including the training part")
    if part != "test":
        raise BundleError(f"a bundle records only its test part, not {part!r}; evaluate the run, or give --part all")
    reference = bundle.reference()
    if reference is None:
        return _all(dataset, "all images: the bundle does not record its test part")
    index = np.flatnonzero(positions(dataset.hashes, reference.hashes) >= 0)
    if index.size == 0:
        return _all(dataset, "all images: none of them is in the bundle's test part", elsewhere=True)
    return Selection(index, "the bundle's test part")


def _all(dataset: Dataset, description: str, elsewhere: bool = False) -> Selection:
    return Selection(np.arange(len(dataset)), description, elsewhere)
