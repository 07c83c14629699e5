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
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import ImageKind, InputContract
from bctoolkit.documents import decode_json, parse, to_json
from bctoolkit.documents.adopted import Adopted
from bctoolkit.documents.base import MOST_JSON
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.documents.preprocessing import Adaptation
from bctoolkit.errors import BundleCorrupt, BundleError, BundleTooNew, RecipeError
from bctoolkit.files import atomic_folder, sha256_bytes
from bctoolkit.manifest import (
    SCHEMA,
    ArrayFile,
    IntegerProducts,
    Manifest,
    ModelFile,
    ParityStep,
    Processor,
    Source,
)
from bctoolkit.statistics.metrics import Parity, are_probabilities
from bctoolkit.untrusted.arrays import ArraySpec, read_npz
from bctoolkit.untrusted.files import read_bounded

__all__ = [
    "MANIFEST",
    "Bundle",
    "BundleContent",
    "Golden",
    "Reference",
    "newest",
    "read",
    "write",
]

GOLDEN, REFERENCE, CALIBRATION = "golden.npz", "reference.npz", "calibration.npz"
MANIFEST, SEAL = "manifest.json", "manifest.json.sha256"

MOST_SEAL, MOST_BYTES = 1024, 2**30
"""Bytes of the seal, and of any other file but the model, whose size is in the manifest; of arrays also unpacked."""

LONGEST_NAME = 100
"""Characters of a file's name in a message."""


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
    adaptation: Adaptation | None = None
    """What was written into the graph around the network."""
    cpu: Processor | None = None
    """That the artifact was checked on."""
    inputs_sha256: str = ""
    """Of all that decides the artifact."""
    adopted: Adopted | None = None
    """The file that it was made of, where that was made elsewhere."""


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
        return _checked(self.path, self.manifest.model.file, self.manifest.model.sha256, self.manifest.model.bytes)

    def golden(self) -> Golden:
        """The golden images and what the Keras reference said of them."""
        entry = self.manifest.golden
        arrays = self._arrays(entry, self.manifest.golden_arrays)
        self._require_labels(arrays["labels"])
        return Golden(arrays["images"], arrays["probabilities"], arrays["labels"], entry.images)

    def reference(self) -> Reference | None:
        """The reference's probabilities of the test part, where the bundle carries them."""
        if self.manifest.reference is None:
            return None
        arrays = self._arrays(self.manifest.reference, self.manifest.reference_arrays)
        return Reference(arrays["hashes"], arrays["probabilities"], self.manifest.reference.images)

    def calibration(self) -> NDArray[np.uint8] | None:
        """N × 32: SHA-256 of the pixels of each image that set the ranges, where the bundle says."""
        entry = self.manifest.calibration
        return None if entry is None else self._arrays(entry, self.manifest.calibration_arrays)["hashes"]

    def check(self) -> None:
        """Compare every file with its hash in the manifest.

        Raises:
            BundleCorrupt: a file is missing or differs.
        """
        manifest = self.manifest
        for entry in (manifest.model, manifest.golden, manifest.reference, manifest.calibration):
            if entry is not None:
                _checked(self.path, entry.file, entry.sha256)

    def _arrays(self, entry: ArrayFile, wanted: dict[str, ArraySpec]) -> dict[str, NDArray[Any]]:
        content = _checked(self.path, entry.file, entry.sha256)
        source = str(self.path / entry.file)
        arrays = read_npz(content, wanted, source, BundleCorrupt, most=MOST_BYTES)
        probabilities = arrays.get("probabilities")
        if probabilities is not None and not are_probabilities(probabilities):
            raise BundleCorrupt(f"{source}: 'probabilities' holds numbers that are none")
        return arrays

    def _require_labels(self, labels: NDArray[np.int64]) -> None:
        lowest, highest, last = int(labels.min()), int(labels.max()), len(self.manifest.labels) - 1
        if not -1 <= lowest <= highest <= last:
            source = self.path / self.manifest.golden.file
            raise BundleCorrupt(f"{source}: 'labels' from {lowest} to {highest}; wanted -1 to {last}")


def read(path: str | Path) -> Bundle:
    """Open a bundle and check its manifest.

    Raises:
        BundleError: not a bundle folder.
        BundleTooNew: written with a later schema.
        BundleCorrupt: the manifest is damaged.
    """
    folder = Path(path)
    if not os.path.lexists(folder / MANIFEST):
        what = f"not a bundle: it holds no {MANIFEST}" if os.path.lexists(folder) else "no such folder"
        raise BundleError(f"{folder}: {what}")
    content = read_bounded(folder / MANIFEST, MOST_JSON, BundleCorrupt, within=folder)
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
    with atomic_folder(target, MANIFEST, ("model.*", GOLDEN, REFERENCE, CALIBRATION, SEAL)) as folder:
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
            adopted=content.adopted,
            tools=content.tools,
            cpu=content.cpu,
            integer_products=content.integer_products,
            adaptation=content.adaptation,
            parity=content.parity,
            parity_steps=content.parity_steps,
            inputs_sha256=content.inputs_sha256,
            created=content.created,
        )
        encoded = to_json(manifest)
        (folder / MANIFEST).write_bytes(encoded)
        (folder / SEAL).write_text(f"{sha256_bytes(encoded)}  {MANIFEST}\n")
        _require_readable(Bundle(folder, manifest))
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


def _require_readable(bundle: Bundle) -> None:
    """Refuse to seal what no device would take: arrays that do not fit the contract, or are too large."""
    bundle.golden()
    bundle.reference()
    bundle.calibration()


def _seal_digest(folder: Path) -> str:
    content = read_bounded(folder / SEAL, MOST_SEAL, BundleCorrupt, within=folder)
    try:
        return content.decode("ascii").split()[0]
    except (UnicodeDecodeError, IndexError):
        raise BundleCorrupt(f"{folder / SEAL}: unreadable; copy the bundle again") from None


def _checked(folder: Path, name: str, sha256: str, most: int = MOST_BYTES) -> bytes:
    if Path(name).name != name:
        raise BundleCorrupt(f"{folder / MANIFEST}: names a file outside the bundle: {name[:LONGEST_NAME]!r}")
    content = read_bounded(folder / name, most, BundleCorrupt, within=folder)
    if sha256_bytes(content) != sha256:
        raise BundleCorrupt(f"{folder / name}: SHA-256 differs from the manifest's; copy the bundle again")
    return content


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]], images: ImageKind) -> ArrayFile:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any keyword for a switch
    path.write_bytes(buffer.getvalue())
    count = len(next(iter(arrays.values())))
    return ArrayFile(file=path.name, sha256=sha256_bytes(buffer.getvalue()), count=count, images=images)
