"""The networks of `keras.applications`, 96×96."""

from functools import partial
from typing import Any

from perf.families.sources.network import CLASSES, Network

__all__ = ["NETWORKS"]

SIZE = 96

FAMILIES = (
    ("MobileNet",),
    ("MobileNetV2",),
    ("MobileNetV3Small", "MobileNetV3Large"),
    ("NASNetMobile", "NASNetLarge"),
    tuple(f"EfficientNetB{i}" for i in range(8)),
    tuple(f"EfficientNetV2{kind}" for kind in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    ("DenseNet121", "DenseNet169", "DenseNet201"),
    ("ResNet50", "ResNet101", "ResNet152"),
    ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    ("Xception",),
    ("InceptionV3",),
    ("InceptionResNetV2",),
    ("VGG16", "VGG19"),
    ("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"),
)
"""Sizes of each family, the smallest first."""


def _build(name: str) -> Any:
    import keras

    return getattr(keras.applications, name)(weights=None, classes=CLASSES, input_shape=(SIZE, SIZE, 3))


NETWORKS = {
    name: Network(partial(_build, name), SIZE, smallest=name == members[0]) for members in FAMILIES for name in members
}
