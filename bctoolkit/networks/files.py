"""Open a saved network, or say in one line why not. Nobody's code is run that was not asked for by name."""

import contextlib
import math
import os
import shlex
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras.src.applications import convnext, inception_resnet_v2

from bctoolkit.errors import WeightsError
from bctoolkit.networks.code import Code, custom_objects, import_modules, lacking_name, lend_names
from bctoolkit.networks.graphless import with_graph
from bctoolkit.networks.keras2 import load_keras_2
from bctoolkit.networks.layers import has_graph, leaves
from bctoolkit.networks.saved import (
    Config,
    Saved,
    UnknownClass,
    damage,
    lost_code,
    python_code,
    read_saved,
    shown,
    unknown_classes,
)
from bctoolkit.networks.saved_model import FILE, load_saved_model
from bctoolkit.networks.stored import bounded_weights, require_own_weights
from bctoolkit.trust import NOTHING, LoadOptions

__all__ = ["load_model"]


class _Depthwise(keras.layers.DepthwiseConv2D):
    """Keras's layer, from the description that Keras 2 gives of it."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer; Keras 2 also wrote how many groups there are, which were never more than one."""
        if config.get("groups") == 1:
            config = {key: value for key, value in config.items() if key != "groups"}
        return keras.layers.DepthwiseConv2D.from_config(config)


PRIVATE = {
    "DepthwiseConv2D": _Depthwise,
    "CustomScaleLayer": inception_resnet_v2.CustomScaleLayer,
    "LayerScale": convnext.LayerScale,
    "StochasticDepth": convnext.StochasticDepth,
}
"""Layers that Keras itself does not find again in a `.h5` file: those of its own applications, and one of Keras 2's."""

MOST_ELEMENTS = 2**28
"""Of one tensor of one image: a gigabyte of float32."""

UNNAMED = "FILE.py"
"""What to import for a class of which the file names no module."""

KERAS_2 = (
    "ClassMethod", "CuDNNGRU", "CuDNNLSTM", "DenseFeatures", "InstanceMethod", "InstanceProperty",
    "LocallyConnected1D", "LocallyConnected2D", "Policy", "SlicingOpLambda", "SyncBatchNormalization",
    "TFOpLambda", "TensorFlowOpLayer", "ThresholdedReLU",
)  # fmt: skip
"""Classes that only Keras 2 has; its files name them without a module."""


def load_model(path: Path, options: LoadOptions = NOTHING) -> keras.Model:
    """Load a network from a `.keras` or `.h5` file of Keras 3 or 2, or from the folder of a SavedModel.

    Args:
        path: the file or folder.
        options: the code that may run for it: modules with the classes it names, the code inside it.

    Returns:
        A model with a graph. What has none, as a subclassed model or a SavedModel, is one operation of it.

    Raises:
        WeightsError: missing, damaged, not a network, or it needs code that `options` does not name; the message names
            the layer and the option.
        MissingExtra: only the Keras 2 of the extra `keras2` could load it.
    """
    if path.is_dir():
        return load_saved_model(path)
    if path.name == FILE:
        raise WeightsError(
            f"{path}: is a part of a SavedModel; give its folder: bctk export {shlex.quote(str(path.parent))}"
        )
    saved = read_saved(path)
    try:
        layer = None if options.trust_lambda else python_code(saved.config)
        modules = () if layer else import_modules(options.imports)
        unknown = list(unknown_classes(saved.config))
        objects = custom_objects(unknown, modules)
    except RecursionError:
        raise WeightsError(f"{path}: not a Keras model that can be loaded (nested too deeply)") from None
    if layer is not None:
        raise WeightsError(
            f"{path}: {layer} holds Python code, which runs only if you trust it: "
            f"bctk export {shlex.quote(str(path))} --trust-lambda"
        )
    elsewhere = {*objects, *PRIVATE, *(KERAS_2 if saved.is_keras_2 else ())}
    missing = [item for item in unknown if item.registered not in elsewhere]
    if any(item.module for item in missing):  # Keras imports the modules of some packages by itself
        raise WeightsError(f"{path}: {_advice(path, missing, options)}")
    if options.trust_lambda:
        lend_names(modules)
    model = with_graph(_load(path, saved, Code(objects, modules), missing, options), path)
    _require_sizes(model, path)
    if options.trust_lambda and has_graph(model):
        _require_names(model, path)
    return model


def _require_sizes(model: keras.Model, path: Path) -> None:
    """Refuse what would need any amount of memory for one image."""
    for layer in leaves(model):
        for node in layer._inbound_nodes:
            for tensor in node.output_tensors:
                size = math.prod(axis for axis in tensor.shape[1:] if axis)
                if size > MOST_ELEMENTS:
                    what = f"layer {layer.name!r} makes {'×'.join(map(str, tensor.shape[1:]))} numbers of an image"
                    raise WeightsError(f"{path}: {what}; wanted at most {MOST_ELEMENTS:,}")


def _require_names(model: keras.Model, path: Path) -> None:
    """Run the network's lambdas once, on no image: each came without the names of the module it was written in."""
    try:
        signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
        tf.function(lambda *images: model(list(images) if len(images) > 1 else images[0])).get_concrete_function(
            *signature
        )
    except NameError as problem:
        raise lacking_name(problem, path) or problem from problem


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200]


def _load(path: Path, saved: Saved, code: Code, missing: list[UnknownClass], options: LoadOptions) -> keras.Model:
    held = _own_weights(path)
    try:
        with (
            open(os.devnull, "w") as sink,
            contextlib.redirect_stdout(sink),
            bounded_weights(keras.layers.Layer, held, path),
        ):
            model = keras.models.load_model(
                path, custom_objects={**PRIVATE, **code.objects}, compile=False, safe_mode=not options.trust_lambda
            )
    except WeightsError:
        raise
    except Exception as problem:  # Keras raises many kinds here, all of them about the file
        if saved.is_keras_2 and not missing:
            return load_keras_2(path, saved, code, problem)
        raise WeightsError(f"{path}: {_reason(path, saved.config, missing, options, problem)}") from problem
    if saved.is_keras_2 and isinstance(model, keras.Sequential) and not has_graph(model):
        return load_keras_2(path, saved, code, ValueError("a layer of it fails"))
    if not isinstance(model, keras.Model):
        raise WeightsError(f"{path}: holds a {type(model).__name__}, not a model")
    return model


def _own_weights(path: Path) -> int:
    """Bytes of the file's weights, all of which lie in it."""
    broken = damage(path)
    if broken is not None:
        raise WeightsError(f"{path}: damaged, {broken} fails its checksum; copy the file again")
    return require_own_weights(path)


def _reason(path: Path, config: Config, missing: list[UnknownClass], options: LoadOptions, problem: Exception) -> str:
    if missing:
        return _advice(path, missing, options)
    layer = lost_code(config)
    if layer is not None:
        remedy = "make it a layer of its own, Lambda or another, and save again"
        return f"{layer} has a lambda as an argument, which Keras saves but never loads; {remedy}"
    return f"not a Keras model that can be loaded ({_line(problem)})"


def _advice(path: Path, missing: list[UnknownClass], options: LoadOptions) -> str:
    """What an unknown class is, and the command that runs the code of all that are missing."""
    first = missing[0]
    what = f"{first.layer} needs {shown(first.name)!r}{f' of module {shown(first.module)}' if first.module else ''}"
    if options.imports:
        return f"{what}, which {', '.join(options.imports)} does not define; --import its module or .py file too"
    modules = dict.fromkeys(_public(item.module) for item in missing)
    command = " ".join((f"bctk export {shlex.quote(str(path))}", *(f"--import {module}" for module in modules)))
    file = f", where {UNNAMED} defines it" if UNNAMED in modules else ""
    return f"{what}; if you trust that code, run it: {command}{file}"


def _public(module: str) -> str:
    """The module to import for a class: the public one around a private one, and a file where no module is named."""
    parts = module.split(".")
    if module == "__main__" or not all(part.isidentifier() for part in parts):
        return UNNAMED
    private = next((i for i, part in enumerate(parts) if i and (part.startswith("_") or part == "src")), len(parts))
    return ".".join(parts[:private])
