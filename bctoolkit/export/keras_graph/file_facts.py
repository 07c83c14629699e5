"""What a model file tells of its network besides the graph: the loss it was trained with, and its own preprocessor.

A keras-hub task keeps its preprocessor beside the network; only its `predict()` runs it, the graph does not hold it.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from bctoolkit.contract import Resize
from bctoolkit.documents.preprocessing import InputSettings
from bctoolkit.errors import WeightsError
from bctoolkit.networks.saved import read_saved

__all__ = ["FileFacts", "Preprocessor", "facts_of"]

READ = {"image_size", "scale", "offset", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "interpolation"}
"""Arguments of keras-hub's `ImageConverter` that decide what a network sees
(https://keras.io/keras_hub/api/preprocessing_layers/image_converter)."""

ASIDE = {"name", "trainable", "dtype", "bounding_box_format", "data_format", "antialias", "build_config"}

RESIZE: dict[str, Resize] = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "lanczos3": "lanczos",
    "lanczos5": "lanczos",
}


class Preprocessor(NamedTuple):
    """What a task does to an image before its network sees it."""

    settings: InputSettings
    """Scale and size."""
    crop: Literal["square", "none"]
    resize: Resize
    problem: str = ""
    """Why it cannot be taken over; empty where it can."""


class FileFacts(NamedTuple):
    """What is known of a network besides its graph."""

    loss: str = ""
    """Name of the loss; empty where the file does not tell."""
    preprocessor: Preprocessor | None = None


def facts_of(path: Path) -> FileFacts:
    """Read the description inside a `.keras` file; other files tell nothing."""
    try:
        config = read_saved(path).config
    except (WeightsError, OSError):
        return FileFacts()
    if not isinstance(config, dict):
        return FileFacts()
    compiled, network = config.get("compile_config"), config.get("config")
    loss = compiled.get("loss") if isinstance(compiled, dict) else None
    stored = network.get("preprocessor") if isinstance(network, dict) else None
    return FileFacts(_name(loss), _preprocessor(stored) if isinstance(stored, dict) else None)


def _name(loss: Any) -> str:
    """The name of a loss that is stored as a name or as an object; empty for several."""
    if isinstance(loss, dict):
        loss = loss.get("class_name") if loss.get("class_name") != "function" else loss.get("config")
    return loss if isinstance(loss, str) else ""


def _preprocessor(stored: dict[str, Any]) -> Preprocessor:
    inner = stored.get("config")
    converter = inner.get("image_converter") if isinstance(inner, dict) else None
    if converter is None and isinstance(inner, dict) and "image_converter" in inner:
        return Preprocessor(InputSettings(), "none", "bilinear")
    options = converter.get("config") if isinstance(converter, dict) else None
    name = stored.get("class_name")
    if not isinstance(options, dict):
        return _unreadable(f"{name} has no image converter that could be read")
    unknown = sorted(key for key, value in options.items() if key not in READ | ASIDE and value not in (None, False))
    if unknown:
        return _unreadable(f"{name} does more than scale and resize: {', '.join(unknown)}")
    if options.get("pad_to_aspect_ratio"):
        return _unreadable("it pads images to an aspect ratio, which an input contract cannot say")
    numbers = (_number(options.get("scale"), 1.0), _number(options.get("offset"), 0.0))
    try:
        settings = msgspec.convert({"scale": numbers, "size": options.get("image_size")}, InputSettings)
    except msgspec.ValidationError as problem:
        return _unreadable(str(problem).replace("`", ""))
    size, crop = settings.size, bool(options.get("crop_to_aspect_ratio", True))
    if crop and isinstance(size, tuple) and size[0] != size[1]:
        return _unreadable(f"it crops images to {size[0]}×{size[1]}, and an input contract only to squares")
    resize = RESIZE.get(options.get("interpolation", "bilinear"))
    if resize is None:
        return _unreadable(f"it resizes by {str(options['interpolation'])[:40]!r}")
    return Preprocessor(settings, "square" if crop else "none", resize)


def _number(value: Any, default: float) -> Any:
    return default if value is None else value


def _unreadable(problem: str) -> Preprocessor:
    return Preprocessor(InputSettings(), "square", "bilinear", problem)
