"""Every kind of functional network is walked, frozen, folded and written, and answers as in Keras."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.lazy import attribute
from bctoolkit.networks.inference import predictor

pytestmark = pytest.mark.slow

SIZE = 16
Body = Callable[[Any], Any]


def features(x: Any, channels: int = 8) -> Any:
    return layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu")(layers.Rescaling(1 / 64, -2.0)(x))


def split(x: Any) -> Any:
    a, b = ops.split(features(x), 2, axis=-1)
    return layers.Concatenate()([a, layers.DepthwiseConv2D(3, padding="same")(b)])


def unstack(x: Any) -> Any:
    q, k, v = ops.unstack(layers.Reshape((64, 3, 4))(layers.Dense(12)(features(x))), axis=2)
    return ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))), axis=-1) @ v


def two_headed(x: Any) -> Any:
    inputs = keras.Input((8, 8, 8))
    nested = keras.Model(inputs, {"b": layers.Conv2D(4, 1)(inputs), "a": layers.Conv2D(4, 3)(inputs)}, name="heads")
    answer = nested(features(x))
    return layers.Concatenate()([layers.Flatten()(answer["a"]), layers.Flatten()(answer["b"])])


def two_inputs(x: Any) -> Any:
    a, b = keras.Input((8, 8, 8), name="left"), keras.Input((8, 8, 8), name="right")
    nested = keras.Model([a, b], layers.Subtract()([layers.Conv2D(4, 1)(a), layers.Conv2D(4, 3, padding="same")(b)]))
    y = features(x)
    return nested({"right": y, "left": layers.Activation("tanh")(y)})


def member(name: str) -> keras.Model:
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(6, 3, strides=2, name="conv")(layers.Rescaling(1 / 64, -2.0, name="scale")(inputs))
    return keras.Model(inputs, layers.Dense(6, name="dense")(layers.Flatten(name="flat")(x)), name=name)


def ensemble(x: Any) -> Any:
    return layers.Average()([member("one")(x), member("two")(x)])


def twins(x: Any) -> Any:
    shared = member("twin")
    return layers.Concatenate()([shared(x), shared(255.0 - x)])


class Mix(layers.Layer):
    """Attention that returns a tuple, as libraries have it; its arguments are not in its config."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = layers.Dense(3 * width, name="qkv")
        self.norm = layers.LayerNormalization(name="norm")
        self.drop = layers.Dropout(0.5, name="drop")

    def build(self, shape: Any) -> None:
        self.norm.build(shape)
        self.project.build(shape)
        self.gate = self.add_weight(shape=(shape[-1],), name="gate")
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        q, k, v = ops.split(self.project(self.norm(x)), 3, axis=-1)
        scores = ops.softmax(ops.einsum("bic,bjc->bij", q, k) / q.shape[-1] ** 0.5, axis=-1)
        return x + self.drop(ops.matmul(scores, v), training=training) * self.gate, scores


class OnTensorFlow(layers.Layer):
    """What cannot be recorded: a shape that only a batch has."""

    def build(self, shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
        self.built = True

    def call(self, x: Any) -> Any:
        return ops.concatenate([ops.tile(self.token, (ops.shape(x)[0], 1, 1)), x], axis=1)


class SubclassedModel(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = layers.Conv2D(4, 3)

    def call(self, x: Any) -> Any:
        return ops.relu(self.conv(x))


def composite(x: Any) -> Any:
    y, scores = Mix(8, name="mix")(layers.Reshape((64, 8))(features(x)))
    return layers.Concatenate()([layers.Flatten()(y), layers.Flatten()(scores)])


def class_token(x: Any) -> Any:
    return OnTensorFlow()(layers.Reshape((64, 8))(features(x)))


def attention(x: Any) -> Any:
    y = layers.Reshape((64, 8))(features(x))
    y = y + layers.MultiHeadAttention(2, 4)(y, y)
    return y + layers.GroupQueryAttention(4, 2, 2)(query=y, value=y) + layers.Attention()([y, y])


def sequence(x: Any) -> Any:
    return layers.Reshape((2, 64))(layers.AveragePooling2D(4)(features(x, 32)))


def recurrent(x: Any) -> Any:
    y = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(sequence(x))
    y = layers.Bidirectional(layers.GRU(5, return_sequences=True), merge_mode="sum")(y)
    return layers.SimpleRNN(6, go_backwards=True)(y)


def recurrent_with_states(x: Any) -> Any:
    y, h, c = layers.LSTM(5, return_sequences=True, return_state=True)(sequence(x))
    y = layers.LSTM(5)(y, initial_state=[h, c])
    cells = layers.RNN([layers.GRUCell(4, reset_after=False), layers.LSTMCell(3)])(sequence(x))
    return layers.Concatenate()([y, c, cells])


def time_distributed(x: Any) -> Any:
    y = layers.Reshape((2, 4, 8, 8))(features(x))
    return layers.TimeDistributed(layers.Conv2D(3, 3, activation="relu"))(y)


def convolutions_of_one_axis(x: Any) -> Any:
    y = layers.Conv1D(8, 3, padding="causal", dilation_rate=2)(sequence(x))
    y = layers.MaxPooling1D(2, padding="same")(layers.DepthwiseConv1D(3, padding="same")(y))
    y = layers.Conv1DTranspose(4, 3, strides=2, padding="same")(layers.ZeroPadding1D((1, 2))(y))
    y = layers.AveragePooling1D(2)(layers.Cropping1D((0, 1))(y))
    return layers.GlobalAveragePooling1D()(y) + layers.GlobalMaxPooling1D()(y)


def channels_first(x: Any) -> Any:
    first: dict[str, Any] = {"data_format": "channels_first"}
    y = layers.Permute((3, 1, 2))(layers.Rescaling(1 / 64, -2.0)(x))
    y = layers.ReLU()(layers.BatchNormalization(axis=1)(layers.Conv2D(6, 3, padding="same", **first)(y)))
    z = layers.Activation("tanh")(layers.Conv2D(6, 1, **first)(layers.MaxPooling2D(2, **first)(y)))
    z = layers.Add()([z, layers.AveragePooling2D(2, **first)(y)])
    return layers.GlobalAveragePooling2D(**first)(layers.Softmax(axis=1)(z))


def norms(x: Any) -> Any:
    y = layers.GroupNormalization(4)(features(x)) + layers.GroupNormalization(-1)(features(x))
    return layers.RMSNormalization()(y) + layers.UnitNormalization()(y)


def indexing(x: Any) -> Any:
    y = features(x)
    y = ops.concatenate([y[:, ::2, 1::2], y[:, 1::2, ::-2], y[:, :4, 4:, None, -1] * y[..., :4, :4, 2:3]], axis=-1)
    return ops.roll(ops.flip(y, axis=2), (1, -1), axis=(1, 2))[:, 0] + ops.squeeze(ops.expand_dims(y, 1), 1)[:, 1]


def reductions(x: Any) -> Any:
    y = features(x)
    mean, variance = ops.moments(y, axes=[1, 2], keepdims=True)
    y = (y - mean) / ops.sqrt(variance + 1e-3) + ops.var(y, axis=-1, keepdims=True)
    return ops.mean(y, axis=1) + ops.max(y, axis=2) * ops.sum(y, axis=(1, 2), keepdims=True)[:, 0] / 64


def arithmetic(x: Any) -> Any:
    y = layers.Conv2D(8, 3, strides=2)(layers.Resizing(20, 12)((x / 255.0 - 0.5) * 2.0))
    return ops.square(y) + ops.rsqrt(ops.abs(y) + 1.0) + ops.pad(y, ((0, 0), (1, 0), (0, 1), (0, 0)))[:, 1:, :-1]


def rearranged(x: Any) -> Any:
    y = ops.reshape(features(x), (-1, 2, 4, 2, 4, 8))
    y = ops.reshape(ops.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, 4, 4, 8))
    y = ops.reshape(ops.swapaxes(ops.moveaxis(y, -1, 1), 2, 3), (-1, 4, 8, 4, 4))
    return ops.stack([y, -y], axis=-1)


def transposed_convolutions(x: Any) -> Any:
    """Strides beyond the kernel, output padding, and both paddings."""
    arguments = ((2, 3, "same", None), (2, 3, "valid", None), (3, 2, "valid", None), (4, 2, "same", None))
    y = layers.AveragePooling2D(2)(features(x))
    convolutions = [
        layers.Conv2DTranspose(2, kernel, strides, padding, output_padding=more, activation="tanh")
        for kernel, strides, padding, more in (*arguments, (3, 2, "same", 1), (3, 2, "valid", 1))
    ]
    return layers.Concatenate()([layers.Flatten()(convolution(y)) for convolution in convolutions])


ACTIVATIONS = (
    *("celu", "mish", "hard_tanh", "log_sigmoid", "soft_shrink", "hard_shrink", "sparse_plus", "squareplus"),
    *("tanh_shrink", "sparse_sigmoid", "log_softmax"),
)


def activations(x: Any) -> Any:
    y = features(x) - 0.5
    return layers.Concatenate()([layers.Dense(4, activation=name)(y) for name in ACTIVATIONS])


def subclass_inside(x: Any) -> Any:
    return SubclassedModel()(features(x))


def together(*bodies: Body) -> Body:
    """Several bodies beside each other: most of the time goes into starting a converter."""
    return lambda x: layers.Concatenate()([layers.Flatten()(body(x)) for body in bodies])


BODIES: dict[str, Body] = {
    "several outputs and inputs": together(split, unstack, two_headed, two_inputs),
    "nested": together(ensemble, twins, subclass_inside),
    "composite": together(composite, class_token, attention),
    "recurrent": together(recurrent, recurrent_with_states),
    "of one axis, and channels first": together(time_distributed, convolutions_of_one_axis, channels_first),
    "operations": together(norms, indexing, reductions, arithmetic, rearranged),
    "transposed convolutions and activations": together(transposed_convolutions, activations),
}


def classifier(body: Body) -> keras.Model:
    """The body, and a head of four classes; every weight is drawn."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(body(inputs))), name="network")
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        fan_in = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 4
        weight.assign(weight + rng.normal(0, 0.5 / np.sqrt(fan_in), weight.shape))
    return model


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.float32]:
    coarse = np.random.default_rng(1).uniform(0, 255, (3, 4, 4, 3))
    return np.kron(coarse, np.ones((1, 4, 4, 1))).astype(np.float32)


@pytest.mark.parametrize("name", BODIES)
def test_a_network_answers_as_in_keras(name: str, pictures: NDArray[np.float32]) -> None:
    model = classifier(BODIES[name])
    answer = predictor(model, (SIZE, SIZE, 3))
    expected = answer(pictures)
    assert np.abs(expected[0] - expected[1]).max() > 1e-2, "the network does not tell the images apart"
    twin = fold(freeze(model))
    np.testing.assert_allclose(predictor(twin, (SIZE, SIZE, 3))(pictures), expected, atol=1e-5)
    settings = ExportSettings(InputContract(height=SIZE, width=SIZE, dtype="float32"))
    for format_name in FORMATS:
        exporter = attribute(FORMATS[format_name].exporter)(twin, settings)
        backend = attribute(engine_for(format_name).backend)(exporter.convert("fp32", QuantizationSettings()), "cpu", 1)
        observed = np.concatenate([backend.run(picture[None]) for picture in pictures])
        np.testing.assert_allclose(observed, expected, atol=1e-5, err_msg=format_name)
    np.testing.assert_array_equal(answer(pictures), expected)  # nothing of the network was touched
