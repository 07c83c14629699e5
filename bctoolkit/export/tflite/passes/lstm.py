"""LSTM layers as operators that remember nothing.

TensorFlow's converter writes a Keras LSTM that is not unrolled as one operator. Its states are variables of the engine
that keep their values from one image to the next, and its cells are clipped at ±10, as Keras's are not. The equations
are those of Hochreiter and Schmidhuber (1997, doi:10.1162/neco.1997.9.8.1735) with the forget gate of Gers et al.
(2000, doi:10.1162/089976600300015015).
"""

import numpy as np

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.tflite.graph import Graph, Operator

__all__ = ["expand_lstm"]

KIND = "UNIDIRECTIONAL_SEQUENCE_LSTM"

WEIGHTS, RECURRENT, BIASES = slice(1, 5), slice(5, 9), slice(12, 16)
"""Its inputs for input, forget, cell and output gate."""

FURTHER = (9, 10, 11, 16, 17, 20, 21, 22, 23)
"""Its inputs that no Keras layer has: peepholes, projection, normalization."""

TANH = 4
"""The schema's code of an activation."""


def expand_lstm(graph: Graph) -> None:
    """Write each LSTM as its steps, one after the other, beginning with zeros for every image.

    Ensures: what the operator gives for the first image, up to float32 rounding, for any image; without its clipping.

    Raises:
        UnsupportedOp: an LSTM has more than its gates.
    """
    operators: list[Operator] = []
    for operator in graph.operators:
        operators += _Steps(graph, operator).operators if graph.kind(operator) == KIND else [operator]
    graph.operators = operators


class _Steps:
    """The operators that replace one LSTM of a single sequence."""

    def __init__(self, graph: Graph, lstm: Operator) -> None:
        self._graph = graph
        self._name = graph.name(lstm.outputs[0])
        self.operators: list[Operator] = []
        self._require_plain(lstm)
        source, target = lstm.inputs[0], lstm.outputs[0]
        weights, recurrent, bias = (self._joined(lstm.inputs[gates]) for gates in (WEIGHTS, RECURRENT, BIASES))
        length, self._size = max(graph.shape(source)[:2]), graph.shape(recurrent)[1]
        rows = self._reshaped(source, (length, graph.shape(source)[2]))
        gates = self._add("FULLY_CONNECTED", [rows, weights, bias], (length, 4 * self._size))
        hidden = self._run(self._split(gates, 0, length), recurrent)
        together = hidden[0] if length == 1 else self._add("CONCATENATION", hidden, (length, self._size))
        self._reshaped(together, graph.shape(target), target)

    def _require_plain(self, lstm: Operator) -> None:
        more = any(index < len(lstm.inputs) and lstm.inputs[index] >= 0 for index in FURTHER)
        if more or lstm.builtinOptions.fusedActivationFunction != TANH:
            raise UnsupportedOp(f"{self._name} is an LSTM with more than gates, which has no form without a state")

    def _run(self, parts: list[int], recurrent: int) -> list[int]:
        """The hidden state after each step, from what the sequence adds to the gates in each."""
        hidden, cell = self._step(parts[0], None)
        states = [hidden]
        for part in parts[1:]:
            own = self._add("FULLY_CONNECTED", [hidden, recurrent, -1], (1, 4 * self._size))
            hidden, cell = self._step(self._add("ADD", [part, own], (1, 4 * self._size)), cell)
            states.append(hidden)
        return states

    def _step(self, gates: int, cell: int | None) -> tuple[int, int]:
        """The hidden and the cell state after a step; before the first both are zero."""
        into, forget, new, out = self._split(gates, 1, 4)
        state = self._gated(into, self._like("TANH", new))
        if cell is not None:
            state = self._like("ADD", self._gated(forget, cell), state)
        return self._gated(out, self._like("TANH", state)), state

    def _gated(self, gate: int, value: int) -> int:
        return self._like("MUL", self._like("LOGISTIC", gate), value)

    def _like(self, kind: str, *inputs: int) -> int:
        return self._add(kind, list(inputs), (1, self._size))

    def _joined(self, gates: list[int]) -> int:
        """The constants of the four gates as one."""
        parts = [self._graph.constant(tensor) for tensor in gates]
        return self._graph.add_constant(np.concatenate([p for p in parts if p is not None]), self._graph.name(gates[0]))

    def _split(self, source: int, axis: int, count: int) -> list[int]:
        shape = list(self._graph.shape(source))
        shape[axis] //= count
        outputs = [self._tensor(tuple(shape)) for _ in range(count)]
        constant = self._graph.add_constant(np.array(axis, np.int32), "axis")
        self.operators.append(self._graph.operator("SPLIT", [constant, source], outputs, numSplits=count))
        return outputs

    def _reshaped(self, source: int, shape: tuple[int, ...], target: int | None = None) -> int:
        constant = self._graph.add_constant(np.array(shape, np.int32), "shape")
        return self._add("RESHAPE", [source, constant], shape, target)

    def _add(self, kind: str, inputs: list[int], shape: tuple[int, ...], target: int | None = None) -> int:
        output = self._tensor(shape) if target is None else target
        self.operators.append(self._graph.operator(kind, inputs, [output]))
        return output

    def _tensor(self, shape: tuple[int, ...]) -> int:
        return self._graph.add_tensor(shape, np.float32, f"{self._name}/step")
