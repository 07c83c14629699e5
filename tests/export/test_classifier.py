"""What is refused before anything is exported."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from bctoolkit.errors import ExportError, UnsupportedOp
from bctoolkit.export.keras_graph.classifier import require_classifier


def network(*stack: Any, shape: tuple[int | None, ...] = (8, 8, 3)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *stack])


def test_softmax_and_sigmoid_are_taken_however_they_are_written() -> None:
    logits = network(layers.Flatten(), layers.Dense(2, name="logits"))
    image = keras.Input((8, 8, 3))
    for model in (
        network(layers.Flatten(), layers.Dense(2, activation="softmax")),
        network(layers.Flatten(), layers.Dense(2, activation="sigmoid")),
        network(layers.Conv2D(2, 8), layers.Flatten(), layers.Activation("softmax"), layers.Activation("linear")),
        network(logits, layers.Softmax(), layers.Dropout(0.5), layers.Reshape((2,))),
        keras.Model(image, keras.ops.softmax(logits(image))),
        keras.Model(image, layers.Average()([layers.Softmax()(logits(image)), keras.ops.sigmoid(logits(image))])),
    ):
        require_classifier(model, "model")


def test_logits_are_refused_with_the_remedy() -> None:
    inner = network(layers.Flatten(), layers.Dense(2, name="logits"))
    expected = r"net\.keras: ends with layer 'logits' \(Dense, linear\).*save keras\.Sequential\(\[model, .*Softmax"
    for model in (inner, network(inner), network(inner, layers.Dropout(0.5))):
        with pytest.raises(ExportError, match=expected):
            require_classifier(model, "net.keras")


def two_inputs() -> keras.Model:
    a, b = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    return keras.Model([a, b], layers.Dense(2, activation="softmax")(layers.Flatten()(a + b)))


def two_outputs() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(image)
    return keras.Model(image, [layers.Dense(2)(x), layers.Dense(2)(x)])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (two_inputs, r"has 2 inputs \(left, right\); wanted a model with one input"),
        (two_outputs, r"has 2 outputs \(.*\); wanted a model with one output"),
        (lambda: network(layers.Softmax()), "wanted N×height×width×3 in, N×classes out"),
        (lambda: network(layers.GlobalMaxPooling2D(), shape=(None, None, 3)), "wanted N×height×width×3 in"),
        (lambda: network(layers.Flatten(), shape=(8, 8, 1)), "wanted N×height×width×3 in"),
        (lambda: network(layers.Flatten(), layers.Dense(1, activation="sigmoid")), "has one output; end it with Dense"),
    ],
)
def test_what_is_no_image_classifier_is_refused(model: Any, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        require_classifier(model(), "model")


def test_a_subclassed_model_is_refused() -> None:
    class Odd(keras.Model):
        def call(self, x: object) -> object:
            return x

    model = Odd(name="odd_one")
    model(np.zeros((1, 8, 8, 3)))
    with pytest.raises(UnsupportedOp, match="odd_one: a subclassed model has no graph"):
        require_classifier(model, "model")


def test_a_sequential_model_without_an_input_shape_is_refused() -> None:
    model = keras.Sequential([layers.Flatten(), layers.Dense(2)], name="shapeless")
    with pytest.raises(UnsupportedOp, match=r"shapeless: has no input shape; begin .* with keras\.Input"):
        require_classifier(model, "model")
