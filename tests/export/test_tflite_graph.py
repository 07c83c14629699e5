"""Reading and writing TFLite graphs."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.tflite.convert import float_file, scope_of
from bctoolkit.export.tflite.graph import Graph
from bctoolkit.export.tflite.passes.interface import name_interface

Build = Callable[..., keras.Model]


@pytest.fixture(scope="module")
def content(graph: Build) -> bytes:
    """A convolution and a dense layer."""
    model = graph(layers.Conv2D(4, 3, name="first"), layers.Flatten(), layers.Dense(3, name="second"), shape=(8, 8, 3))
    return float_file(model, (8, 8, 3))


def test_a_graph_written_back_answers_the_same(content: bytes) -> None:
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    answers = []
    for file in (content, Graph(content).content(), Graph(Graph(content).content()).content()):
        interpreter = Interpreter(model_content=file)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


def test_constants_lie_on_16_bytes_and_unused_ones_are_gone(content: bytes) -> None:
    graph = Graph(content)
    marker = np.arange(50, dtype=np.float32) + 0.125
    graph.add_constant(marker, "nobody reads me")
    assert marker.tobytes() not in graph.content()
    graph = Graph(content)
    kernel = graph.constant(graph.operators[0].inputs[1])
    assert kernel is not None
    assert graph.content().index(kernel.tobytes()) % 16 == 0


def test_a_signature_names_input_and_output(content: bytes) -> None:
    graph = Graph(content)
    name_interface(graph)
    signatures = Interpreter(model_content=graph.content()).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_properties_come_back(content: bytes, properties: dict[str, str]) -> None:
    assert Graph(Graph(content).content(properties)).properties() == properties


def test_tensors_carry_the_names_of_their_layers(content: bytes) -> None:
    graph = Graph(content)
    scopes = [graph.scopes(o.inputs[1])[0] for o in graph.operators if graph.kind(o) in ("CONV_2D", "FULLY_CONNECTED")]
    assert scopes == ["first", "second"]


def test_a_name_that_tensorflow_refuses_is_written_in_other_letters() -> None:
    assert scope_of(layers.ReLU(name="a b:ü")) == "a_b__"


@keras.saving.register_keras_serializable(package="tests")
class Odd(keras.layers.Layer):
    """Needs an operator that TFLite lacks."""

    def call(self, inputs: object) -> object:
        import tensorflow as tf

        share = tf.nn.sigmoid(inputs)
        return tf.math.betainc(share + 1, share + 1, share)


def test_an_unsupported_layer_is_named_with_what_it_needs(graph: Build) -> None:
    model = graph(layers.Conv2D(4, 3), Odd(name="odd_one"), layers.Flatten(), shape=(8, 8, 3))
    with pytest.raises(UnsupportedOp, match=r"^layer 'odd_one' \(Odd\) has no TFLite form: TFLite has no Betainc$"):
        float_file(model, (8, 8, 3))
