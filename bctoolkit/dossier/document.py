"""`dossier.json`: what a dossier is of, and the files it is made of."""

from typing import Literal

from bctoolkit.documents import Document

__all__ = ["DossierDocument", "DossierFile", "DossierSection", "DossierSignature", "MissingPiece"]


class DossierFile(Document, frozen=True):
    """A file in the dossier's folder."""

    file: str
    sha256: str
    bytes: int
    what: str
    """What it is, in words."""


class MissingPiece(Document, frozen=True):
    """What is not known."""

    what: str
    remedy: str
    """A command that would tell it."""


class DossierSection(Document, frozen=True):
    """A part of the page."""

    heading: str
    files: tuple[str, ...]
    """That its figures stand in."""
    missing: tuple[MissingPiece, ...]


class DossierSignature(Document, frozen=True):
    """Whether somebody vouches for the bundle."""

    state: Literal["trusted", "not checked", "none"]
    """`trusted`: it is, file by file, as the owner of a key that was given with --trusted signed it."""
    key_sha256: str = ""
    """Of that public key, as PEM."""


class DossierDocument(Document, frozen=True, kw_only=True):
    """`dossier.json`."""

    schema: int = 1
    bundle: str
    """Its name."""
    model_sha256: str
    manifest_sha256: str
    signature: DossierSignature
    sections: tuple[DossierSection, ...]
    """In the order of the page."""
    limits: tuple[str, ...]
    """Known limits, a line each."""
    files: tuple[DossierFile, ...]
    tools: dict[str, str]
    created: str
