"""TFLite files against Keras."""

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS
from bctoolkit.documents.quantization import CalibrationSettings
from bctoolkit.errors import RecipeError
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.tflite.exporter import TfliteExporter
from bctoolkit.export.tflite.graph import Graph
from bctoolkit.networks import build
from bctoolkit.runtime.on_litert import open_model

pytestmark = pytest.mark.slow

CONTRACT = InputContract(height=32, width=32)
QUANTIZED = FORMATS["tflite"].quantizations


@pytest.fixture(scope="module")
def atto() -> keras.Model:
    keras.utils.set_random_seed(0)
    return fold(freeze(build("convnext_atto", 4, (32, 32, 3), layer_scale=0.5)))


@pytest.fixture(scope="module")
def exporter(atto: keras.Model) -> TfliteExporter:
    return TfliteExporter(atto, ExportSettings(CONTRACT, properties={"labels": "a, b, c, d", "licence": "CC BY 4.0 ©"}))


@pytest.fixture(scope="module")
def files(exporter: TfliteExporter, images: NDArray[np.uint8]) -> dict[str, bytes]:
    return {name: exporter.convert(name, QuantizationSettings(images)) for name in QUANTIZED}


@pytest.fixture(scope="module")
def expected(atto: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(atto(images.astype(np.float32)))


def operators(content: bytes) -> Counter[str]:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return Counter(str(op["op_name"]) for op in interpreter._get_ops_details())


def integer_layers(content: bytes) -> list[str]:
    """Layers whose weights are int8, in the order they run."""
    graph = Graph(content)
    names = [o.inputs[1] for o in graph.operators if len(o.inputs) == 3 and graph.dtype(o.inputs[1]) == np.int8]
    return [graph.scopes(weights)[0] for weights in names]


def answer(content: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    return open_model(content, "cpu", 1).run(images)


def test_every_quantization_of_the_table_is_tried_here() -> None:
    assert QUANTIZED == ("fp32", "fp16", "int8-dynamic", "int8", "int8-full", "w8a16")


@pytest.mark.parametrize(
    ("name", "bound", "size"),
    [
        ("fp32", 1e-5, 1.01),
        ("fp16", 0.002, 0.52),
        ("int8-dynamic", 0.05, 0.28),
        ("int8", 0.05, 0.28),
        ("int8-full", 0.1, 0.28),
        ("w8a16", 0.01, 0.28),
    ],
)
def test_it_answers_as_keras_within_its_precision(
    files: dict[str, bytes],
    expected: NDArray[np.float32],
    images: NDArray[np.uint8],
    name: str,
    bound: float,
    size: float,
) -> None:
    observed = answer(files[name], images)
    assert observed.dtype == np.float32
    assert np.ptp(expected, axis=0).max() > 0.05  # the answers differ between images
    assert 0 < np.abs(observed - expected).max() <= bound
    assert len(files[name]) <= size * len(files["fp32"])


@pytest.mark.parametrize("name", ["fp32", "fp16", "int8-dynamic", "int8"])
def test_xnnpack_takes_the_graph_whole(files: dict[str, bytes], name: str) -> None:
    assert operators(files[name])["DELEGATE"] == 1


def test_only_built_in_operators_and_no_shape_arithmetic(files: dict[str, bytes]) -> None:
    names = operators(files["fp32"])
    assert not [name for name in names if name.startswith("Flex") or name in ("SHAPE", "PACK", "STRIDED_SLICE")]
    assert names["GELU"] == 12
    assert names["FULLY_CONNECTED"] == 25


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantizable_names_the_layers_that_become_integer(
    exporter: TfliteExporter, files: dict[str, bytes], name: str
) -> None:
    assert list(exporter.quantizable(name)) == integer_layers(files[name])


def test_stem_head_and_depthwise_layers_stay_float_on_a_cpu(atto: keras.Model, exporter: TfliteExporter) -> None:
    for name in ("int8-dynamic", "int8"):
        kept = {layer.name for layer in atto.layers if layer.weights} - set(exporter.quantizable(name))
        assert {n for n in kept if not n.endswith(("_depthwise", "_norm"))} == {"stem_conv", "head_logits"}
    linear = [x.name for x in atto.layers if isinstance(x, layers.Dense | layers.Conv2D | layers.DepthwiseConv2D)]
    assert set(exporter.quantizable("int8-full")) == set(exporter.quantizable("w8a16")) == set(linear)


@pytest.mark.parametrize("name", ["int8-dynamic", "int8", "int8-full", "w8a16"])
def test_layers_kept_in_float_are(
    exporter: TfliteExporter, images: NDArray[np.uint8], files: dict[str, bytes], name: str
) -> None:
    some = frozenset({"stage_0_block_1_project", "stage_1_downsample_conv", "stage_2_block_0_depthwise"})
    content = exporter.convert(name, QuantizationSettings(images, keep_float=some))
    assert integer_layers(content) == [layer for layer in integer_layers(files[name]) if layer not in some]


def test_a_narrower_range_changes_the_answer(exporter: TfliteExporter, images: NDArray[np.uint8]) -> None:
    answers = [
        answer(exporter.convert("int8", settings), images)
        for settings in (
            QuantizationSettings(images),
            QuantizationSettings(images, CalibrationSettings(method="percentile", percentile=90.0)),
            QuantizationSettings(images, CalibrationSettings(method="entropy")),
        )
    ]
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    assert np.abs(answers[0] - answers[2]).max() > 1e-4


def test_a_float32_input_answers_the_same(
    atto: keras.Model, files: dict[str, bytes], images: NDArray[np.uint8], expected: NDArray[np.float32]
) -> None:
    floats = TfliteExporter(atto, ExportSettings(InputContract(height=32, width=32, dtype="float32")))
    content = floats.convert("fp32", QuantizationSettings())
    np.testing.assert_allclose(answer(content, images.astype(np.float32)), expected, atol=1e-5)
    static = floats.convert("int8", QuantizationSettings(images))
    np.testing.assert_array_equal(answer(static, images.astype(np.float32)), answer(files["int8"], images))
    for name in ("int8-full", "w8a16"):
        with pytest.raises(RecipeError, match=f"{name} takes uint8 images, got input 'float32'"):
            floats.convert(name, QuantizationSettings(images))


def test_the_file_tells_its_properties_and_where_it_stays_float(files: dict[str, bytes]) -> None:
    properties = Graph(files["fp32"]).properties()
    assert properties == {"labels": "a, b, c, d", "licence": "CC BY 4.0 ©"}
    for name in ("int8-full", "w8a16"):
        full = Graph(files[name]).properties()["arithmetic"]
        assert full.startswith("17 float islands between the integers, at stem_norm, stage_0_block_0_norm,")


@pytest.mark.parametrize(("name", "told"), [("int8-full", np.uint8), ("w8a16", np.int16)])
def test_integer_forms_take_bytes_and_tell_integers(files: dict[str, bytes], name: str, told: type) -> None:
    graph = Graph(files[name])
    assert [graph.dtype(tensor) for tensor in (*graph.inputs, *graph.outputs)] == [np.uint8, told]
    assert (graph.name(graph.inputs[0]), graph.name(graph.outputs[0])) == ("image", "probabilities")


@pytest.mark.parametrize("name", ["int8", "int8-full", "w8a16"])
@pytest.mark.parametrize("given", [None, np.zeros((0, 32, 32, 3), np.uint8)])
def test_calibration_needs_images(exporter: TfliteExporter, name: str, given: NDArray[np.uint8] | None) -> None:
    with pytest.raises(RecipeError, match=f"{name} needs calibration images"):
        exporter.convert(name, QuantizationSettings(given))


def test_nothing_left_to_quantize_is_refused(exporter: TfliteExporter) -> None:
    every = frozenset(exporter.quantizable("int8-dynamic"))
    with pytest.raises(RecipeError, match=r"int8-dynamic leaves no layer to quantize, with 41 in all and 27 kept"):
        exporter.convert("int8-dynamic", QuantizationSettings(keep_float=every))
