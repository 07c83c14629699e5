"""Small bundles of any contract: a network that looks at mean colours, as ONNX."""

from pathlib import Path

import numpy as np
from onnx import parser

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle, BundleContent, Golden
from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS
from bctoolkit.manifest import Source
from bctoolkit.statistics.metrics import Parity

__all__ = ["LABELS", "mean_colour_bundle"]

LABELS = ("dark", "bright")


def mean_colour_bundle(target: Path, contract: InputContract) -> Bundle:
    """A bundle whose model answers by the mean of all values, to images of the contract."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (4, *contract.shape)) * rng.uniform(0.2, 1, (4, 1, 1, 1))).astype(np.uint8)
    means = images.reshape(len(images), -1).mean(1, dtype=np.float64)
    logits = np.stack([-means / 64, means / 64], 1) + np.array([4.0, 0.0])
    weights = np.exp(logits)
    probabilities = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    content = BundleContent(
        format="onnx",
        quantization="fp32",
        model=_model(contract),
        input=contract,
        labels=LABELS,
        golden=Golden(images, probabilities, probabilities.argmax(1), "synthetic"),
        reference=None,
        source=Source("means", "0" * 64),
        tools={FORMATS["onnx"].engines["onnxruntime"].package: "1.32.0"},
        parity=Parity(len(images), 1.0, 1e-7, 1e-8),
        created="2026-01-02T03:04:05+00:00",
    )
    return bundles.write(target, content)


def _model(contract: InputContract) -> bytes:
    kind = "uint8" if contract.dtype == "uint8" else "float"
    model = parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["": 17]>
        means ({kind}[N,{contract.height},{contract.width},{contract.channels}] images) => (float[N,2] probabilities)
        <float[1,2] w = {{-0.015625, 0.015625}}, float[2] b = {{4.0, 0.0}}>
        {{
            x = Cast <to: int = 1> (images)
            m = ReduceMean <axes: ints = [1, 2, 3], keepdims: int = 0> (x)
            column = Unsqueeze (m, axis)
            product = MatMul (column, w)
            logits = Add (product, b)
            probabilities = Softmax <axis: int = -1> (logits)
        }}
    """.replace("float[2] b = {4.0, 0.0}>", "float[2] b = {4.0, 0.0}, int64[1] axis = {1}>")
    )
    return bytes(model.SerializeToString())
