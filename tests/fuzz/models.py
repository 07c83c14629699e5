"""How model files are damaged: in their bytes, and in their tables as their own packages write them."""

import contextlib
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from tests.fuzz.mutations import damaged_bytes, damaged_header

__all__ = ["damaged_onnx", "damaged_tflite"]

SIZES = (-1, 0, 1, 2, 3, 7, 64, 10**4, 2**31 - 1)
OPERATORS = (
    "Loop",
    "If",
    "Scan",
    "Identity",
    "Reshape",
    "Gather",
    "MatMul",
    "Softmax",
    "ConstantOfShape",
    "Range",
    "Tile",
    "Nope",
)


def damaged_onnx(rng: np.random.Generator, content: bytes) -> bytes:
    """An ONNX file with something else in its graph, or damaged as bytes."""
    if rng.integers(0, 3) == 0:
        return damaged_bytes(rng, content)
    model = onnx.load_model_from_string(content)
    for change in rng.integers(0, len(ONNX), int(rng.integers(1, 4))):
        with contextlib.suppress(IndexError):  # an earlier change has left nothing there to damage
            ONNX[change](rng, model)
    return bytes(model.SerializeToString())


def damaged_tflite(rng: np.random.Generator, content: bytes) -> bytes:
    """A TFLite file with something else in its tables, or damaged as bytes."""
    kind = int(rng.integers(0, 5))
    if kind == 0:
        return damaged_bytes(rng, content)
    if kind == 1:
        return damaged_header(rng, content, 2_000)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    for change in rng.integers(0, len(TFLITE), int(rng.integers(1, 4))):
        with contextlib.suppress(IndexError):
            TFLITE[change](rng, model)
    builder = flatbuffers.Builder(2**12)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _one(rng: np.random.Generator, items: Any) -> Any:
    return items[int(rng.integers(0, len(items)))]


def _port(rng: np.random.Generator, model: Any) -> Any:
    return _one(rng, [*model.graph.input, *model.graph.output])


def _set_type(rng: np.random.Generator, model: Any) -> None:
    kind = int(_one(rng, [*range(0, 24), 99]))
    _port(rng, model).type.tensor_type.elem_type = kind


def _set_shape(rng: np.random.Generator, model: Any) -> None:
    port = _port(rng, model)
    shape = [int(_one(rng, SIZES)) for _ in range(int(rng.integers(0, 6)))]
    port.CopyFrom(helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type or 1, shape))


def _set_container(rng: np.random.Generator, model: Any) -> None:
    port = _port(rng, model)
    inner = helper.make_tensor_type_proto(1, None)
    kinds = [
        helper.make_sequence_type_proto(inner),
        helper.make_optional_type_proto(inner),
        helper.make_map_type_proto(7, inner),
    ]
    port.type.CopyFrom(_one(rng, kinds))


def _set_operator(rng: np.random.Generator, model: Any) -> None:
    node = _one(rng, model.graph.node)
    node.op_type = _one(rng, OPERATORS)
    node.domain = str(_one(rng, ["", "", "com.microsoft", "mine"]))


def _rewire(rng: np.random.Generator, model: Any) -> None:
    """Another input or output; circles may come of it."""
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    node = _one(rng, model.graph.node)
    if node.input:
        node.input[int(rng.integers(0, len(node.input)))] = _one(rng, names)
    if rng.integers(0, 2):
        node.output[0] = _one(rng, names)


def _set_weights(rng: np.random.Generator, model: Any) -> None:
    tensor = _one(rng, model.graph.initializer)
    kind = int(rng.integers(0, 5))
    if kind == 0:
        tensor.dims.append(int(_one(rng, SIZES)))
    elif kind == 1:
        tensor.data_type = int(rng.integers(0, 24))
    elif kind == 2:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(0, 8))]
    elif kind == 3:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../outside/secret")
    else:
        tensor.CopyFrom(numpy_helper.from_array(np.full([3, 3], np.nan, np.float32), tensor.name))


def _set_attribute(rng: np.random.Generator, model: Any) -> None:
    node = _one(rng, model.graph.node)
    name = str(_one(rng, [*(attribute.name for attribute in node.attribute), "axis", "to"]))
    value = _one(rng, [-1, 2**62, 1e30, [1, 2**31], [], "x", helper.make_tensor("t", 1, [1], [1.0]), model.graph])
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    try:
        node.attribute.append(helper.make_attribute(name, value))
    except ValueError:  # an empty list has no type
        return


def _loop(rng: np.random.Generator, model: Any) -> None:
    """A loop of 2⁶² rounds beside the graph."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, [])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(2**62), "rounds"))
    model.graph.node.append(helper.make_node("Loop", ["rounds", ""], [], body=body))


def _heavy(rng: np.random.Generator, model: Any) -> None:
    """Large products of what goes in, before the output."""
    graph, count, size = model.graph, int(_one(rng, [1, 400])), int(_one(rng, [64, 3_000, 200_000]))
    graph.initializer.append(numpy_helper.from_array(np.array([size, size]), "many"))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "nought"))
    last = graph.node[-1]
    nodes = [
        helper.make_node("Cast", [graph.input[0].name], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["floats"], ["peak"], keepdims=0),
        helper.make_node("Expand", ["peak", "many"], ["p0"]),
        *(helper.make_node("MatMul", [f"p{i}", f"p{i}"], [f"p{i + 1}"]) for i in range(count)),
        helper.make_node("ReduceMax", [f"p{count}"], ["most"], keepdims=0),
        helper.make_node("Clip", ["most", "nought", "nought"], ["nothing"]),
        helper.make_node("Add", ["behind", "nothing"], list(last.output)),
    ]
    last.output[0] = "behind"
    graph.node.extend(nodes)


def _twice(rng: np.random.Generator, model: Any) -> None:
    for items in (model.graph.output, model.graph.node, model.graph.input):
        if rng.integers(0, 2):
            items.append(_one(rng, items))


ONNX = (
    _set_type,
    _set_shape,
    _set_container,
    _set_operator,
    _rewire,
    _set_weights,
    _set_attribute,
    _loop,
    _heavy,
    _twice,
)


def _tensor(rng: np.random.Generator, model: Any) -> Any:
    graph = model.subgraphs[0]
    ports = [graph.tensors[i] for i in (*graph.inputs, *graph.outputs) if 0 <= i < len(graph.tensors)]
    return _one(rng, [*ports, *ports, *graph.tensors])


def _set_tensor_type(rng: np.random.Generator, model: Any) -> None:
    _tensor(rng, model).type = int(_one(rng, [*range(0, 23), 99]))


def _set_tensor_shape(rng: np.random.Generator, model: Any) -> None:
    tensor = _tensor(rng, model)
    shape = np.array([int(_one(rng, SIZES)) for _ in range(int(rng.integers(0, 6)))], np.int32)
    if rng.integers(0, 2):
        tensor.shape = shape
    else:
        tensor.shapeSignature = shape


def _set_buffer(rng: np.random.Generator, model: Any) -> None:
    kind = int(rng.integers(0, 3))
    buffer = _one(rng, model.buffers)
    if kind == 0:
        _tensor(rng, model).buffer = int(_one(rng, [0, 1, len(model.buffers), 2**31 - 1]))
    elif kind == 1 and buffer.data is not None:
        buffer.data = buffer.data[: int(rng.integers(0, 1 + len(buffer.data)))]
    else:
        buffer.offset, buffer.size = int(_one(rng, [1, 100, 2**40])), int(_one(rng, [1, 10**9, 2**63]))


def _set_code(rng: np.random.Generator, model: Any) -> None:
    code = _one(rng, model.operatorCodes)
    code.builtinCode = int(rng.integers(0, 215))
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = int(_one(rng, [0, 1, 2, 100]))
    if rng.integers(0, 6) == 0:
        code.customCode = b"FlexErf"


def _set_arguments(rng: np.random.Generator, model: Any) -> None:
    graph = model.subgraphs[0]
    operator = _one(rng, graph.operators)
    index = int(
        _one(
            rng,
            [-1, 0, len(graph.tensors) - 1, len(graph.tensors), 2**31 - 1, int(rng.integers(0, len(graph.tensors)))],
        )
    )
    kind = int(rng.integers(0, 5))
    operator.inputs, operator.outputs = (np.array(each, np.int32) for each in (operator.inputs, operator.outputs))
    if kind == 0 and len(operator.inputs):
        operator.inputs[int(rng.integers(0, len(operator.inputs)))] = index
    elif kind == 1 and len(operator.outputs):
        operator.outputs[int(rng.integers(0, len(operator.outputs)))] = index
    elif kind == 2:
        operator.inputs = operator.inputs[: int(rng.integers(0, 1 + len(operator.inputs)))]
    elif kind == 3:
        graph.outputs = np.array([index], np.int32)
    else:
        operator.opcodeIndex = int(_one(rng, [0, 1, len(model.operatorCodes), 2**31 - 1]))


def _set_options(rng: np.random.Generator, model: Any) -> None:
    """The options of another operator, none, or other numbers in them."""
    operators = model.subgraphs[0].operators
    operator, other = _one(rng, operators), _one(rng, operators)
    kind = int(rng.integers(0, 3))
    if kind == 0:
        operator.builtinOptionsType, operator.builtinOptions = other.builtinOptionsType, other.builtinOptions
    elif kind == 1:
        operator.builtinOptionsType, operator.builtinOptions = 0, None
    elif operator.builtinOptions is not None:
        numbers = [name for name, value in vars(operator.builtinOptions).items() if type(value) is int]
        if numbers:
            setattr(operator.builtinOptions, _one(rng, numbers), int(_one(rng, [0, 1, 2, 3, 7, 100])))


def _set_quantization(rng: np.random.Generator, model: Any) -> None:
    quantization = schema.QuantizationParametersT()
    count = int(_one(rng, [0, 1, 2, 1_000]))
    quantization.scale = np.full(count, float(_one(rng, [0.0, 1.0, -1.0, np.nan, np.inf])), np.float32)
    quantization.zeroPoint = np.full(int(_one(rng, [count, 0, 1])), int(_one(rng, [0, -128, 2**40])), np.int64)
    quantization.quantizedDimension = int(_one(rng, [0, 3, 100, -1]))
    _tensor(rng, model).quantization = quantization


def _set_graphs(rng: np.random.Generator, model: Any) -> None:
    model.subgraphs = [model.subgraphs[0]] * int(_one(rng, [0, 2])) if rng.integers(0, 3) == 0 else model.subgraphs


TFLITE = (
    _set_tensor_type, _set_tensor_shape, _set_buffer, _set_code, _set_arguments, _set_options, _set_quantization,
    _set_graphs,
)  # fmt: skip
