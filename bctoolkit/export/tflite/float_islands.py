"""Where a TFLite graph still computes in floats, which a fully integer accelerator cannot."""

from dataclasses import dataclass

import numpy as np

from bctoolkit.export.tflite.graph import Graph

__all__ = ["Island", "describe", "float_islands"]

BRIDGES = ("QUANTIZE", "DEQUANTIZE")
"""Operators between floats and integers, which lie on no island."""


@dataclass(frozen=True)
class Island:
    """Operators that pass floats to each other, with integers all around."""

    layer: str
    """The first part of the name of what it computes: the layer's name in a file of ours."""
    operators: tuple[str, ...]
    """Their names in the TFLite schema, in the order they run."""


def float_islands(graph: Graph) -> tuple[Island, ...]:
    """The islands of float operators of a graph, in the order they run; none if it is integer throughout."""
    of_tensor: dict[int, int] = {}
    islands: dict[int, list[int]] = {}
    for index, operator in enumerate(graph.operators):
        tensors = [t for t in (*operator.inputs, *operator.outputs) if t >= 0 and graph.constant(t) is None]
        floats = [t for t in tensors if graph.dtype(t) == np.float32]
        if not floats or graph.kind(operator) in BRIDGES:
            continue
        joined = {of_tensor[tensor] for tensor in floats if tensor in of_tensor}
        members = sorted({index, *(member for key in joined for member in islands.pop(key))})
        islands[members[0]] = members
        for member in members:
            of_tensor |= dict.fromkeys((*graph.operators[member].inputs, *graph.operators[member].outputs), members[0])
    return tuple(
        Island(
            graph.name(graph.operators[members[0]].outputs[0]).split("/")[0],
            tuple(graph.kind(graph.operators[member]) for member in members),
        )
        for _, members in sorted(islands.items())
    )


def describe(islands: tuple[Island, ...]) -> str:
    """The islands in one line."""
    if not islands:
        return "integers throughout"
    kinds = sorted({kind for island in islands for kind in island.operators})
    names = ", ".join(island.layer for island in islands[:3]) + (", …" if len(islands) > 3 else "")
    count = f"{len(islands)} float island{'s' if len(islands) > 1 else ''}"
    return f"{count} between the integers, at {names}: {', '.join(kinds)}"
