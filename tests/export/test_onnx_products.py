"""What only meets padding is left out of a kernel, and windows become rows."""

from collections.abc import Callable

import keras
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from bctoolkit.contract import InputContract
from bctoolkit.export.exporter import ExportSettings
from bctoolkit.export.onnx.emitters.dense_convolution import reachable
from bctoolkit.export.onnx.exporter import graph_of

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def convolve(image: Array, kernel: Array, strides: tuple[int, int], around: list[int]) -> Array:
    """Cross-correlation of one channel, written out."""
    padded = np.pad(image, ((around[0], around[2]), (around[1], around[3])))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)[:: strides[0], :: strides[1]]
    result: Array = np.einsum("ijkl,kl->ij", windows, kernel)
    return result


side = st.integers(1, 6)


@given(size=st.tuples(side, side), kernel=st.tuples(side, side), strides=st.tuples(side, side), data=st.data())
def test_a_cropped_kernel_convolves_alike(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], data: st.DataObject
) -> None:
    around = [data.draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    for axis in (0, 1):
        around[axis] += max(kernel[axis] - size[axis] - around[axis] - around[2 + axis], 0)  # one window at least
    rng = np.random.default_rng(0)
    image, weights = rng.random(size, np.float32), rng.random((1, 1, *kernel), np.float32)
    cropped, fewer = reachable(weights, size, strides, around)
    assert min(fewer) >= 0
    before, after = (convolve(image, k[0, 0], strides, a) for k, a in ((weights, around), (cropped, fewer)))
    np.testing.assert_allclose(after, before, rtol=1e-5)


def test_a_kernel_larger_than_the_image_shrinks_to_what_can_meet_a_pixel() -> None:
    kernel = np.ones((8, 1, 7, 7), np.float32)
    cropped, around = reachable(kernel, (3, 3), (1, 1), [3, 3, 3, 3])
    assert cropped.shape == (8, 1, 5, 5)
    assert around == [2, 2, 2, 2]
    assert reachable(kernel, (4, 4), (1, 1), [3, 3, 3, 3])[0].shape == (8, 1, 7, 7)
    assert reachable(kernel, (None, 3), (1, 1), [3, 3, 3, 3])[0].shape == (8, 1, 7, 5)


@pytest.mark.parametrize(
    ("layer", "product"),
    [
        (lambda: layers.Conv2D(6, 2, strides=2), True),
        (lambda: layers.Conv2D(6, 2, strides=2, padding="same"), True),
        (lambda: layers.Conv2D(6, (4, 2), strides=(4, 2), use_bias=False, activation="relu"), True),
        (lambda: layers.Conv2D(6, 1), True),
        (lambda: layers.Conv2D(6, 3), False),
        (lambda: layers.Conv2D(6, 3, strides=3), False),  # 8 pixels are no whole number of windows
        (lambda: layers.Conv2D(6, 1, strides=2), False),
        (lambda: layers.Conv2D(8, 2, strides=2, groups=4), False),
        (lambda: layers.Conv2D(6, 2, dilation_rate=2), False),
    ],
)
def test_a_convolution_over_separate_windows_is_a_product(layer: Callable[[], keras.Layer], product: bool) -> None:
    inputs = keras.Input((8, 8, 8))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layer()(inputs)))
    contract = InputContract(height=8, width=8, channels=8, dtype="float32")
    written = graph_of(model, ExportSettings(contract), "MatMul")
    assert any(node.op_type == "MatMul" for node in written.graph.node) == product
    image = np.random.default_rng(0).random((3, 8, 8, 8), np.float32)
    (observed,) = onnxruntime.InferenceSession(written.SerializeToString()).run(None, {"image": image})
    np.testing.assert_allclose(observed, np.asarray(model(image)), rtol=1e-4, atol=1e-6)


def test_a_convolution_of_an_image_stays_one() -> None:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(6, 4, strides=4)(inputs)))
    written = graph_of(model, ExportSettings(InputContract(height=8, width=8, dtype="float32")), "MatMul")
    assert not any(node.op_type == "MatMul" for node in written.graph.node)
