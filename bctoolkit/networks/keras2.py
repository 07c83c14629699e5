"""Open what Keras 2 saved and Keras 3 does not load, with the Keras 2 that lives on as `tf-keras`."""

import contextlib
import importlib
import importlib.util
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from bctoolkit.errors import MissingExtra, WeightsError
from bctoolkit.networks.code import CUSTOMARY, Code, lacking_name, lend_names
from bctoolkit.networks.saved import Saved, class_name, is_keras, nodes, shown
from bctoolkit.networks.stored import bounded_weights, require_own_weights
from bctoolkit.networks.traced import Traced, functional_of, operators, require_pure

__all__ = ["load_keras_2"]

OPERATIONS = ("TFOpLambda", "SlicingOpLambda")
"""Layers that call a function of TensorFlow by its name."""

NAMESPACES = ("__operators__", "bitwise", "dtypes", "image", "linalg", "math", "nn", "signal")
"""Parts of TensorFlow whose functions compute."""

FUNCTIONS = (
    "argsort", "boolean_mask", "broadcast_to", "cast", "clip_by_value", "concat", "convert_to_tensor",
    "expand_dims", "eye", "fill", "gather", "gather_nd", "identity", "meshgrid", "one_hot", "ones", "ones_like",
    "pad", "range", "rank", "repeat", "reshape", "reverse", "roll", "searchsorted", "sequence_mask", "shape",
    "size", "slice", "sort", "split", "squeeze", "stack", "stop_gradient", "strided_slice",
    "tensor_scatter_nd_update", "tile", "transpose", "unstack", "where", "zeros", "zeros_like",
)  # fmt: skip
"""And those of its functions without a namespace."""

PARTS = ("activations", "constraints", "engine", "initializers", "layers", "mixed_precision", "models", "regularizers")
"""Parts of Keras 2 that a network is made of."""


def load_keras_2(path: Path, saved: Saved, code: Code, problem: Exception) -> keras.Model:
    """Load a file of Keras 2 as a functional model of one operation.

    Nothing in the file is run that the caller has not allowed: Python code has been looked for before, and what the
    file names is looked up only where networks are made.

    Args:
        path: a `.keras` or `.h5` file.
        saved: what it holds.
        code: of the user's, which it may use. Lambdas, where they are trusted, get the names of its modules.
        problem: what Keras 3 said of the file.

    Raises:
        MissingExtra: `tf-keras` is not installed.
        WeightsError: it cannot load the file either, or the network takes something else than one image.
    """
    _require_network(path, saved, code.objects)
    if importlib.util.find_spec("tf_keras") is None:
        raise MissingExtra(
            f"{path}: written by Keras {saved.version}, and Keras 3 does not load it ({_line(problem)}); "
            "install what does with: pip install 'bctoolkit[keras2]'"
        )
    with warnings.catch_warnings(), open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
        warnings.simplefilter("ignore")
        tf_keras = importlib.import_module("tf_keras")
        names = {**CUSTOMARY, "K": tf_keras.backend, "keras": tf_keras, "layers": tf_keras.layers}
        lend_names(code.modules, importlib.import_module("tf_keras.src.layers.core.lambda_layer"), names)
        try:
            with bounded_weights(tf_keras.layers.Layer, require_own_weights(path), path):
                model = tf_keras.models.load_model(
                    path, custom_objects=dict(code.objects), compile=False, safe_mode=False
                )
            return _as_model(path, model)
        except WeightsError:
            raise
        except Exception as second:  # Keras 2 raises many kinds here, all of them about the file
            lacking = lacking_name(second, path)
            if lacking is not None:
                raise lacking from second
            raise WeightsError(
                f"{path}: written by Keras {saved.version}, and neither Keras 3 nor tf-keras loads it ({_line(second)})"
            ) from second


def _require_network(path: Path, saved: Saved, objects: Mapping[str, Any]) -> None:
    """Refuse what names code that no network is made of: Keras 2 looks such names up and runs what it finds."""
    for node, layer in nodes(saved.config):
        kind = class_name(node)
        if kind in OPERATIONS:
            inner = node.get("config")
            function = inner.get("function") if isinstance(inner, dict) else None
            if not _computes(function):
                raise WeightsError(
                    f"{path}: {layer} calls {shown(repr(function))} of TensorFlow, which does more than compute"
                )
        elif kind in ("ClassMethod", "InstanceMethod"):
            raise WeightsError(
                f"{path}: {layer} calls a method by its name, which is never done; save it as a SavedModel"
            )
        elif kind:
            module = node.get("module") or ""
            name = node.get("config") if kind == "function" else node["class_name"]
            if not (isinstance(module, str) and isinstance(name, str)) or not _is_part(module, name, objects):
                raise WeightsError(f"{path}: {layer} names {shown(f'{module}.{name}')}, which is no part of a network")


def _computes(function: Any) -> bool:
    if not isinstance(function, str):
        return False
    namespace, _, name = function.removeprefix("compat.v1.").rpartition(".")
    return namespace.split(".")[0] in NAMESPACES if namespace else name in FUNCTIONS


def _is_part(module: str, name: str, objects: Mapping[str, Any]) -> bool:
    if module in ("", "builtins") or name in objects:
        return "." not in name
    parts = [part for part in module.split(".")[1:] if part != "src"]
    return is_keras(module) and "." not in name and (not parts or parts[0] in PARTS)


def _as_model(path: Path, model: Any) -> keras.Model:
    if not hasattr(model, "_flatten_layers") or not hasattr(model, "layers"):
        raise WeightsError(f"{path}: holds a {type(model).__name__}, not a model")
    for layer in model._flatten_layers():
        if layer.compute_dtype != "float32":
            layer._set_dtype_policy("float32")
        if hasattr(layer, "unroll"):  # what TensorFlow's converter makes of a loop goes on from the image before
            layer.unroll, layer._could_use_gpu_kernel = True, False
    shape = getattr(model, "input_shape", None) if model.built else None
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise WeightsError(f"{path}: takes {shape or 'an unknown shape'}; expected one batch of images")

    def call(images: Any) -> Any:
        outputs = model(images, training=False)
        names = getattr(model, "output_names", None)
        return dict(zip(names, outputs, strict=True)) if isinstance(outputs, list) and names else outputs

    signature = tf.TensorSpec((None, *shape[1:]), tf.float32)
    graph = tf.function(call).get_concrete_function(signature).graph.as_graph_def()
    require_pure(operators(graph), str(path))
    return functional_of(Traced(call, model, name="keras_2"), shape[1:], model.name)


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:160]
