"""Which output of a network is exported, and what makes probabilities of it."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
from bctoolkit.errors import ExportError, UnsupportedOp
from bctoolkit.export.keras_graph.classifier import AdaptedNetwork, adapt, adapt_network

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 8, 8, 3)).astype(np.float32)


def network(*stack: Any, shape: tuple[int | None, ...] = (8, 8, 3)) -> keras.Model:
    """Layers in a row, with drawn weights of such a size that outputs span several units."""
    model = keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 128, -1), *stack])
    for weight in model.weights:
        weight.assign(RNG.normal(0, 0.3, weight.shape))
    return model


def dense(units: int, activation: Any = None, **options: Any) -> keras.Model:
    return network(layers.Flatten(), layers.Dense(units, activation=activation, name="head"), **options)


def adapted(model: keras.Model, head: Any = None, **options: Any) -> AdaptedNetwork:
    return adapt_network(model, InputSettings(), "net.keras", OutputSettings(head=head), **options)


def answers(model: keras.Model, images: NDArray[np.float32] = IMAGES) -> NDArray[np.float32]:
    return np.asarray(model(images))


def softmax(z: NDArray[np.float32]) -> NDArray[np.float32]:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def sigmoid(z: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-z)))


def average() -> keras.Model:
    image, logits = keras.Input((8, 8, 3)), dense(2)
    return keras.Model(image, layers.Average()([layers.Softmax()(logits(image)), keras.ops.sigmoid(logits(image))]))


def pair() -> keras.Model:
    """[1 − p, p] of one sigmoid."""
    image = keras.Input((8, 8, 3))
    p = dense(1, "sigmoid")(image)
    return keras.Model(image, layers.Concatenate()([1 - p, p]))


def mixture() -> keras.Model:
    """Probabilities of three classes from those of two, by a stochastic matrix in a layer that looks like logits."""
    inner, image = dense(2, "softmax"), keras.Input((8, 8, 3))
    last = layers.Dense(3, use_bias=False)
    model = keras.Model(image, last(inner(image)))
    last.set_weights([np.array([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])])
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: dense(2, "softmax"),
        lambda: dense(3, "sigmoid"),
        lambda: network(
            layers.Conv2D(2, 8), layers.Flatten(), layers.Activation("softmax"), layers.Activation("linear")
        ),
        lambda: network(dense(2), layers.Softmax(), layers.Dropout(0.5), layers.Reshape((2,))),
        average,
        pair,
        mixture,
    ],
)
def test_probabilities_are_taken_as_they_are_however_they_are_written(make: Any) -> None:
    model = make()
    result = adapted(model)
    assert result.model is model
    assert result.adaptation is None
    assert not result.notes


@pytest.mark.parametrize(
    "make",
    [
        lambda: dense(3),
        lambda: network(dense(3)),
        lambda: network(dense(3), layers.Dropout(0.5)),
        lambda: network(layers.Conv2D(3, 3), layers.GlobalAveragePooling2D(), layers.Rescaling(4.0)),
        lambda: network(layers.Conv2D(3, 8)),
    ],
)
def test_logits_get_a_softmax(make: Any) -> None:
    model = make()
    result = adapted(model)
    expected = softmax(answers(model).reshape(6, 3))
    assert np.abs(answers(result.model) - expected).max() < 1e-6
    assert result.notes == ("softmax added: the network ends in logits",)
    assert result.adaptation is not None
    assert result.adaptation.head == "softmax"


def test_logarithms_of_probabilities_become_the_probabilities() -> None:
    model = dense(3, "log_softmax")
    assert np.abs(answers(adapt(model, InputSettings(), "net")) - np.exp(answers(model))).max() < 1e-6


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_output_becomes_two_classes_the_second_of_which_it_is(activation: str | None) -> None:
    model = dense(1, activation)
    result = adapted(model)
    p = answers(model) if activation else sigmoid(answers(model))
    assert np.abs(answers(result.model) - np.concatenate([1 - p, p], 1)).max() < 1e-6
    assert "the first" in result.notes[0]
    assert "1 − p" in result.notes[0]


def sigmoid_pair(*head: Any) -> keras.Model:
    model = network(layers.Flatten(), *head)
    model.set_weights([np.zeros((192, 1)), np.array([25.0])])
    return model


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (lambda: sigmoid_pair(layers.Dense(1)), "sigmoid"),
        (lambda: sigmoid_pair(layers.Dense(1, activation="sigmoid")), None),
        (lambda: sigmoid_pair(layers.Dense(1), layers.Activation("sigmoid")), None),
    ],
)
def test_a_class_far_from_likely_keeps_its_digits(make: Any, head: str | None) -> None:
    """1 − p of a float32 p would be 0 or 6e-8 here."""
    result = adapted(make(), head)
    assert answers(result.model)[0, 0] == pytest.approx(np.exp(-25.0), rel=1e-5)
    assert result.adaptation is not None
    assert result.adaptation.head == ("two classes" if head is None else "sigmoid, two classes")


def test_a_sigmoid_that_cannot_be_taken_off_stays() -> None:
    inner, image = dense(1, "sigmoid"), keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dropout(0.1)(inner(image)))
    p = answers(model)
    assert np.abs(answers(adapted(model).model) - np.concatenate([1 - p, p], 1)).max() < 1e-6


def test_the_loss_tells_logits_of_one_class_from_those_of_each_by_itself() -> None:
    model = dense(3)
    for loss, expected in (("categorical_crossentropy", softmax), ("BinaryCrossentropy", sigmoid)):
        assert np.abs(answers(adapted(model, loss=loss).model) - expected(answers(model))).max() < 1e-6


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "none"])
def test_what_the_user_says_of_the_outputs_is_done(head: str) -> None:
    model = dense(3, "tanh")
    logits = answers(model)
    expected = {"softmax": softmax(logits), "sigmoid": sigmoid(logits), "none": logits}[head]
    assert np.abs(answers(adapted(model, head).model) - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: dense(3, "tanh"), {}, r"layer 'head' \(Dense, tanh\): its outputs, -\S+ to \S+ on 12 images, may be"),
        (
            lambda: dense(3, "relu"),
            {},
            r"\(Dense, relu\): .* say --head softmax or --head sigmoid where they are logits",
        ),
        (
            lambda: network(layers.Flatten(), layers.Dense(3, "sigmoid"), layers.Rescaling(0.5)),
            {},
            r"may be logits or pro",
        ),
        (lambda: dense(1, "relu"), {}, r"say --head sigmoid where they are logits, --head none where they are prob"),
        (lambda: dense(1), {"loss": "mse"}, r"was trained with mse, as a regression is; say --head sigmoid"),
        (lambda: dense(3), {"loss": "MeanSquaredError"}, r"was trained with MeanSquaredError, as a regression is"),
        (lambda: dense(1, "softmax"), {}, r"one output: a softmax of one number is always 1"),
        (lambda: dense(1), {"head": "softmax"}, r"one output: a softmax of one number is always 1"),
        (lambda: network(layers.Softmax()), {}, r"its output has shape \(N×8×8×3\); wanted one number for each class"),
    ],
)
def test_outputs_that_cannot_be_told_are_refused_with_an_option_that_tells_them(
    make: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError, match=r"^net\.keras: .*" + message):
        adapted(make(), **options)


def two_outputs(as_dictionary: bool) -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 128, -1)(image))
    species, age = layers.Dense(3, activation="softmax", name="species")(x), layers.Dense(1, name="age")(x)
    return keras.Model(image, {"kind": species, "years": age} if as_dictionary else [species, age])


@pytest.mark.parametrize(("as_dictionary", "names"), [(False, ("species", "age")), (True, ("kind", "years"))])
def test_one_of_several_outputs_is_chosen_by_its_name(as_dictionary: bool, names: tuple[str, str]) -> None:
    model = two_outputs(as_dictionary)
    for choice, problem in (("", "has 2 outputs; choose one with --output NAME"), ("other", "has no output 'other'")):
        with pytest.raises(ExportError, match=rf"{problem}.*{names[0]} \(N×3\), {names[1]} \(N×1\)"):
            adapt(model, InputSettings(), "net", OutputSettings(choice))
    result = adapt_network(model, InputSettings(), "net", OutputSettings(names[0]))
    every = model(IMAGES)
    expected = every["kind"] if as_dictionary else every[0]
    assert np.array_equal(answers(result.model), np.asarray(expected))
    assert result.adaptation is not None
    assert result.adaptation.output == names[0]
    assert answers(adapt(model, InputSettings(), "net", OutputSettings(names[1], "sigmoid"))).shape == (6, 2)


def test_outputs_of_one_operation_have_names_of_their_own() -> None:
    image = keras.Input((8, 8, 3))
    parts = keras.ops.split(layers.Dense(6, activation="softmax")(layers.Flatten()(image)), 2, axis=-1)
    model = keras.Model(image, parts)
    with pytest.raises(ExportError, match=r"choose one with --output NAME: (\w+):0 \(N×3\), \1:1 \(N×3\)"):
        adapt(model, InputSettings(), "net")
    name = model.output_names[0]
    result = adapt(model, InputSettings(), "net", OutputSettings(f"{name}:1", "none"))
    assert np.array_equal(answers(result), np.asarray(model(IMAGES)[1]))


def test_a_weight_that_is_no_number_is_named() -> None:
    model = dense(3, "softmax")
    kernel, bias = model.layers[-1].get_weights()
    kernel[0, 0] = np.nan
    model.layers[-1].set_weights([kernel, bias])
    with pytest.raises(ExportError, match=r"1 of 576 values of weight 'kernel' of layer 'head' \(Dense\) are NaN"):
        adapted(model)


def test_two_inputs_are_refused() -> None:
    a, b = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    model = keras.Model([a, b], layers.Dense(2, activation="softmax")(layers.Flatten()(a + b)))
    with pytest.raises(ExportError, match=r"has 2 inputs \(left, right\); wanted a model of one image"):
        adapted(model)


def test_a_subclassed_model_is_refused() -> None:
    class Odd(keras.Model):
        def call(self, x: object) -> object:
            return x

    model = Odd(name="odd_one")
    model(np.zeros((1, 8, 8, 3)))
    with pytest.raises(UnsupportedOp, match="odd_one: a subclassed model has no graph"):
        adapted(model)


def test_a_sequential_model_without_an_input_shape_is_refused() -> None:
    model = keras.Sequential([layers.Flatten(), layers.Dense(2)], name="shapeless")
    with pytest.raises(UnsupportedOp, match=r"shapeless: has no input shape; begin .* with keras\.Input"):
        adapted(model)
