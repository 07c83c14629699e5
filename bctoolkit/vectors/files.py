"""A file of the vectors, before anything is known of what comes of it."""

from typing import NamedTuple

__all__ = ["ImageFile"]


class ImageFile(NamedTuple):
    """An image file, or what is called one."""

    slug: str
    """Its name without number and suffix."""
    suffix: str
    what: str
    """In words, with the size as width × height."""
    content: bytes
