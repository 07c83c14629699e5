"""Recipes and budgets: what a command is asked to do, as data.

A recipe is a TOML file; `bctk … --set key=value` overrides single values. Unknown keys are errors that name the valid
ones. The resolved recipe is stored with what it made.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from bctoolkit.contract import InputContract
from bctoolkit.documents import Document, parse, read_toml
from bctoolkit.documents.augmentation import STRENGTHS, Augment, AugmentOps
from bctoolkit.documents.bounds import Below1, OpenShare, Positive, Rate, Share
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.documents.networks import BASELINE, LEAST_SIDE, ColourNormalization
from bctoolkit.documents.options import pattern_fault
from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
from bctoolkit.documents.quantization import CalibrationSettings, Gate
from bctoolkit.errors import RecipeError
from bctoolkit.untrusted.values import OutOfBounds, from_toml

__all__ = [
    "STRENGTHS",
    "Augment",
    "AugmentOps",
    "Budget",
    "Distill",
    "ExportRecipe",
    "Phase",
    "Precision",
    "Shape",
    "Split",
    "TrainRecipe",
    "override",
    "read_budget",
    "read_export_recipe",
    "read_train_recipe",
]

Shape = tuple[int, int, int]
"""Height, width, channels."""
Precision = Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]


class Split(Document, frozen=True):
    """Which images are for validation and for testing; the rest is for training."""

    by: Literal["own", "content"] = "own"
    """`own`: as the set comes divided, where it does, so that figures compare with published ones; `content`: by each
    image's content."""
    group: str = ""
    """Regular expression, found in each file's path, whose first group names what the image belongs to, such as a
    patient or a slide; none is divided between parts."""
    validation: Share = 0.15
    """Share of the images on which epochs are compared and integer forms chosen."""
    test: Share = 0.15
    """Share of the images that is kept for the final figures."""

    def __post_init__(self) -> None:
        """Refuse a pattern that is none."""
        _require_pattern(self.group)


def _require_pattern(group: str) -> None:
    if fault := pattern_fault(group):
        raise ValueError(f"group: {fault}")


class Phase(Document, frozen=True):
    """One part of training: what is trained, for how long, how fast."""

    name: str
    """What the phase is called in progress and figures."""
    epochs: Annotated[int, Meta(ge=1, le=1_000_000)]
    """How many times the phase goes through the training images."""
    learning_rate: Rate
    """Rate after the warm-up."""
    unfreeze: tuple[str, ...] = ()
    """Shell-style patterns of the backbone's layers to train, e.g. `stage_3_*`; the head is always trained."""
    unfreeze_stages: Annotated[int, Meta(ge=0)] = 0
    """Train the last so many stages of the backbone too."""
    schedule: Literal["constant", "cosine", "exponential"] = "cosine"
    """How the rate falls after the warm-up; cosine and exponential end at 1 % of it."""
    warmup_epochs: Annotated[float, Meta(ge=0)] = 0.0
    """Epochs over which the rate rises evenly from 0, part of `epochs`."""
    decay_epochs: Annotated[int, Meta(ge=0)] = 0
    """Epochs over which the rate would fall, where the phase ends earlier than that; 0 for the phase's own."""
    pipelines: Share = 1.0
    """Share of the images that get one of `augment.one_of`; the others get only `augment` itself."""
    scale: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Side of the phase's images, as a share of the input's, but of no fewer than 32 pixels: small images are faster
    to learn from, before a last phase of whole ones (Touvron et al. 2019, arXiv:1906.06423; Tan & Le 2021,
    arXiv:2104.00298)."""

    def __post_init__(self) -> None:
        """Refuse a schedule that ends before the phase: a cosine would rise again."""
        if 0 < self.decay_epochs < self.epochs:
            raise ValueError(f"decay_epochs = {self.decay_epochs} is less than epochs = {self.epochs}")

    def shape(self, whole: Shape) -> Shape:
        """Shape of the phase's images, those for validation too, where the network's own are so large."""
        height, width, channels = whole
        scale = min(1.0, max(self.scale, LEAST_SIDE / min(height, width)))
        return round(height * scale), round(width * scale), channels


class Distill(Document, frozen=True):
    """Learn from a trained run's probabilities (Hinton et al. 2015, arXiv:1503.02531)."""

    teacher: str = ""
    """A finished run, by name or path; empty for none."""
    weight: Share = 0.5
    """Share of the teacher's soft labels in the loss."""
    temperature: Rate = 2.0
    """Divides the logits of both before they are compared."""


class TrainRecipe(Document, frozen=True):
    """Everything that decides a training run besides the data."""

    model: str = "convnext_small"
    """The network: `baseline_cnn`, or `convnext_` and `atto`, `femto`, `pico`, `nano`, `tiny` or `small`."""
    weights: str = "none"
    """`imagenet`, `none`, or a path: a Keras application's weights file, a run, or a `.keras` file."""
    precision: Precision = "auto"
    """Number type of the layers; `auto`: `mixed_float16` on a GPU, `mixed_bfloat16` on a CPU with instructions for
    bfloat16, else `float32`."""
    batch_size: Annotated[int, Meta(ge=1, le=65_536)] = 32
    """Images in a step."""
    most_steps: Annotated[int, Meta(ge=0)] = 0
    """Cut every epoch short after so many batches, for a quick look; 0 for whole epochs."""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    """Of the first weights, the images' order, augmentation and dropout."""
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """Share of features dropped before the classifier while training."""
    drop_path: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Largest stochastic-depth rate, reached at the last block (Huang et al. 2016, arXiv:1603.09382)."""
    colours: ColourNormalization = "none"
    """`white`: the network first makes each channel's brightest square of 8×8 pixels white, so that another lamp or
    white balance changes nothing; it is part of the graph, so no device has to do it."""
    layer_scale: Rate = 1.0
    """First value of LayerScale's factors where no weights are loaded; a small one, as for long runs, learns slowly."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`adamw`, or `muon`: steps that are equally long in all directions of a matrix of weights, which learn more from
    each image and take longer (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/); the rest by AdamW."""
    weight_decay: Annotated[float, Meta(ge=0)] = 0.05
    """Weight decay, on kernels only (Loshchilov & Hutter 2019, arXiv:1711.05101)."""
    l2: Annotated[float, Meta(ge=0)] = 0.0
    """Factor of the kernels' squared sum in the loss."""
    clip_norm: Annotated[float, Meta(ge=0)] = 0.0
    """Largest norm of all gradients together; 0 for no limit."""
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Each block's rate is so many times that of the next (Clark et al. 2020, arXiv:2003.10555)."""
    ema: Below1 = 0.0
    """Momentum of the weights' moving average, which is then what is validated and kept; 0 for none."""
    label_smoothing: Below1 = 0.0
    """Share of each label that is spread evenly over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: every class counts the same in the loss, however many images it has."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights are kept: the best on validation, by accuracy and then by loss, or the last."""
    early_stopping: Annotated[int, Meta(ge=0)] = 0
    """End a phase after so many epochs without a better one; 0 for never."""
    deterministic: bool = False
    """Compute every sum in a fixed order, so that the same machine gives the same bits; slower."""
    input: InputContract = InputContract()
    """The array that the network takes."""
    split: Split = Split()
    """How the set is divided."""
    augment: Augment = Augment()
    """How training images are varied."""
    distill: Distill = Distill()
    """The teacher, if there is one."""
    phases: tuple[Phase, ...] = ()
    """Parts of training, one after the other; at least one."""

    def __post_init__(self) -> None:
        """Refuse combinations that no single field can refuse."""
        if not self.phases:
            raise ValueError("a recipe needs at least one [[phases]] table")
        if self.split.validation + self.split.test >= 1:
            raise ValueError("split.validation + split.test leave nothing to train on")
        if self.input.channels != 3:
            raise ValueError(f"input.channels is {self.input.channels}; networks are trained on RGB images, 3 channels")
        if self.model == BASELINE and self.shrinks:
            raise ValueError(f"{self.model} takes images of one size, so no phase can have a scale")

    @property
    def shrinks(self) -> bool:
        """Whether a phase learns from images smaller than the input."""
        return any(phase.scale < 1 for phase in self.phases)


class ExportRecipe(Document, frozen=True):
    """What to export a network to, and how it is checked."""

    formats: tuple[str, ...] = ("onnx",)
    """File formats, of those in the table of formats."""
    quantizations: tuple[str, ...] = ("fp32",)
    """Numeric forms that each of the formats has; `all` for every one a format has."""
    input: InputSettings = InputSettings()
    """What the exported graph takes."""
    output: OutputSettings = OutputSettings()
    """Which output is exported, and what it means."""
    golden: Annotated[int, Meta(ge=8, le=4096)] = 64
    """How many golden images a bundle carries."""
    reference: bool = True
    """Whether a bundle carries the reference's answers on the whole test part, to pair accuracies on the device."""
    coverage: OpenShare = 0.95
    """Share of the validation images whose answers a bundle's acceptance rule lets pass."""
    opset: Positive | None = None
    """Version of ONNX's operator set; left out, the one the exporter is written for."""
    keep_float: tuple[str, ...] = ()
    """Shell-style patterns of layer names that integer forms compute in float, e.g. `stage_0_*`."""
    group: str = ""
    """As `split.group` of a training recipe, of a bare file's images; left out, a run's own."""
    licence: str = ""
    """Of the data the network was trained on; stored inside the model file."""
    calibration: CalibrationSettings = CalibrationSettings()
    """How ranges of activations are set."""
    gate: Gate = Gate()
    """What a quantized artifact may lose."""

    def __post_init__(self) -> None:
        """Refuse formats and quantizations that are not in the table, and a pattern that is none."""
        _require_pattern(self.group)
        for name in self.formats:
            if name not in FORMATS:
                raise ValueError(f"unknown format {name!r}; formats: {', '.join(FORMATS)}")
        for name in self.quantizations:
            if name not in (*QUANTIZATIONS, "all"):
                raise ValueError(f"unknown quantization {name!r}; quantizations: {', '.join(QUANTIZATIONS)}, all")


class Budget(Document, frozen=True):
    """Limits a bundle must keep on its device; a limit left out is not checked.

    A limit is kept where the whole 95 % interval of the figure keeps it, broken where the whole interval lies beyond.
    """

    device: str
    """The device that the limits are for, in words."""
    max_p50_ms: Rate | None = None
    """Median latency of the model alone, one image at a time, in milliseconds."""
    max_p99_ms: Rate | None = None
    """99th percentile of the model's latency, in milliseconds."""
    max_load_ms: Rate | None = None
    """Opening the bundle in a fresh process, hash checks included, mean of the sessions, in milliseconds."""
    max_first_ms: Rate | None = None
    """The first inference after loading, mean of the sessions, in milliseconds."""
    max_cold_start_ms: Rate | None = None
    """From opening the bundle in a fresh process to the first answer, mean of the sessions, in milliseconds."""
    max_end_to_end_p50_ms: Rate | None = None
    """Median from a PNG's bytes to the label, in milliseconds."""
    max_latency_ratio: Rate | None = None
    """Times the latency of the report's baseline, which is not held against itself."""
    max_size_mb: Rate | None = None
    """Size of the model's file, in megabytes of 1,000,000 bytes."""
    max_peak_rss_mb: Rate | None = None
    """Largest resident set of a session's process, mean of the sessions, in megabytes of 1,000,000 bytes."""
    max_abs_diff: Rate | None = None
    """Largest |Δp| against the float32 reference, of any class of any golden image; 0–1."""
    min_top1_agreement: Share | None = None
    """Share of images with the float32 reference's top-1 class, of the labelled images where there are some; 0–1."""
    min_accuracy: Share | None = None
    """Accuracy on the labelled images; a share, 0–1."""
    max_accuracy_drop: Rate | None = None
    """Against the float32 reference on the same labelled images; a share, 0–1."""
    max_worst_recall_drop: Rate | None = None
    """Of the recall of any class, a share, 0–1; the gate of an export has a rule of its own for small classes."""
    max_corruption_excess: Rate | None = None
    """What is lost under corruptions beyond the loss on clean images, against the float bundle; a share, 0–1."""
    why: dict[str, str] = field(default_factory=dict)
    """The reason of each limit, by its name."""


def read_train_recipe(path: Path, settings: tuple[str, ...] = ()) -> TrainRecipe:
    """Read a training recipe and apply `key=value` settings.

    Raises:
        RecipeError: not TOML, an unknown key or a value that does not fit.
    """
    return parse(TrainRecipe, override(read_toml(path, RecipeError), settings), str(path), RecipeError)


def read_export_recipe(path: Path, changes: dict[str, Any]) -> ExportRecipe:
    """Read an export recipe; `changes` replace whole fields, and single keys of its tables."""
    raw = read_toml(path, RecipeError)
    if isinstance(raw.get("input"), str):
        raise RecipeError(f"{path}: input is a table; write input = {{ dtype = {raw['input']!r} }}".replace("'", '"'))
    tables = {
        key: raw[key] | value
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(raw.get(key), dict)
    }
    return parse(ExportRecipe, raw | changes | tables, str(path), RecipeError)


def read_budget(path: Path) -> Budget:
    """Read a device budget."""
    return parse(Budget, read_toml(path, RecipeError), str(path), RecipeError)


def override(raw: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    """A copy of a decoded recipe in which each `path.to.key=value` of `settings` is set.

    Values are TOML literals; anything else is taken as a string. List items are named by their position:
    `phases.0.epochs=3`.
    """
    result: dict[str, Any] = _copy(raw)
    for setting in settings:
        path, separator, text = setting.partition("=")
        keys = path.strip().split(".")
        if not separator or not all(keys):
            raise RecipeError(f"--set {setting}: expected key=value, e.g. --set batch_size=16")
        node: Any = result
        for key in keys[:-1]:
            node = _enter(node, key, setting)
        _assign(node, keys[-1], _value(text.strip(), setting), setting)
    return result


def _copy(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: _copy(value) for key, value in raw.items()}
    return [_copy(value) for value in raw] if isinstance(raw, list) else raw


def _value(text: str, setting: str) -> Any:
    try:
        parsed = from_toml(f"value = {text}".encode(errors="surrogatepass"))
    except OutOfBounds as problem:
        raise RecipeError(f"--set {setting}: {problem}") from None
    except ValueError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _enter(node: Any, key: str, setting: str) -> Any:
    if isinstance(node, list):
        return node[_position(node, key, setting)]
    if isinstance(node, dict):
        return node.setdefault(key, {})
    raise RecipeError(f"--set {setting}: {key!r} lies inside a plain value")


def _assign(node: Any, key: str, value: Any, setting: str) -> None:
    if isinstance(node, list):
        node[_position(node, key, setting)] = value
    elif isinstance(node, dict):
        node[key] = value
    else:
        raise RecipeError(f"--set {setting}: {key!r} lies inside a plain value")


def _position(items: list[Any], key: str, setting: str) -> int:
    if not key.isdecimal() or int(key) >= len(items):
        raise RecipeError(f"--set {setting}: {key!r} is not a position in a list of {len(items)}")
    return int(key)
