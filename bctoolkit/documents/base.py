"""One mechanism for every document that is stored: recipes (TOML), manifests, reports and budgets.

A document is a frozen `msgspec.Struct` that refuses unknown fields. Reading checks it whole and raises the caller's
error class with the file, the field and the valid names.
"""

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from bctoolkit.errors import BctkError
from bctoolkit.untrusted.files import read_bounded
from bctoolkit.untrusted.values import from_json, from_toml

__all__ = ["MOST_JSON", "MOST_TOML", "Document", "decode_json", "parse", "read_json", "read_toml", "to_json", "to_toml"]

MOST_JSON, MOST_TOML = 64 * 2**20, 2**20
"""Bytes of a document; a manifest of 100,000 labels has 20 MiB."""

LONGEST_KEY, LONGEST_REASON = 100, 1000
"""Characters in a message of what a document holds."""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all stored documents: immutable and strict."""

    def _derive(self, **fields: object) -> None:
        """Set fields that follow from others, in `__post_init__`: readers of the file need not compute them."""
        for name, value in fields.items():
            msgspec.structs.force_setattr(self, name, value)


D = TypeVar("D", bound=msgspec.Struct)


def parse(kind: type[D], raw: object, source: str, error: type[BctkError]) -> D:
    """Turn decoded TOML or JSON into a `kind`.

    Raises:
        BctkError: of class `error`, with `source`, the field and, for an unknown key, the valid ones.
    """
    _refuse_unknown_keys(kind, raw, source, "", error)
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as problem:
        raise error(f"{source}: {str(problem).replace('`', '')[:LONGEST_REASON]}") from None


def read_toml(path: Path, error: type[BctkError]) -> dict[str, Any]:
    """Decode a TOML file into plain dictionaries."""
    content = read_bounded(path, MOST_TOML, error)
    try:
        return from_toml(content)
    except ValueError as problem:
        raise error(f"{path} is not valid TOML: {problem}") from None


def decode_json(content: bytes, source: str, error: type[BctkError], remedy: str) -> Any:
    """Decode JSON into plain values.

    Raises:
        BctkError: of class `error`: it is not JSON, or nested or numbered out of bounds. The message says
            `source` and `remedy`.
    """
    if len(content) > MOST_JSON:
        raise error(f"{source}: {len(content):,} bytes of JSON; wanted at most {MOST_JSON:,}")
    try:
        return from_json(content)
    except ValueError as problem:
        raise error(f"{source}: not readable as JSON ({problem}); {remedy}") from None


def read_json(path: Path, kind: type[D], error: type[BctkError], remedy: str) -> D:
    """Read a JSON file that bctoolkit wrote into a `kind`.

    Raises:
        BctkError: of class `error`: the file is missing, not JSON or not a `kind`. The message names the file and what
            is wrong with it, and says `remedy`.
    """
    try:
        content = read_bounded(path, MOST_JSON, error)
    except error as problem:
        raise error(f"{problem}; {remedy}") from None
    raw = decode_json(content, str(path), error, remedy)
    try:
        return parse(kind, raw, str(path), error)
    except error as problem:
        raise error(f"{problem}; {remedy}") from None


def to_json(document: object) -> bytes:
    """Readable JSON with a fixed field order, ending in a newline.

    A byte of a file's name that is no UTF-8 is written as `\\udcff`, its number in the last two digits.
    """
    try:
        content = msgspec.json.encode(document)
    except UnicodeEncodeError:
        content = msgspec.json.encode(_in_utf8(msgspec.to_builtins(document)))
    return msgspec.json.format(content, indent=2) + b"\n"


def to_toml(document: object) -> bytes:
    """A document that is read from TOML, whose notation has nothing for None: such fields are left out."""
    return msgspec.toml.encode(_in_utf8(_without_none(msgspec.to_builtins(document))))


def _in_utf8(value: Any) -> Any:
    """Plain values with the halves of characters in them written out, which no encoding has."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_in_utf8(key): _in_utf8(inner) for key, inner in value.items()}
    return [_in_utf8(inner) for inner in value] if isinstance(value, list | tuple) else value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list | tuple) else value


def _refuse_unknown_keys(kind: Any, raw: object, source: str, where: str, error: type[BctkError]) -> None:
    """Walk `raw` beside the types of `kind`, so that the error of a misspelt key names those that exist there."""
    if isinstance(raw, list | tuple):
        for index, item in enumerate(raw):
            for inner in get_args(kind):
                _refuse_unknown_keys(inner, item, source, f"{where}[{index}]", error)
        return
    mapping = next((c for c in (kind, *get_args(kind)) if get_origin(c) is dict), None)
    if mapping is not None and isinstance(raw, dict):
        for key, value in raw.items():
            _refuse_unknown_keys(get_args(mapping)[1], value, source, f"{where}.{key}".lstrip("."), error)
        return
    struct = next((c for c in (kind, *get_args(kind)) if isinstance(c, type) and issubclass(c, msgspec.Struct)), None)
    if struct is None or not isinstance(raw, dict):
        return
    fields = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
    for key, value in raw.items():
        if key not in fields:
            near = difflib.get_close_matches(str(key)[:LONGEST_KEY], fields, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            parent = f" in {where}" if where else ""
            raise error(
                f"{source}: unknown key {str(key)[:LONGEST_KEY]!r}{parent}; {hint}valid keys: {', '.join(fields)}"
            )
        _refuse_unknown_keys(fields[key], value, source, f"{where}.{key}".lstrip("."), error)
