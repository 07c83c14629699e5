"""What an app sees of a TFLite graph: the image it takes, the probabilities it returns, and their names."""

from typing import Any

import numpy as np

from bctoolkit.export.tflite.graph import Graph, QuantParams

__all__ = ["INT16_SHARE", "UINT8_SHARE", "integer_output", "name_interface", "uint8_input"]

BYTE = QuantParams(1)
"""Pixels as they are."""

Share = tuple[type[np.integer[Any]], QuantParams]
"""The type and steps of probabilities."""

UINT8_SHARE: Share = (np.uint8, QuantParams(1 / 256))
INT16_SHARE: Share = (np.int16, QuantParams(1 / 32768))
"""Those of TFLite's softmax."""


def name_interface(graph: Graph) -> None:
    """Name input and output, for the graph's signature too."""
    graph.rename(graph.inputs[0], "image")
    graph.rename(graph.outputs[0], "probabilities")


def uint8_input(graph: Graph) -> None:
    """Take a uint8 image: a tensor whose quantized values are the pixels, which engines turn into what they need."""
    (image,) = graph.inputs
    graph.rename(image, "image/float")
    pixels = graph.add_tensor(graph.shape(image), np.uint8, "image", BYTE)
    graph.inputs = [pixels]
    floats = False
    for operator in graph.operators:
        if graph.kind(operator) == "QUANTIZE" and operator.inputs == [image]:
            operator.inputs = [pixels]
            graph.set_version(operator, 2)
        floats |= image in operator.inputs
    if floats:
        graph.operators.insert(0, graph.operator("DEQUANTIZE", [pixels], [image], version=2))


def integer_output(graph: Graph, share: Share) -> None:
    """Return the probabilities as integers of a type: those there are, or else new ones of the given steps."""
    dtype, params = share
    (source,) = graph.outputs
    graph.rename(source, "probabilities/float")
    if graph.kind(graph.operators[-1]) == "DEQUANTIZE" and graph.operators[-1].outputs == [source]:
        (source,) = graph.operators.pop().inputs
    if graph.dtype(source) == dtype:
        graph.rename(source, "probabilities")
    else:
        output = graph.add_tensor(graph.shape(source), dtype, "probabilities", params)
        graph.operators.append(graph.operator("QUANTIZE", [source], [output], version=2))
        source = output
    graph.outputs = [source]
