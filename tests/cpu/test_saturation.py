"""Integer products answer the same on every CPU: weights, files and engines beside a simulator of the 16-bit sums."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bctoolkit.contract import InputContract
from bctoolkit.export.checks.introspection import INTROSPECTORS
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.onnx.exporter import OnnxExporter
from bctoolkit.export.onnx.passes import int8
from bctoolkit.export.onnx.passes.int8 import per_channel
from bctoolkit.export.onnx.saturation import HEADROOM, IntegerWeights, integer_weights, pair_sums, saturating_columns
from bctoolkit.networks import build
from bctoolkit.runtime.saturation import NEVER_SATURATES, PROBE, engine_saturates, never_saturates

Integers = NDArray[np.int64]
Kernel = NDArray[np.float32]

TINY = np.finfo(np.float32).tiny
KERNELS = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.floats(-100, 100, width=32)
)


def exact(x: NDArray[Any], w: NDArray[Any]) -> Integers:
    """Products as a CPU with VNNI, or Arm, adds them up: in 32 bits."""
    product: Integers = x.astype(np.int64) @ w.astype(np.int64)
    return product


def saturating(x: NDArray[Any], w: NDArray[Any]) -> Integers:
    """Products as `vpmaddubsw` adds them up: neighbours in 16 bits, saturated; then all in 32."""
    x, w = x.astype(np.int64), w.astype(np.int64)
    odd = w.shape[0] % 2
    x = np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, odd)])
    w = np.pad(w, ((0, odd), (0, 0)))
    pairs = x[..., 0::2, None] * w[0::2] + x[..., 1::2, None] * w[1::2]
    total: Integers = np.clip(pairs, -(2**15), 2**15 - 1).sum(-2)
    return total


def plain(kernel: Kernel) -> tuple[NDArray[np.int8], Kernel]:
    """Each column on the whole of its 127 steps, as quantizers usually do."""
    largest = np.abs(kernel).max(0)
    scale = np.where(largest >= 127 * TINY, largest / 127, 1).astype(np.float32)
    return np.rint(kernel / scale).astype(np.int8), scale


def worst_activations(w: NDArray[np.int8]) -> NDArray[np.uint8]:
    """For each column what drives its sums furthest up, then what drives them furthest down."""
    return np.concatenate([np.where(w.T > 0, 255, 0), np.where(w.T < 0, 255, 0)]).astype(np.uint8)


@given(KERNELS)
def test_no_activations_saturate_the_weights_we_write(kernel: Kernel) -> None:
    integers, _ = per_channel(kernel)
    assert pair_sums(integers.astype(np.int64)).max() <= HEADROOM
    x = worst_activations(integers)
    np.testing.assert_array_equal(saturating(x, integers), exact(x, integers))
    assert saturating_columns(IntegerWeights(integers, ordered=True)) == 0


@given(KERNELS)
def test_the_proof_names_the_columns_that_the_simulator_shows_to_saturate(kernel: Kernel) -> None:
    integers, _ = plain(kernel)
    x = worst_activations(integers)
    differ = (saturating(x, integers) != exact(x, integers)).any(0)
    assert saturating_columns(IntegerWeights(integers, ordered=True)) == differ.sum()
    assert saturating_columns(IntegerWeights(integers, ordered=False)) >= differ.sum()


@given(KERNELS)
def test_a_column_shrinks_only_as_far_as_its_worst_pair_needs(kernel: Kernel) -> None:
    _, scale = per_channel(kernel)
    wide = kernel.astype(np.float64)
    usual = np.abs(wide).max(0) / 127
    needed = np.maximum(pair_sums(wide) / HEADROOM, usual)
    np.testing.assert_allclose(scale, np.where(needed >= TINY, needed, 1), rtol=1e-6)
    assert ((scale <= usual * 127 / 64 * 1.000001) | (scale == 1)).all()


def test_rows_whose_order_the_engine_chooses_count_any_two_as_neighbours() -> None:
    column = np.array([[100], [0], [100], [0]], np.int8)
    assert saturating_columns(IntegerWeights(column, ordered=True)) == 0
    assert saturating_columns(IntegerWeights(column, ordered=False)) == 1


def test_the_probe_is_the_file_it_says_it_is() -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 1])],
        [numpy_helper.from_array(np.full((4, 1), 127, np.int8), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    assert onnx.load_from_string(PROBE) == model
    assert saturating(np.full((1, 4), 255), np.full((4, 1), 127)) != exact(np.full((1, 4), 255), np.full((4, 1), 127))


class Counted:
    """A file with a property, and with bytes that are hard to read."""

    def __init__(self, **properties: str) -> None:
        model = onnx.load_from_string(PROBE)
        helper.set_model_props(model, properties)
        self.content = model.SerializeToString()


def test_a_file_that_says_it_cannot_saturate_is_believed() -> None:
    key, value = NEVER_SATURATES
    assert never_saturates(Counted(labels="a", **{key: value}).content)
    for properties in ({}, {key: "some"}, {value: key}, {"labels": f"{key} {value}"}):
        assert not never_saturates(Counted(**properties).content)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_file_say_nothing(content: bytes) -> None:
    assert not never_saturates(content)
    assert not never_saturates(PROBE[: len(content)] + content)


MULTIPLY: dict[str, Callable[[NDArray[Any], NDArray[Any]], Integers]] = {"exact": exact, "saturating": saturating}


def answered(model: onnx.ModelProto, images: NDArray[np.uint8], multiply: str) -> NDArray[np.float32]:
    """What a file answers where products are added up in that way; all else is computed by ONNX's reference."""

    class MatMulInteger(OpRun):
        op_domain = "cpu"

        def _run(self, x: NDArray[Any], w: NDArray[Any], zero: NDArray[Any]) -> tuple[NDArray[np.int32]]:
            # The engine multiplies the activations as they are stored, and takes the zero point off afterwards.
            raw = MULTIPLY[multiply](x, w) - np.int64(zero) * w.astype(np.int64).sum(0)
            return (raw.astype(np.int32),)

    changed = integers_as_operators(model)
    for node in changed.graph.node:
        if node.op_type == "MatMulInteger":
            node.domain = "cpu"
    changed.opset_import.append(helper.make_opsetid("cpu", 1))
    reference: Any = ReferenceEvaluator(changed, new_ops=[MatMulInteger])
    return np.concatenate([reference.run(None, {"image": images[i : i + 1]})[0] for i in range(len(images))])


def integers_as_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """A file with its dequantized products written as the integer operators that ONNX Runtime fuses them to."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    source = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    nodes = []
    for node in model.graph.node:
        reads = [source.get(name) for name in node.input]
        if node.op_type != "MatMul" or None in reads:
            nodes.append(node)
            continue
        (x, x_scale, zero), (w, w_scale) = (list(read.input) for read in reads if read is not None)
        y = node.output[0]
        chain: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
            ("MatMulInteger", [x, w, zero], f"{y}/integers", {}),
            ("Cast", [f"{y}/integers"], f"{y}/float", {"to": TensorProto.FLOAT}),
            ("Mul", [x_scale, w_scale], f"{y}/scale", {}),
            ("Mul", [f"{y}/float", f"{y}/scale"], y, {}),
        )
        nodes += [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in chain]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


@pytest.fixture(scope="module")
def atto() -> keras.Model:
    """A ConvNeXt with drawn weights for images of 32 pixels, as exporters get it."""
    keras.utils.set_random_seed(0)
    return fold(freeze(build("convnext_atto", 3, (32, 32, 3), layer_scale=0.5)))


IMAGES = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
INTEGER_FORMS = ("int8-dynamic", "int8")


def converted(atto: keras.Model, form: str) -> bytes:
    exporter = OnnxExporter(atto, ExportSettings(InputContract(height=32, width=32)))
    return exporter.convert(form, QuantizationSettings(images=IMAGES))


@pytest.mark.parametrize("form", INTEGER_FORMS)
def test_an_artifact_answers_alike_where_sums_saturate(form: str, atto: keras.Model) -> None:
    model = onnx.load_from_string(converted(atto, form))
    one, other = (answered(model, IMAGES, multiply) for multiply in MULTIPLY)
    np.testing.assert_array_equal(one, other)
    engine = onnxruntime.InferenceSession(model.SerializeToString())
    real = np.concatenate([engine.run(None, {"image": IMAGES[i : i + 1]})[0] for i in range(len(IMAGES))])
    np.testing.assert_allclose(one, real, atol=0.01)  # float operators round otherwise, which moves dynamic ranges


@pytest.mark.parametrize("form", INTEGER_FORMS)
def test_the_simulator_shows_what_usual_weights_would_do(
    form: str, atto: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "per_channel", plain)
    content = converted(atto, form)
    model = onnx.load_from_string(content)
    one, other = (answered(model, IMAGES, multiply) for multiply in MULTIPLY)
    assert np.abs(one - other).max() > 1e-3
    products = INTROSPECTORS["onnx"].integers(content).products
    assert products is not None
    assert products.saturating > products.columns / 2


@pytest.mark.parametrize("form", INTEGER_FORMS)
def test_all_products_of_an_artifact_are_looked_at(form: str, atto: keras.Model) -> None:
    content = converted(atto, form)
    stored = [t for t in onnx.load_from_string(content).graph.initializer if t.data_type == TensorProto.INT8]
    products = INTROSPECTORS["onnx"].integers(content).products
    assert products is not None
    assert (products.count, products.saturating) == (len(stored), 0)
    assert products.columns == sum(tensor.dims[1] for tensor in stored)


def test_a_float_artifact_has_no_integer_products(atto: keras.Model) -> None:
    assert INTROSPECTORS["onnx"].integers(converted(atto, "fp32")).products is None


def written(operator: str, weights: NDArray[np.int8], inputs: list[str], **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node(operator, inputs, ["y"], name="product", **attributes)
    graph = helper.make_graph([node], "one", [], [], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph)


HOSTILE = np.array([[100, 1], [100, 1], [1, 1]], np.int8)


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (written("MatMulInteger", HOSTILE, ["x", "w", "zero"]), 1),
        (written("Gemm", HOSTILE.T.copy(), ["x", "w"], transB=1), 1),
        (written("ConvInteger", HOSTILE.T.reshape(2, 3, 1, 1).copy(), ["x", "w", "zero"]), 1),
        (written("QLinearConv", HOSTILE.T.reshape(2, 3, 1, 1).copy(), ["x", "xs", "xz", "w", "ws", "wz"]), 1),
        (written("MatMulInteger", HOSTILE[1:].copy(), ["x", "w"]), 0),
    ],
    ids=lambda value: value.graph.node[0].op_type if isinstance(value, onnx.ModelProto) else str(value),
)
def test_each_operator_is_read_in_the_order_of_its_weights(model: onnx.ModelProto, columns: int) -> None:
    (stored,) = integer_weights(model).values()
    assert stored.weights.shape[1] == 2
    assert saturating_columns(stored) == columns


def test_the_mask_leaves_this_engine_without_vnni(without_vnni: dict[str, str], run_python: Callable[..., str]) -> None:
    told = run_python(
        "from bctoolkit.runtime.saturation import engine_saturates; print(engine_saturates())", env=without_vnni
    )
    assert told.strip() == "True"


ENGINE = """
import sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
for rows in np.load(sys.argv[2]):
    sys.stdout.write(" ".join(map(str, session.run(None, {"x": rows[None]})[0].ravel())) + " ")
"""


def test_the_simulator_adds_up_as_the_engine_does(
    without_vnni: dict[str, str], run_python: Callable[..., str], tmp_path: Any
) -> None:
    rng = np.random.default_rng(4)
    weights = rng.integers(-127, 128, (37, 20)).astype(np.int8)
    activations = rng.choice([0, 3, 200, 255], (8, 37)).astype(np.uint8)
    np.save(tmp_path / "x.npy", activations)
    model = written("MatMulInteger", weights, ["x", "w"])
    model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 37]))
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.INT32, [1, 20]))
    model.ir_version = 9
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 20))
    onnx.save(model, tmp_path / "product.onnx")
    told = run_python(ENGINE, tmp_path / "product.onnx", tmp_path / "x.npy", env=without_vnni)
    observed = np.array(told.split(), np.int64).reshape(8, 20)
    assert (saturating(activations, weights) != exact(activations, weights)).any()
    np.testing.assert_array_equal(observed, saturating(activations, weights))


def test_this_engine_is_told_apart_by_its_own_answer() -> None:
    x, w = np.full((1, 4), 255, np.uint8), np.full((4, 1), 127, np.int8)
    told = onnxruntime.InferenceSession(PROBE).run(None, {"x": x})[0]
    assert told == (saturating(x, w) if engine_saturates() else exact(x, w))
