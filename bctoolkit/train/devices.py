"""Training on several devices of one machine: a batch is divided among them, and each keeps a copy of the weights.

Gradients of the whole batch are the sum of the devices', so that the step is that of one device up to the order of the
sum. What is drawn inside the network, dropout and stochastic depth, is drawn on each device for its own images.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from bctoolkit.errors import RecipeError

__all__ = ["copies_of", "on_each", "replicas", "several", "sum_over_devices"]


def several(devices: int) -> AbstractContextManager[Any]:
    """In the block, variables are made on so many devices, and what is trained is trained on all of them.

    The devices are the GPUs; where there is none, TensorFlow's logical CPUs.

    Raises:
        RecipeError: there are not so many.
    """
    if devices == 1:
        return nullcontext()
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    if devices > len(found):
        plural = "s" if len(found) > 1 else ""
        raise RecipeError(f"--devices {devices}: TensorFlow has {len(found)} {kind}{plural} here")
    # the order in which two sums are added is the same on every machine; NCCL needs GPUs
    reduction = tf.distribute.NcclAllReduce() if kind == "GPU" else tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(found[:devices], cross_device_ops=reduction)
    scope: AbstractContextManager[Any] = strategy.scope()
    return scope


def replicas() -> int:
    """How many devices train: those of the block of `several`, else one."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def copies_of(variable: Any) -> tuple[Any, ...]:
    """The copies of a TensorFlow variable, one on each device."""
    copies: tuple[Any, ...] = tf.distribute.get_strategy().experimental_local_results(variable)
    return copies


def sum_over_devices(gradients: list[Any]) -> list[Any]:
    """The gradients of the whole batch from those of this device's images; as they are where one device trains."""
    context = tf.distribute.get_replica_context()
    if context is None or replicas() == 1:
        return gradients
    summed: list[Any] = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return summed


def on_each(run: Callable[[Any, Any, Any], tuple[Any, Any]], signature: list[Any]) -> Callable[[Any, Any], Any]:
    """A step on all devices.

    Args:
        run: the step of one: its images, their labels, and each image's part in the whole batch's mean → sums.
        signature: of the images and labels of a whole batch.

    Returns:
        A batch of images and labels → the sums of all devices. Where a batch cannot be divided evenly, its first image
        stands in for what is missing and has no part in the mean.
    """
    strategy, count = tf.distribute.get_strategy(), replicas()

    def divided(images: Any, labels: Any) -> tuple[Any, Any, Any]:
        size = tf.shape(images)[0]
        missing = -size % count
        index = tf.concat([tf.range(size), tf.zeros(missing, tf.int32)], 0)
        part = tf.concat([tf.ones(size), tf.zeros(missing)], 0) / tf.cast(size, tf.float32)
        return tf.gather(images, index), tf.gather(labels, index), part

    def whole(images: Any, labels: Any) -> tuple[Any, Any]:
        arguments = divided(images, labels)
        each = tf.shape(arguments[2])[0] // count

        def of_replica(context: Any) -> tuple[Any, ...]:
            first = context.replica_id_in_sync_group * each
            return tuple(argument[first : first + each] for argument in arguments)

        parts = strategy.experimental_distribute_values_from_function(of_replica)
        sums = strategy.run(run, args=parts)
        loss, correct = (strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None) for one in sums)
        return loss, correct

    compiled: Callable[[Any, Any], Any] = tf.function(whole, input_signature=signature)
    return compiled
