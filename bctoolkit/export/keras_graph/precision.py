"""A float32 network evaluated otherwise: in float64, or with other rounding. It shows how much float32 can hold of it.

Neither needs a copy of the network: for the time of tracing, its layers compute in float64 on the float32 variables
that they have, so that layers with states, sublayers or arguments of their own take part as they are.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from bctoolkit.errors import ExportError
from bctoolkit.export.keras_graph.walk import Operation, walk
from bctoolkit.networks import leaves

__all__ = ["float64", "rounded", "unoptimized"]

PIXELS = 16 * 128 * 128
"""Of the images evaluated at a time."""

ULP = float(np.finfo(np.float32).eps)

RESIZING = ("ResizeBilinear", "ResizeBicubic", "ResizeArea", "ScaleAndTranslate", "ImageProjectiveTransformV3")
"""TensorFlow's operations that give float32 whatever they are fed."""


class _Float64(keras.DTypePolicy):
    """Computes in float64 on variables of another dtype."""

    def _parse_name(self, name: str) -> tuple[str, str]:
        return "float64", name


def float64(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """The network's outputs computed in float64 from its float32 weights.

    Args:
        model: a functional network whose layers compute in float32.
        images: N × height × width × channels.

    Returns:
        N × classes; None where a layer cannot compute in float64, or computes some of it in float32 all the same.
    """
    signature = tf.TensorSpec((None, *images.shape[1:]), tf.float64)
    try:
        with _computing_in_float64(model):
            compiled = _trace(lambda batch: walk(model, batch, _visit), signature)
        return None if _computes_in_float32(compiled) else _evaluate(compiled, images.astype(np.float64))
    except (ExportError, tf.errors.OpError, TypeError, ValueError, NotImplementedError):  # no kernel of that dtype
        return None


def rounded(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The network's outputs where every operation's result is moved by one ulp, up or down by chance.

    It is Monte Carlo arithmetic (Parker 1997, CSD-970002) with one draw: two evaluations of a network in float32 that
    add in other orders differ by about as much.

    Args:
        model: a functional network whose layers compute in float32.
        images: N × height × width × channels.

    Returns:
        N × classes.
    """
    count = 0

    def visit(operation: Operation, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        seed = count
        return keras.tree.map_structure(lambda value: _moved(value, seed), _at_inference(operation, *args, **kwargs))

    signature = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    return _evaluate(_trace(lambda batch: walk(model, batch, visit), signature), images.astype(np.float32))


def _trace(call: Callable[[Any], Any], signature: Any) -> Any:
    return tf.function(call, autograph=False).get_concrete_function(signature)


@contextmanager
def unoptimized() -> Iterator[None]:
    """Graphs that are first run inside are run as they are: to optimize one takes longer than a few images."""
    options = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False} | options)


def _evaluate(compiled: Callable[[Any], Any], images: NDArray[Any]) -> NDArray[Any]:
    """The outputs for all images, a few at a time."""
    size = max(1, PIXELS // (images.shape[1] * images.shape[2]))
    with unoptimized():
        batches = [compiled(tf.constant(images[start : start + size])) for start in range(0, len(images), size)]
    return np.concatenate([keras.tree.flatten(outputs)[0].numpy() for outputs in batches])


@contextmanager
def _computing_in_float64(model: keras.Model) -> Iterator[None]:
    """Let all layers of the network compute in float64, on the variables that they have."""
    inside = [each for layer in leaves(model) for each in (layer, *layer._flatten_layers(include_self=False))]
    policies = [(layer, layer.dtype_policy) for layer in dict.fromkeys(inside)]
    try:
        for layer, policy in policies:
            if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
                raise NotImplementedError(f"{layer.name}: a dtype of its own for each sublayer")
            if policy.compute_dtype == "float32":
                layer.dtype_policy = _Float64(policy.variable_dtype)
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy


def _visit(operation: Operation, *args: Any, **kwargs: Any) -> Any:
    """Run an operation on tensors of float64."""
    if type(operation).__name__ == "Cast" and getattr(operation, "dtype", None) == "float32":
        return args[0]
    if isinstance(operation, layers.Resizing) and operation.interpolation == "bilinear" and _is_plain(operation):
        return _resized(args[0], operation.height, operation.width)
    if _is_depthwise(operation):
        return _depthwise(operation, args[0])
    if isinstance(operation, layers.UpSampling2D) and operation.interpolation == "bilinear":
        height, width = operation.size
        return _resized(args[0], height * args[0].shape[1], width * args[0].shape[2])
    return _at_inference(operation, *args, **kwargs)


def _is_depthwise(operation: Operation) -> bool:
    one_each = type(operation) is layers.Conv2D and operation.groups > 1 and operation.kernel.shape[2] == 1
    return one_each and len(set(operation.strides)) == 1


def _depthwise(conv: Operation, x: Any) -> Any:
    """A grouped convolution with one channel per group, which TensorFlow would compile for float64, loop by loop."""
    kernel = tf.cast(conv.kernel.value, tf.float64)
    height, width, _, filters = kernel.shape
    kernel = tf.reshape(kernel, (height, width, conv.groups, filters // conv.groups))
    strides, dilations = (1, *conv.strides, 1), conv.dilation_rate
    y = tf.nn.depthwise_conv2d(x, kernel, strides, conv.padding.upper(), dilations=dilations)
    y = y + tf.cast(conv.bias.value, tf.float64) if conv.use_bias else y
    return conv.activation(y)


def _at_inference(operation: Operation, *args: Any, **kwargs: Any) -> Any:
    """Run an operation; augmentation takes itself to be training unless it is called otherwise."""
    if isinstance(operation, layers.Layer) and "training" in inspect.signature(operation.call).parameters:
        kwargs.setdefault("training", False)
    return operation(*args, **kwargs)


def _is_plain(resizing: Operation) -> bool:
    options = ("antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio")
    return not any(getattr(resizing, option, False) for option in options)


def _resized(images: Any, height: int, width: int) -> Any:
    """Bilinear resizing with half-pixel centres, whose TensorFlow kernel computes in float32."""
    rows = tf.constant(_bilinear(images.shape[1], height))
    columns = tf.constant(_bilinear(images.shape[2], width))
    return tf.einsum("oh,nhwc,pw->nopc", rows, images, columns)


def _bilinear(size: int, target: int) -> NDArray[np.float64]:
    """Weights target × size of each pixel in each of the resized ones, along one axis."""
    centres = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    distance = np.abs(centres[:, None] - np.arange(size))
    weights: NDArray[np.float64] = np.maximum(1 - distance, 0)
    return weights


def _computes_in_float32(compiled: Any) -> bool:
    """Whether a value that follows from the images is of float32 anywhere in the graph."""
    following: set[str] = {tensor.name for tensor in compiled.inputs if tensor.dtype == tf.float64}
    for operation in compiled.graph.get_operations():
        if not any(tensor.name in following for tensor in operation.inputs):
            continue
        if any(output.dtype == tf.float32 for output in operation.outputs):
            return True
        following |= {output.name for output in operation.outputs if output.dtype.is_floating}
    functions = compiled.graph.as_graph_def().library.function
    return any(_narrows(node) for function in functions for node in function.node_def)


def _narrows(node: Any) -> bool:
    """Whether a node of a function that the graph calls gives float32 for float64."""
    if node.op == "Cast":
        return bool(node.attr["SrcT"].type == tf.float64.as_datatype_enum and node.attr["DstT"].type == 1)
    return node.op in RESIZING


def _moved(value: Any, seed: int) -> Any:
    """A float32 tensor with each element moved by one unit in the last place, up or down by chance."""
    if getattr(value, "dtype", None) != tf.float32:
        return value
    chance = tf.random.stateless_uniform(tf.shape(value), (seed, 0))
    return value * tf.where(chance < 0.5, 1 - ULP, 1 + ULP)
