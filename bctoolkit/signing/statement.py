"""What is signed: the SHA-256 of each file of a folder, as OpenSSF Model Signing 1.0 writes it.

The form: https://github.com/sigstore/model-transparency/blob/main/docs/model_signing_format.md, an in-toto statement
(https://github.com/in-toto/attestation/tree/main/spec/v1).
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

__all__ = ["encode", "files_of"]

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
METHOD, HASH = "files", "sha256"

MOST_FILES, LONGEST_NAME = 1000, 1000

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]


class _Resource(msgspec.Struct):
    name: Name
    algorithm: str
    digest: Sha256


class _Serialization(msgspec.Struct):
    method: str
    hash_type: str
    allow_symlinks: bool = False
    ignore_paths: Annotated[tuple[Name, ...], Meta(max_length=MOST_FILES)] = ()


class _Predicate(msgspec.Struct):
    """The specification asks to pass over fields that it does not know."""

    serialization: _Serialization
    resources: Annotated[tuple[_Resource, ...], Meta(min_length=1, max_length=MOST_FILES)]


class _Digest(msgspec.Struct):
    sha256: Sha256


class _Subject(msgspec.Struct):
    name: str
    digest: _Digest


class _Statement(msgspec.Struct):
    kind: str = field(name="_type")
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1, max_length=1)]
    predicateType: str
    predicate: _Predicate


def encode(name: str, digests: Mapping[str, str], ignored: Iterable[str]) -> bytes:
    """The statement over a folder.

    Args:
        name: what to call it.
        digests: path of each file, relative to the folder, → its SHA-256.
        ignored: paths of files that are not signed: the signature's own.
    """
    resources = tuple(_Resource(path, HASH, digests[path]) for path in sorted(digests))
    subject = _Subject(name, _Digest(_root(resources)))
    serialization = _Serialization(METHOD, HASH, ignore_paths=tuple(ignored))
    return msgspec.json.encode(_Statement(STATEMENT, (subject,), PREDICATE, _Predicate(serialization, resources)))


def files_of(payload: bytes) -> dict[str, str]:
    """Path → SHA-256 of the files that a statement is about.

    Raises:
        ValueError: it is no such statement, or contradicts itself; the message ends a sentence.
    """
    statement = _decoded(payload)
    if (statement.kind, statement.predicateType) != (STATEMENT, PREDICATE):
        raise ValueError(f"is a statement of another kind: {statement.predicateType[:80]!r}")
    form, resources = statement.predicate.serialization, statement.predicate.resources
    if (form.method, form.hash_type) != (METHOD, HASH) or any(each.algorithm != HASH for each in resources):
        raise ValueError(f"is made over {form.method[:20]!r} by {form.hash_type[:20]!r}; wanted {METHOD!r} by {HASH!r}")
    files = {each.name: each.digest for each in resources}
    if len(files) != len(resources):
        raise ValueError("names a file twice")
    if _root(resources) != statement.subject[0].digest.sha256:
        raise ValueError("has another digest of the whole than that of its files")
    return files


def _decoded(payload: bytes) -> _Statement:
    try:
        return msgspec.json.decode(payload, type=_Statement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"cannot be read ({' '.join(str(problem).split())[:100]})") from None


def _root(resources: Iterable[Any]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(each.digest) for each in resources)).hexdigest()
