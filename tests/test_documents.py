"""Stored documents are strict: what does not fit is refused with file, place and the names that exist."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from bctoolkit.documents import Document, Outcome, parse, read_json, read_toml, to_json, worst
from bctoolkit.documents.names import class_folder_fault, class_names_fault, name_fault
from bctoolkit.errors import BundleCorrupt, RecipeError


class Leaf(Document, frozen=True):
    name: str
    size: Annotated[int, Meta(ge=1)] = 1


class Tree(Document, frozen=True):
    leaves: tuple[Leaf, ...] = ()
    best: Leaf | None = None
    kind: Literal["oak", "ash"] = "oak"
    notes: dict[str, str] = msgspec.field(default_factory=dict)
    twigs: dict[str, Leaf] = msgspec.field(default_factory=dict)


def read(raw: object) -> Tree:
    return parse(Tree, raw, "tree.toml", RecipeError)


def test_a_document_is_read_with_its_defaults() -> None:
    assert read({"leaves": [{"name": "a"}]}) == Tree(leaves=(Leaf("a", 1),))


def test_a_document_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        read({}).kind = "ash"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"leafs": []},
            "tree.toml: unknown key 'leafs'; did you mean 'leaves'? valid keys: leaves, best, kind, notes, twigs",
        ),
        ({"zzz": 1}, "tree.toml: unknown key 'zzz'; valid keys: leaves, best, kind, notes, twigs"),
        (
            {"leaves": [{"name": "a"}, {"nam": "b"}]},
            "tree.toml: unknown key 'nam' in leaves[1]; did you mean 'name'? valid keys: name, size",
        ),
        (
            {"twigs": {"low": {"name": "a"}, "high": {"sise": 2}}},
            "tree.toml: unknown key 'sise' in twigs.high; did you mean 'size'? valid keys: name, size",
        ),
        ({"best": {"sise": 2}}, "tree.toml: unknown key 'sise' in best; did you mean 'size'? valid keys: name, size"),
    ],
)
def test_an_unknown_key_is_answered_with_its_place_and_the_valid_ones(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(raw)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({"leaves": [{"name": 3}]}, "$.leaves[0].name"),
        ({"leaves": [{"name": "a", "size": 0}]}, "$.leaves[0].size"),
        ({"leaves": [{"name": "a", "size": "1"}]}, "$.leaves[0].size"),
        ({"leaves": [{"name": "a", "size": True}]}, "$.leaves[0].size"),
        ({"leaves": {"name": "a"}}, "$.leaves"),
        ({"leaves": [3]}, "$.leaves[0]"),
        ({"best": 3}, "$.best"),
        ({"kind": "elm"}, "$.kind"),
        ({"notes": {"a": 1}}, "$.notes"),
        ({"leaves": [{}]}, "$.leaves[0]"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(raw: dict[str, Any], place: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(raw)
    assert str(caught.value).startswith("tree.toml: ")
    assert place in str(caught.value)


@pytest.mark.parametrize("raw", [None, 3, "text", [], [{"leaves": []}]])
def test_anything_but_a_table_is_refused(raw: object) -> None:
    with pytest.raises(RecipeError, match=r"^tree\.toml: "):
        read(raw)


def test_the_keys_of_a_free_table_are_free() -> None:
    assert read({"notes": {"anything": "goes"}}).notes == {"anything": "goes"}


def test_the_error_is_of_the_caller_s_class() -> None:
    with pytest.raises(BundleCorrupt):
        parse(Tree, {"x": 1}, "manifest.json", BundleCorrupt)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"leaves = [", "is not valid TOML"),
        (b"kind = 'oak'\nkind = 'ash'", "is not valid TOML"),
        (b"\xff\xfe\x00", "is not valid TOML"),
        (b"leaves = " + b"[" * 10_000, r"is not valid TOML: nested deeper than"),
        (b"# " + b"x" * 2**20, "1,048,578 bytes; wanted at most 1,048,576"),
    ],
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tree.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message) as caught:
        read_toml(path, RecipeError)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml: no such file"):
        read_toml(tmp_path / "absent.toml", RecipeError)


def test_a_folder_is_no_toml_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is a folder, not a file"):
        read_toml(tmp_path, RecipeError)


def test_toml_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "tree.toml"
    path.write_text('notes = { why = "Δp ≤ 1 %" }', encoding="utf-8")
    assert read_toml(path, RecipeError)["notes"]["why"] == "Δp ≤ 1 %"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "not readable as JSON"),
        (b'{"leaves": [', "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[" * 10_000, "not readable as JSON (nested deeper than"),
        (b"[]", "Expected object, got array"),
        (b'{"' + b"x" * 10_000 + b'": 1}', f"unknown key '{'x' * 100}'"),
        (b'{"leavs": []}', "unknown key 'leavs'; did you mean 'leaves'"),
    ],
)
def test_a_json_file_that_cannot_be_read_is_named_with_the_remedy(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "tree.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read_json(path, Tree, RecipeError, "plant it again")
    text = str(caught.value)
    assert text.startswith(f"{path}: {message}")
    assert text.endswith("; plant it again")
    assert "\n" not in text


def test_a_json_file_comes_back_as_the_document_written(tmp_path: Path) -> None:
    tree = Tree(leaves=(Leaf("a", 2),), notes={"why": "Δ"})
    (tmp_path / "tree.json").write_bytes(to_json(tree))
    assert read_json(tmp_path / "tree.json", Tree, RecipeError, "plant it again") == tree


def test_the_worst_outcome_counts() -> None:
    assert worst([]) is Outcome.PASSED
    assert worst([Outcome.PASSED, Outcome.UNDECIDED]) is Outcome.UNDECIDED
    assert worst([Outcome.FAILED, Outcome.UNDECIDED, Outcome.PASSED]) is Outcome.FAILED


def test_json_is_readable_ordered_and_ends_in_a_newline() -> None:
    text = to_json(Tree(leaves=(Leaf("a", 2),), notes={"b": "1", "a": "2"})).decode()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["leaves", "best", "kind", "notes", "twigs"]
    assert '\n  "leaves": [' in text


def test_json_comes_back_as_the_same_document() -> None:
    tree = Tree(leaves=(Leaf("a", 2), Leaf("b")), best=Leaf("a", 2), notes={"why": "Δ"}, twigs={"low": Leaf("c")})
    assert read(json.loads(to_json(tree))) == tree


@pytest.mark.parametrize("name", ["neutrophil", "Größe 3", "a$x^{$b", "[red]", "好中球", "-x", "a:b", "n" * 200])
def test_a_name_is_any_visible_text(name: str) -> None:
    assert name_fault(name) is None
    assert class_names_fault([name, "other"]) is None
    assert class_folder_fault(name) is None


@pytest.mark.parametrize("label", ["T-shirt/top", "a\\b", "../x", "/etc/x", "..", "."])
def test_a_label_may_look_like_a_path_and_a_name_may_not(label: str) -> None:
    assert class_names_fault(["fine", label]) is None
    assert "cannot be the name of a folder" in str(name_fault(label))
    assert class_folder_fault(label) is not None


def test_a_label_may_begin_with_a_dot_but_a_class_folder_is_never_hidden() -> None:
    assert name_fault(".hidden") is None
    assert "would be a hidden folder" in str(class_folder_fault(".hidden"))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (" ", "is no name"),
        ("", "is no name"),
        ("a\x1b[2Jb", "U+001B"),
        ("a\nb", "U+000A"),
        ("a\u202eb", "U+202E"),
        ("a\ud800", "U+D800"),
        ("a\uffff", "U+FFFF"),
        ("ä" * 101, "has 202 bytes, more than 200"),
    ],
)
def test_a_name_that_could_steer_a_terminal_is_refused(name: str, fault: str) -> None:
    for said in (name_fault(name), class_folder_fault(name), class_names_fault(["fine", name])):
        assert fault in str(said)


def test_no_class_stands_twice() -> None:
    assert class_names_fault(["a", "b", "a"]) == "'a' stands there twice"
    assert class_names_fault(["a", "b"]) is None


def test_names_that_are_no_utf_8_are_written_out() -> None:
    """Files have such names on disks that were written in another encoding."""
    halves = {"caf\udce9.png": ["\udcff", 1, None, {"deep": ("\ud800",)}]}
    written = {"caf\\udce9.png": ["\\udcff", 1, None, {"deep": ["\\ud800"]}]}
    assert json.loads(to_json(halves)) == written
