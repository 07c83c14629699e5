"""Recipes and budgets: what a stage is asked to do, as data.

A recipe is a TOML file; `bctk … --set key=value` overrides single values. Unknown keys are errors that name the valid
ones. The resolved recipe is stored with what it made.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from bctoolkit.contract import InputContract
from bctoolkit.documents import Document, parse, read_toml
from bctoolkit.errors import RecipeError
from bctoolkit.formats import FORMATS, QUANTIZATIONS

__all__ = [
    "Augment",
    "Budget",
    "ExportRecipe",
    "Phase",
    "Precision",
    "Split",
    "TrainRecipe",
    "override",
    "read_budget",
    "read_export_recipe",
    "read_train_recipe",
]

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Rate = Annotated[float, Meta(gt=0.0)]
Precision = Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]


class Split(Document, frozen=True):
    """Shares of the images that go to validation and test; the rest is for training."""

    validation: Share = 0.15
    test: Share = 0.15


class Phase(Document, frozen=True):
    """One stretch of training: what may move, for how long, how fast."""

    name: str
    epochs: Positive
    learning_rate: Rate
    unfreeze: tuple[str, ...] = ()
    """Shell-style patterns of backbone layer names that may move, e.g. `stage_3_*`; the head always may."""
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: Annotated[float, Meta(ge=0)] = 0.0


class Augment(Document, frozen=True):
    """Random changes to training images, drawn per image; never part of the exported graph."""

    flip: bool = True
    """Mirror left-right and up-down."""
    rotate90: bool = True
    """Turn by a multiple of 90°."""
    brightness: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Largest shift, as a share of the value range."""
    contrast: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Largest relative change of contrast."""
    saturation: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Largest relative change of saturation."""


class TrainRecipe(Document, frozen=True):
    """Everything that decides a training run besides the data."""

    model: str = "convnext_small"
    weights: str = "none"
    """`imagenet`, `none`, or a path: a Keras application's weights file, a run, or a `.keras` file."""
    precision: Precision = "auto"
    batch_size: Positive = 32
    most_steps: Annotated[int, Meta(ge=0)] = 0
    """Cut every epoch short after so many batches, for a quick look; 0 for whole epochs."""
    seed: Annotated[int, Meta(ge=0)] = 0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """Share of features dropped before the classifier while training."""
    drop_path: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Largest stochastic-depth rate, reached at the last block (Huang et al. 2016, arXiv:1603.09382)."""
    layer_scale: Rate = 1.0
    """First value of LayerScale's factors where no weights are loaded; a small one, as for long runs, learns slowly."""
    weight_decay: Annotated[float, Meta(ge=0)] = 0.05
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    input: InputContract = InputContract()
    split: Split = Split()
    augment: Augment = Augment()
    phases: tuple[Phase, ...] = ()

    def __post_init__(self) -> None:
        """Refuse combinations that no single field can refuse."""
        if not self.phases:
            raise ValueError("a recipe needs at least one [[phases]] table")
        if self.split.validation + self.split.test >= 1:
            raise ValueError("split.validation + split.test leave nothing to train on")


class ExportRecipe(Document, frozen=True):
    """What to export a network to, and how it is checked."""

    formats: tuple[str, ...] = ("onnx",)
    quantizations: tuple[str, ...] = ("fp32",)
    input: Literal["uint8", "float32"] = "uint8"
    """dtype of the exported graph's input; values are 0–255 in both."""
    golden: Annotated[int, Meta(ge=8, le=4096)] = 64
    """How many golden images a bundle carries."""

    def __post_init__(self) -> None:
        """Refuse formats and quantizations that are not in the table."""
        for name in self.formats:
            if name not in FORMATS:
                raise ValueError(f"unknown format {name!r}; formats: {', '.join(FORMATS)}")
        for name in self.quantizations:
            if name not in QUANTIZATIONS:
                raise ValueError(f"unknown quantization {name!r}; quantizations: {', '.join(QUANTIZATIONS)}")


class Budget(Document, frozen=True):
    """Limits a bundle must keep on its device; a limit left out is not checked."""

    device: str
    max_p50_ms: Rate | None = None
    max_p99_ms: Rate | None = None
    max_load_ms: Rate | None = None
    max_first_ms: Rate | None = None
    max_size_mb: Rate | None = None
    max_peak_rss_mb: Rate | None = None
    max_abs_diff: Rate | None = None
    min_top1_agreement: Share | None = None
    min_accuracy: Share | None = None
    max_accuracy_drop: Rate | None = None
    """In points of accuracy, 0–1; compared with the upper end of the drop's 95 % interval."""
    max_recall_drop: Rate | None = None
    """Largest loss of recall of any class, 0–1."""
    why: dict[str, str] = field(default_factory=dict)
    """The reason of each limit, by its name."""


def read_train_recipe(path: Path, settings: tuple[str, ...] = ()) -> TrainRecipe:
    """Read a training recipe and apply `key=value` settings.

    Raises:
        RecipeError: not TOML, an unknown key or a value that does not fit.
    """
    return parse(TrainRecipe, override(read_toml(path, RecipeError), settings), str(path), RecipeError)


def read_export_recipe(path: Path, changes: dict[str, Any]) -> ExportRecipe:
    """Read an export recipe; `changes` replace whole fields."""
    return parse(ExportRecipe, read_toml(path, RecipeError) | changes, str(path), RecipeError)


def read_budget(path: Path) -> Budget:
    """Read a device budget."""
    return parse(Budget, read_toml(path, RecipeError), str(path), RecipeError)


def override(raw: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    """A copy of a decoded recipe in which each `path.to.key=value` of `settings` is set.

    Values are TOML literals; what is none is taken as a string. List items are named by their position:
    `phases.0.epochs=3`.
    """
    result: dict[str, Any] = _copy(raw)
    for setting in settings:
        path, separator, text = setting.partition("=")
        keys = path.strip().split(".")
        if not separator or not all(keys):
            raise RecipeError(f"--set {setting}: expected key=value, e.g. --set batch_size=16")
        place: Any = result
        for key in keys[:-1]:
            place = _enter(place, key, setting)
        _assign(place, keys[-1], _value(text.strip()), setting)
    return result


def _copy(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: _copy(value) for key, value in raw.items()}
    return [_copy(value) for value in raw] if isinstance(raw, list) else raw


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _enter(place: Any, key: str, setting: str) -> Any:
    if isinstance(place, list):
        return place[_position(place, key, setting)]
    if isinstance(place, dict):
        return place.setdefault(key, {})
    raise RecipeError(f"--set {setting}: {key!r} lies inside a plain value")


def _assign(place: Any, key: str, value: Any, setting: str) -> None:
    if isinstance(place, list):
        place[_position(place, key, setting)] = value
    elif isinstance(place, dict):
        place[key] = value
    else:
        raise RecipeError(f"--set {setting}: {key!r} lies inside a plain value")


def _position(items: list[Any], key: str, setting: str) -> int:
    if not key.isdecimal() or int(key) >= len(items):
        raise RecipeError(f"--set {setting}: {key!r} is not a position in a list of {len(items)}")
    return int(key)
