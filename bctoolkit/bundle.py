"""The bundle: the one folder that goes to a device and can check itself there.

::

    <name>/
      model.onnx | model.tflite   the artifact
      golden.npz                  images (N×H×W×C uint8), labels, and the Keras reference's probabilities (float32)
      reference.npz               optional: the reference's probabilities of the test part, keyed by image hash
      calibration.npz             optional: which images of the training part set the ranges, by hash
      manifest.json               what all this is, with the SHA-256 of each file
      manifest.json.sha256        the manifest's own, in the format of `sha256sum -c`

A bundle is written once and whole, then only read. Nothing is handed on before its hash has been checked.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import field
from numpy.typing import NDArray

from bctoolkit.contract import ImageKind, InputContract
from bctoolkit.documents import Document, decode_json, parse, to_json
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS, Tolerance
from bctoolkit.errors import BundleCorrupt, BundleError, BundleTooNew, RecipeError
from bctoolkit.files import atomic_folder, sha256_bytes
from bctoolkit.statistics.metrics import Parity

__all__ = [
    "MANIFEST",
    "Bundle",
    "BundleContent",
    "Float32Error",
    "Golden",
    "IntegerProducts",
    "Manifest",
    "ParityStep",
    "Processor",
    "Reference",
    "Source",
    "newest",
    "read",
    "write",
]

SCHEMA = 1
GOLDEN, REFERENCE, CALIBRATION = "golden.npz", "reference.npz", "calibration.npz"
MANIFEST, SEAL = "manifest.json", "manifest.json.sha256"


class ModelFile(Document, frozen=True):
    """The artifact of a bundle."""

    file: str
    sha256: str
    bytes: int


class ArrayFile(Document, frozen=True):
    """An `.npz` of a bundle."""

    file: str
    sha256: str
    count: int
    images: ImageKind = "real"


class Source(Document, frozen=True):
    """Where an artifact comes from; a hash is empty where there is nothing to hash."""

    run: str
    model_sha256: str
    dataset_sha256: str = ""
    recipe_sha256: str = ""


class Float32Error(Document, frozen=True, kw_only=True):
    """How far float32 is from what the network is exactly, on a few of the images."""

    typical: float
    """`metrics.logit_errors` of the median image."""
    worst: float
    """That of the worst image."""
    max_abs_diff: float


class ParityStep(Document, frozen=True, kw_only=True):
    """What one step on the way from the trained network to the artifact changed, on the same images."""

    name: str = field(name="link")
    """From what to what, e.g. `folded twin → onnx fp32`."""
    count: int
    top1_agreement: float
    max_abs_diff: float
    mean_abs_diff: float
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
    columns: int
    """Output columns of all of them together."""
    saturating: int
    """Columns with a sum of two products that can leave 16 bits: x86 without VNNI would give another result."""


class Processor(Document, frozen=True):
    """The CPU that an artifact was checked on."""

    name: str
    features: tuple[str, ...]
    """See `system.CPU_FEATURES`."""


class Manifest(Document, frozen=True, kw_only=True):
    """`manifest.json`."""

    schema: int = SCHEMA
    name: str
    format: str
    quantization: str
    model: ModelFile
    input: InputContract
    labels: tuple[str, ...]
    golden: ArrayFile
    reference: ArrayFile | None = None
    calibration: ArrayFile | None = None
    keep_float: tuple[str, ...] = ()
    """Layers of the network that an integer form computes in float."""
    source: Source
    tools: dict[str, str] = field(default_factory=dict)
    cpu: Processor | None = None
    integer_products: IntegerProducts | None = None
    """Of ONNX files; None where there are none, and for engines that add them up in 32 bits everywhere."""
    parity: Parity
    parity_steps: tuple[ParityStep, ...] = field(default=(), name="links")
    """In the order they were checked."""
    inputs_sha256: str = ""
    """Of all that decides the artifact: where it is the same, an export uses the bundle again."""
    created: str

    @property
    def tolerance(self) -> Tolerance:
        """How far the artifact may be from the reference on any machine: as its form may, or as float32 makes it."""
        limits = QUANTIZATIONS[self.quantization].tolerance
        widest = max((step.allowed_abs_diff or 0.0 for step in self.parity_steps), default=0.0)
        if widest <= limits.max_abs_diff:
            return limits
        mean = limits.mean_abs_diff * widest / limits.max_abs_diff
        return limits._replace(max_abs_diff=widest, mean_abs_diff=mean)


@dataclass(frozen=True)
class Golden:
    """Images with the float32 Keras reference's probabilities, fixed at export."""

    images: NDArray[np.uint8]
    """N × height × width × channels."""
    probabilities: NDArray[np.float32]
    """N × classes."""
    labels: NDArray[np.int64]
    """N true classes; -1 where unknown."""
    kind: ImageKind = "real"


@dataclass(frozen=True)
class Reference:
    """The reference's probabilities of the test part, so that a device can pair predictions without Keras."""

    hashes: NDArray[np.uint8]
    """N × 32: SHA-256 of each image's decoded pixels."""
    probabilities: NDArray[np.float32]
    """N × classes."""
    kind: ImageKind = "real"


@dataclass(frozen=True, kw_only=True)
class BundleContent:
    """All that `write` puts into a bundle."""

    format: str
    """A key of `FORMATS`."""
    quantization: str
    """One of the format's quantizations."""
    model: bytes
    """The artifact."""
    input: InputContract
    """What the artifact takes."""
    labels: tuple[str, ...]
    """The classes, in the order of the artifact's outputs."""
    golden: Golden
    reference: Reference | None
    """None where the test part is unknown or is not to travel."""
    source: Source
    tools: dict[str, str]
    """Package → version, of what wrote the artifact."""
    parity: Parity
    """The artifact against the reference on the golden images."""
    created: str
    """ISO 8601 time in UTC."""
    parity_steps: tuple[ParityStep, ...] = ()
    calibration: NDArray[np.uint8] | None = None
    """N × 32, SHA-256 of the pixels of each image that set the ranges."""
    keep_float: tuple[str, ...] = ()
    """Layers that an integer form computes in float."""
    integer_products: IntegerProducts | None = None
    """Of an ONNX file, and whether every CPU adds them up exactly."""
    cpu: Processor | None = None
    """That the artifact was checked on."""
    inputs_sha256: str = ""
    """Of all that decides the artifact."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest has been checked; the other files are checked as they are read."""

    path: Path
    manifest: Manifest

    def model(self) -> bytes:
        """The artifact's bytes.

        Raises:
            BundleCorrupt: the file is missing or differs from the manifest.
        """
        return _checked(self.path, self.manifest.model.file, self.manifest.model.sha256)

    def golden(self) -> Golden:
        """The golden images and what the Keras reference said of them."""
        entry = self.manifest.golden
        arrays = self._arrays(entry, ("images", "probabilities", "labels"))
        return Golden(arrays["images"], arrays["probabilities"], arrays["labels"], entry.images)

    def reference(self) -> Reference | None:
        """The reference's probabilities of the test part, where the bundle carries them."""
        if self.manifest.reference is None:
            return None
        arrays = self._arrays(self.manifest.reference, ("hashes", "probabilities"))
        return Reference(arrays["hashes"], arrays["probabilities"], self.manifest.reference.images)

    def calibration(self) -> NDArray[np.uint8] | None:
        """N × 32: SHA-256 of the pixels of each image that set the ranges, where the bundle says."""
        entry = self.manifest.calibration
        hashes: NDArray[np.uint8] | None = None if entry is None else self._arrays(entry, ("hashes",))["hashes"]
        return hashes

    def check(self) -> None:
        """Compare every file with its hash in the manifest.

        Raises:
            BundleCorrupt: a file is missing or differs.
        """
        manifest = self.manifest
        for entry in (manifest.model, manifest.golden, manifest.reference, manifest.calibration):
            if entry is not None:
                _checked(self.path, entry.file, entry.sha256)

    def _arrays(self, entry: ArrayFile, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        content = _checked(self.path, entry.file, entry.sha256)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in names}
        except (ValueError, KeyError, zipfile.BadZipFile) as problem:
            raise BundleCorrupt(f"{self.path / entry.file}: cannot be read ({problem})") from None


def read(path: str | Path) -> Bundle:
    """Open a bundle and check its manifest.

    Raises:
        BundleError: not a bundle folder.
        BundleTooNew: written with a later schema.
        BundleCorrupt: the manifest is damaged.
    """
    folder = Path(path)
    if not (folder / MANIFEST).is_file():
        what = "no such folder" if not folder.exists() else f"not a bundle: it holds no {MANIFEST}"
        raise BundleError(f"{folder}: {what}")
    content = (folder / MANIFEST).read_bytes()
    raw = decode_json(content, str(folder / MANIFEST), BundleCorrupt, "copy the bundle again")
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleTooNew(f"{folder}: schema {schema}, this bctoolkit reads up to {SCHEMA}; upgrade bctoolkit")
    expected = _seal_digest(folder)
    if sha256_bytes(content) != expected:
        raise BundleCorrupt(f"{folder / MANIFEST}: SHA-256 differs from the one in {SEAL}; copy the bundle again")
    manifest = parse(Manifest, raw, str(folder / MANIFEST), BundleCorrupt)
    if manifest.format not in FORMATS:
        raise BundleError(f"{folder}: unknown format {manifest.format!r}; formats: {', '.join(FORMATS)}")
    if manifest.quantization not in QUANTIZATIONS:
        names = ", ".join(QUANTIZATIONS)
        raise BundleError(f"{folder}: unknown quantization {manifest.quantization!r}; quantizations: {names}")
    return Bundle(folder, manifest)


def write(target: Path, content: BundleContent) -> Bundle:
    """Write a bundle to the folder `target`, all of it or nothing; an earlier bundle there is replaced.

    The folder's name becomes the bundle's.
    """
    with atomic_folder(target, MANIFEST) as folder:
        model = f"model{FORMATS[content.format].suffix}"
        (folder / model).write_bytes(content.model)
        golden, reference, calibration = content.golden, content.reference, content.calibration
        manifest = Manifest(
            name=target.name,
            format=content.format,
            quantization=content.quantization,
            model=ModelFile(file=model, sha256=sha256_bytes(content.model), bytes=len(content.model)),
            input=content.input,
            labels=content.labels,
            golden=_write_arrays(
                folder / GOLDEN,
                {"images": golden.images, "probabilities": golden.probabilities, "labels": golden.labels},
                golden.kind,
            ),
            reference=None
            if reference is None
            else _write_arrays(
                folder / REFERENCE,
                {"hashes": reference.hashes, "probabilities": reference.probabilities},
                reference.kind,
            ),
            calibration=None
            if calibration is None
            else _write_arrays(folder / CALIBRATION, {"hashes": calibration}, golden.kind),
            keep_float=content.keep_float,
            source=content.source,
            tools=content.tools,
            cpu=content.cpu,
            integer_products=content.integer_products,
            parity=content.parity,
            parity_steps=content.parity_steps,
            inputs_sha256=content.inputs_sha256,
            created=content.created,
        )
        encoded = to_json(manifest)
        (folder / MANIFEST).write_bytes(encoded)
        (folder / SEAL).write_text(f"{sha256_bytes(encoded)}  {MANIFEST}\n")
    return read(target)


def newest(shelf: Path) -> list[Path]:
    """The bundles under `shelf` of the run that was exported last, by name.

    Raises:
        RecipeError: there is no bundle.
    """
    bundles = [read(path.parent) for path in shelf.glob(f"[!.]*/{MANIFEST}")]
    if not bundles:
        raise RecipeError(f"no bundle in {shelf}; make one with: bctk export --format onnx")
    run = max(bundles, key=lambda bundle: bundle.manifest.created).manifest.source.run
    return sorted(bundle.path for bundle in bundles if bundle.manifest.source.run == run)


def _seal_digest(folder: Path) -> str:
    try:
        return (folder / SEAL).read_text(encoding="ascii").split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        raise BundleCorrupt(f"{folder / SEAL}: missing or unreadable; copy the bundle again") from None


def _checked(folder: Path, name: str, sha256: str) -> bytes:
    if Path(name).name != name:
        raise BundleCorrupt(f"{folder / MANIFEST}: names a file outside the bundle: {name!r}")
    try:
        content = (folder / name).read_bytes()
    except (OSError, ValueError) as problem:  # ValueError: a name no file can have
        raise BundleCorrupt(f"{folder / name}: cannot be read ({problem})") from None
    if sha256_bytes(content) != sha256:
        raise BundleCorrupt(f"{folder / name}: SHA-256 differs from the manifest's; copy the bundle again")
    return content


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]], images: ImageKind) -> ArrayFile:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any keyword for a switch
    path.write_bytes(buffer.getvalue())
    count = len(next(iter(arrays.values())))
    return ArrayFile(file=path.name, sha256=sha256_bytes(buffer.getvalue()), count=count, images=images)
