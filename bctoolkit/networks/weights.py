"""Pre-trained weights into a network of ours: from a Keras application, its weights file, or an earlier run."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import WeightsError
from bctoolkit.networks.files import load_model
from bctoolkit.networks.layers import leaves
from bctoolkit.networks.stored import require_own_weights

__all__ = ["from_application", "load_weights"]

APPLICATIONS = {"convnext_tiny": "ConvNeXtTiny", "convnext_small": "ConvNeXtSmall"}

RENAMES: tuple[tuple[str, str], ...] = (
    (r"stem_conv", r"stem_conv"),
    (r"stem_layernorm", r"stem_norm"),
    (r"downsampling_layernorm_(\d)", r"stage_{next}_downsample_norm"),
    (r"downsampling_conv_(\d)", r"stage_{next}_downsample_conv"),
    (r"stage_(\d)_block_(\d+)_depthwise_conv", r"stage_\1_block_\2_depthwise"),
    (r"stage_(\d)_block_(\d+)_layernorm", r"stage_\1_block_\2_norm"),
    (r"stage_(\d)_block_(\d+)_pointwise_conv_1", r"stage_\1_block_\2_expand"),
    (r"stage_(\d)_block_(\d+)_pointwise_conv_2", r"stage_\1_block_\2_project"),
    (r"stage_(\d)_block_(\d+)_layer_scale", r"stage_\1_block_\2_scale"),
    (r"head_layernorm", r"head_norm"),
)
"""Layer names of Keras's ConvNeXt, after the model's own name, and ours."""


def load_weights(model: keras.Model, spec: str) -> str:
    """Fill the backbone of `model` from `spec`.

    Args:
        model: a network of `build`.
        spec: `none`; `imagenet`; or a path: a weights file of the Keras application (`.h5`, `.weights.h5`), a run
            folder, or a `.keras` file of one of our networks.

    Returns:
        What was loaded, as text.

    Raises:
        WeightsError: no such file, no download, or weights of another architecture (the first mismatch is named).
    """
    if spec == "none":
        return "fresh weights"
    if spec == "imagenet":
        application = _application(model, "imagenet", "weights 'imagenet'")
        from_application(model, application)
        return f"ImageNet weights of keras.applications.{APPLICATIONS[model.name]}"
    path = Path(spec)
    if not path.exists():
        raise WeightsError(f"weights {spec!r}: neither 'imagenet', 'none' nor an existing file")
    file = path / "model.keras" if path.is_dir() else path
    if file.suffix == ".keras":
        copied = _from_our_model(model, load_model(file), str(file))
        return f"{copied} layers of {file}"
    from_application(model, _application_from_file(model, file))
    return f"weights of {file}"


def from_application(model: keras.Model, application: keras.Model) -> None:
    """Copy the weights of a `keras.applications` ConvNeXt into our network of the same architecture.

    The grouped convolution's kernel (7, 7, 1, C) becomes the depthwise one's (7, 7, C, 1); all else keeps its shape.

    Raises:
        WeightsError: a layer is missing or has another shape.
    """
    theirs = {name: layer for layer in leaves(application) if (name := _our_name(layer.name, application.name))}
    for layer in model.layers:
        if layer.weights and not layer.name.startswith("head_logits"):
            if layer.name not in theirs:
                raise WeightsError(f"{application.name} has no layer for {layer.name} of {model.name}")
            _assign(layer, theirs[layer.name].get_weights(), application.name)


def _application(model: keras.Model, weights: str | None, what: str, top: bool = False) -> keras.Model:
    name = APPLICATIONS.get(model.name)
    if name is None:
        names = ", ".join(APPLICATIONS)
        raise WeightsError(f"{what}: Keras has no pre-trained {model.name}; it has {names}; use --set weights=none")
    shape = None if top else model.input_shape[1:]
    try:
        return getattr(keras.applications, name)(
            weights=weights, include_top=top, input_shape=shape, pooling=None if top else "avg", name=model.name
        )
    except Exception as problem:
        if weights != "imagenet":
            raise
        raise WeightsError(
            f"weights 'imagenet': the download failed ({' '.join(str(problem).split())[:160]}); on a machine with "
            f"network run keras.applications.{name}(include_top=False), then pass the file "
            f"~/.keras/models/{model.name}_notop.h5 with --set weights=PATH"
        ) from None


def _application_from_file(model: keras.Model, file: Path) -> keras.Model:
    """The application with the weights of a file saved with or without its ImageNet classifier."""
    require_own_weights(file)
    problems = []
    for top in (False, True):
        application = _application(model, None, f"weights {file}", top)
        try:
            application.load_weights(file)
        except Exception as problem:  # Keras and h5py raise many kinds here, all of them about the file
            problems.append(" ".join(str(problem).split()))
        else:
            return application
    raise WeightsError(f"{file}: not weights of keras.applications.{APPLICATIONS[model.name]} ({problems[0][:200]})")


def _our_name(name: str, application: str) -> str | None:
    """Our name of an application's layer; None for one without a counterpart."""
    for pattern, ours in RENAMES:
        match = re.fullmatch(f"{re.escape(application)}_{pattern}", name)
        if match:
            following = str(int(match[1]) + 1) if "{next}" in ours else ""
            return match.expand(ours.replace("{next}", following))
    return "head_norm" if re.fullmatch(r"layer_normalization(_\d+)?", name) else None


def _assign(layer: Any, weights: list[NDArray[Any]], origin: str) -> None:
    if isinstance(layer, keras.layers.DepthwiseConv2D) and weights[0].shape[2] == 1:
        weights = [np.swapaxes(weights[0], 2, 3), *weights[1:]]
    for variable, value in zip(layer.weights, weights, strict=True):
        if tuple(variable.shape) != value.shape:
            raise WeightsError(
                f"{origin}: {layer.name}/{variable.name} has shape {value.shape}, this network needs "
                f"{tuple(variable.shape)}"
            )
    layer.set_weights(weights)


def _from_our_model(model: keras.Model, trained: keras.Model, origin: str) -> int:
    """Copy every layer by name; the classifier only where it has the same classes."""
    layers = {layer.name: layer for layer in trained.layers}
    copied = 0
    for layer in model.layers:
        if not layer.weights:
            continue
        if layer.name not in layers:
            raise WeightsError(f"{origin}: is a {trained.name} and has no layer {layer.name} of {model.name}")
        values = layers[layer.name].get_weights()
        if layer.name == "head_logits" and [tuple(w.shape) for w in layer.weights] != [v.shape for v in values]:
            continue
        _assign(layer, values, origin)
        copied += 1
    return copied
