"""Networks by name, from one table of depths and widths.

ConvNeXt (Liu et al. 2022, arXiv:2201.03545) is built to train fast and export cleanly: the depthwise convolution is a
`DepthwiseConv2D` (Keras's own uses a grouped `Conv2D`, which runs several times slower on CPUs and breaks converters),
preprocessing is a layer, the classifier is float32 under every precision policy, and there is no lambda. Layer names
are the contract for `unfreeze` patterns: `stage_2_block_5_depthwise`, `stage_3_*`, `head_*`.
"""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers

from bctoolkit.documents.networks import BASELINE, CONVNEXT, LEAST_SIDE, ColourNormalization, Depths, require_network
from bctoolkit.errors import RecipeError
from bctoolkit.networks.layers import Gelu, LayerScale, StochasticDepth, white_balanced

__all__ = ["NETWORKS", "build"]


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

NETWORKS = (*CONVNEXT, BASELINE)


def build(
    name: str,
    classes: int,
    shape: tuple[int, int, int] = (96, 96, 3),
    *,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    layer_scale: float = 1e-6,
    policy: str = "float32",
    colours: ColourNormalization = "none",
) -> keras.Model:
    """Build a network with fresh weights.

    Args:
        name: one of `NETWORKS`.
        classes: number of outputs.
        shape: height, width, channels of the input; values are 0–255.
        dropout: share of features dropped before the classifier while training.
        drop_path: stochastic-depth rate of the last block; the others rise to it linearly.
        layer_scale: first value of LayerScale's factors.
        policy: Keras dtype policy of the layers between preprocessing and classifier.
        colours: what is done to an image's colours before all else; `white`: see `networks.layers.white_balanced`.

    Returns:
        A functional model: float input N×H×W×C, output N×classes float32 probabilities.

    Raises:
        RecipeError: no such network, or an input too small for it.
    """
    require_network(name)
    if min(shape[:2]) < LEAST_SIDE:
        raise RecipeError(
            f"{name} needs images of at least {LEAST_SIDE}×{LEAST_SIDE} pixels, got {shape[0]}×{shape[1]}"
        )
    inputs = keras.Input(shape, name="image")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        depths = CONVNEXT.get(name)
        image = white_balanced(inputs) if colours == "white" else inputs
        features = _convnext(image, depths, drop_path, layer_scale) if depths else _baseline(image)
        outputs = _classifier(features, classes, dropout)
    finally:
        keras.config.set_dtype_policy(before)
    return keras.Model(inputs, outputs, name=name)


def _classifier(features: Any, classes: int, dropout: float) -> Any:
    x = layers.Dropout(dropout, name="head_dropout")(features)
    x = layers.Dense(classes, dtype="float32", name="head_logits")(x)
    return layers.Activation("softmax", dtype="float32", name="head_probabilities")(x)


def _convnext(inputs: Any, depths: Depths, drop_path: float, layer_scale: float) -> Any:
    norm = partial(layers.LayerNormalization, epsilon=1e-6)
    scale = [1 / (255 * deviation) for deviation in IMAGENET_DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
    x = layers.Rescaling(scale, offset, dtype="float32", name="preprocess")(inputs)
    x = layers.Conv2D(depths.channels[0], 4, strides=4, name="stem_conv")(x)
    x = norm(name="stem_norm")(x)
    rates = iter(np.linspace(0.0, drop_path, sum(depths.blocks)).tolist())
    for stage, (blocks, channels) in enumerate(zip(*depths, strict=True)):
        if stage:
            x = norm(name=f"stage_{stage}_downsample_norm")(x)
            x = layers.Conv2D(channels, 2, strides=2, name=f"stage_{stage}_downsample_conv")(x)
        for block in range(blocks):
            x = _block(x, channels, f"stage_{stage}_block_{block}", next(rates), layer_scale)
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    return norm(name="head_norm")(x)


def _block(x: Any, channels: int, name: str, drop_path: float, layer_scale: float) -> Any:
    y = layers.DepthwiseConv2D(7, padding="same", name=f"{name}_depthwise")(x)
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(y)
    y = layers.Dense(4 * channels, name=f"{name}_expand")(y)
    y = Gelu(name=f"{name}_gelu")(y)
    y = layers.Dense(channels, name=f"{name}_project")(y)
    y = LayerScale(layer_scale, name=f"{name}_scale")(y)
    if drop_path:
        y = StochasticDepth(drop_path, name=f"{name}_drop_path")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _baseline(inputs: Any) -> Any:
    """Three convolutions with pooling and one hidden layer, as in the project this toolkit grew from."""
    x = layers.Rescaling(1 / 255, dtype="float32", name="preprocess")(inputs)
    for index, channels in enumerate((32, 64, 128)):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"conv_{index}")(x)
        x = layers.MaxPooling2D(name=f"pool_{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(128, activation="relu", name="hidden")(x)
