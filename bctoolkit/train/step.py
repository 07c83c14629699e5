"""One step of training, compiled: gradients, update, and the moving average of the weights."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit.recipes import Shape, TrainRecipe
from bctoolkit.train.devices import on_each, replicas, sum_over_devices

__all__ = ["TrainStep", "balanced", "validate"]

LOGITS = "head_logits"


class TrainStep:
    """Update a model's weights by a batch.

    Args:
        model: a network of `bctoolkit.networks.build`; its layers' `trainable` decides which weights are updated.
        optimizer: built for the trainable weights.
        recipe: losses, moving average and distillation.
        class_weights: float32, one factor on the loss per class.
        teacher: the run to learn from, a model with the same inputs and classes; None for none.
        shape: height, width, channels of the images it is trained on; None for the model's own.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: Any,
        recipe: TrainRecipe,
        class_weights: NDArray[np.float32],
        teacher: keras.Model | None = None,
        shape: Shape | None = None,
    ) -> None:
        self._logits = logits_of(model, shape)
        self._teacher = None if teacher is None else logits_of(teacher, shape)
        self._optimizer, self._recipe, self._class_weights = optimizer, recipe, class_weights
        self._trainable = model.trainable_variables
        self._kernels = [weight for weight in self._trainable if weight.name.endswith("kernel")]
        self.average = [_average_of(weight) for weight in self._trainable] if recipe.ema else []
        """The moving average of each trainable weight."""
        classes = model.output_shape[1]
        gpu = bool(tf.config.list_physical_devices("GPU"))
        signature = [tf.TensorSpec(self._logits.input_shape, tf.float32), tf.TensorSpec((None, classes), tf.float32)]
        self.run: Callable[[Any, Any], Any] = (
            on_each(self._run, signature)
            if replicas() > 1
            else tf.function(self._run, signature, jit_compile=gpu or None)  # XLA slows these networks on CPUs
        )
        """A batch of images and labels → mean loss, number of images classified correctly."""

    def averaged(self) -> list[tuple[Any, Any]]:
        """Pairs of each trainable weight and its moving average."""
        return list(zip(self._trainable, self.average, strict=True)) if self.average else []

    def _run(self, images: Any, labels: Any, parts: Any = None) -> tuple[Any, Any]:
        """One step; with `parts`, a float per image, that of one device: then the loss is its part of the whole."""
        with tf.GradientTape() as tape:
            logits = tf.cast(self._logits(images, training=True), tf.float32)
            loss = self._loss(logits, labels, images, parts)
            scaled = self._optimizer.scale_loss(loss)
        gradients = sum_over_devices(tape.gradient(scaled, self._trainable))
        self._optimizer.apply(gradients, self._trainable)
        if self.average:
            done = tf.cast(self._optimizer.iterations, tf.float32)
            share = 1 - tf.minimum(self._recipe.ema, (1 + done) / (10 + done))
            for weight, average in zip(self._trainable, self.average, strict=True):
                average.assign_add(share * (weight.value - average))
        return loss, _correct(logits, labels) if parts is None else _correct(logits, labels, parts > 0)

    def _loss(self, logits: Any, labels: Any, images: Any, parts: Any) -> Any:
        recipe, classes = self._recipe, labels.shape[1]
        smooth = labels * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
        each = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
        if self._teacher is not None:
            each = (1 - recipe.distill.weight) * each + recipe.distill.weight * self._from_teacher(logits, images)
        weighted = each * tf.linalg.matvec(labels, self._class_weights)
        loss = tf.reduce_mean(weighted) if parts is None else tf.reduce_sum(weighted * parts)
        if recipe.l2:
            loss += (
                recipe.l2 / replicas() * tf.add_n([tf.reduce_sum(tf.square(kernel.value)) for kernel in self._kernels])
            )
        return loss

    def _from_teacher(self, logits: Any, images: Any) -> Any:
        """Cross entropy with the teacher's softened probabilities, times T² (Hinton et al. 2015, section 2)."""
        temperature = self._recipe.distill.temperature
        taught = tf.cast(self._teacher(images, training=False), tf.float32)  # type: ignore[misc]
        soft = tf.stop_gradient(tf.nn.softmax(taught / temperature))
        return temperature**2 * tf.nn.softmax_cross_entropy_with_logits(soft, logits / temperature)


def validate(model: keras.Model, shape: Shape | None = None) -> Any:
    """A compiled function: batches of (images, labels) → mean cross entropy and accuracy over all images."""
    logits_model = logits_of(model, shape)

    def one(images: Any, labels: Any) -> tuple[Any, Any, Any]:
        logits = tf.cast(logits_model(images, training=False), tf.float32)
        loss = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
        return loss, _correct(logits, labels), tf.shape(images)[0]

    compiled = tf.function(one, reduce_retracing=True)

    def over(batches: Any) -> tuple[float, float]:
        sums = np.sum([[float(figure) for figure in compiled(*batch)] for batch in batches], axis=0)
        return float(sums[0] / sums[2]), float(sums[1] / sums[2])

    return over


def balanced(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Factors by which every class counts the same: images / (classes · images of the class)."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def logits_of(model: keras.Model, shape: Shape | None = None) -> keras.Model:
    """The same network up to its logits, on images of a shape or of its own, sharing all weights."""
    logits = keras.Model(model.input, model.get_layer(LOGITS).output)
    if shape in (None, model.input_shape[1:]):
        return logits
    return keras.models.clone_model(logits, keras.Input(shape), clone_function=lambda layer: layer)


def _average_of(weight: Any) -> Any:
    """A variable that begins as a weight is; all devices compute the same, so the first one's new value is taken."""
    start, first = weight.value.read_value(), tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(start, trainable=False, aggregation=first)


def _correct(logits: Any, labels: Any, counted: Any = True) -> Any:
    right = tf.argmax(logits, 1) == tf.argmax(labels, 1)
    return tf.reduce_sum(tf.cast(tf.logical_and(right, counted), tf.float32))
