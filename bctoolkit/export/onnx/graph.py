"""An ONNX graph under construction: nodes, constants stored once, and values that remember their layout."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bctoolkit.errors import ExportError

__all__ = ["Form", "Graph", "Value", "to_channels_first", "to_channels_last"]

Form = Literal["Conv", "MatMul"]
"""The operator that a layer's matrix product over the pixels of an image is written as."""

OPSETS = range(18, onnx.defs.onnx_opset_version() + 1)
"""Since 18, ReduceMean, ReduceMax and Pad take their axes as an input, as they are written here."""


def to_channels_first(rank: int) -> tuple[int, ...]:
    """The order of axes that moves the last one behind the batch."""
    return (0, rank - 1, *range(1, rank - 1))


def to_channels_last(rank: int) -> tuple[int, ...]:
    """The order of axes that moves the one behind the batch to the end."""
    return (0, *range(2, rank), 1)


class Value:
    """A tensor of the graph in Keras's layout, with the names it has in channels-last and channels-first order.

    Convolutions of ONNX want channels first, everything else here is written channels last. A value that exists in one
    order is transposed at most once, and only if the other is read.
    """

    def __init__(
        self,
        shape: tuple[int | None, ...],
        last: str | None = None,
        first: str | None = None,
        dtype: str = "float32",
    ) -> None:
        self.shape = shape
        self.last = last
        self.first = first
        self.dtype = dtype


class Graph:
    """Collects nodes and constants and turns them into a model."""

    def __init__(self, name: str, opset: int | None, form: Form = "Conv") -> None:
        """Start an empty graph.

        Args:
            name: of the graph.
            opset: version of ONNX's operators; None for the oldest that has all that is written. Where a newer one
                changes nothing, engines may still be slower with it: ONNX Runtime averages without its fast kernels
                since 19.
            form: of the products over pixels.

        Raises:
            ExportError: the operators are not written for `opset`.
        """
        if opset is not None and opset not in OPSETS:
            last = OPSETS[-1]
            raise ExportError(
                f"opset {opset} is not one of {OPSETS[0]} to {last}: ReduceMean takes its axes as an input only since "
                f"{OPSETS[0]}, and ONNX {onnx.__version__} ends at {last}"
            )
        self.opset, self.form = opset or OPSETS[0], form
        self._is_opset_free = opset is None
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._count: dict[str, int] = {}
        self.scope = name

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node with one output and return that output's name, which carries the Keras layer's."""
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(self, operator: str, inputs: list[str], outputs: int, **attributes: Any) -> list[str]:
        """Append a node with several outputs and return their names."""
        name = self._name_for(operator)
        names = [name, *(f"{name}:{index}" for index in range(1, outputs))]
        self._nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return names

    def constant(self, array: NDArray[Any], role: str) -> str:
        """The name of a constant; equal arrays are stored once."""
        array = np.asarray(array, order="C")
        key = (str(array.dtype), array.shape, hashlib.sha256(array.data).digest())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, self._name_for(role))
        return str(self._constants[key].name)

    def integers(self, *numbers: int) -> str:
        """The name of a constant row of int64, such as axes or a shape."""
        return self.constant(np.array(numbers, np.int64), "integers")

    def scalar(self, number: float) -> str:
        """The name of a constant float32 number."""
        return self.constant(np.array(number, np.float32), "constant")

    def last(self, value: Value) -> str:
        """The channels-last name of a value, transposing it if it has none yet."""
        if value.last is None:
            assert value.first is not None
            value.last = self.add("Transpose", [value.first], perm=to_channels_last(len(value.shape)))
        return value.last

    def first(self, value: Value) -> str:
        """The channels-first name of a value of rank 3 or more, transposing it if it has none yet."""
        if value.first is None:
            assert value.last is not None
            value.first = self.add("Transpose", [value.last], perm=to_channels_first(len(value.shape)))
        return value.first

    def model(
        self, inputs: tuple[str, int, list[Any]], output: tuple[str, list[Any]], properties: Mapping[str, str]
    ) -> onnx.ModelProto:
        """The finished, checked model.

        Args:
            inputs: name, element type and shape of the input.
            output: name and shape of the float32 output.
            properties: what the file says about itself.
        """
        name, element, shape = inputs
        graph = helper.make_graph(
            [*self._nodes, helper.make_node("Identity", [output[0]], ["probabilities"], name="probabilities")],
            self._name,
            [helper.make_tensor_value_info(name, element, shape)],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, output[1])],
            list(self._constants.values()),
        )
        opset = helper.make_opsetid("", self.opset)
        oldest = helper.find_min_ir_version_for([opset])
        model = helper.make_model(graph, opset_imports=[opset], ir_version=oldest, producer_name="bctoolkit")
        helper.set_model_props(model, dict(properties))
        onnx.checker.check_model(model, full_check=True)
        return model

    def reaches(self, opset: int) -> bool:
        """Whether operators that are new in `opset` may be written; it becomes the graph's where none was given."""
        if self._is_opset_free:
            self.opset = max(self.opset, opset)
        return self.opset >= opset

    def _name_for(self, role: str) -> str:
        """A name that no node or constant has yet."""
        base = f"{self.scope}/{role}"
        number = self._count[base] = self._count.get(base, 0) + 1
        return base if number == 1 else f"{base}_{number}"
