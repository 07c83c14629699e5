"""Weights in other files are seen wherever a graph may hold them."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bctoolkit.errors import BackendError
from bctoolkit.runtime.on_onnxruntime import open_model
from bctoolkit.runtime.onnx_file import has_external_data

FLOAT = TensorProto.FLOAT
INSIDE = numpy_helper.from_array(np.ones(3, np.float32), "inside")


def external(name: str = "outside") -> onnx.TensorProto:
    """Three floats that are the first bytes of another file."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "secret"), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph(*nodes: onnx.NodeProto, tensors: tuple[onnx.TensorProto, ...] = (), name: str = "graph") -> onnx.GraphProto:
    y = helper.make_tensor_value_info("y", FLOAT, [3])
    return helper.make_graph([*nodes], name, [], [y], [*tensors])


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


@pytest.mark.parametrize("build", [as_initializer, as_constant, in_a_branch, as_sparse])
def test_weights_in_another_file_are_refused_before_the_engine_reads_them(
    build: Callable[[], onnx.GraphProto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"password1234")
    monkeypatch.chdir(tmp_path)
    model = helper.make_model(build(), opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    assert has_external_data(model)
    with pytest.raises(BackendError, match="keeps weights in another file; save it again as one file"):
        open_model(model, "cpu", 1)


def test_weights_inside_are_fine() -> None:
    model = helper.make_model(graph(helper.make_node("Identity", ["inside"], ["y"]), tensors=(INSIDE,)))
    assert not has_external_data(model.SerializeToString())


def test_graphs_without_end_are_refused() -> None:
    content = b""
    for number in (6, 5, 1) * 40:  # a graph in an attribute in a node in a graph
        size = len(content)
        content = bytes([number << 3 | 2, size & 0x7F | 0x80, size >> 7]) + content
    size = len(content)
    with pytest.raises(ValueError, match="nested too deep"):
        has_external_data(bytes([7 << 3 | 2, size & 0x7F | 0x80, size >> 7]) + content)


@given(st.binary(max_size=64))
def test_whatever_the_bytes_are_the_answer_is_yes_no_or_unreadable(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert has_external_data(content) in (True, False)
