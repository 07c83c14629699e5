"""Keys that sign bundles and check their signatures: ECDSA on the curves P-256 and P-384 (FIPS 186-5)."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bctoolkit.errors import RecipeError
from bctoolkit.lazy import require
from bctoolkit.untrusted.files import read_bounded

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = [
    "CURVES",
    "PrivateKey",
    "PublicKey",
    "TrustedKey",
    "new_key",
    "read_private_key",
    "read_public_keys",
    "write_pair",
]

CURVES = {"p256": ("secp256r1", "SECP256R1", "SHA256"), "p384": ("secp384r1", "SECP384R1", "SHA384")}
"""Name → what `cryptography` calls the curve and its class, and the hash that goes with it."""

LARGEST = 65_536
"""Bytes of a key file; one of P-384 has 300."""

TrustedKey = str | Path | bytes
"""The path of a public key's PEM file, or its content."""

K = TypeVar("K", bound="ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey")


@dataclass(frozen=True)
class PublicKey:
    """What a device checks signatures with."""

    key: "ec.EllipticCurvePublicKey"

    @cached_property
    def pem(self) -> bytes:
        """As a PEM file holds it: SubjectPublicKeyInfo (RFC 5280)."""
        formats = _serialization()
        return self.key.public_bytes(formats.Encoding.PEM, formats.PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def hint(self) -> str:
        """SHA-256 of `pem` in hexadecimal, by which a signature names its key."""
        return hashlib.sha256(self.pem).hexdigest()

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key's owner signed `message`."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, message, _algorithm(self.key))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """What signs bundles; whoever has it can sign in its owner's name."""

    key: "ec.EllipticCurvePrivateKey"

    @property
    def public(self) -> PublicKey:
        """Its other half."""
        return PublicKey(self.key.public_key())

    @property
    def pem(self) -> bytes:
        """As a PEM file holds it: PKCS #8 (RFC 5958), not encrypted."""
        formats = _serialization()
        return self.key.private_bytes(formats.Encoding.PEM, formats.PrivateFormat.PKCS8, formats.NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`, in DER."""
        return self.key.sign(message, _algorithm(self.key))


def new_key(curve: str = "p256") -> PrivateKey:
    """Make a key on a curve of `CURVES`.

    Raises:
        MissingExtra: `cryptography` is not installed.
    """
    curves: Any = require("cryptography.hazmat.primitives.asymmetric.ec", "sign")
    return PrivateKey(curves.generate_private_key(getattr(curves, CURVES[curve][1])()))


def write_pair(key: PrivateKey, private: Path, public: Path) -> None:
    """Write both halves of a key to new files; only their owner may read the private one.

    Raises:
        RecipeError: one of the files exists, or cannot be written; then neither is left.
    """
    for path in (private, public):
        if os.path.lexists(path):
            raise RecipeError(f"{path}: exists, and a key is never overwritten; choose another name with --out")
    written: list[Path] = []
    try:
        private.parent.mkdir(parents=True, exist_ok=True)
        for path, content, mode in ((private, key.pem, 0o600), (public, key.public.pem, 0o644)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(path)
            with open(descriptor, "wb") as file:
                file.write(content)
    except BaseException as problem:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise RecipeError(f"{private}: cannot be written ({problem.strerror})") from None
        raise


def read_private_key(path: Path) -> PrivateKey:
    """Read the key that is to sign.

    Raises:
        RecipeError: no private key on one of `CURVES`, or an encrypted one.
        MissingExtra: `cryptography` is not installed.
    """
    content = read_bounded(path, LARGEST, RecipeError)
    if b"PUBLIC KEY" in content:
        raise RecipeError(f"{path}: is a public key, which can only check signatures; sign with the private one")
    if b"ENCRYPTED" in content:
        raise RecipeError(f"{path}: is encrypted; decrypt it where bundles are signed: openssl pkcs8 -in KEY -out FILE")
    return PrivateKey(_parsed(lambda: _serialization().load_pem_private_key(content, None), str(path), "private"))


def read_public_keys(sources: Sequence[TrustedKey]) -> tuple[PublicKey, ...]:
    """Read the keys whose signatures count.

    Args:
        sources: the path of each PEM file, or its content as bytes.

    Raises:
        RecipeError: there are none, or one is no public key on one of `CURVES`.
        MissingExtra: `cryptography` is not installed.
    """
    if isinstance(sources, str | bytes | Path):
        raise RecipeError("trusted keys are a list: of paths, or of the content of PEM files as bytes")
    if not sources:
        raise RecipeError("the list of trusted keys is empty, so that no bundle could be trusted; name one")
    return tuple(_read_public_key(source) for source in sources)


def _read_public_key(source: TrustedKey) -> PublicKey:
    name = "trusted key" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else read_bounded(Path(source), LARGEST, RecipeError)
    if b"PRIVATE KEY" in content:
        raise RecipeError(f"{name}: is a private key, which belongs where bundles are signed; give the public one")
    return PublicKey(_parsed(lambda: _serialization().load_pem_public_key(content), name, "public"))


def _parsed(parse: Callable[[], K], name: str, kind: str) -> K:
    """A key on one of `CURVES`, out of a PEM file."""
    exceptions: Any = require("cryptography.exceptions", "sign")
    try:
        key = parse()
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        raise RecipeError(f"{name}: holds no {kind} key as PEM; make a pair with: bctk keygen") from None
    curve = getattr(getattr(key, "curve", None), "name", type(key).__name__)
    if curve not in [row[0] for row in CURVES.values()]:
        raise RecipeError(f"{name}: a key of the kind {curve}; wanted ECDSA on {' or '.join(CURVES)}")
    return key


def _algorithm(key: "ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey") -> "ec.ECDSA":
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    [hash_name] = [hash_name for name, _, hash_name in CURVES.values() if name == key.curve.name]
    return ec.ECDSA(getattr(hashes, hash_name)())


def _serialization() -> Any:
    return require("cryptography.hazmat.primitives.serialization", "sign")
