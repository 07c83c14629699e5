"""ONNX peers on ONNX Runtime with its default options: PyTorch's file, quantized as the documentation says, and floors.

usage: python -m perf.peers_onnx FILE THREADS   runs a file on random inputs, as often as a line on stdin asks for

A floor is the matrix products of ConvNeXtSmall alone, at its shapes: no engine that multiplies through the same library
can be faster with the rest around them. Needs nothing of ours.
"""

import sys
from pathlib import Path

import numpy as np

from perf.turns import answer

SHAPES = ((3, 96, 24), (3, 192, 12), (27, 384, 6), (3, 768, 3))
"""Blocks, channels and pixels to a side of each stage for images of 96 × 96 pixels."""


def quantize(source: Path, target: Path) -> None:
    """ONNX Runtime's own dynamic quantization of the products, per channel."""
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)  # it advises a step that changes nothing here
    kinds = ["MatMul", "Gemm"]
    quantize_dynamic(source, target, op_types_to_quantize=kinds, per_channel=True, weight_type=QuantType.QInt8)


def write_floor(path: Path, dtype: str) -> None:
    """The products alone: float32, or int8 weights and activations that are uint8 already."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    floating = dtype == "float32"
    operator, given, made = ("MatMul", "FLOAT", "FLOAT") if floating else ("MatMulInteger", "UINT8", "INT32")
    nodes, weights, inputs, outputs = [], [], {}, []
    for stage, (blocks, channels, side) in enumerate(SHAPES):
        for block in range(blocks):
            for rows, columns in ((channels, 4 * channels), (4 * channels, channels)):
                name, x = f"{stage}_{block}_{rows}", f"x{stage}_{rows}"
                matrix = rng.standard_normal((rows, columns)) if floating else rng.integers(-127, 128, (rows, columns))
                weights.append(numpy_helper.from_array(matrix.astype(dtype), f"w{name}"))
                nodes.append(helper.make_node(operator, [x, f"w{name}"], [f"y{name}"]))
                inputs[x] = helper.make_tensor_value_info(x, getattr(TensorProto, given), (side**2, rows))
                outputs.append(helper.make_tensor_value_info(f"y{name}", getattr(TensorProto, made), None))
    graph = helper.make_graph(nodes, "floor", list(inputs.values()), outputs, weights)
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)


def main() -> None:
    """Open the file and run it when asked."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(sys.argv[2])
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    dtypes = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
    feeds = {item.name: (rng.random(item.shape) * 255).astype(dtypes[item.type]) for item in session.get_inputs()}
    answer(lambda: session.run(None, feeds), warm_up=20)


if __name__ == "__main__":
    main()
