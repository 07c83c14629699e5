"""Activations, arithmetic, shapes and pooling in ONNX, in either order of channels, against Keras."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers, ops
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.export.exporter import ExportSettings
from bctoolkit.export.onnx import layers as onnx_layers
from bctoolkit.export.onnx.emitters import activations
from bctoolkit.export.onnx.exporter import graph_of
from bctoolkit.networks.layers import LayerScale

FLOAT = InputContract(height=32, width=32, dtype="float32")
Block = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def no_foreign_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this file is written by us."""

    def refuse(graph: object, operation: Any, *args: object) -> None:
        raise AssertionError(f"{type(operation).__name__} has no emitter")

    for module in (activations, onnx_layers):
        monkeypatch.setattr(module, "convert_layer", refuse)


def network(block: Block, channels_first: bool) -> keras.Model:
    """The block after an operator that gives its result in that order of channels."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, strides=2)(layers.Rescaling(1 / 64, -2.0)(inputs))
    outputs = block(x if channels_first else layers.LayerNormalization()(x))
    if isinstance(outputs, tuple | list):  # each as a row beside the others; as they are, so that all are compared
        outputs = layers.Concatenate()([layers.Flatten()(output) for output in outputs])
    return keras.Model(inputs, outputs)


def assert_same(model: keras.Model, images: NDArray[np.uint8]) -> onnx.ModelProto:
    x = images.astype(np.float32)
    written = graph_of(model, ExportSettings(FLOAT))
    observed = onnxruntime.InferenceSession(written.SerializeToString()).run(None, {"image": x})[0]
    np.testing.assert_allclose(observed, np.asarray(model(x, training=False)), rtol=1e-4, atol=1e-4)
    return written


ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softplus", "softsign"),
    *("exponential", "gelu", "silu", "hard_sigmoid", "hard_silu"),
)

BLOCKS: dict[str, Block] = {
    **{name: partial(lambda name, x: layers.Activation(name)(x), name) for name in ACTIVATIONS},
    "relu layer": lambda x: layers.ReLU()(x),
    "relu6 layer": lambda x: layers.ReLU(6.0)(x),
    "relu with slope": lambda x: layers.ReLU(negative_slope=0.1)(x),
    "leaky relu layer": lambda x: layers.LeakyReLU(0.3)(x),
    "elu layer": lambda x: layers.ELU(0.5)(x),
    "prelu": lambda x: layers.PReLU(alpha_initializer="uniform", shared_axes=[1, 2])(x),
    "prelu for each pixel": lambda x: layers.PReLU(alpha_initializer="uniform")(x),
    "softmax over channels": lambda x: layers.Softmax()(x),
    "relu operation": lambda x: ops.relu(x) + ops.relu6(x) + ops.leaky_relu(x, 0.1) + ops.elu(x, 0.7),
    "smooth operations": lambda x: ops.gelu(x) + ops.gelu(x, approximate=False) + ops.silu(x) + ops.hard_silu(x),
    "saturating operations": lambda x: ops.sigmoid(x) + ops.hard_sigmoid(x) + ops.tanh(x) + ops.softsign(x),
    "growing operations": lambda x: ops.exp(ops.tanh(x)) + ops.softplus(x) + ops.selu(x) + ops.log(ops.exp(x) + 1.0),
    "quotients": lambda x: ops.divide(x, ops.exp(x) + 1.0) + x / 2.0 + ops.absolute(x),
    "depthwise convolution": lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    "layer scale": lambda x: LayerScale(0.5)(x),
    "softmax operation": lambda x: ops.softmax(x, axis=-1),
    "hard swish by hand": lambda x: x * (layers.ReLU(6.0)(x + 3.0) * (1 / 6)),
    "scaling by hand": lambda x: (x / 127.5 - 1.0) * np.array([1.0, 2.0, 3.0, 4.0], np.float32) - x,
    "constant first": lambda x: 1.0 - ops.clip(x, -0.5, 0.5),
    "powers": lambda x: ops.sqrt(ops.abs(-x)) + ops.power(ops.abs(x), 1.5) + ops.maximum(x, 0.1),
    "merging layers": lambda x: layers.Average()(
        [
            layers.Multiply()([x, x]),
            layers.Subtract()([x, 2.0 * x]),
            layers.Maximum()([x, -x]),
            layers.Minimum()([x, -x]),
        ]
    ),
    "squeeze and excite": lambda x: layers.Multiply()(
        [x, layers.Conv2D(4, 1, activation="sigmoid")(layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x)))]
    ),
    "squeeze and excite with pixels kept": lambda x: layers.Multiply()(
        [layers.Dense(4, activation="hard_sigmoid")(layers.GlobalMaxPooling2D(keepdims=True)(x)), x]
    ),
    "concatenation": lambda x: layers.Concatenate()([x, layers.Activation("relu")(x), x]),
    "concatenation along a side": lambda x: layers.Concatenate(axis=1)([x, x]),
    "concatenate operation": lambda x: ops.concatenate([x, x * 2.0], axis=-1),
    "orders mixed": lambda x: layers.Add()(
        [layers.Conv2D(4, 1)(x), layers.LayerNormalization()(x), layers.Dense(4)(x)]
    ),
    "concatenation of orders mixed": lambda x: layers.Concatenate()([layers.Conv2D(4, 1)(x), layers.Dense(4)(x)]),
    "padding and cropping": lambda x: layers.Cropping2D(((1, 2), (3, 0)))(layers.ZeroPadding2D(((1, 2), (0, 3)))(x)),
    "upsampling": lambda x: layers.UpSampling2D((2, 3))(x),
    "bilinear upsampling": lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x),
    "pools": lambda x: layers.Add()(
        [layers.MaxPooling2D(2, padding="same")(x), layers.AveragePooling2D(3, strides=2, padding="same")(x)]
    ),
    "global pools": lambda x: layers.GlobalAveragePooling2D()(x) + layers.GlobalMaxPooling2D()(x),
    "flatten": lambda x: layers.Flatten()(x),
    "reshape and permute": lambda x: layers.Permute((2, 1))(layers.Reshape((-1, 4))(x)),
    "one pixel to a row": lambda x: layers.Reshape((4,))(layers.GlobalAveragePooling2D(keepdims=True)(x)),
    "batch normalization": lambda x: layers.BatchNormalization(
        beta_initializer="ones", moving_mean_initializer="uniform", center=True, scale=False
    )(x),
    "activations as operations": lambda x: (
        *(ops.log_sigmoid(x), ops.sparse_sigmoid(x), ops.hard_tanh(x), ops.tanh_shrink(x), ops.sparse_plus(x)),
        *(ops.soft_shrink(x, 0.3), ops.hard_shrink(x, 0.2), ops.threshold(x, 0.1, -0.5), ops.squareplus(x, 2)),
        *(ops.celu(x, 0.7), keras.activations.relu(x, max_value=1.0), ops.log_softmax(x)),
    ),
    "gate": lambda x: ops.glu(x),
    "functions": lambda x: (
        *(ops.reciprocal(ops.exp(x)), ops.erf(x), ops.sin(x), ops.cos(x), ops.sign(x), ops.square(x)),
        *(ops.rsqrt(ops.exp(x)), ops.cast(x, "float32"), ops.saturate_cast(x, "float32"), ops.copy(x)),
        *(ops.stop_gradient(x), ops.convert_to_tensor(x)),
    ),
    "normalizations": lambda x: (
        *(layers.GroupNormalization(2, beta_initializer="ones")(x), layers.GroupNormalization(-1, scale=False)(x)),
        *(layers.RMSNormalization()(x), ops.layer_normalization(x, gamma=np.full(4, 2.0, np.float32), epsilon=1e-2)),
    ),
    "reductions": lambda x: (
        *(ops.mean(x, 1), ops.sum(x, (1, 2)), ops.max(x, -1), ops.amax(x, 2, keepdims=True), ops.min(x, (2, 3))),
        *(ops.amin(x, 3), ops.prod(ops.tanh(x), 1), ops.logsumexp(x, 2), ops.var(x, (1, 2), keepdims=True)),
        *(ops.std(x, 1), *ops.moments(x, [1, 2]), *ops.moments(x, [3], keepdims=True)),
    ),
    "parts": lambda x: (
        *(x[:, 1:-2, ::3], x[:, -1, None, 2:], x[:, ::-1, ..., 3], *ops.split(x, 2, axis=-1)),
        *(*ops.split(x, [2, 9], axis=1), *ops.unstack(x, axis=-1), ops.stack([x, -x], axis=2)),
        *(ops.expand_dims(x, -1), ops.squeeze(ops.expand_dims(x, 1), 1), ops.flip(x, -1), ops.flip(x, (1, 2))),
        *(ops.roll(x, 3, 1), ops.roll(x, (-1, 1), (2, 3))),
    ),
    "other sizes": lambda x: (
        *(layers.Resizing(7, 20)(x), layers.Resizing(9, 33, interpolation="nearest")(x)),
        *(ops.image.resize(x, (20, 20), interpolation="bicubic"), ops.image.resize(x, (15, 15))),
    ),
    "transposed convolutions": lambda x: (
        *(layers.Conv2DTranspose(2, 3, 2, "same")(x), layers.Conv2DTranspose(2, 2, 3, "same", activation="relu")(x)),
        *(layers.Conv2DTranspose(2, 3, dilation_rate=2)(x), layers.Conv1DTranspose(2, 2, 3)(x[:, 0])),
        layers.Conv3DTranspose(2, 2, 2, use_bias=False)(ops.expand_dims(x, 3)),
    ),
    "products": lambda x: (
        *(ops.matmul(x, ops.swapaxes(x, 2, 3)[..., :5]), ops.einsum("nhwc,nhvc->nhwv", x, x)),
        *(
            ops.einsum("bhwc,bhvc->bwv", x, x),
            ops.einsum("bhwc->bwh", x),
            ops.einsum("bhwc,cd->bdhw", x, np.eye(4)[:, :3]),
        ),
        *(layers.EinsumDense("bhwc,cde->bhwde", (15, 15, 3, 2), bias_axes="de")(x),),
        layers.EinsumDense("bhwc,wcd->bhd", (15, 5), activation="relu")(x),
        layers.EinsumDense("bhwc,hd->bdwc", (3, 15, 4))(x),
        ops.dot_product_attention(x, x * 2.0, -x),
        ops.dot_product_attention(x, x, x, scale=0.3),
    ),
    "rearrangements": lambda x: (
        *(ops.reshape(x, (-1, 3, 5, 60)), ops.transpose(x, (0, 3, 1, 2)), ops.transpose(x, (0, 2, 3, 1))),
        *(
            ops.transpose(x, (0, 2, 1, 3)),
            ops.swapaxes(x, -1, 1),
            ops.moveaxis(x, 1, -1),
            ops.moveaxis(x, (1, 2), (3, 1)),
        ),
        layers.RepeatVector(3)(x[:, 0, 0]),
        *(ops.pad(x, ((0, 0), (1, 2), (0, 0), (3, 0))), ops.pad(x, [[0, 0], [0, 0], [1, 1], [0, 0]], "reflect")),
        ops.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)), constant_values=2.0),
    ),
    "of one axis": lambda x: [
        layer(layers.Reshape((-1, 4))(x))
        for layer in (
            *(layers.Conv1D(3, 4, padding="causal"), layers.Conv1D(3, 4, strides=2, padding="same", groups=1)),
            *(layers.DepthwiseConv1D(3, padding="same", depth_multiplier=2), layers.MaxPooling1D(2, padding="same")),
            *(
                layers.AveragePooling1D(3, 2),
                layers.GlobalAveragePooling1D(keepdims=True),
                layers.ZeroPadding1D((1, 2)),
            ),
            *(layers.GlobalMaxPooling1D(), layers.Cropping1D((0, 2))),
        )
    ],
    "of three axes": lambda x: [
        layer(layers.Reshape((15, 5, 3, 4))(x))
        for layer in (
            *(layers.Conv3D(3, (2, 3, 1), padding="same"), layers.MaxPooling3D((2, 2, 1)), layers.AveragePooling3D(2)),
            *(layers.ZeroPadding3D((1, 0, 2)), layers.Cropping3D((1, 0, (1, 0))), layers.GlobalMaxPooling3D()),
            layers.GlobalAveragePooling3D(),
        )
    ],
    "normalization undone": lambda x: layers.Normalization(mean=[1.0] * 4, variance=[4.0] * 4, invert=True)(x),
}


@pytest.mark.parametrize("channels_first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_answers_as_in_keras(name: str, channels_first: bool, images: NDArray[np.uint8]) -> None:
    keras.utils.set_random_seed(0)
    assert_same(network(BLOCKS[name], channels_first), images)


def test_every_emitter_has_a_block() -> None:
    operations = [operation for block in BLOCKS.values() for operation in network(block, True).operations]
    keys = {key for operation in operations for key in (type(operation), type(operation).__name__)}
    assert set(onnx_layers.EMITTERS) - keys <= {"Abs"}  # of Keras before it was called Absolute


def test_a_shared_layer_may_see_two_sizes(images: NDArray[np.uint8]) -> None:
    inputs = keras.Input((32, 32, 3))
    pool, conv = layers.MaxPooling2D(), layers.Conv2D(3, 3, padding="same")
    x = pool(conv(pool(conv(layers.Rescaling(1 / 255)(inputs)))))
    written = assert_same(keras.Model(inputs, layers.Flatten()(x)), images)
    assert len({node.name for node in written.graph.node}) == len(written.graph.node)


def test_a_convolutional_network_is_transposed_once(images: NDArray[np.uint8]) -> None:
    def block(x: Any) -> Any:
        y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 1)(x)))
        y = layers.DepthwiseConv2D(3, strides=2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(y))
        z = layers.GlobalAveragePooling2D()(y)
        y = layers.Multiply()([y, layers.Conv2D(8, 1, activation="sigmoid")(layers.Reshape((1, 1, 8))(z))])
        y = layers.Concatenate()([layers.Add()([y, y]), layers.Activation("silu")(y)])
        return layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(y))

    inputs = keras.Input((32, 32, 3))
    written = assert_same(keras.Model(inputs, block(layers.Conv2D(4, 3, strides=2)(inputs))), images)
    count = Counter(node.op_type for node in written.graph.node)
    assert count["Transpose"] == 1
    assert count["BatchNormalization"] == 1
