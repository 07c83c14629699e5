"""The Keras peer: the stock application with a classifier on top."""

from typing import Any


def stock_classifier(classes: int = 8) -> Any:
    """`keras.applications.ConvNeXtSmall` for 96×96 images, seeded; LayerScale is drawn so that every block matters."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    base = keras.applications.ConvNeXtSmall(weights=None, include_top=False, input_shape=(96, 96, 3), pooling="avg")
    inputs = keras.Input((96, 96, 3))
    model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(base(inputs)))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "layer_scale" in weight.path:
            weight.assign(rng.uniform(0.1, 1, weight.shape).astype(np.float32))
    return model
