"""The fields of a document as tables: type, default and bounds as `msgspec` reads them, meaning as the code says it."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect as reading

PLAIN = {
    reading.BoolType: "true, false",
    reading.StrType: "string",
    reading.AnyType: "anything",
    reading.NoneType: "none",
    reading.DateTimeType: "time",
    reading.BytesType: "bytes",
}
LONGEST = 100
"""Characters of a default that are shown."""


def tables(kind: type[msgspec.Struct], known: set[type]) -> Iterator[str]:
    """The table of a document, then those of the documents inside it that are not yet known, each under its name."""
    known.add(kind)
    described = reading.type_info(kind)
    assert isinstance(described, reading.StructType)
    meant = meanings(kind)
    yield summary(kind)
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for field in described.fields:
        meaning = meant.get(field.name, "")
        yield f"| `{field.encode_name}` | {plain(field.type)} | {default(field)} | {escaped(meaning)} |"
    yield ""
    for inner in dict.fromkeys(inner for field in described.fields for inner in structs(field.type)):
        if inner not in known:
            yield f"#### {inner.__name__}\n"
            yield from tables(inner, known)


def summary(kind: type) -> str:
    """What a document is, in the first line of its docstring."""
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ") + "\n"


@cache
def meanings(kind: type) -> dict[str, str]:
    """What the string below each field says, in the class itself or one that it extends."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] != "bctoolkit":
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in zip(definition.body, definition.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return found


def plain(kind: reading.Type) -> str:
    """A type in words, with its bounds."""
    if isinstance(kind, reading.Metadata):
        return plain(kind.type)
    if isinstance(kind, reading.IntType | reading.FloatType):
        return ("integer" if isinstance(kind, reading.IntType) else "number") + bounds(kind)
    if isinstance(kind, reading.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, reading.EnumType):
        return ", ".join(f"`{member.value}`" for member in kind.cls)
    if isinstance(kind, reading.UnionType):
        return " or ".join(plain(each) for each in kind.types if not isinstance(each, reading.NoneType))
    if isinstance(kind, reading.StructType):
        return f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
    if isinstance(kind, reading.DictType):
        return f"table of {plain(kind.value_type)}"
    if isinstance(kind, reading.TupleType):
        return f"list: {'; '.join(map(plain, kind.item_types))}"
    if isinstance(kind, reading.VarTupleType | reading.ListType | reading.FrozenSetType):
        return f"list of {plain(kind.item_type)}"
    if isinstance(kind, reading.NamedTupleType):
        return f"list: {'; '.join(f'{field.name} {plain(field.type)}' for field in kind.fields)}"
    return PLAIN[type(kind)]


def bounds(kind: reading.IntType | reading.FloatType) -> str:
    """What a number has to keep, e.g. ` ≥ 0, < 1`."""
    limits = (("≥", kind.ge), (">", kind.gt), ("≤", kind.le), ("<", kind.lt))
    return ",".join(
        f" {sign} {limit:,.6g}" if isinstance(limit, float) else f" {sign} {limit:,}"
        for sign, limit in limits
        if limit is not None
    )


def default(field: reading.Field) -> str:
    """What counts where a key is left out."""
    value: Any = field.default
    if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return "required"
    if isinstance(value, msgspec.Struct):
        return "its own"
    if value is None:
        return "none"
    text = msgspec.json.encode(value).decode()
    return f"`{text}`" if len(text) <= LONGEST else f"`{text[:LONGEST]}…`"


def structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The documents that a field's type names, not those inside them."""
    if isinstance(kind, reading.StructType):
        yield kind.cls
    elif isinstance(kind, reading.Metadata):
        yield from structs(kind.type)
    else:
        for name in ("item_type", "value_type"):
            if hasattr(kind, name):
                yield from structs(getattr(kind, name))
        for each in (*getattr(kind, "types", ()), *getattr(kind, "item_types", ())):
            yield from structs(each)


def escaped(text: str) -> str:
    """A sentence for a cell of a table."""
    return text.replace("|", "\\|")
