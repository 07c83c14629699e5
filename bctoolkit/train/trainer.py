"""The part of training that needs TensorFlow: network, fit, test, run folder. `pipeline` is what one calls."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import msgspec
import numpy as np
import tensorflow as tf

from bctoolkit import networks, run
from bctoolkit.data import Dataset, Parts
from bctoolkit.data.split import save as save_split
from bctoolkit.documents import to_json, to_toml
from bctoolkit.files import atomic_folder, copy_files, sha256_file, unfinished
from bctoolkit.networks.inference import predict
from bctoolkit.progress import Progress
from bctoolkit.recipes import TrainRecipe
from bctoolkit.rendering.plots import confusion_matrix
from bctoolkit.statistics import metrics
from bctoolkit.statistics.clustered import number_of
from bctoolkit.system import utc_now, versions
from bctoolkit.train.checkpoint import CSV, TENSORBOARD, RunStart, TrainingCheckpoint, translate_disk_errors
from bctoolkit.train.devices import replicas, several
from bctoolkit.train.distill import load_teacher
from bctoolkit.train.fit import Training, fit
from bctoolkit.train.plan import PhasePlan, plan_phases
from bctoolkit.train.plots import learning_curve
from bctoolkit.train.precision import policy as resolve_policy

__all__ = ["TrainingCheckpoint", "dry_run", "resume", "train"]


def train(
    recipe: TrainRecipe, source: str, dataset: Dataset, parts: Parts, target: Path, progress: Progress, devices: int = 1
) -> run.TestMetrics:
    """Train on images that are loaded and write the run folder, see `pipeline.train`."""
    with several(devices):
        return _train(recipe, source, dataset, parts, target, progress)


def _train(
    recipe: TrainRecipe, source: str, dataset: Dataset, parts: Parts, target: Path, progress: Progress
) -> run.TestMetrics:
    recipe = _resolve(recipe)
    model = _network(recipe, dataset)
    weights = networks.load_weights(model, recipe.weights)
    progress.say(f"{recipe.model}: {model.count_params():,} parameters, {weights}, {recipe.precision}{_on_devices()}")
    start = RunStart(str(_absolute(source)), dataset.sha256, weights)
    with TrainingCheckpoint(unfinished(target)).begin(recipe, start) as checkpoint:
        teacher = load_teacher(recipe, target.parent, dataset.classes)
        training = Training(model, dataset, parts, recipe, progress, checkpoint, teacher)
        history = fit(training)
    return _finish(target, training, start, history)


def resume(
    checkpoint: TrainingCheckpoint,
    recipe: TrainRecipe,
    start: RunStart,
    dataset: Dataset,
    parts: Parts,
    target: Path,
    progress: Progress,
    devices: int = 1,
) -> run.TestMetrics:
    """Continue from the checkpoint, see `pipeline.resume`."""
    with several(devices):
        model = _network(recipe, dataset)
        if not checkpoint.has_state:
            networks.load_weights(model, recipe.weights)
        teacher = load_teacher(recipe, target.parent, dataset.classes)
        training = Training(model, dataset, parts, recipe, progress, checkpoint, teacher)
        return _finish(target, training, start, fit(training))


def dry_run(recipe: TrainRecipe, dataset: Dataset, parts: Parts, runs: Path, progress: Progress) -> list[PhasePlan]:
    """Time the phases, see `pipeline.dry_run`."""
    recipe = _resolve(recipe)
    teacher = load_teacher(recipe, runs, dataset.classes)
    return plan_phases(_network(recipe, dataset), dataset, parts, recipe, progress, teacher)


def _on_devices() -> str:
    return f", on {replicas()} devices" if replicas() > 1 else ""


def _resolve(recipe: TrainRecipe) -> TrainRecipe:
    """The recipe with what depends on this machine and this working folder decided, as it is stored with the run."""
    is_name = recipe.weights in ("none", "imagenet") or not Path(recipe.weights).exists()
    weights = recipe.weights if is_name else str(Path(recipe.weights).resolve())
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
        colours=recipe.colours,
    )


def _finish(target: Path, training: Training, start: RunStart, history: Sequence[run.EpochRow]) -> run.TestMetrics:
    """Test the trained network, write the run folder, and remove what only an unfinished run needs."""
    model, dataset, parts, recipe = training.model, training.dataset, training.parts, training.recipe
    checkpoint = training.checkpoint.folder
    with translate_disk_errors(target), atomic_folder(target, run.FACTS, run.OTHERS) as folder:
        figures = _test(training)
        model.save(folder / run.MODEL)
        (folder / run.RECIPE).write_bytes(to_toml(recipe))
        (folder / run.HISTORY).write_bytes(to_json(history))
        (folder / run.METRICS).write_bytes(to_json(figures))
        shutil.copy2(checkpoint / CSV, folder / CSV)
        copy_files(checkpoint / TENSORBOARD, folder / TENSORBOARD)
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
            weights=start.weights,
            data=run.DataFacts(
                start.source,
                dataset.kind,
                dataset.sha256,
                parts.counts(dataset),
                "content" if dataset.published is None else recipe.split.by,
                recipe.split.group,
            ),
            seconds=round(sum(row.seconds for row in history), 1),
            waiting_seconds=round(sum(row.seconds * row.waiting_share for row in history), 1),
            model_sha256=sha256_file(folder / run.MODEL),
            recipe_sha256=sha256_file(folder / run.RECIPE),
            tools=versions("bctoolkit", "tensorflow", "keras", "numpy"),
            created=utc_now(),
        )
        (folder / run.FACTS).write_bytes(to_json(facts))
    shutil.rmtree(checkpoint)
    return figures


def _test(training: Training) -> run.TestMetrics:
    """Measure the trained network, in the precision that trained it, on the test part."""
    test = training.dataset.take(training.parts.test)
    probabilities = predict(training.model, test.images, "testing", training.progress, training.recipe.batch_size)
    counts = metrics.confusion(test.labels, probabilities)
    return run.TestMetrics(
        count=len(test),
        accuracy=metrics.accuracy(test.labels, probabilities),
        accuracy_ci95=metrics.accuracy_interval(test.labels, probabilities, test.groups),
        groups=number_of(test.groups),
        macro_f1=metrics.macro_f1(counts),
        ece=metrics.expected_calibration_error(test.labels, probabilities),
        recall=metrics.recall_by_class(counts, test.classes),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def _absolute(source: str) -> str | Path:
    """A path that still leads to the images from another working folder."""
    return source if source == "synthetic" else Path(source).resolve()
