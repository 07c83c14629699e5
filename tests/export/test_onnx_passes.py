"""Each pass alone, on a graph of a few nodes."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper, parser

from bctoolkit.export.onnx.passes.base import constants, rebuilt
from bctoolkit.export.onnx.passes.float16 import convert_to_float16, float16_weights
from bctoolkit.export.onnx.passes.int8 import (
    activations,
    layer_of,
    per_channel,
    quantizable_matmuls,
    quantize_dynamically,
    quantize_statically,
)
from bctoolkit.export.onnx.passes.sigmoid import exact_sigmoids
from bctoolkit.export.onnx.probe import observe

Array = NDArray[np.float32]
Pass = Callable[[onnx.ModelProto], onnx.ModelProto]

X = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)

TWO_READERS = """
    <ir_version: 9, opset_import: ["" : 20], producer_name: "test">
    two (float[N,8] x) => (float[N,4] y) {
        p = MatMul (x, left)
        q = MatMul (x, right)
        r = Mul (p, q)
        s = MatMul (r, head)
        y = Identity (s)
    }
"""


def model(text: str, **arrays: Array) -> onnx.ModelProto:
    """A model written as text, with constants; the layer of each node is named after its output."""
    written = parser.parse_model(text)
    written.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    for node in written.graph.node:
        node.name = f"{node.output[0]}_layer/{node.op_type}"
    onnx.checker.check_model(written, full_check=True)
    return written


@pytest.fixture(scope="module")
def two_readers() -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    shapes = {"left": (8, 4), "right": (8, 4), "head": (4, 4), "unused": (2, 2)}
    return model(TWO_READERS, **{name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})


def run(written: onnx.ModelProto, x: Array = X) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    result: Array = onnxruntime.InferenceSession(written.SerializeToString(), options).run(None, {"x": x})[0]
    return result


def kinds(written: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in written.graph.node)


def test_products_are_those_with_a_constant_matrix_but_for_the_classifier(two_readers: onnx.ModelProto) -> None:
    assert [layer_of(node) for node in quantizable_matmuls(two_readers)] == ["p_layer", "q_layer"]
    assert activations(two_readers) == ("x",)


def test_the_only_product_counts_even_as_the_classifier() -> None:
    text = '<ir_version: 9, opset_import: ["" : 20]> g (float[N,8] x) => (float[N,4] y) { y = MatMul (x, w) }'
    assert [layer_of(node) for node in quantizable_matmuls(model(text, w=np.ones((8, 4), np.float32)))] == ["y_layer"]


def test_a_product_of_two_activations_is_none_of_ours() -> None:
    text = """<ir_version: 9, opset_import: ["" : 20]> g (float[8,8] x) => (float[8,8] y) { y = MatMul (x, x) }"""
    assert quantizable_matmuls(model(text)) == []


def test_rebuilt_keeps_what_describes_the_model_and_drops_dead_constants(two_readers: onnx.ModelProto) -> None:
    onnx.helper.set_model_props(two_readers, {"labels": "a, b"})
    again = rebuilt(two_readers, two_readers.graph.node)
    assert "unused" in constants(two_readers)
    assert "unused" not in constants(again)
    assert (again.ir_version, again.producer_name) == (9, "test")
    assert [(prop.key, prop.value) for prop in again.metadata_props] == [("labels", "a, b")]
    np.testing.assert_array_equal(run(again), run(two_readers))


def bounded(x: Array) -> dict[str, tuple[float, float]]:
    return {"x": (float(x.min()), float(x.max()))}


PASSES: dict[str, Pass] = {
    "dynamic": lambda m: quantize_dynamically(m, ()),
    "static": lambda m: quantize_statically(m, (), bounded(X)),
    "float16": convert_to_float16,
    "float16 weights": float16_weights,
}


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_leaves_its_input_as_it_was(name: str, two_readers: onnx.ModelProto) -> None:
    before = two_readers.SerializeToString(deterministic=True)
    PASSES[name](two_readers)
    assert two_readers.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(("name", "limit"), [("dynamic", 0.1), ("static", 0.1), ("float16", 0.01)])
def test_a_pass_keeps_the_answer(name: str, limit: float, two_readers: onnx.ModelProto) -> None:
    expected = run(two_readers)
    assert 0 < np.abs(run(PASSES[name](two_readers)) - expected).max() <= limit * np.abs(expected).max()


def test_an_activation_that_two_read_is_quantized_once(two_readers: onnx.ModelProto) -> None:
    dynamic = quantize_dynamically(two_readers, ())
    assert kinds(dynamic)["DynamicQuantizeLinear"] == 1
    assert (kinds(dynamic)["MatMulInteger"], kinds(dynamic)["MatMul"]) == (2, 1)
    static = quantize_statically(two_readers, (), bounded(X))
    assert (kinds(static)["QuantizeLinear"], kinds(static)["DequantizeLinear"]) == (1, 3)


@pytest.mark.parametrize("name", ["dynamic", "static"])
def test_kept_layers_stay_float(name: str, two_readers: onnx.ModelProto) -> None:
    kept = ("q_layer",)
    passed = (
        quantize_dynamically(two_readers, kept)
        if name == "dynamic"
        else quantize_statically(two_readers, kept, bounded(X))
    )
    stored = constants(passed)
    assert stored["right"].data_type == TensorProto.FLOAT
    assert stored["left/int8"].data_type == TensorProto.INT8
    assert "left" not in stored


def test_onnx_runtime_fuses_what_the_passes_write(two_readers: onnx.ModelProto, tmp_path: object) -> None:
    for name, wanted in (
        ("dynamic", {"MatMulIntegerToFloat", "DynamicQuantizeMatMul"}),
        ("static", {"MatMulIntegerToFloat"}),
    ):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = f"{tmp_path}/{name}.onnx"
        onnxruntime.InferenceSession(PASSES[name](two_readers).SerializeToString(), options)
        assert not wanted.isdisjoint(kinds(onnx.load(options.optimized_model_filepath)))


@given(
    kernel=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(-100, 100, width=32)
    )
)
def test_weights_are_within_half_a_step_of_their_channel(kernel: Array) -> None:
    integers, scale = per_channel(kernel)
    assert scale.shape == (kernel.shape[1],)
    assert integers.min() >= -127
    error = np.abs(integers * scale.astype(np.float64) - kernel)
    assert (error <= np.maximum(scale * 0.5001, np.finfo(np.float32).tiny * 127)).all()


@pytest.mark.parametrize(("low", "high"), [(0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (1.0, 1.0)])
def test_a_range_is_widened_to_hold_zero(low: float, high: float, two_readers: onnx.ModelProto) -> None:
    static = constants(quantize_statically(two_readers, (), {"x": (low, high)}))
    scale, zero = (numpy_helper.to_array(static[f"x/{part}"]) for part in ("scale", "zero"))
    assert scale > 0
    assert scale * (0 - int(zero)) <= min(low, 0) + scale / 2
    assert scale * (255 - int(zero)) >= max(high, 0) - scale / 2


TINY = """
    <ir_version: 9, opset_import: ["" : 20]>
    g (float[N,8] x) => (float[N,8] y) {
        t = Mul (x, small)
        n = LayerNormalization <axis = -1, epsilon = 0.000001> (t, ones)
        y = Identity (n)
    }
"""


def test_the_epsilon_of_a_norm_does_not_vanish_in_float16() -> None:
    small, ones = np.full(1, 1e-3, np.float32), np.ones(8, np.float32)
    norm = model(TINY, small=small, ones=ones)
    half = convert_to_float16(norm)
    expected = run(norm)
    assert np.abs(expected).max() < 0.99 * np.abs((X - X.mean(1, keepdims=True)) / X.std(1, keepdims=True)).max()
    np.testing.assert_allclose(run(half), expected, atol=5e-3)


def test_float16_keeps_softmax_and_the_output_in_float32() -> None:
    text = """
        <ir_version: 9, opset_import: ["" : 20]>
        g (uint8[N,8] x) => (float[N,4] y) {
            f = Cast <to = 1> (x)
            m = MatMul (f, w)
            s = Softmax (m)
            y = Identity (s)
        }
    """
    weights = np.random.default_rng(2).standard_normal((8, 4)).astype(np.float32) / np.float32(100)
    full = model(text, w=weights)
    half = convert_to_float16(full)
    inferred = onnx.shape_inference.infer_shapes(half).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    assert (types["f"], types["m"]) == (TensorProto.FLOAT16, TensorProto.FLOAT16)
    assert (types["s"], types["y"]) == (TensorProto.FLOAT, TensorProto.FLOAT)
    pixels = np.random.default_rng(3).integers(0, 256, (5, 8), dtype=np.uint8)
    observed, expected = (
        onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"x": pixels})[0] for m in (half, full)
    )
    np.testing.assert_allclose(observed, expected, atol=5e-3)


def test_large_weights_are_stored_in_float16_and_small_or_huge_ones_are_not() -> None:
    text = """
        <ir_version: 9, opset_import: ["" : 20]>
        g (float[N,8] x) => (float[N,256] y) { a = MatMul (x, big)  b = MatMul (a, huge)  y = Add (b, bias) }
    """
    rng = np.random.default_rng(4)
    big, huge = (rng.standard_normal((rows, 256)).astype(np.float32) for rows in (8, 256))
    huge[0, 0] = 1e6
    full = model(text, big=big, huge=huge, bias=np.ones(256, np.float32))
    half = float16_weights(full)
    stored = constants(half)
    assert sorted(stored) == ["bias", "big/float16", "huge"]
    assert stored["big/float16"].data_type == TensorProto.FLOAT16
    expected = run(full)
    np.testing.assert_allclose(run(half), expected, atol=2e-3 * np.abs(expected).max())


def test_activations_are_seen_batch_by_batch_in_order(two_readers: onnx.ModelProto) -> None:
    images = np.random.default_rng(5).integers(0, 256, (19, 8), dtype=np.uint8)
    seen = list(observe(two_readers, ("x", "r"), images))
    assert [len(values["r"]) for values in seen] == [8, 8, 3]
    np.testing.assert_array_equal(np.concatenate([values["x"] for values in seen]), images.astype(np.float32))


LAST_SIGMOIDS = """
    <ir_version: 9, opset_import: ["" : 18], producer_name: "test">
    heads (float[N,8] x) => (float[N,16] y)
    <float one = {1}> {
        gate = Sigmoid (x)
        gated = Mul (x, gate)
        scores = Tanh (gated)
        scaled = Mul (x, scores)
        p = Sigmoid (scaled)
        q = Sub (one, p)
        y = Concat <axis = 1> (p, q)
    }
"""


def test_a_sigmoid_that_gives_probabilities_keeps_the_digits_of_small_ones() -> None:
    written = exact_sigmoids(model(LAST_SIGMOIDS))
    assert kinds(written)["Sigmoid"] == 1  # the gate's
    x = np.linspace(-80, 80, 40, dtype=np.float32).reshape(5, 8)
    logits = x.astype(np.float64) * np.tanh(x / (1 + np.exp(-x.astype(np.float64))))
    np.testing.assert_allclose(run(written, x)[:, :8], 1 / (1 + np.exp(-logits)), rtol=1e-5, atol=1e-37)
    np.testing.assert_allclose(run(written, x), run(model(LAST_SIGMOIDS), x), atol=1e-6)


def test_a_model_without_a_sigmoid_at_its_end_stays_as_it_is(two_readers: onnx.ModelProto) -> None:
    assert exact_sigmoids(two_readers) is two_readers
