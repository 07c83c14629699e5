"""`manifest.json`: what a bundle says of itself."""

from typing import Annotated, Literal

from msgspec import Meta, field

from bctoolkit.contract import ImageKind, InputContract
from bctoolkit.documents import Document
from bctoolkit.documents.adopted import Adopted
from bctoolkit.documents.formats import QUANTIZATIONS, Tolerance
from bctoolkit.documents.names import class_names_fault, name_fault
from bctoolkit.documents.preprocessing import Adaptation
from bctoolkit.documents.quantization import GateResult
from bctoolkit.statistics.acceptance import Acceptance
from bctoolkit.statistics.image_features import feature_count
from bctoolkit.statistics.metrics import Parity
from bctoolkit.statistics.neighbours import NEAREST
from bctoolkit.untrusted.arrays import ArraySpec

__all__ = [
    "SCHEMA",
    "ArrayFile",
    "ClassRecall",
    "Float32Error",
    "Identity",
    "IntegerProducts",
    "LabelledFigures",
    "Manifest",
    "ModelFile",
    "ParityStep",
    "Processor",
    "SealedFile",
    "Source",
]

SCHEMA = 2
"""Since 2 the golden file says what it was made for, and there is a bill of materials."""


MOST_MODEL = 2**31 - 1
"""Bytes of a model: what protobuf and flatbuffers can hold."""

MOST_IMAGES, MOST_LABELS = 10_000_000, 100_000

HASH_BYTES = 32


class ModelFile(Document, frozen=True):
    """The artifact of a bundle."""

    file: str
    """Its name, beside the manifest."""
    sha256: str
    """Of the file, as hexadecimal digits."""
    bytes: Annotated[int, Meta(ge=1, le=MOST_MODEL)]
    """Its size."""


class ArrayFile(Document, frozen=True):
    """An `.npz` of a bundle."""

    file: str
    """Its name, beside the manifest."""
    sha256: str
    """Of the file, as hexadecimal digits."""
    count: Annotated[int, Meta(ge=1, le=MOST_IMAGES)]
    """Images that it is of."""
    images: ImageKind = "real"
    """Whether they come from a microscope or are drawn by a program."""


class SealedFile(Document, frozen=True):
    """Another file of a bundle."""

    file: str
    """Its name, beside the manifest."""
    sha256: str
    """Of the file, as hexadecimal digits."""


class Identity(Document, frozen=True):
    """What model file, golden file and manifest all state, so that none can be put beside others; None: not stated."""

    labels: tuple[str, ...] | None = None
    input: InputContract | None = None
    source_sha256: str | None = None
    """Of the network that the artifact was made of."""

    def contradiction(self, other: "Identity") -> str | None:
        """Where both state something and not the same: what it is here and there, in words that end a sentence."""
        if None not in (self.labels, other.labels) and self.labels != other.labels:
            return _other_labels(self.labels or (), other.labels or ())
        if self.input is not None and other.input is not None and self.input != other.input:
            return _other_fields(self.input, other.input)
        if None not in (self.source_sha256, other.source_sha256) and self.source_sha256 != other.source_sha256:
            return f"of the network {str(self.source_sha256)[:12]}…, not {str(other.source_sha256)[:12]}…"
        return None


def _other_labels(here: tuple[str, ...], there: tuple[str, ...]) -> str:
    if len(here) != len(there):
        return f"for {len(here)} classes, not {len(there)}"
    index = next(i for i, (one, other) in enumerate(zip(here, there, strict=True)) if one != other)
    return f"with class {index} called {here[index][:40]!r}, not {there[index][:40]!r}"


def _other_fields(here: Document, there: Document) -> str:
    """The fields in which two documents of a kind differ."""
    pairs = ((name, getattr(here, name), getattr(there, name)) for name in here.__struct_fields__)
    return "for " + ", ".join(f"{name} {one}, not {other}" for name, one, other in pairs if one != other)


class ClassRecall(Document, frozen=True):
    """Of the images of one class, how many were recognized."""

    count: int
    """Images of the class."""
    recall: float
    """Share of them that was recognized, 0–1."""
    ci95: tuple[float, float]
    """Exact binomial interval."""


class LabelledFigures(Document, frozen=True, kw_only=True):
    """How often the artifact was right at export."""

    part: Literal["test", "validation"]
    """Of the set that the images are from; integer forms are chosen on the validation part."""
    count: int
    """Labelled images."""
    accuracy: float
    """Share that was right, 0–1."""
    accuracy_ci95: tuple[float, float]
    """Exact binomial interval; over groups where there are such, see `statistics.clustered`."""
    groups: int | None = None
    """How many groups the images come from; None where that is not known."""
    recall: dict[str, ClassRecall]
    """By class; one without images is not there."""


class Source(Document, frozen=True):
    """Where an artifact comes from; a hash is empty where there is nothing to hash."""

    run: str
    """The run's name, or that of the file it was made of."""
    model_sha256: str
    """Of the trained network's file, or of its folder."""
    dataset_sha256: str = ""
    """Of the images it was trained on, with their labels."""
    recipe_sha256: str = ""
    """Of the resolved recipe."""


class Float32Error(Document, frozen=True, kw_only=True):
    """How far float32 is from what the network is exactly, on a few of the images."""

    typical: float
    """`metrics.logit_errors` of the median image."""
    worst: float
    """That of the worst image."""
    max_abs_diff: float
    """Largest |Δp| of any class of these images."""


class ParityStep(Document, frozen=True, kw_only=True):
    """What one step on the way from the trained network to the artifact changed, on the same images."""

    name: str = field(name="link")
    """From what to what, e.g. `folded twin → onnx fp32`."""
    count: int
    """Images compared."""
    top1_agreement: float
    """Share of images with the same top-1 class, 0–1."""
    max_abs_diff: float
    """Largest |Δp| of any class of any image."""
    mean_abs_diff: float
    """Mean |Δp| over all classes and images."""
    logit_error: float
    """See `metrics.logit_error`."""
    exact: Literal["float64", "rounding"] | None = None
    """Float32 forms only: their errors are distances from the network in float64 or, where that cannot be computed,
    from the float32 reference, whose own error is then what other rounding changes."""
    error: Float32Error | None = None
    """Of the form that this step leads to."""
    reference_error: Float32Error | None = None
    """Of the float32 Keras reference: what float32 can hold of the network."""
    allowed_abs_diff: float | None = None
    """Largest |Δp| that two float32 forms of the network may differ by."""


class IntegerProducts(Document, frozen=True):
    """The products that an artifact computes in integers, and whether every CPU adds them up exactly."""

    count: int
    """Operators that multiply by integer weights."""
    columns: int
    """Output columns of all of them together."""
    saturating: int
    """Columns with a sum of two products that can leave 16 bits: x86 without VNNI would give another result."""


class Processor(Document, frozen=True):
    """The CPU that an artifact was checked on."""

    name: str
    """As the system calls it."""
    features: tuple[str, ...]
    """See `system.CPU_FEATURES`."""


class Manifest(Document, frozen=True, kw_only=True):
    """What a bundle says of itself: `manifest.json`."""

    schema: int = SCHEMA
    """Version of this document."""
    name: str
    """The bundle's name."""
    format: str
    """File format of the artifact, from the table of formats."""
    quantization: str
    """Its numeric form, from the table of quantizations."""
    model: ModelFile
    """The artifact."""
    input: InputContract
    """What it takes."""
    labels: tuple[str, ...]
    """The classes in the order of its outputs."""
    golden: ArrayFile
    """Images with the reference's answers, by which a device checks itself."""
    reference: ArrayFile | None = None
    """The reference's answers on the test part; None where the bundle does not carry them."""
    calibration: ArrayFile | None = None
    """Hashes of the images that set the ranges of activations; None where none did."""
    bom: SealedFile | None = None
    """Bill of materials; None in bundles of schema 1."""
    validation: ArrayFile | None = None
    """Of each image that the acceptance rule was fitted to: features (`statistics.image_features`) and confidence."""
    keep_float: tuple[str, ...] = ()
    """Layers of the network that an integer form computes in float."""
    source: Source
    """The network that it was made of."""
    adopted: Adopted | None = None
    """Of an artifact that was made elsewhere."""
    tools: dict[str, str] = field(default_factory=dict)
    """Version of each package that made it, by name."""
    cpu: Processor | None = None
    """Where it was checked; None where that was not recorded."""
    integer_products: IntegerProducts | None = None
    """Of ONNX files; None where there are none, and for engines that add them up in 32 bits everywhere."""
    adaptation: Adaptation | None = None
    """What was written into the graph around the network; None of one that is used as it is."""
    licence: str = ""
    """Of the images that the network was trained on, in words; empty where it was not stated."""
    labelled: LabelledFigures | None = None
    """None where the export knew no labelled images."""
    gate: GateResult | None = None
    """Whether an integer form loses too much, `undecided` too; None of other forms, and without validation images."""
    acceptance: Acceptance | None = None
    """None where no labelled validation images were at hand: then nothing is known of which answers to accept."""
    parity: Parity
    """Against the reference, on the golden images."""
    parity_steps: tuple[ParityStep, ...] = field(default=(), name="links")
    """In the order they were checked."""
    inputs_sha256: str = ""
    """Of all that decides the artifact: where it is the same, an export uses the bundle again."""
    created: str
    """When, in UTC, ISO 8601."""

    def __post_init__(self) -> None:
        """Refuse names that could be paths or steer a terminal, labels that stand twice, and half a rule."""
        for key, fault in (("name", name_fault(self.name)), ("labels", class_names_fault(self.labels))):
            if fault is not None:
                raise ValueError(f"{key}: {fault}")
        if not 1 <= len(self.labels) <= MOST_LABELS:
            raise ValueError(f"labels: {len(self.labels):,} of them; wanted 1 to {MOST_LABELS:,}")
        if (self.acceptance is None) != (self.validation is None):
            raise ValueError("acceptance: goes with the file of validation answers, and one of the two is missing")
        if self.validation is not None and self.validation.count <= NEAREST:
            raise ValueError(f"validation: {self.validation.count} images; wanted more than {NEAREST}")

    @property
    def golden_arrays(self) -> dict[str, ArraySpec]:
        """What the golden file holds."""
        count = self.golden.count
        arrays = {
            "images": ArraySpec((count, *self.input.shape), "|u1"),
            "probabilities": ArraySpec((count, len(self.labels)), "<f4"),
            "labels": ArraySpec((count,), "<i8"),
        }
        return arrays | ({"identity": ArraySpec((None,), "|u1")} if self.schema > 1 else {})

    @property
    def reference_arrays(self) -> dict[str, ArraySpec]:
        """What the file of the reference's probabilities holds, where there is one."""
        count = 0 if self.reference is None else self.reference.count
        probabilities = ArraySpec((count, len(self.labels)), "<f4")
        return {"hashes": ArraySpec((count, HASH_BYTES), "|u1"), "probabilities": probabilities}

    @property
    def calibration_arrays(self) -> dict[str, ArraySpec]:
        """What the file of the calibration images holds, where there is one."""
        count = 0 if self.calibration is None else self.calibration.count
        return {"hashes": ArraySpec((count, HASH_BYTES), "|u1")}

    @property
    def validation_arrays(self) -> dict[str, ArraySpec]:
        """What the file of validation answers holds, where there is one."""
        count = 0 if self.validation is None else self.validation.count
        features = ArraySpec((count, feature_count(self.input.channels)), "<f2")
        return {"features": features, "confidence": ArraySpec((count,), "<f4")}

    @property
    def identity(self) -> Identity:
        """What the files beside it have to agree with."""
        return Identity(self.labels, self.input, self.source.model_sha256)

    @property
    def tolerance(self) -> Tolerance:
        """How far the artifact may be from the reference on any machine: as its form may, or as float32 makes it."""
        limits = QUANTIZATIONS[self.quantization].tolerance
        widest = max((step.allowed_abs_diff or 0.0 for step in self.parity_steps), default=0.0)
        if widest <= limits.max_abs_diff:
            return limits
        mean = limits.mean_abs_diff * widest / limits.max_abs_diff
        return limits._replace(max_abs_diff=widest, mean_abs_diff=mean)
