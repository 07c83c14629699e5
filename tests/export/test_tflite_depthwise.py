"""Large depthwise convolutions as sums of small ones."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from bctoolkit.export.tflite.convert import float_file
from bctoolkit.export.tflite.graph import Graph
from bctoolkit.export.tflite.passes.depthwise import TAPS, split_depthwise
from bctoolkit.runtime.on_litert import open_model

pytestmark = pytest.mark.slow

Build = Callable[..., keras.Model]


def kernels(graph: Graph) -> list[tuple[int, int]]:
    found = [graph.shape(o.inputs[1]) for o in graph.operators if graph.kind(o) == "DEPTHWISE_CONV_2D"]
    return [(shape[1], shape[2]) for shape in found]


def both(model: keras.Model, size: int) -> tuple[Graph, NDArray[np.float32], NDArray[np.float32]]:
    """The split graph, its answer and that of the graph before."""
    image = np.random.default_rng(2).normal(size=(1, size, size, 3)).astype(np.float32)
    content = float_file(model, (size, size, 3))
    graph = Graph(content)
    split_depthwise(graph)
    after = open_model(graph.content(), "cpu", 1).run(image)
    return graph, after, open_model(content, "cpu", 1).run(image)


@pytest.mark.parametrize(
    ("size", "kernel", "pieces"),
    [(12, 7, [(3, 7), (2, 7), (2, 7)]), (4, 7, [(3, 7), (2, 7), (2, 7)]), (9, 9, [(1, 9)] + [(2, 9)] * 4)],
)
def test_the_pieces_add_up_to_the_whole(graph: Build, size: int, kernel: int, pieces: list[tuple[int, int]]) -> None:
    model = graph(layers.DepthwiseConv2D(kernel, padding="same", activation="relu"), shape=(size, size, 3))
    split, after, before = both(model, size)
    assert 0 < (before == 0).mean() < 1  # the activation acts, and on the sum
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    assert kernels(split) == pieces
    assert all(rows * columns <= TAPS for rows, columns in pieces)


@pytest.mark.parametrize(("size", "kernel"), [(3, (5, 5)), (1, (1, 1))])
def test_taps_that_only_meet_padding_are_dropped(graph: Build, size: int, kernel: tuple[int, int]) -> None:
    model = graph(layers.DepthwiseConv2D(7, padding="same"), shape=(size, size, 3))
    split, after, before = both(model, size)
    assert kernels(split) == [kernel]
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def test_what_fits_or_cannot_be_split_stays(graph: Build) -> None:
    model = graph(
        layers.DepthwiseConv2D(5, padding="same"),
        layers.DepthwiseConv2D(7, padding="valid"),
        layers.DepthwiseConv2D(7, padding="same", strides=2),
        layers.DepthwiseConv2D(6, padding="same"),
        layers.DepthwiseConv2D(13, padding="same"),
        layers.DepthwiseConv2D(7, padding="same", depth_multiplier=2),
        layers.Conv2D(2, 7, padding="same"),
    )
    split = Graph(float_file(model, (32, 32, 3)))
    before = [id(operator) for operator in split.operators]
    split_depthwise(split)
    assert [id(operator) for operator in split.operators] == before
