"""Writing a bundle whole or not at all, and signing it."""

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.bom import bill_of_materials
from bctoolkit.bundle.content import (
    BOM,
    CALIBRATION,
    GOLDEN,
    MANIFEST,
    REFERENCE,
    SEAL,
    STATED,
    VALIDATION,
    BundleContent,
    Golden,
    Reference,
)
from bctoolkit.bundle.opened import Bundle, read
from bctoolkit.contract import ImageKind
from bctoolkit.documents import to_json
from bctoolkit.documents.formats import FORMATS
from bctoolkit.files import atomic_folder, sha256_bytes
from bctoolkit.manifest import ArrayFile, Identity, Manifest, ModelFile, SealedFile
from bctoolkit.signing import PrivateKey, sign_folder
from bctoolkit.statistics.acceptance import ValidationAnswers

__all__ = ["sign", "write"]


def sign(path: Path, key: PrivateKey) -> None:
    """Sign a bundle of which every file is as it was sealed; an earlier signature is replaced.

    Raises:
        BundleError: it is damaged, or holds what does not belong to it.
    """
    opened = read(path)
    opened.check()
    sign_folder(path, opened.manifest.name, {*opened.files, MANIFEST, SEAL}, key)


def write(target: Path, content: BundleContent) -> Bundle:
    """Write a bundle to the folder `target`, all of it or nothing; an earlier bundle there is replaced.

    The folder's name becomes the bundle's.
    """
    with atomic_folder(target, MANIFEST, ("model.*", GOLDEN, REFERENCE, CALIBRATION, VALIDATION, BOM, SEAL)) as folder:
        model = f"model{FORMATS[content.format].suffix}"
        (folder / model).write_bytes(content.model)
        reference, hashes, rule = content.reference, content.calibration, content.acceptance
        arrays, kind = _stored(content.golden)
        identity = msgspec.json.encode(Identity(content.labels, content.input, content.source.model_sha256))
        manifest = Manifest(
            name=target.name,
            model=ModelFile(file=model, sha256=sha256_bytes(content.model), bytes=len(content.model)),
            golden=_write_arrays(folder / GOLDEN, arrays | {"identity": np.frombuffer(identity, np.uint8)}, kind),
            reference=None if reference is None else _write_arrays(folder / REFERENCE, *_stored(reference)),
            calibration=None if hashes is None else _write_arrays(folder / CALIBRATION, {"hashes": hashes}),
            validation=None if rule is None else _write_arrays(folder / VALIDATION, *_stored(rule.answers)),
            acceptance=None if rule is None else rule.stated,
            **{name: getattr(content, name) for name in STATED},
        )
        bom = to_json(bill_of_materials(manifest))
        (folder / BOM).write_bytes(bom)
        encoded = to_json(msgspec.structs.replace(manifest, bom=SealedFile(BOM, sha256_bytes(bom))))
        (folder / MANIFEST).write_bytes(encoded)
        (folder / SEAL).write_text(f"{sha256_bytes(encoded)}  {MANIFEST}\n")
        _require_readable(Bundle(folder, manifest))
    return read(target)


def _require_readable(bundle: Bundle) -> None:
    """Refuse to seal what no device would take: arrays that do not fit the contract, or are too large."""
    bundle.golden()
    bundle.reference()
    bundle.calibration()
    bundle.acceptance_rule()


def _stored(arrays: Golden | Reference | ValidationAnswers) -> tuple[dict[str, NDArray[Any]], ImageKind]:
    """The arrays by their names, and the kind of images they are of."""
    named = dict(vars(arrays))
    return named, named.pop("kind")


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]], images: ImageKind = "real") -> ArrayFile:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any keyword for a switch
    path.write_bytes(buffer.getvalue())
    count = len(next(iter(arrays.values())))
    return ArrayFile(file=path.name, sha256=sha256_bytes(buffer.getvalue()), count=count, images=images)
