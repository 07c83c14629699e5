"""What an ONNX file must not hold is seen wherever a graph may hold it."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bctoolkit.runtime.model_files.onnx_file import ports
from bctoolkit.runtime.model_files.ports import Port
from tests.support.bundles import STORED

FLOAT, OPSET = TensorProto.FLOAT, helper.make_opsetid("", 20)
INSIDE = numpy_helper.from_array(np.ones(3, np.float32), "inside")


def value(name: str, kind: int = FLOAT, shape: list[Any] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def external(name: str = "outside") -> onnx.TensorProto:
    """Three floats that are the first bytes of another file."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "secret"), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph(*nodes: onnx.NodeProto, tensors: tuple[onnx.TensorProto, ...] = (), name: str = "graph") -> onnx.GraphProto:
    return helper.make_graph([*nodes], name, [], [value("y", FLOAT, [3])], [*tensors])


def as_initializer() -> onnx.GraphProto:
    return graph(helper.make_node("Identity", ["outside"], ["y"]), tensors=(external(),))


def as_constant() -> onnx.GraphProto:
    return graph(helper.make_node("Constant", [], ["y"], value=external()))


def in_a_branch() -> onnx.GraphProto:
    condition = numpy_helper.from_array(np.array(True), "condition")
    node = helper.make_node("If", ["condition"], ["y"], then_branch=as_initializer(), else_branch=as_constant())
    return graph(node, tensors=(condition,))


def as_sparse() -> onnx.GraphProto:
    result = graph(helper.make_node("Identity", ["outside"], ["y"]))
    indices = numpy_helper.from_array(np.arange(3), "indices")
    result.sparse_initializer.append(helper.make_sparse_tensor(external(), indices, [3]))
    return result


def damaged(changes: list[tuple[int, bytes]]) -> bytes:
    content = bytearray((STORED / "model.onnx").read_bytes())
    for at, replacement in changes:
        content[at : at + 1] = replacement
    return bytes(content)


@pytest.mark.parametrize("build", [as_initializer, as_constant, in_a_branch, as_sparse])
def test_weights_in_another_file_are_refused_before_the_engine_reads_them(
    build: Callable[[], onnx.GraphProto],
) -> None:
    model = helper.make_model(build(), opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    with pytest.raises(ValueError, match="keeps weights in another file; save it as one file"):
        ports(model)


def test_weights_inside_are_fine() -> None:
    model = helper.make_model(graph(helper.make_node("Identity", ["inside"], ["y"]), tensors=(INSIDE,)))
    assert ports(model.SerializeToString()).outputs == (Port("float32", (3,)),)


def endless() -> onnx.GraphProto:
    """Goes round 2⁶² times."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Add", ["state", "state"], ["next"])],
        "body",
        [value("i", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("state", FLOAT, [3])],
        [value("still", TensorProto.BOOL, []), value("next", FLOAT, [3])],
    )
    most = numpy_helper.from_array(np.array(2**62), "most")
    return graph(helper.make_node("Loop", ["most", "", "inside"], ["y"], body=body), tensors=(INSIDE, most))


def with_a_function() -> onnx.ModelProto:
    twice = helper.make_function(
        "com.microsoft", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [OPSET]
    )
    node = helper.make_node("Twice", ["inside"], ["y"], domain="com.microsoft")
    return helper.make_model(graph(node, tensors=(INSIDE,)), functions=[twice], opset_imports=[OPSET])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (helper.make_model(endless(), opset_imports=[OPSET]), "operator Loop is a loop, which may never end"),
        (with_a_function(), "operators written as functions"),
        (
            helper.make_model(graph(helper.make_node("Magic", ["inside"], ["y"], domain="mine"), tensors=(INSIDE,))),
            "an operator of a library of its own",
        ),
        (
            helper.make_model(graph(helper.make_node("EPContext", [], ["y"], domain="com.microsoft"))),
            "operator EPContext is a reference to another file",
        ),
    ],
)
def test_what_may_never_end_or_comes_from_elsewhere_is_refused(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ports(model.SerializeToString())


def model_of(inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> bytes:
    return bytes(helper.make_model(helper.make_graph([], "graph", inputs, outputs, [INSIDE])).SerializeToString())


def test_inputs_and_outputs_are_read_as_they_stand_there() -> None:
    weights = value("inside", FLOAT, [3])
    found = ports(
        model_of([value("x", TensorProto.UINT8, ["N", 4, None, 3]), weights], [value("y"), value("z", FLOAT, [])])
    )
    assert found.inputs == (Port("uint8", (None, 4, None, 3)),)
    assert found.outputs == (Port("float32", None), Port("float32", ()))
    sequence = helper.make_tensor_sequence_value_info("s", FLOAT, None)
    text = value("t", TensorProto.STRING, [1])
    assert ports(model_of([], [sequence, text])).outputs == (Port("a sequence", None), Port("string", (1,)))


def test_a_graph_that_stands_there_twice_is_refused() -> None:
    model = model_of([value("x")], [value("y")])
    with pytest.raises(ValueError, match="stands there 2 times"):
        ports(model + model)


def test_graphs_without_end_are_refused() -> None:
    content = b""
    for number in (6, 5, 1) * 40:  # a graph in an attribute in a node in a graph
        size = len(content)
        content = bytes([number << 3 | 2, size & 0x7F | 0x80, size >> 7]) + content
    size = len(content)
    with pytest.raises(ValueError, match="nested too deep"):
        ports(bytes([7 << 3 | 2, size & 0x7F | 0x80, size >> 7]) + content)


@given(st.one_of(st.binary(max_size=64), st.lists(st.tuples(st.integers(0, 303), st.binary(max_size=2))).map(damaged)))
def test_whatever_the_bytes_are_they_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        ports(content)
