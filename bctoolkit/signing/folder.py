"""Sign a folder, and hold a folder against its signature."""

import hashlib
import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from bctoolkit.errors import BundleUntrusted
from bctoolkit.files import atomic_file
from bctoolkit.signing import statement
from bctoolkit.signing.envelope import LARGEST, Envelope, message
from bctoolkit.signing.keys import PrivateKey, PublicKey
from bctoolkit.untrusted.files import open_regular, read_bounded

__all__ = ["SIGNATURE", "Signature", "sign_folder", "verify_folder"]

SIGNATURE = "model.sig"
"""The one file that is not signed."""

MOST_BYTES = 8 * 2**30
"""Of all files of a folder: one that is larger is no model, and would take minutes to hash."""

REMEDY = "use the bundle as it was signed"


class Signature(NamedTuple):
    """A signature that holds."""

    key: PublicKey
    files: dict[str, str]
    """Name → SHA-256 of each file of the folder but `SIGNATURE`."""


def sign_folder(folder: Path, name: str, files: Collection[str], key: PrivateKey) -> None:
    """Write `SIGNATURE` over the files of a folder, in place of one that is there.

    Args:
        folder: whose files are signed as they are now.
        name: what the signature calls it.
        files: names of all that it may hold but `SIGNATURE`.
        key: signs.

    Raises:
        BundleUntrusted: it holds something else, or anything but regular files.
    """
    payload = statement.encode(name, _digests(folder, files, "is no part of the bundle"), (SIGNATURE,))
    envelope = Envelope(key.public.hint, payload, key.sign(message(payload)))
    atomic_file(folder / SIGNATURE, envelope.encode())


def verify_folder(folder: Path, trusted: Sequence[PublicKey]) -> Signature:
    """Hold every file of a folder against a signature by one of the trusted keys.

    What is read of these files later has to be compared with the digests that are returned.

    Raises:
        BundleUntrusted: it is unsigned, signed by another key, or a file was changed, added or taken away; the message
            says which.
    """
    path = folder / SIGNATURE
    if not os.path.lexists(path):
        raise BundleUntrusted(f"{folder}: not signed: it holds no {SIGNATURE}; use a bundle signed by a trusted key")
    _require_regular(path, str(path))
    try:
        envelope = Envelope.decode(read_bounded(path, LARGEST, BundleUntrusted))
        key = _key_of(envelope, path, trusted)
        if not key.signed(message(envelope.payload), envelope.signature):
            raise ValueError("was changed: the key did not sign this content")
        files = statement.files_of(envelope.payload)
    except ValueError as problem:
        raise BundleUntrusted(f"{path}: {problem}; {REMEDY}") from None
    _require_same(folder, files)
    return Signature(key, files)


def _key_of(envelope: Envelope, path: Path, trusted: Sequence[PublicKey]) -> PublicKey:
    """The trusted key that a signature names."""
    for key in trusted:
        if key.hint == envelope.hint:
            return key
    known = ", ".join(f"{key.hint[:16]}…" for key in trusted)
    raise BundleUntrusted(
        f"{path}: is by the key {envelope.hint[:16]}…, and trusted is {known}; trust another key only if you know its "
        "owner"
    )


def _require_same(folder: Path, signed: dict[str, str]) -> None:
    """Refuse a folder of other files than those that were signed."""
    present = _digests(folder, signed, "was added after the bundle was signed")
    for name, digest in signed.items():
        if name not in present:
            raise BundleUntrusted(f"{folder}: {name!r} was signed and is missing; {REMEDY}")
        if present[name] != digest:
            raise BundleUntrusted(f"{folder}: {name!r} was changed after the bundle was signed; {REMEDY}")


def _digests(folder: Path, allowed: Collection[str], otherwise: str) -> dict[str, str]:
    """Name → SHA-256 of the files of a folder: regular files of the allowed names, and nothing else."""
    try:
        names = sorted(name for name in os.listdir(folder) if name != SIGNATURE)
    except OSError as problem:
        raise BundleUntrusted(f"{folder}: cannot be read ({problem.strerror})") from None
    for name in names:
        if name not in allowed:
            raise BundleUntrusted(f"{folder}: {name!r} {otherwise}; remove it")
    left, digests = MOST_BYTES, {}
    for name in names:
        digests[name], size = _digest(folder, name, left)
        left -= size
    return digests


def _digest(folder: Path, name: str, most: int) -> tuple[str, int]:
    """SHA-256 and size of a regular file of at most `most` bytes."""
    try:
        _require_regular(folder / name, f"{folder}: {name!r}")
        with open_regular(folder / name, BundleUntrusted, most=most) as file:
            digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # its stub wants more than a BinaryIO has
            return digest.hexdigest(), os.fstat(file.fileno()).st_size
    except OSError as problem:
        raise BundleUntrusted(f"{folder}: {name!r} cannot be read ({problem.strerror})") from None


def _require_regular(path: Path, shown: str) -> None:
    """Refuse a link, too: what it leads to lies in no bundle, or stands there twice."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise BundleUntrusted(f"{shown} is a link, a folder or a device; a signed bundle holds files only")
