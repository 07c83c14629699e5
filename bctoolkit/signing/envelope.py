"""How a signed statement is stored: a Sigstore bundle that names its key and holds a DSSE envelope.

The forms: https://docs.sigstore.dev/about/bundle/ and https://github.com/secure-systems-lab/dsse. A file is written
without white space, and read strictly: nothing in it can be changed unnoticed.
"""

import base64
import binascii
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["Envelope", "message"]

PayloadType = Literal["application/vnd.in-toto+json"]
MediaType = Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]

PAYLOAD: PayloadType = "application/vnd.in-toto+json"
MEDIA: MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
LARGEST = 1_000_000
"""Bytes of a signature file: 250 for each file that it names."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Key(_Strict):
    hint: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Material(_Strict):
    publicKey: _Key
    tlogEntries: tuple[()] = ()


class _Signature(_Strict):
    sig: Annotated[str, Meta(max_length=1000)]
    keyid: Literal[""] = ""


class _Dsse(_Strict):
    payload: Annotated[str, Meta(max_length=LARGEST)]
    payloadType: PayloadType
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=1)]


class _Bundle(_Strict):
    mediaType: MediaType
    verificationMaterial: _Material
    dsseEnvelope: _Dsse


class Envelope(msgspec.Struct, frozen=True):
    """A statement with its signature."""

    hint: str
    """SHA-256 of the public key's PEM: which key to check with."""
    payload: bytes
    """The statement."""
    signature: bytes
    """Of `message(payload)`."""

    def encode(self) -> bytes:
        """The content of a signature file."""
        payload, signature = (base64.b64encode(part).decode() for part in (self.payload, self.signature))
        envelope = _Dsse(payload, PAYLOAD, (_Signature(signature),))
        return msgspec.json.encode(_Bundle(MEDIA, _Material(_Key(self.hint)), envelope))

    @staticmethod
    def decode(content: bytes) -> "Envelope":
        """Read a signature file.

        Raises:
            ValueError: it is none; the message ends a sentence.
        """
        if len(content) > LARGEST:
            raise ValueError(f"has more than {LARGEST:,} bytes")
        try:
            bundle = msgspec.json.decode(content, type=_Bundle)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise ValueError(f"is no signature by a key ({' '.join(str(problem).split())[:100]})") from None
        envelope = bundle.dsseEnvelope
        payload, signature = (_plain(text) for text in (envelope.payload, envelope.signatures[0].sig))
        return Envelope(bundle.verificationMaterial.publicKey.hint, payload, signature)


def message(payload: bytes) -> bytes:
    """What is signed of a statement: DSSE's pre-authentication encoding."""
    return f"DSSEv1 {len(PAYLOAD)} {PAYLOAD} {len(payload)} ".encode() + payload


def _plain(text: str) -> bytes:
    """The bytes of base64 in its one canonical spelling."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not written in base64") from None
    if base64.b64encode(content).decode() != text:
        raise ValueError("is not written in base64 as it is always spelled")
    return content
