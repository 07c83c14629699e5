"""Look at the tensors of an ONNX graph on real images."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bctoolkit.lazy import require

__all__ = ["float_tensors", "observe"]

BATCH = 8
"""Images at a time: all activations of one image of ConvNeXtSmall at 96 × 96 pixels are some 13 MB."""


def observe(
    model: onnx.ModelProto, names: Sequence[str], images: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """The values of the named tensors, some images at a time, in the order of the images.

    Requires: names of float32 tensors; images N × height × width × channels.
    """
    session = _session(model, names)
    for start in range(0, len(images), BATCH):
        yield dict(zip(names, _run(session, names, images[start : start + BATCH]), strict=True))


def float_tensors(model: onnx.ModelProto, images: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Every tensor of floats that the graph computes for images N × height × width × channels, as float32."""
    names = [name for node in model.graph.node for name in node.output if name]
    values = _run(_session(model, names), names, images)
    return [value.astype(np.float32) for value in values if value.dtype.kind == "f"]


def _session(model: onnx.ModelProto, names: Sequence[str]) -> Any:
    """A session of a copy of the model that returns the named tensors too."""
    runtime = require("onnxruntime", "onnx")
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    outputs = {output.name for output in model.graph.output}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run(session: Any, names: Sequence[str], images: NDArray[Any]) -> list[NDArray[Any]]:
    (image,) = session.get_inputs()
    dtype = np.uint8 if image.type == "tensor(uint8)" else np.float32
    values: list[NDArray[Any]] = session.run(list(names), {image.name: images.astype(dtype)})
    return values
