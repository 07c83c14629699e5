"""One mechanism for every document that is stored: recipes (TOML), manifests, reports and budgets.

A document is a frozen `msgspec.Struct` that refuses unknown fields. Reading checks it whole and raises the caller's
error class with the file, the field and the valid names.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from bctoolkit.errors import BctkError

__all__ = ["Document", "from_toml", "parse", "read_toml", "to_json"]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all stored documents: immutable and strict."""


D = TypeVar("D", bound=msgspec.Struct)


def parse(kind: type[D], raw: object, source: str, error: type[BctkError]) -> D:
    """Turn decoded TOML or JSON into a `kind`.

    Raises:
        BctkError: of class `error`, with `source`, the place in the document and, for an unknown key, the valid ones.
    """
    _refuse_unknown_keys(kind, raw, source, "", error)
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as problem:
        raise error(f"{source}: {str(problem).replace('`', '')}") from None


def read_toml(path: Path, error: type[BctkError]) -> dict[str, Any]:
    """Decode a TOML file into plain dictionaries."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise error(f"{path} is not valid TOML: {problem}") from None
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror}") from None


def from_toml(kind: type[D], path: Path, error: type[BctkError]) -> D:
    """Read a TOML file into a `kind`."""
    return parse(kind, read_toml(path, error), str(path), error)


def to_json(document: object) -> bytes:
    """Readable JSON with a fixed field order, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _refuse_unknown_keys(kind: Any, raw: object, source: str, where: str, error: type[BctkError]) -> None:
    """Walk `raw` beside the types of `kind`, so that a misspelt key is answered with the names that exist there."""
    if isinstance(raw, list | tuple):
        for index, item in enumerate(raw):
            for inner in get_args(kind):
                _refuse_unknown_keys(inner, item, source, f"{where}[{index}]", error)
        return
    inside = next((c for c in (kind, *get_args(kind)) if get_origin(c) is dict), None)
    if inside is not None and isinstance(raw, dict):
        for key, value in raw.items():
            _refuse_unknown_keys(get_args(inside)[1], value, source, f"{where}.{key}".lstrip("."), error)
        return
    struct = next((c for c in (kind, *get_args(kind)) if isinstance(c, type) and issubclass(c, msgspec.Struct)), None)
    if struct is None or not isinstance(raw, dict):
        return
    fields = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
    for key, value in raw.items():
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            place = f" in {where}" if where else ""
            raise error(f"{source}: unknown key {key!r}{place}; {hint}valid keys: {', '.join(fields)}")
        _refuse_unknown_keys(fields[key], value, source, f"{where}.{key}".lstrip("."), error)
