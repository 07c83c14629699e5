"""Model files as other tools write them: ONNX graphs by hand, channels first, and TFLite by TensorFlow's converter."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["SIDE", "classifier", "constant", "model_of", "statically_quantized", "tflite_classifier", "torch_like"]

SIDE = 8
"""Height and width of the images that `classifier` takes."""

Shape = list[int | str]


def constant(name: str, array: NDArray[Any]) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def model_of(
    nodes: list[onnx.NodeProto],
    stored: list[TensorProto],
    shape: Shape,
    outputs: dict[str, Shape],
    *,
    input_name: str = "input",
    dtype: int = TensorProto.FLOAT,
    output_dtype: int = TensorProto.FLOAT,
    opset: int = 20,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(input_name, dtype, shape)],
        [helper.make_tensor_value_info(name, output_dtype, each) for name, each in outputs.items()],
        stored,
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="someone", producer_version="1.2")


def classifier(
    *,
    shape: Shape | None = None,
    scores: int = 3,
    last: str | None = None,
    input_name: str = "input",
    output_name: str = "logits",
    dtype: str = "float32",
    opset: int = 20,
    seed: int = 0,
) -> onnx.ModelProto:
    """Image → flat → one product with drawn weights, and an operator behind it; scores of moderate size for 0–1."""
    shape = [1, 3, SIDE, SIDE] if shape is None else shape
    size = int(np.prod([side for side in shape[1:] if isinstance(side, int)]))
    weights = np.random.default_rng(seed).normal(0, 2 / size**0.5, (size, scores)).astype(np.float32)
    nodes, value = [], input_name
    if dtype != "float32":
        nodes.append(helper.make_node("Cast", [value], ["cast"], to=TensorProto.FLOAT))
        value = "cast"
    nodes.append(helper.make_node("Flatten", [value], ["flat"], axis=1))
    nodes.append(helper.make_node("MatMul", ["flat", "weights"], [output_name if last is None else "raw"]))
    if last is not None:
        nodes.append(helper.make_node(last, ["raw"], [output_name]))
    return model_of(
        nodes,
        [constant("weights", weights)],
        shape,
        {output_name: [shape[0], scores]},
        input_name=input_name,
        dtype=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)),
        opset=opset,
    )


def torch_like(model: keras.Model, batch: int | str = 1) -> onnx.ModelProto:
    """`support.networks.small_convnext` as PyTorch exports such a network: channels first, scaled input, logits."""
    writer = _Writer(model)
    x = writer.add("Conv", "input", *writer.convolution("stem_conv"), strides=[4, 4])
    x = writer.channel_norm(x, "stem_norm")
    for block in ("block_0", "block_1"):
        kernel, bias = writer.convolution(f"{block}_depthwise")
        y = writer.add("Conv", x, kernel, bias, pads=[3, 3, 3, 3], group=writer.channels)
        y = writer.add("Transpose", y, perm=[0, 2, 3, 1])
        y = writer.norm(y, f"{block}_norm")
        y = writer.add("Gelu", writer.dense(y, f"{block}_expand"))
        y = writer.dense(y, f"{block}_project")
        y = writer.add("Mul", y, writer.store(writer.weights(f"{block}_scale")[0]))
        x = writer.add("Add", x, writer.add("Transpose", y, perm=[0, 3, 1, 2]))
    x = writer.add("Flatten", writer.add("GlobalAveragePool", x), axis=1)
    x = writer.dense(writer.norm(x, "head_norm"), "head_logits")
    _, height, width, channels = model.input_shape
    shape: Shape = [batch, channels, height, width]
    return model_of(writer.nodes, writer.stored, shape, {x: [batch, model.output_shape[-1]]})


class _Writer:
    """Nodes and constants of an ONNX graph, from the layers of a Keras network."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[TensorProto] = []
        self.channels = self.weights("stem_conv")[0].shape[-1]

    def weights(self, layer: str) -> list[NDArray[np.float32]]:
        weights: list[NDArray[np.float32]] = self._model.get_layer(layer).get_weights()
        return weights

    def store(self, array: NDArray[Any]) -> str:
        self.stored.append(constant(f"w{len(self.stored)}", array))
        return str(self.stored[-1].name)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def convolution(self, layer: str) -> tuple[str, str]:
        kernel, bias = self.weights(layer)
        moved = kernel.transpose(2, 3, 0, 1) if layer.endswith("_depthwise") else kernel.transpose(3, 2, 0, 1)
        return self.store(moved), self.store(bias)

    def norm(self, value: str, layer: str) -> str:
        scale, offset = self.weights(layer)
        return self.add("LayerNormalization", value, self.store(scale), self.store(offset), axis=-1, epsilon=1e-6)

    def channel_norm(self, value: str, layer: str) -> str:
        last = self.norm(self.add("Transpose", value, perm=[0, 2, 3, 1]), layer)
        return self.add("Transpose", last, perm=[0, 3, 1, 2])

    def dense(self, value: str, layer: str) -> str:
        kernel, bias = self.weights(layer)
        return self.add("Add", self.add("MatMul", value, self.store(kernel)), self.store(bias))


def statically_quantized(source: Path, target: Path, inputs: NDArray[np.float32]) -> None:
    """What ONNX Runtime's own `quantize_static` makes of a float file, calibrated on inputs one by one."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows: Iterator[NDArray[np.float32]] = iter(inputs)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            row = next(self._rows, None)
            return None if row is None else {"input": row[None]}

    quantize_static(
        source, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=["MatMul"]
    )


def tflite_classifier(
    *,
    shape: tuple[int, ...] = (1, SIDE, SIDE, 3),
    scores: int = 3,
    last: Callable[[Any], Any] | None = None,
    integers: str | None = None,
    span: tuple[float, float] = (0, 255),
) -> bytes:
    """The same kind of network by TensorFlow's converter.

    Args:
        shape: of the input.
        scores: of the output.
        last: what stands behind the product.
        integers: dtype of input and output of a file that computes in integers throughout.
        span: least and largest value of the input, which its quantization covers.
    """
    import tensorflow as tf

    size = int(np.prod(shape))
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 2 / size**0.5 / max(map(abs, span)), (size, scores)).astype(np.float32)

    def network(image: Any) -> Any:
        product = tf.reshape(image, (1, size)) @ weights
        return product if last is None else last(product)

    traced = tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32, name="input")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
    if integers is not None:
        ends = [np.full(shape, each, np.float32) for each in span]
        samples = [*ends, *(rng.uniform(*span, shape).astype(np.float32) for _ in range(8))]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [wide if integers == "int16" else tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(integers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of statistics that only quantized training has
        content: bytes = converter.convert()
    return content
