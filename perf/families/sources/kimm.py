"""The image models of kimm, the smallest of each family."""

from functools import partial
from typing import Any

from perf.families.sources.network import CLASSES, Network

__all__ = ["NETWORKS"]

SIZES = {
    "ConvMixer736D32": 96,
    "ConvNeXtAtto": 96,
    "DenseNet121": 96,
    "EfficientNetB0": 96,
    "EfficientNetLiteB0": 96,
    "EfficientNetV2B0": 96,
    "GhostNetV2W100": 96,
    "GhostNetV3W050": 96,
    "GhostNetW050": 96,
    "HGNetTiny": 96,
    "HGNetV2B0": 96,
    "InceptionNeXtTiny": 96,
    "InceptionV3": 96,
    "LCNet035": 96,
    "MobileNetV2W050": 96,
    "MobileNetV3W050Small": 96,
    "MobileOneS0": 96,
    "MobileViTV2W050": 128,
    "MobileViTXXS": 128,
    "RegNetX002": 96,
    "RegNetY002": 96,
    "RepVGGA0": 96,
    "ResNet18": 96,
    "TinyNetE": 96,
    "VGG11": 224,
    "VisionTransformerTiny16": 96,
    "Xception": 96,
}
"""Height and width of the images by network."""


def _build(name: str, size: int) -> Any:
    import kimm

    return getattr(kimm.models, name)(weights=None, classes=CLASSES, input_shape=(size, size, 3))


NETWORKS = {
    name: Network(partial(_build, name, size), size, options=("--import", "kimm")) for name, size in SIZES.items()
}
