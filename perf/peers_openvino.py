"""An ONNX file on OpenVINO, for latency, in a given precision.

usage: python -m perf.peers_openvino FILE THREADS f32|bf16   runs it on a random image, as often as stdin asks for

Needs openvino and nothing of ours, so that it may run in an environment of its own.
"""

import sys

import numpy as np
import openvino

from perf.turns import answer


def main() -> None:
    """Open the file with a batch of one and run it when asked."""
    path, threads, precision = sys.argv[1:]
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape([1, *(size.get_length() for size in list(model.inputs[0].partial_shape)[1:])])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": int(threads),
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    image = (np.random.default_rng(0).random(tuple(model.inputs[0].shape)) * 255).astype(np.float32)
    answer(lambda: request.infer([image]), warm_up=20)


if __name__ == "__main__":
    main()
