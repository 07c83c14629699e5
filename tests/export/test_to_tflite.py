"""TFLite files against Keras."""

from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.export.exporter import Quantizing, Settings
from bctoolkit.export.to_tflite import TfliteExporter
from bctoolkit.export.twin import fold, freeze
from bctoolkit.networks import build
from bctoolkit.runtime.on_litert import open_model


def convert(twin: keras.Model, quantization: str, contract: InputContract) -> bytes:
    return TfliteExporter(twin, Settings(contract)).convert(quantization, Quantizing())


@pytest.fixture(scope="module")
def atto() -> keras.Model:
    keras.utils.set_random_seed(0)
    return fold(freeze(build("convnext_atto", 4, (32, 32, 3), layer_scale=0.5)))


def operators(content: bytes) -> list[str]:
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    return [str(op["op_name"]) for op in interpreter._get_ops_details()]


def answer(content: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    return open_model(content, "cpu", 1).run(images)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_fp32_answers_as_keras_with_either_input(atto: keras.Model, images: NDArray[np.uint8], dtype: Any) -> None:
    content = convert(atto, "fp32", InputContract(height=32, width=32, dtype=dtype))
    expected = np.asarray(atto(images.astype(np.float32)))
    np.testing.assert_allclose(answer(content, images.astype(dtype)), expected, atol=1e-5)


def test_only_built_in_operators_and_no_shape_arithmetic(atto: keras.Model) -> None:
    names = operators(convert(atto, "fp32", InputContract(height=32, width=32)))
    assert not [name for name in names if name.startswith("Flex") or name in ("SHAPE", "PACK", "STRIDED_SLICE")]
    assert names.count("GELU") == names.count("DEPTHWISE_CONV_2D") == 12
    assert names.count("FULLY_CONNECTED") == 25


def test_int8_dynamic_is_a_quarter_of_the_size_and_close(atto: keras.Model, images: NDArray[np.uint8]) -> None:
    contract = InputContract(height=32, width=32)
    small, large = convert(atto, "int8-dynamic", contract), convert(atto, "fp32", contract)
    assert len(small) < 0.3 * len(large)
    expected = np.asarray(atto(images.astype(np.float32)))
    difference = np.abs(answer(small, images) - expected).max()
    assert 0 < difference < 0.05
