"""Layers of two small networks, compared by the values of their outputs."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS
from bctoolkit.export.checks.introspection import INTROSPECTORS
from bctoolkit.export.checks.locate import LayerOutput, first_departure, layer_outputs
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.lazy import attribute

pytestmark = pytest.mark.slow

layers = keras.layers
Graph = Callable[..., keras.Model]


def row(name: str, inputs: tuple[str, ...], *values: float) -> LayerOutput:
    return LayerOutput(name, inputs, np.array(values, np.float32))


CHAIN = [row("a", (), 1, 2), row("b", ("a",), 3, 4, 5), row("c", ("b",), 6, 7), row("out", ("c",), 0, 1)]


def tensor(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def arrays(*rows: LayerOutput) -> list[NDArray[np.float32]]:
    return [output.value for output in rows]


def test_the_earliest_output_that_departs_is_named_with_the_one_before() -> None:
    departure = first_departure(CHAIN, [*arrays(*CHAIN[:1]), tensor(3, 4, 6), tensor(0, 1)], 1e-4)
    assert (departure.layer, departure.after) == ("b", "a")


def test_an_output_that_no_tensor_holds_is_no_fault_where_the_next_agrees() -> None:
    departure = first_departure(CHAIN, arrays(CHAIN[0], CHAIN[2]), 1e-4)  # b is fused into c; the output departs
    assert (departure.layer, departure.after) == ("out", "c")


def test_a_fault_of_the_first_layer_has_nothing_before_it() -> None:
    departure = first_departure(CHAIN, [tensor(9, 9)], 1e-4)
    assert (departure.layer, departure.after) == ("a", None)


def test_a_branch_that_agrees_is_not_blamed() -> None:
    graph = [row("a", (), 1, 2), row("left", ("a",), 5, 5, 5), row("right", ("a",), 1, 1, 1)]
    graph.append(row("sum", ("left", "right"), 6, 6, 6))
    departure = first_departure(graph, [*arrays(graph[0], graph[2]), tensor(5, 6, 5), tensor(6, 7, 6)], 1e-4)
    assert (departure.layer, departure.after) == ("left", "a")


def test_values_that_are_not_finite_agree_with_nothing() -> None:
    assert first_departure(CHAIN, [*arrays(CHAIN[0]), tensor(3, np.nan, 5)], 1e-4).layer == "b"


def test_channels_first_is_the_same_output() -> None:
    value = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype(np.float32)
    graph = [LayerOutput("conv", (), value), row("out", ("conv",), 0, 1)]
    assert first_departure(graph, [value.transpose(0, 3, 1, 2)], 1e-6).layer == "out"


def test_outputs_of_layers_and_operators_know_what_they_read(images: NDArray[np.uint8]) -> None:
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    inner_input = keras.Input((30, 30, 4))
    inner = keras.Model(inner_input, layers.ReLU(name="inside")(inner_input))
    x = layers.Add(name="both")([inner(x), x])
    model = keras.Model(inputs, layers.GlobalAveragePooling2D(name="pool")(x))
    outputs = layer_outputs(model, images[:1])
    assert [(output.layer, output.inputs) for output in outputs] == [
        ("conv", ()),
        ("inside", ("conv",)),
        ("both", ("inside", "conv")),
        ("pool", ("both",)),
    ]
    np.testing.assert_allclose(outputs[-1].value, model(images[:1].astype(np.float32)), rtol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_every_layer_of_a_twin_is_found_in_its_artifact(
    name: str, stock_convnext: keras.Model, images: NDArray[np.uint8]
) -> None:
    twin = fold(freeze(stock_convnext))
    exporter = attribute(FORMATS[name].exporter)(twin, ExportSettings(InputContract(height=32, width=32)))
    tensors = INTROSPECTORS[name].tensors(exporter.convert("fp32", QuantizationSettings()), images[:1])
    outputs = layer_outputs(twin, images[:1])
    assert first_departure(outputs, tensors, 1e-4).layer == outputs[-1].layer


def test_folding_is_looked_through(stock_convnext: keras.Model, images: NDArray[np.uint8]) -> None:
    frozen = freeze(stock_convnext)
    before, after = layer_outputs(frozen, images[:1]), layer_outputs(fold(frozen), images[:1])
    departure = first_departure(before, arrays(*after), 1e-4)
    assert departure.layer in {output.layer for output in before[-2:]}  # the norm whose affine the last layer took
