"""A network that is no graph of Keras 3 layers, as one layer that calls it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.framework.op_def_pb2 import OpList
from tensorflow.python.client import pywrap_tf_session

from bctoolkit.errors import WeightsError

__all__ = ["Traced", "forbidden", "functional_of", "operators", "require_pure"]

STATEFUL = {
    "Assert", "AssignAddVariableOp", "AssignSubVariableOp", "AssignVariableOp", "Case", "CheckNumerics",
    "CheckNumericsV2", "CudnnRNN", "CudnnRNNV2", "CudnnRNNV3", "DisableCopyOnRead", "Empty", "GuaranteeConst",
    "If", "Multinomial", "ParameterizedTruncatedNormal", "RandomGamma", "RandomPoissonV2", "RandomShuffle",
    "RandomStandardNormal", "RandomUniform", "RandomUniformInt", "ReadVariableOp", "ResourceGather",
    "ResourceGatherNd", "RngReadAndSkip", "RngSkip", "StatefulPartitionedCall", "StatefulStandardNormalV2",
    "StatefulTruncatedNormal", "StatefulUniform", "StatefulUniformInt", "StatelessRandomGetAlg",
    "TruncatedNormal", "VarHandleOp", "VarIsInitializedOp", "VariableShape", "While", "_Arg", "_Retval",
}  # fmt: skip
"""Operations with a state that reach no further than the network's own variables and random numbers."""

OUTSIDE = re.compile(r"PyFunc|CustomCall|Dataset|Iterator|Reader|Queue")
"""Operations without a state that run Python or a library, or read what is not in the network."""


class Traced(keras.layers.Layer):
    """A network as one operation: images N × height × width × channels float32 → what it gives for them.

    Args:
        function: a TensorFlow function of one batch of any size. It holds its weights itself, in float32.
        held: what must live as long as the layer for the function to work, such as the object that owns its variables.
    """

    def __init__(self, function: Any, held: Any = None, **kwargs: Any) -> None:
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.function = _Untracked(function)
        self.held = _Untracked(held)

    def call(self, images: Any) -> Any:
        """Run the network at inference."""
        return self.function.value(images)

    def get_config(self) -> dict[str, Any]:
        """There is none: a traced network cannot be built anew, in another dtype for one.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"layer {self.name!r} is a traced TensorFlow function, which has no other form")


class _Untracked:
    """Holds what Keras and TensorFlow are not to look into."""

    def __init__(self, value: Any) -> None:
        self.value = value


def functional_of(layer: Any, shape: Iterable[int | None], name: str) -> keras.Model:
    """A functional model of one operation, and of one that does nothing for each of several named outputs.

    Args:
        layer: any layer or model of one input.
        shape: of an image, without the batch.
        name: of the model.
    """
    image = keras.Input(tuple(shape), name="image")
    outputs = layer(image)
    if isinstance(outputs, dict):  # what several outputs are called is what their layers are called
        outputs = {key: keras.layers.Identity(name=_plain(key))(value) for key, value in outputs.items()}
    return keras.Model(image, outputs, name=_plain(name))


def _plain(name: str) -> str:
    """A name in the letters that TensorFlow allows."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def forbidden(operators: Iterable[str]) -> str | None:
    """The first operator that could reach beyond the network: files, Python, other machines; None where none could.

    Allowed are operators that compute on numbers alone, and those that read and write the network's own variables.
    """
    known = _registered()
    for name in operators:
        definition = known.get(name)
        if name in STATEFUL:
            continue
        if definition is None or definition.is_stateful or OUTSIDE.search(name):
            return name
        if any(argument.type == tf.string.as_datatype_enum for argument in definition.input_arg):
            return name
    return None


def operators(graph: Any, functions: Iterable[str] | None = None) -> Iterator[str]:
    """Every operator that a graph, or some functions of its library, and all that they call, run.

    Args:
        graph: a GraphDef.
        functions: names in its library; by default what runs is the graph itself.
    """
    library = {function.signature.name: function.node_def for function in graph.library.function}
    names = frozenset(library)
    waiting = [graph.node] if functions is None else [library.pop(name) for name in functions if name in library]
    while waiting:
        for node in waiting.pop():
            called = [value.func.name for value in node.attr.values()]
            called += [function.name for value in node.attr.values() for function in value.list.func]
            waiting += [library.pop(name) for name in (node.op, *called) if name in library]
            if node.op not in names:
                yield node.op


def _registered() -> dict[str, Any]:
    """Every operator of this TensorFlow."""
    operators = OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {operator.name: operator for operator in operators.op}


def require_pure(operators: Iterable[str], name: str) -> None:
    """Refuse a graph that does more than compute.

    Raises:
        WeightsError: an operator reaches beyond the network.
    """
    operator = forbidden(operators)
    if operator is not None:
        raise WeightsError(
            f"{name}: its graph holds {operator}, which reaches beyond the network (files, text, Python or custom "
            "code) and is never run; save the network from its image input on"
        )
