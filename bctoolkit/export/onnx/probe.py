"""Look at the activations of an ONNX graph on real images."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from bctoolkit.export.onnx.passes.base import rebuilt

__all__ = ["observe"]

BATCH = 8
"""Images at a time: all activations of one image of ConvNeXtSmall at 96 × 96 pixels are some 13 MB."""


def observe(
    model: onnx.ModelProto, names: Sequence[str], images: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """The values of the named tensors, some images at a time, in the order of the images.

    Requires: names of float32 tensors; images N × height × width × channels.
    """
    import onnxruntime

    probe = rebuilt(model, model.graph.node)
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    dtype = np.uint8 if given.type == "tensor(uint8)" else np.float32
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH].astype(dtype)
        yield dict(zip(names, session.run(list(names), {given.name: batch}), strict=True))
