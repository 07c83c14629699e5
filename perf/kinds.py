"""Networks of the kinds that people bring, small and with drawn weights: what the judgement of fp32 is tried on."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bctoolkit import networks
from bctoolkit.networks import leaves
from perf.draw import pictures

CLASSES = 8
SIZE = 64


def plain_cnn() -> keras.Model:
    """Three convolutions with pooling, as in a first tutorial."""
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 255),
            *(
                layer
                for width in (16, 32, 64)
                for layer in (layers.Conv2D(width, 3, activation="relu"), layers.MaxPooling2D())
            ),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def large_mean() -> keras.Model:
    """A mean over a map of the picture's own size: engines add up its pixels in another order than TensorFlow."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    for _ in range(2):
        x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def transfer() -> keras.Model:
    """The transfer-learning tutorial: augmentation, preprocessing in the graph, MobileNetV2, a new head."""
    base = keras.applications.MobileNetV2((SIZE, SIZE, 3), 0.35, include_top=False, weights=None)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.RandomRotation(0.2)(layers.RandomFlip("horizontal")(inputs))
    x = base(keras.applications.mobilenet_v2.preprocess_input(x), training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def vision_transformer(width: int = 48, depth: int = 4) -> keras.Model:
    """Patches, four blocks of attention before layer normalization, a mean over the patches."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(width, 8, strides=8)(layers.Rescaling(1 / 127.5, -1)(inputs))
    x = layers.Reshape((-1, width))(x)
    for _ in range(depth):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, width // 4)(y, y)])
        y = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(x))
        x = layers.Add()([x, layers.Dense(width)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def resizing() -> keras.Model:
    """Pictures of one size brought to another inside the network."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 255)(layers.Resizing(48, 40)(inputs))
    for width in (16, 32):
        x = layers.Conv2D(width, 3, strides=2, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def recurrent() -> keras.Model:
    """The rows of a picture one after the other."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Reshape((32, 96))(layers.Rescaling(1 / 255)(inputs))
    x = layers.LSTM(32, unroll=True)(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def atto() -> keras.Model:
    """The smallest ConvNeXt."""
    return networks.build("convnext_atto", CLASSES, (SIZE, SIZE, 3), layer_scale=1.0)


def application(name: str, size: int = 96) -> Callable[[], keras.Model]:
    """One of `keras.applications` without its trained weights."""

    def make() -> keras.Model:
        model: keras.Model = getattr(keras.applications, name)(
            weights=None, classes=CLASSES, input_shape=(size, size, 3)
        )
        return model

    return make


KINDS: dict[str, Callable[[], keras.Model]] = {
    "convnext_atto": atto,
    "MobileNetV2 transfer": transfer,
    "ViT": vision_transformer,
    "plain CNN": plain_cnn,
    "mean over a large map": large_mean,
    "resizing": resizing,
    "LSTM over rows": recurrent,
    "EfficientNetB0": application("EfficientNetB0"),
    "ResNet50": application("ResNet50"),
    "DenseNet121": application("DenseNet121"),
    "MobileNetV3Small": application("MobileNetV3Small"),
    "ConvNeXtTiny": application("ConvNeXtTiny"),
}


def drawn(kind: str, seed: int) -> keras.Model:
    """A network of a kind, all its weights drawn anew and its batch statistics taken from pictures, roughly.

    Args:
        kind: a key of `KINDS`.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    model = KINDS[kind]()
    images = pictures(24, model.input_shape[1], seed).astype(np.float32)
    for weight in model.weights:
        weight.assign(_values(weight, rng))
    norms = [layer for layer in leaves(model) if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        norm.momentum, norm.trainable = 0.5, True
    for _ in range(6 if norms else 0):
        model(images, training=True)
    for norm in norms:
        mean, variance = np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)
        norm.moving_mean.assign(mean + rng.normal(0, 0.2, mean.shape) * np.sqrt(variance))
        norm.moving_variance.assign(variance * rng.uniform(0.7, 1.4, variance.shape) + 1e-5)
    _spread(model, images)
    return model


def _values(weight: keras.Variable, rng: np.random.Generator) -> NDArray[np.float64]:
    name, shape = weight.path.rsplit("/", 1)[-1], tuple(weight.shape)
    if name in ("gamma", "scale"):
        return rng.uniform(0.6, 1.5, shape)
    if name in ("bias", "beta"):
        return rng.normal(0, 0.2, shape)
    if len(shape) >= 2:
        fan_in = np.prod(shape[:2] if "depthwise" in weight.path else shape[:-1])
        if "attention" in weight.path:  # width × heads × size of a head
            fan_in = shape[0] if "output" not in weight.path else shape[0] * shape[1]
        return rng.normal(0, np.sqrt(1.7 / fan_in), shape)
    return np.asarray(weight)


def _spread(model: keras.Model, images: NDArray[np.float32]) -> None:
    """Centre the logits over the pictures and give each class a deviation of 2.5."""
    head = [layer for layer in leaves(model) if isinstance(layer, layers.Dense)][-1]
    activation, head.activation = head.activation, keras.activations.linear
    logits = np.asarray(model(images, training=False)).astype(np.float64)
    head.activation = activation
    factor = 2.5 / (logits.std(0) + 1e-9)
    kernel, bias = head.get_weights()
    head.set_weights([kernel * factor, (bias - logits.mean(0)) * factor])
