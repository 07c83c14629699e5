"""Open a saved Keras model safely, or say in one line why not."""

import contextlib
import os
from pathlib import Path
from typing import Any

import keras
from keras.src.applications import convnext, inception_resnet_v2

from bctoolkit.errors import WeightsError
from bctoolkit.networks.saved import damage, python_code, read_config, unknown_class
from bctoolkit.trust import NOTHING, LoadOptions

__all__ = ["LoadOptions", "load_model"]

PRIVATE = {
    "CustomScaleLayer": inception_resnet_v2.CustomScaleLayer,
    "LayerScale": convnext.LayerScale,
    "StochasticDepth": convnext.StochasticDepth,
}
"""Layers of Keras's own applications that Keras itself does not find again in a `.h5` file."""


def load_model(path: Path, options: LoadOptions = NOTHING) -> keras.Model:
    """Load a `.keras` or `.h5` model without running any code stored in it.

    Raises:
        WeightsError: missing, damaged, not a Keras model, of a class that is not registered, or it holds Python code (a
            lambda), which safe loading refuses; the message names the layer.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    config = read_config(path)
    layer = python_code(config)
    if layer is not None:
        raise WeightsError(
            f"{path}: {layer} holds a Python lambda, which is never run from a file; where the network is built put a "
            "layer in its place (keras.layers.Rescaling, a registered class), copy the weights and save again"
        )
    try:
        with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
            model = keras.models.load_model(path, custom_objects=PRIVATE, compile=False, safe_mode=True)
    except Exception as problem:  # Keras raises many kinds here, all of them about the file
        raise WeightsError(f"{path}: {_reason(path, config, problem)}") from None
    if not isinstance(model, keras.Model):
        raise WeightsError(f"{path}: holds a {type(model).__name__}, not a model")
    return model


def _reason(path: Path, config: Any, problem: Exception) -> str:
    broken = damage(path)
    if broken is not None:
        return f"damaged, {broken} fails its checksum; copy the file again"
    unknown = unknown_class(config)
    if unknown is None:
        return f"not a Keras model that can be loaded ({' '.join(str(problem).split())[:200]})"
    layer, name, module, registered = unknown
    what = f"{layer} needs {name!r}{f' of module {module}' if module else ''}"
    if registered:
        start = f"import {module or 'MODULE'}; from bctoolkit.cli import main; main()"
        return f"{what}; import the module that registers it first: python -c '{start}' export {path}"
    return f"{what}, which is not registered; decorate it with @keras.saving.register_keras_serializable(), save again"
