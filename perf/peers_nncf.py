"""An ONNX file quantized by NNCF as its documentation says: post-training, int8, calibrated.

usage: python -m perf.peers_nncf SOURCE TARGET

Needs nncf, onnx and onnxruntime and nothing of ours, so that it may run in an environment of its own.
"""

import sys

import numpy as np


def main() -> None:
    """Calibrate on random images, as every file here is: the ranges decide answers, and no latency."""
    import nncf
    import onnx

    source, target = sys.argv[1:]
    model = onnx.load(source)
    image = model.graph.input[0]
    shape = [axis.dim_value or 1 for axis in image.type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    images = [{image.name: (rng.random(shape) * 255).astype(np.float32)} for _ in range(16)]
    onnx.save(nncf.quantize(model, nncf.Dataset(images), model_type=nncf.ModelType.TRANSFORMER), target)


if __name__ == "__main__":
    main()
