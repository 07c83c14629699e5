"""What an app sees of a TFLite graph: the image it takes, the probabilities it returns, and their names."""

import numpy as np

from bctoolkit.export.tflite.graph import Graph, QuantParams

__all__ = ["name_interface", "uint8_input", "uint8_output"]

BYTE = QuantParams(1)
"""Pixels as they are."""

SHARE = QuantParams(1 / 256)
"""Probabilities; the quantization parameters that TFLite's softmax has."""


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


def uint8_output(graph: Graph) -> None:
    """Return the probabilities as uint8, in 256ths."""
    (floats,) = graph.outputs
    graph.rename(floats, "probabilities/float")
    output = graph.add_tensor(graph.shape(floats), np.uint8, "probabilities", SHARE)
    last = graph.operators[-1]
    if graph.kind(last) == "DEQUANTIZE" and last.outputs == [floats]:
        graph.operators[-1] = graph.operator("QUANTIZE", last.inputs, [output], version=2)
    else:
        graph.operators.append(graph.operator("QUANTIZE", [floats], [output]))
    graph.outputs = [output]
