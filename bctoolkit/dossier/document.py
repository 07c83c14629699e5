"""`dossier.json`: what a dossier is of, and the files it is made of."""

from typing import Literal

from bctoolkit.documents import Document

__all__ = ["DossierDocument", "DossierFile", "DossierSection", "DossierSignature", "MissingPiece"]


class DossierFile(Document, frozen=True):
    """A file in the dossier's folder."""

    file: str
    """Its name."""
    sha256: str
    """Of the file, as hexadecimal digits."""
    bytes: int
    """Its size."""
    what: str
    """What it is, in words."""


class MissingPiece(Document, frozen=True):
    """What is not known."""

    what: str
    """What it is, in words."""
    remedy: str
    """A command that would tell it."""


class DossierSection(Document, frozen=True):
    """A part of the page."""

    heading: str
    """As on the page."""
    files: tuple[str, ...]
    """That its figures stand in."""
    missing: tuple[MissingPiece, ...]
    """What it would need besides."""


class DossierSignature(Document, frozen=True):
    """Whether somebody vouches for the bundle."""

    state: Literal["trusted", "not checked", "none"]
    """`trusted`: it is, file by file, as the owner of a key that was given with --trusted signed it."""
    key_sha256: str = ""
    """Of that public key, as PEM."""


class DossierDocument(Document, frozen=True, kw_only=True):
    """What a dossier is of, and the files it is made of: `dossier.json`."""

    schema: int = 1
    """Version of this document."""
    bundle: str
    """Its name."""
    model_sha256: str
    """Of the bundle's artifact."""
    manifest_sha256: str
    """Of the bundle's `manifest.json`."""
    signature: DossierSignature
    """Who vouches for the bundle."""
    sections: tuple[DossierSection, ...]
    """In the order of the page."""
    limits: tuple[str, ...]
    """Known limits, a line each."""
    files: tuple[DossierFile, ...]
    """Beside this document, with their hashes."""
    tools: dict[str, str]
    """Version of each package that made it, by name."""
    created: str
    """When, in UTC, ISO 8601."""
