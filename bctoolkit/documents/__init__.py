"""The documents that are stored: one mechanism for all, and the tables they rest on."""

from bctoolkit.documents.base import Document, from_toml, parse, read_toml, to_json

__all__ = ["Document", "from_toml", "parse", "read_toml", "to_json"]
