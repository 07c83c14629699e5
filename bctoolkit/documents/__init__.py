"""The documents that are stored: one mechanism for all, and the tables they rest on."""

from bctoolkit.documents.base import Document, decode_json, parse, read_json, read_toml, to_json, to_toml
from bctoolkit.documents.outcome import Outcome, worst

__all__ = ["Document", "Outcome", "decode_json", "parse", "read_json", "read_toml", "to_json", "to_toml", "worst"]
