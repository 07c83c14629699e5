"""Networks as notebooks write them: by hand, in the styles and with the habits that are common there."""

from typing import Any

from perf.families.sources.network import CLASSES, Network

__all__ = ["NETWORKS"]


def _convolutions() -> Any:
    """Blocks of two convolutions, pooling and dropout, with augmentation and scaling inside."""
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((64, 64, 3)), layers.RandomFlip(), layers.RandomRotation(0.1)])
    model.add(layers.Rescaling(1 / 255))
    for filters in (32, 64, 128):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.BatchNormalization())
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.BatchNormalization())
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(CLASSES, activation="softmax"))
    return model


def _digits() -> Any:
    """LeNet for grey images, with tanh and average pooling."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def _transfer() -> Any:
    """A pretrained network under a new head, with its `preprocess_input` called in the graph."""
    import keras
    from keras import layers

    base = keras.applications.MobileNetV2(input_shape=(96, 96, 3), include_top=False, weights=None)
    base.trainable = False
    augmentation = keras.Sequential([keras.Input((96, 96, 3)), layers.RandomFlip("horizontal"), layers.RandomZoom(0.2)])
    image = keras.Input((96, 96, 3))
    x = keras.applications.mobilenet_v2.preprocess_input(augmentation(image))
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    return keras.Model(image, layers.Dense(CLASSES)(layers.Dropout(0.2)(x)))


def _two_classes() -> Any:
    """One sigmoid for two classes, over separable convolutions with residual sums."""
    import keras
    from keras import layers

    image = keras.Input((80, 80, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    for filters in (64, 128):
        branch = layers.SeparableConv2D(filters, 3, padding="same")(layers.Activation("relu")(x))
        branch = layers.BatchNormalization()(branch)
        branch = layers.MaxPooling2D(3, strides=2, padding="same")(branch)
        x = layers.add([branch, layers.Conv2D(filters, 1, strides=2, padding="same")(x)])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.25)(x)))


def _residual() -> Any:
    """A residual network for small images: three stages of three blocks."""
    import keras
    from keras import layers

    def block(x: Any, filters: int, strides: int) -> Any:
        y = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(y))
        if strides > 1 or x.shape[-1] != filters:
            x = layers.BatchNormalization()(layers.Conv2D(filters, 1, strides=strides, use_bias=False)(x))
        return layers.ReLU()(x + y)

    image = keras.Input((32, 32, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(image / 255.0)))
    for filters in (16, 32, 64):
        for number in range(3):
            x = block(x, filters, 2 if filters > 16 and number == 0 else 1)
    x = layers.AveragePooling2D(x.shape[1])(x)
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x)))


def _inception() -> Any:
    """Parallel branches that are concatenated, each with a normalization of its own."""
    import keras
    from keras import layers

    def convolution(x: Any, filters: int, size: Any) -> Any:
        x = layers.Conv2D(filters, size, padding="same", use_bias=False)(x)
        return layers.Activation("relu")(layers.BatchNormalization(scale=False)(x))

    def block(x: Any, filters: int) -> Any:
        asymmetric = convolution(convolution(convolution(x, filters // 2, 1), filters, (1, 5)), filters, (5, 1))
        pooled = convolution(layers.AveragePooling2D(3, strides=1, padding="same")(x), filters, 1)
        branches = [convolution(x, filters, 1), convolution(convolution(x, filters // 2, 1), filters, 3)]
        return layers.Concatenate()([*branches, asymmetric, pooled])

    image = keras.Input((64, 64, 3))
    x = convolution(layers.Rescaling(1 / 127.5, -1)(image), 24, 3)
    for filters in (16, 32):
        x = block(layers.MaxPooling2D(3, strides=2)(x), filters)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))


def _encoder_decoder() -> Any:
    """A U-Net whose map of features is averaged to classes: transposed convolutions, skips, resizing."""
    import keras
    from keras import layers

    image = keras.Input((64, 64, 3))
    x, skips = layers.Rescaling(1 / 255)(image), []
    for filters in (16, 32):
        x = layers.Conv2D(filters, 3, padding="same", activation="elu")(x)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, padding="same", dilation_rate=2, activation="elu")(x)
    x = layers.Conv2DTranspose(32, 3, strides=2, padding="same")(x)
    x = layers.concatenate([layers.LeakyReLU(0.2)(x), skips[1]])
    x = layers.UpSampling2D(interpolation="bilinear")(layers.Conv2D(16, 3, padding="same", activation="elu")(x))
    x = layers.SpatialDropout2D(0.1)(layers.concatenate([x, skips[0]]))
    x = layers.Conv2D(CLASSES, 1)(layers.ZeroPadding2D(1)(x))
    return keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(x)))


def _squeeze_excite() -> Any:
    """Inverted bottlenecks with a squeeze-excite layer and a stochastic residual of the notebook's own."""
    import keras
    from keras import layers

    from perf.families.sources.notebook_layers import SqueezeExcite, StochasticResidual

    image = keras.Input((64, 64, 3))
    x = layers.Conv2D(24, 3, strides=2, padding="same", activation="hard_swish")(layers.Rescaling(1 / 255)(image))
    for _ in range(3):
        y = layers.BatchNormalization()(layers.Conv2D(72, 1, activation="hard_swish")(x))
        y = layers.PReLU(shared_axes=(1, 2))(layers.DepthwiseConv2D(5, padding="same")(y))
        x = StochasticResidual(0.2)(x, layers.Conv2D(24, 1)(SqueezeExcite(4)(y)))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))


def _vision_transformer() -> Any:
    """A small vision transformer: patches in a layer of the notebook's own, attention, a wide head."""
    import keras
    from keras import layers

    from perf.families.sources.notebook_layers import PatchEmbedding

    image = keras.Input((72, 72, 3))
    x = PatchEmbedding(6, 64)(layers.Rescaling(1 / 127.5, -1)(layers.RandomFlip("horizontal")(image)))
    for _ in range(4):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([layers.MultiHeadAttention(num_heads=4, key_dim=64, dropout=0.1)(y, y), x])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(128, activation=keras.activations.gelu)(y)
        x = layers.Add()([layers.Dense(64, activation=keras.activations.gelu)(layers.Dropout(0.1)(y)), x])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(x))
    x = layers.Dense(256, activation=keras.activations.gelu)(layers.Dropout(0.5)(x))
    return keras.Model(image, layers.Dense(CLASSES)(x))


def _mixer() -> Any:
    """An MLP-Mixer: patches by a strided convolution, then dense layers over tokens and over channels in turn."""
    import keras
    from keras import layers, ops

    image = keras.Input((64, 64, 3))
    x = layers.Conv2D(96, 8, strides=8)(layers.Rescaling(1 / 255)(image))
    x = layers.Reshape((64, 96))(x)
    for _ in range(4):
        y = ops.transpose(layers.LayerNormalization()(x), (0, 2, 1))
        y = layers.Dense(64)(layers.Dense(32, activation="gelu")(y))
        x = x + ops.transpose(y, (0, 2, 1))
        x = x + layers.Dense(96)(layers.Dense(192, activation="gelu")(layers.LayerNormalization()(x)))
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))


def _rows() -> Any:
    """Convolutions, then recurrent layers over the rows of what they find."""
    import keras
    from keras import layers

    image = keras.Input((48, 48, 3))
    x = layers.Rescaling(1 / 255)(image)
    for filters in (16, 32):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, padding="same", activation="relu")(x))
    x = layers.TimeDistributed(layers.Flatten())(x)
    x = layers.Bidirectional(layers.LSTM(24, return_sequences=True))(x)
    x = layers.GRU(24)(layers.Dropout(0.2)(x))
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))


def _shuffle() -> Any:
    """Half of the channels through a depthwise branch, then the halves shuffled (arXiv:1807.11164)."""
    import keras
    from keras import layers, ops

    image = keras.Input((64, 64, 3))
    x = layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False)(layers.Rescaling(1 / 255)(image))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.ReLU(max_value=6)(layers.BatchNormalization()(x)))
    for _ in range(3):
        left, right = ops.split(x, 2, axis=-1)
        right = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(12, 1, use_bias=False)(right)))
        right = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(right))
        x = layers.Concatenate()([left, layers.Conv2D(12, 1, activation="relu")(right)])
        x = ops.reshape(ops.swapaxes(ops.reshape(x, (-1, 16, 16, 2, 12)), 3, 4), (-1, 16, 16, 24))
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def _subclassed() -> Any:
    """A model whose `call` is Python."""
    import numpy as np

    from perf.families.sources.notebook_layers import ConvolutionalClassifier

    model = ConvolutionalClassifier(CLASSES)
    model(np.zeros((1, 48, 48, 3), np.float32))
    return model


def _ensemble() -> Any:
    """The average of two networks that were built in sessions of their own, so that their layers share names."""
    import keras
    from keras import layers

    def member(name: str) -> Any:
        keras.utils.clear_session()
        image = keras.Input((48, 48, 3))
        x = layers.Rescaling(1 / 255)(image)
        for filters in (16, 32):
            x = layers.BatchNormalization()(layers.Conv2D(filters, 3, strides=2, activation="relu")(x))
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x), name=name)

    first, second = member("first"), member("second")
    image = keras.Input((48, 48, 3))
    return keras.Model(image, layers.average([first(image), second(image)]))


def _any_size() -> Any:
    """A fully convolutional network without a size."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(image)
    for filters in (16, 32, 64):
        x = layers.GroupNormalization(8)(layers.Conv2D(filters, 3, strides=2, padding="same", activation="selu")(x))
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def _lambda() -> Any:
    """Scaling in a Lambda layer."""
    import keras
    from keras import layers

    image = keras.Input((48, 48, 3))
    x = layers.Lambda(lambda x: x / 127.5 - 1.0)(image)
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, activation="swish")(x)
        x = layers.MaxPooling2D()(x)
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x)))


LAYERS = ("--import", "perf.families.sources.notebook_layers")

NETWORKS = {
    "any size": Network(_any_size, 64, options=("--size", "64")),
    "convolutions": Network(_convolutions, 64),
    "digits, grey": Network(_digits, 28, channels=1),
    "encoder-decoder": Network(_encoder_decoder, 64),
    "ensemble": Network(_ensemble, 48),
    "inception blocks": Network(_inception, 64),
    "lambda": Network(_lambda, 48, options=("--trust-lambda",)),
    "LSTM over rows": Network(_rows, 48),
    "MLP-Mixer": Network(_mixer, 64),
    "residual": Network(_residual, 32),
    "shuffled channels": Network(_shuffle, 64),
    "squeeze-excite": Network(_squeeze_excite, 64, options=LAYERS),
    "subclassed": Network(_subclassed, 48, options=LAYERS),
    "transfer": Network(_transfer, 96),
    "two classes, one sigmoid": Network(_two_classes, 80),
    "vision transformer": Network(_vision_transformer, 72, options=LAYERS),
}
