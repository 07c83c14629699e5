"""What a manifest says of an artifact that was made elsewhere."""

from bctoolkit.documents.base import Document

__all__ = ["Adopted"]


class Adopted(Document, frozen=True):
    """The file that an artifact was made of, where that was made elsewhere."""

    file: str
    """Its name."""
    sha256: str
    """Of the file as it came: the bundle's artifact is that file with pre- and postprocessing written into it."""
    producer: str = ""
    """What wrote it, by its own account."""
    arithmetic: str = ""
    """What its operators show, in words."""
