"""Signatures over whole folders, in the form of OpenSSF Model Signing 1.0, so that others' tools can check ours.

    keys       the key pair that signs and checks
    statement  what is signed: an in-toto statement with the SHA-256 of each file
    envelope   how it is stored: a Sigstore bundle with a DSSE envelope
    folder     signing a folder, and holding one against its signature

They need `cryptography`, and only when a folder is signed or its signature is asked for.
"""

from bctoolkit.signing.folder import SIGNATURE, Signature, sign_folder, verify_folder
from bctoolkit.signing.keys import (
    CURVES,
    PrivateKey,
    PublicKey,
    TrustedKey,
    new_key,
    read_private_key,
    read_public_keys,
    write_pair,
)

__all__ = [
    "CURVES",
    "SIGNATURE",
    "PrivateKey",
    "PublicKey",
    "Signature",
    "TrustedKey",
    "new_key",
    "read_private_key",
    "read_public_keys",
    "sign_folder",
    "verify_folder",
    "write_pair",
]
