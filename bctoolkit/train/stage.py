"""The part of training that needs TensorFlow: network, fit, test, run folder. `start` is what one calls."""

import shutil
from pathlib import Path

import keras
import msgspec
import numpy as np
import tensorflow as tf

from bctoolkit import networks, run
from bctoolkit.data import Dataset, Parts
from bctoolkit.data.split import save as save_split
from bctoolkit.documents import to_json
from bctoolkit.files import atomic_folder, sha256_file, unfinished
from bctoolkit.progress import Progress
from bctoolkit.recipes import TrainRecipe
from bctoolkit.rendering.plots import confusion_matrix
from bctoolkit.statistics import metrics
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.tools import utc_now, versions
from bctoolkit.train.augmentation.preview import preview
from bctoolkit.train.distill import load_teacher
from bctoolkit.train.fit import Training, fit
from bctoolkit.train.journal import CSV, TENSORBOARD, Beginning, Epoch, Journal, told_of_the_disk
from bctoolkit.train.pipeline import evaluation_batches, told_of_images
from bctoolkit.train.plan import PhasePlan, plan
from bctoolkit.train.plots import learning_curve
from bctoolkit.train.precision import policy as resolve_policy

__all__ = ["Journal", "look", "resume", "train"]


def train(
    recipe: TrainRecipe, source: str, dataset: Dataset, parts: Parts, target: Path, progress: Progress
) -> run.TestMetrics:
    """Train on images that are loaded and write the run folder, see `start.train`."""
    recipe = _settled(recipe)
    model = _network(recipe, dataset)
    origin = networks.load_weights(model, recipe.weights)
    progress.say(f"{recipe.model}: {model.count_params():,} parameters, {origin}, {recipe.precision}")
    beginning = Beginning(str(_absolute(source)), dataset.sha256, origin)
    with Journal(unfinished(target)).begun(recipe, beginning) as journal:
        teacher = load_teacher(recipe, target.parent, dataset.classes)
        training = Training(model, dataset, parts, recipe, progress, journal, teacher)
        history = fit(training)
    return _finish(target, training, beginning, history)


def resume(
    journal: Journal,
    recipe: TrainRecipe,
    beginning: Beginning,
    dataset: Dataset,
    parts: Parts,
    target: Path,
    progress: Progress,
) -> run.TestMetrics:
    """Go on with what the journal holds, see `start.resume`."""
    model = _network(recipe, dataset)
    if not journal.has_state:
        networks.load_weights(model, recipe.weights)
    teacher = load_teacher(recipe, target.parent, dataset.classes)
    training = Training(model, dataset, parts, recipe, progress, journal, teacher)
    return _finish(target, training, beginning, fit(training))


def look(
    recipe: TrainRecipe, dataset: Dataset, parts: Parts, picture: Path | None, runs: Path, progress: Progress
) -> list[PhasePlan]:
    """Time the phases, or draw what the network would see, see `start.look`."""
    recipe = _settled(recipe)
    if picture is not None:
        preview(picture, dataset, recipe)
        return []
    teacher = load_teacher(recipe, runs, dataset.classes)
    return plan(_network(recipe, dataset), dataset, parts, recipe, progress, teacher)


def _settled(recipe: TrainRecipe) -> TrainRecipe:
    """The recipe with what depends on this machine and this working folder decided, as it is stored with the run."""
    named = recipe.weights in ("none", "imagenet") or not Path(recipe.weights).exists()
    weights = recipe.weights if named else str(Path(recipe.weights).resolve())
    return msgspec.structs.replace(recipe, precision=resolve_policy(recipe.precision), weights=weights)


def _network(recipe: TrainRecipe, dataset: Dataset) -> keras.Model:
    """The recipe's network with fresh weights; everything random from here on comes from the recipe's seed."""
    keras.utils.set_random_seed(recipe.seed)
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    return networks.build(
        recipe.model,
        len(dataset.classes),
        recipe.input.shape,
        dropout=recipe.dropout,
        drop_path=recipe.drop_path,
        layer_scale=recipe.layer_scale,
        policy=recipe.precision,
    )


def _finish(target: Path, training: Training, beginning: Beginning, history: list[Epoch]) -> run.TestMetrics:
    """Test the trained network, write the run folder, and remove what only an unfinished run needs."""
    model, dataset, parts, recipe = training.model, training.dataset, training.parts, training.recipe
    with told_of_the_disk(target), atomic_folder(target, run.FACTS) as folder:
        with told_of_images():
            figures = _test(model, dataset, parts, recipe.batch_size)
        model.save(folder / run.MODEL)
        (folder / run.RECIPE).write_bytes(msgspec.toml.encode(recipe))
        (folder / run.HISTORY).write_bytes(to_json(history))
        (folder / run.METRICS).write_bytes(to_json(figures))
        shutil.copy2(training.journal.folder / CSV, folder / CSV)
        shutil.copytree(training.journal.folder / TENSORBOARD, folder / TENSORBOARD)
        save_split(folder / run.SPLIT, dataset, parts)
        title = f"{target.name}: {recipe.model} on {len(dataset):,} {dataset.kind} images"
        learning_curve(folder / "learning_curve.png", history, title)
        confusion_matrix(
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
            precision=recipe.precision,
            weights=beginning.weights,
            data=run.DataFacts(beginning.source, dataset.kind, dataset.sha256, parts.counts(dataset)),
            seconds=round(sum(row["seconds"] for row in history), 1),
            waiting_seconds=round(sum(row["seconds"] * row["waiting_share"] for row in history), 1),
            model_sha256=sha256_file(folder / run.MODEL),
            recipe_sha256=sha256_file(folder / run.RECIPE),
            tools=versions("bctoolkit", "tensorflow", "keras", "numpy"),
            created=utc_now(),
        )
        (folder / run.FACTS).write_bytes(to_json(facts))
    shutil.rmtree(training.journal.folder)
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
