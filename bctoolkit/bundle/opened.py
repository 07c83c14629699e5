"""A bundle on disk: its manifest is checked when it is opened, each other file when it is read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bundle.content import MANIFEST, SEAL, STATED, BundleContent, Golden, Reference
from bctoolkit.documents import decode_json, parse
from bctoolkit.documents.base import MOST_JSON
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.errors import BundleCorrupt, BundleError, BundleTooNew, BundleUntrusted, RecipeError
from bctoolkit.files import require_readable, sha256_bytes
from bctoolkit.manifest import SCHEMA, ArrayFile, Identity, Manifest
from bctoolkit.signing import TrustedKey, read_public_keys, verify_folder
from bctoolkit.statistics.acceptance import AcceptanceRule, ValidationAnswers
from bctoolkit.statistics.metrics import are_probabilities
from bctoolkit.untrusted.arrays import ArraySpec, read_npz
from bctoolkit.untrusted.files import read_bounded

__all__ = ["Bundle", "newest", "read"]

MOST_SEAL, MOST_BYTES = 1024, 2**30
"""Bytes of the seal, and of any other file but the model, whose size is in the manifest; of arrays also unpacked."""

LONGEST_NAME = 100
"""Characters of a file's name in a message."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest has been checked; the other files are checked as they are read."""

    path: Path
    manifest: Manifest
    signed_by: str = ""
    """SHA-256 of the trusted key that signed it, as PEM; empty where no key was asked for."""

    @property
    def files(self) -> dict[str, str]:
        """Name → SHA-256 of the files that the manifest names."""
        manifest = self.manifest
        arrays = (manifest.golden, manifest.reference, manifest.calibration, manifest.validation)
        return {entry.file: entry.sha256 for entry in (manifest.model, *arrays, manifest.bom) if entry is not None}

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
        if "identity" in arrays:
            self._require_same_identity(entry.file, arrays["identity"])
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

    def acceptance_rule(self) -> AcceptanceRule | None:
        """Which answers to accept, where the bundle says."""
        stated, entry = self.manifest.acceptance, self.manifest.validation
        if stated is None or entry is None:
            return None
        arrays = self._arrays(entry, self.manifest.validation_arrays)
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise BundleCorrupt(f"{self.path / entry.file}: holds numbers that are not finite")
        return AcceptanceRule(stated, ValidationAnswers(**arrays, kind=entry.images))

    def content(self) -> BundleContent:
        """What `write` made the bundle of."""
        return BundleContent(
            model=self.model(),
            golden=self.golden(),
            reference=self.reference(),
            calibration=self.calibration(),
            acceptance=self.acceptance_rule(),
            **{name: getattr(self.manifest, name) for name in STATED},
        )

    def check(self) -> None:
        """Compare every file with its hash in the manifest.

        Raises:
            BundleCorrupt: a file is missing or differs.
        """
        self.model()
        for name, sha256 in self.files.items():
            if name != self.manifest.model.file:
                _checked(self.path, name, sha256)

    def require_identity(self, file: str, stated: Identity) -> None:
        """Compare what a file states of itself with the manifest.

        Args:
            file: its name.
            stated: what it says it was made for.

        Raises:
            BundleCorrupt: they contradict each other.
        """
        contradiction = stated.contradiction(self.manifest.identity)
        if contradiction is not None:
            raise BundleCorrupt(
                f"{self.path / file}: was made {contradiction}, as {MANIFEST} says; use a bundle whose files belong "
                "together"
            )

    def _require_same_identity(self, file: str, content: NDArray[Any]) -> None:
        source = str(self.path / file)
        raw = decode_json(content.tobytes(), source, BundleCorrupt, "copy the bundle again")
        self.require_identity(file, parse(Identity, raw, source, BundleCorrupt))

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


def read(path: str | Path, trusted_keys: Sequence[TrustedKey] | None = None) -> Bundle:
    """Open a bundle and check its manifest.

    Args:
        path: its folder.
        trusted_keys: public keys, as paths of PEM files or their content, of which one must have signed the bundle; by
            default no signature is asked for.

    Raises:
        BundleUntrusted: it is not, file by file, what a trusted key signed.
        RecipeError: a trusted key cannot be used.
        BundleError: not a bundle folder.
        BundleTooNew: written with a later schema.
        BundleCorrupt: the manifest is damaged.
    """
    folder = Path(path)
    if not os.path.lexists(folder / MANIFEST):
        what = f"not a bundle: it holds no {MANIFEST}" if os.path.lexists(folder) else "no such folder"
        raise BundleError(f"{folder}: {what}")
    signature = None if trusted_keys is None else verify_folder(folder, read_public_keys(trusted_keys))
    content = read_bounded(folder / MANIFEST, MOST_JSON, BundleCorrupt, within=folder)
    if signature is not None and signature.files.get(MANIFEST) != sha256_bytes(content):
        raise BundleUntrusted(f"{folder / MANIFEST}: is not what was signed; use the bundle as it was signed")
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
    return Bundle(folder, manifest, "" if signature is None else signature.key.hint)


def newest(shelf: Path) -> list[Path]:
    """The bundles under `shelf` of the run that was exported last, by name.

    Raises:
        RecipeError: there is no bundle.
        OSError: the shelf cannot be read.
    """
    require_readable(shelf)
    bundles = [read(path.parent) for path in shelf.glob(f"[!.]*/{MANIFEST}")]
    if not bundles:
        raise RecipeError(f"no bundle in {shelf}; make one with: bctk export --format onnx")
    run = max(bundles, key=lambda bundle: bundle.manifest.created).manifest.source.run
    return sorted(bundle.path for bundle in bundles if bundle.manifest.source.run == run)


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
