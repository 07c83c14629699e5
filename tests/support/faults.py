"""Mistakes that freezing, folding and exporting a network could make, as changes of the network."""

from collections.abc import Callable
from typing import Any

import keras
from numpy.typing import NDArray

from bctoolkit.export.keras_graph.walk import rebuild
from bctoolkit.networks import LayerScale

Change = Callable[[keras.Model], keras.Model]
Replace = Callable[[Any], Any]


def with_layers(replace: Replace) -> Change:
    """Build the network anew with other layers; each keeps its weights where they fit."""

    def change(model: keras.Model) -> keras.Model:
        layers = {operation: replace(operation) for operation in model.operations}
        return rebuild(model, lambda operation: [] if layers[operation] is None else [layers[operation]])

    return change


def with_weights(pattern: str, new: Callable[[NDArray[Any]], NDArray[Any]]) -> Change:
    """The network with the first weight tensor of the layers called `*pattern` changed."""

    def change(model: keras.Model) -> keras.Model:
        copy = rebuild(model, lambda operation: [again(operation)])
        matching = [layer for layer in copy.layers if layer.name.endswith(pattern)]
        assert matching
        for layer in matching:
            first, *others = layer.get_weights()
            layer.set_weights([new(first), *others])
        return copy

    return change


def again(operation: Any, **changes: Any) -> Any:
    """A copy of a layer with some of its arguments changed."""
    if not isinstance(operation, keras.layers.Layer):
        return operation
    return type(operation).from_config({**operation.get_config(), **changes})


def coarse_norms(operation: Any) -> Any:
    return (
        again(operation, epsilon=1e-3) if isinstance(operation, keras.layers.LayerNormalization) else again(operation)
    )


def fine_norms(operation: Any) -> Any:
    """PyTorch's epsilon in place of Keras's ConvNeXt's."""
    return (
        again(operation, epsilon=1e-5) if isinstance(operation, keras.layers.LayerNormalization) else again(operation)
    )


def bfloat16_stem(operation: Any) -> Any:
    return again(operation, dtype="mixed_bfloat16") if operation.name == "stem_conv" else again(operation)


@keras.saving.register_keras_serializable("planted")
def tanh_gelu(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=True)


def approximate_gelus(operation: Any) -> Any:
    if not operation.name.endswith("_gelu"):
        return again(operation)
    return keras.layers.Activation(tanh_gelu, name=operation.name)


def without_scales(operation: Any) -> Any:
    return None if isinstance(operation, LayerScale) else again(operation)


def without_preprocessing(operation: Any) -> Any:
    return None if operation.name == "preprocess" else again(operation)


def softmax_twice(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs[0], keras.layers.Softmax(name="again")(model.outputs[0]))


def divided_twice(model: keras.Model) -> keras.Model:
    inputs = keras.Input(model.input_shape[1:], name="image")
    return keras.Model(inputs, model(keras.layers.Rescaling(1 / 255, name="divide")(inputs)))


bgr = with_weights("stem_conv", lambda kernel: kernel[:, :, ::-1])
turned = with_weights("block_1_depthwise", lambda kernel: kernel.transpose(1, 0, 2, 3))
in_bfloat16 = with_layers(bfloat16_stem)
