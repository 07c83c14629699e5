"""`train`: recipe + images → run folder."""

import time
from pathlib import Path

import keras
import msgspec
import numpy as np

from bctoolkit import metrics, networks, run
from bctoolkit.data import Dataset, Parts, load, split
from bctoolkit.data.split import save as save_split
from bctoolkit.documents import to_json
from bctoolkit.errors import RecipeError
from bctoolkit.files import atomic_folder, sha256_file
from bctoolkit.metrics import Probabilities
from bctoolkit.progress import Progress
from bctoolkit.recipes import TrainRecipe
from bctoolkit.tools import utc_now, versions
from bctoolkit.train import plots
from bctoolkit.train.fit import fit
from bctoolkit.train.pipeline import evaluation_batches
from bctoolkit.train.precision import policy as resolve_policy

__all__ = ["train"]


def train(recipe: TrainRecipe, source: str, target: Path, progress: Progress) -> run.TestMetrics:
    """Train a network and write the run folder `target`, all of it or nothing.

    Args:
        recipe: what to train and how.
        source: the images, as `bctoolkit.data.load` takes them.
        target: the run's folder; its name becomes the run's.
        progress: told what goes on.

    Returns:
        The test part's figures.

    Raises:
        RecipeError: the folder exists, or the recipe does not fit the network.
        DatasetError: the images cannot be used.
        WeightsError: the pre-trained weights cannot be had or do not fit.
    """
    if target.exists():
        raise RecipeError(f"the run {target} already exists; choose another --name")
    started = time.perf_counter()
    policy = resolve_policy(recipe.precision)
    keras.utils.set_random_seed(recipe.seed)
    dataset = load(source, recipe.input, progress)
    parts = split(dataset, recipe.split)
    progress.say(
        f"{len(dataset):,} {dataset.kind} images of {len(dataset.classes)} classes from {dataset.source}: "
        f"{len(parts.train):,} train, {len(parts.validation):,} validation, {len(parts.test):,} test"
    )
    model = networks.build(
        recipe.model,
        len(dataset.classes),
        recipe.input.shape,
        dropout=recipe.dropout,
        drop_path=recipe.drop_path,
        layer_scale=recipe.layer_scale,
        policy=policy,
    )
    origin = networks.load_weights(model, recipe.weights)
    progress.say(f"{recipe.model}: {model.count_params():,} parameters, {origin}, {policy}")
    with atomic_folder(target, run.FACTS) as folder:
        history = fit(model, dataset, parts, recipe, policy, progress)
        figures = _test(model, dataset, parts, recipe.batch_size)
        model.save(folder / run.MODEL)
        (folder / run.RECIPE).write_bytes(msgspec.toml.encode(recipe))
        (folder / run.HISTORY).write_bytes(to_json(history))
        (folder / run.METRICS).write_bytes(to_json(figures))
        save_split(folder / run.SPLIT, dataset, parts)
        title = f"{target.name}: {recipe.model} on {len(dataset):,} {dataset.kind} images"
        plots.learning_curve(folder / "learning_curve.png", history, title)
        plots.confusion_matrix(
            folder / "confusion_matrix.png",
            np.array(figures.confusion),
            dataset.classes,
            f"{target.name}: test part, {figures.count} {dataset.kind} images, accuracy {figures.accuracy:.2%}",
        )
        facts = run.RunFacts(
            name=target.name,
            model=recipe.model,
            parameters=model.count_params(),
            labels=dataset.classes,
            input=recipe.input,
            precision=policy,
            weights=origin,
            data=run.DataFacts(str(_absolute(source)), dataset.kind, dataset.sha256, parts.counts(dataset)),
            seconds=round(time.perf_counter() - started, 1),
            model_sha256=sha256_file(folder / run.MODEL),
            recipe_sha256=sha256_file(folder / run.RECIPE),
            tools=versions("bctoolkit", "tensorflow", "keras", "numpy"),
            created=utc_now(),
        )
        (folder / run.FACTS).write_bytes(to_json(facts))
    return figures


def _test(model: keras.Model, dataset: Dataset, parts: Parts, batch_size: int) -> run.TestMetrics:
    """Measure the trained network on the test part."""
    labels = dataset.labels[parts.test]
    batches = evaluation_batches(dataset, parts.test, batch_size).map(lambda x, _: x)
    probabilities: Probabilities = model.predict(batches, verbose=0)
    counts = metrics.confusion(labels, probabilities)
    return run.TestMetrics(
        count=len(labels),
        accuracy=metrics.accuracy(labels, probabilities),
        accuracy_ci95=metrics.exact_interval(int(np.trace(counts)), len(labels)),
        macro_f1=metrics.macro_f1(counts),
        ece=metrics.expected_calibration_error(labels, probabilities),
        recall=metrics.recall_by_class(counts, dataset.classes),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def _absolute(source: str) -> str | Path:
    """A path that still leads to the images from another working folder."""
    return source if source == "synthetic" else Path(source).resolve()
