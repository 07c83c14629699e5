"""Write docs/reference.md from the code: every command's help, the table of formats, every key of the documents.

usage: python docs/generate.py [--check]

A key's type, default and bounds are those that reading checks, its meaning the text below the field. With --check
nothing is written; the status is 1 where the page is not what the code says.
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import getdoc, getsource
from itertools import pairwise
from pathlib import Path

import click
import msgspec
from msgspec import inspect

from bctoolkit.bench.documents.report import Report
from bctoolkit.cli import cli
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.dossier.document import DossierDocument
from bctoolkit.manifest import Manifest
from bctoolkit.recipes import Budget, ExportRecipe, TrainRecipe

DOCUMENTS: tuple[tuple[str, str, type[msgspec.Struct]], ...] = (
    ("training recipe (TOML)", "train", TrainRecipe),
    ("export recipe (TOML)", "export", ExportRecipe),
    ("budget (TOML)", "budget", Budget),
    ("manifest.json", "manifest", Manifest),
    ("report.json", "report", Report),
    ("dossier.json", "dossier", DossierDocument),
)
"""Title, name in anchors, and root of each document."""

HOW_TO_READ = """\
A table's heading says where it is: `phases[]` is each item of a list, `recall.*` the value of each name in a table.
`--set` of `bctk train` takes such a path with an item's number: `phases.0.epochs=8`. A number may have a point, a whole
number must not; bounds hold for each number of a list. None is `null` in JSON and a key left out in TOML. Any other key
is an error.
"""

WORDS = {
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.StrType: "text",
    inspect.BoolType: "`true` or `false`",
}
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
PLAIN = re.compile(r"\[\]|\.\*")
"""What of a place is no name, and left out of anchors."""

PIPE = r"\|"

TARGET = Path(__file__).with_name("reference.md")


def commands(group: click.Group, name: str) -> Iterator[str]:
    """The help of each command, as the terminal shows it."""
    for key in sorted(group.commands):
        command = group.commands[key]
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {key}")
            continue
        with click.Context(command, info_name=f"{name} {key}", terminal_width=100, max_content_width=100) as context:
            yield f"### {name} {key}\n\n```text\n{command.get_help(context)}\n```\n"


def formats() -> Iterator[str]:
    """The table of formats."""
    yield "| format | quantizations | batch | engines |\n|---|---|---|---|"
    for name, row in FORMATS.items():
        engines = ", ".join(f"{engine} ({', '.join(entry.providers)})" for engine, entry in row.engines.items())
        yield f"| `{name}` {row.suffix} | {', '.join(row.quantizations)} | {row.batch or 'free'} | {engines} |"
    yield "\n| quantization | what it is | max Δp | mean Δp | least agreement | logit error |"
    yield "|---|---|---|---|---|---|"
    for name, entry in QUANTIZATIONS.items():
        limits = entry.tolerance
        share = f"{limits.top1_agreement:.0%}"
        differences = f"{limits.max_abs_diff:g} | {limits.mean_abs_diff:g}"
        yield f"| `{name}` | {entry.summary} | {differences} | {share} | {entry.logit_error:g} |"
    yield "\nThe logit error of fp32 is that from float64; where float32 Keras's own is larger, four times that counts."


@dataclass
class Table:
    """The fields of one struct of a document."""

    kind: type[msgspec.Struct]
    anchor: str
    places: list[str]
    """Where in the document it stands, as dotted paths."""


def tables(kind: type[msgspec.Struct], name: str) -> list[Table]:
    """Every struct of a document once, each after the one that holds it first."""
    found: dict[type[msgspec.Struct], Table] = {}

    def visit(kind: type[msgspec.Struct], place: str) -> None:
        if kind in found:
            found[kind].places.append(place)
            return
        found[kind] = Table(kind, ".".join(filter(None, (name, PLAIN.sub("", place)))), [place])
        for field in inspected(kind):
            for inner, suffix in structs(field.type):
                visit(inner, f"{place}.{field.encode_name}{suffix}".lstrip("."))

    visit(kind, "")
    return list(found.values())


def inspected(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """The fields of a struct with their types and bounds."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def inner_types(kind: inspect.Type) -> list[tuple[inspect.Type, str]]:
    """The types inside a type, and how one reaches them from it: by a number, by a name, or not at all."""
    match kind:
        case inspect.UnionType():
            return [(inner, "") for inner in kind.types]
        case inspect.TupleType():
            return [(inner, "[]") for inner in kind.item_types]
        case inspect.CollectionType():
            return [(kind.item_type, "[]")]
        case inspect.DictType():
            return [(kind.value_type, ".*")]
    return []


def structs(kind: inspect.Type) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """The structs that a type holds, and how one reaches them."""
    if isinstance(kind, inspect.StructType):
        yield kind.cls, ""
    for inner, suffix in inner_types(kind):
        for struct, rest in structs(inner):
            yield struct, suffix + rest


def in_words(kind: inspect.Type, anchors: dict[type[msgspec.Struct], str], none: str) -> str:
    """A type in plain words; structs are links to their tables."""

    def words(kind: inspect.Type) -> str:
        match kind:
            case inspect.LiteralType():
                return " or ".join(f"`{literal(value)}`" for value in kind.values)
            case inspect.EnumType():
                return " or ".join(f"`{literal(member.value)}`" for member in kind.cls)
            case inspect.StructType():
                return f"[table](#{anchors[kind.cls]})"
            case inspect.UnionType():
                inner = [words(one) for one in kind.types if not isinstance(one, inspect.NoneType)]
                return " or ".join(inner) + (none if len(inner) < len(kind.types) else "")
            case inspect.TupleType():
                return f"[{', '.join(words(inner) for inner in kind.item_types)}]"
            case inspect.CollectionType():
                return f"list of {words(kind.item_type)}"
            case inspect.DictType():
                return f"table of {words(kind.value_type)}"
        return WORDS[type(kind)]

    return words(kind)


def bounds(kind: inspect.Type) -> str:
    """Within what a value, or each number in it, must lie; empty where its type says all."""
    limits = ((sign, getattr(kind, key, None)) for key, sign in SIGNS.items())
    own = [f"{sign} {limit:,.10g}" for sign, limit in limits if limit is not None]
    inner = (bounds(one) for one, _ in inner_types(kind))
    return "; ".join(dict.fromkeys(filter(None, (", ".join(own), *inner))))


def default(field: inspect.Field, none: str) -> str:
    """What a field is where it is left out."""
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "its table's"
    return none if value is None else f"`{literal(value)}`"


def literal(value: object) -> str:
    """A value as TOML and JSON write it."""
    return msgspec.json.encode(value).decode()


def meanings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The text below each field of a struct, its bases' included."""
    found = {}
    for base in reversed(kind.__mro__):
        if not issubclass(base, msgspec.Struct) or base.__module__.startswith("msgspec"):
            continue
        body = ast.parse(textwrap.dedent(getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in pairwise(body.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    found[name] = " ".join(words.split())
    return found


def document(kind: type[msgspec.Struct], name: str, *, settable: bool) -> Iterator[str]:
    """The tables of a document; of one that people write also the defaults and bounds."""
    found = tables(kind, name)
    anchors = {table.kind: table.anchor for table in found}
    none = "" if settable else " or null"
    for table in found:
        if table.places != [""]:
            yield f'\n#### <a id="{table.anchor}"></a>`{table.places[0]}`'
        yield f"\n{getdoc(table.kind)}\n"
        if len(table.places) > 1:
            yield f"Also {', '.join(f'`{place}`' for place in table.places[1:])}.\n"
        columns = ("key", "type", *(("default", "bounds") if settable else ()), "meaning")
        yield f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
        texts = meanings(table.kind)
        for field in inspected(table.kind):
            key = f"`{field.encode_name}`"
            if settable and f"{table.anchor}.{field.encode_name}" not in anchors.values():
                key = f'<a id="{table.anchor}.{field.encode_name}"></a>{key}'
            limits = (default(field, "left out"), bounds(field.type)) if settable else ()
            cells = (key, in_words(field.type, anchors, none), *limits, texts.get(field.name, ""))
            yield f"| {' | '.join(cell.replace('|', PIPE) for cell in cells)} |"


def reference() -> str:
    """The whole page."""
    parts = ["# Reference\n\nGenerated by `make docs`; do not edit.\n", "## Commands\n", *commands(cli, "bctk")]
    parts += ["## Formats\n", "\n".join(formats()) + "\n", "## Documents\n"]
    parts.append(HOW_TO_READ)
    for title, name, kind in DOCUMENTS:
        settable = title.endswith("(TOML)")
        parts.append(f"### {title}\n" + "\n".join(document(kind, name, settable=settable)) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(TARGET.read_text(encoding="utf-8") != reference())
    TARGET.write_text(reference(), encoding="utf-8")
