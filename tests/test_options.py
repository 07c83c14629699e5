"""What `--scale`, `--size` and `--labels` take, and what they refuse in one line."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.documents.options import read_labels, read_prepared, read_scale, read_size
from bctoolkit.documents.preprocessing import PRESETS, InputSettings, OutputSettings, Scaling
from bctoolkit.errors import RecipeError
from bctoolkit.recipes import read_export_recipe


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_taken_by_name(preset: str) -> None:
    assert read_scale(preset) == preset


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1/127.5,-1", [1 / 127.5, -1.0]), ("0.5, 2", [0.5, 2.0]), ("1e-2,.5", [0.01, 0.5]), ("-1,255", [-1.0, 255.0])],
)
def test_numbers_are_factor_and_offset(text: str, numbers: list[float]) -> None:
    assert read_scale(text) == numbers


@pytest.mark.parametrize(
    "text", ["", "0..1", "tf", "1", "1,2,3", "1/0,0", "nan,0", "1,inf", "1;0", "__import__('os'),1"]
)
def test_what_is_no_scale_is_refused_with_the_presets(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^--scale .*: wanted none, 0-1, -1-1, imagenet, caffe, or FACTOR,OFFSET"):
        read_scale(text)


@given(st.text())
def test_any_text_is_a_scale_a_size_and_labels_or_is_refused(text: str) -> None:
    for read, option in (
        (read_scale, "--scale"),
        (read_size, "--size"),
        (read_labels, "--labels"),
        (read_prepared, "--prepared"),
    ):
        try:
            read(text)
        except RecipeError as refused:
            assert str(refused).startswith(option)  # noqa: PT017


@pytest.mark.parametrize(("text", "size"), [("96", 96), ("96x128", [96, 128]), ("8×12", [8, 12])])
def test_a_size_is_a_side_or_height_and_width(text: str, size: Any) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0x96", "96x", "-96", "96.5", "96x96x3", "a", "999999"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^--size .*: wanted pixels, as 96, or height and width, as 96x128$"):
        read_size(text)


@pytest.mark.parametrize("content", ["cat\ndog\n\n", "\ufeffcat\r\ndog", '["cat", "dog"]', ' [\n"cat",\n"dog"]\n'])
def test_labels_come_from_a_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(content.encode())
    assert read_labels(str(file)) == ["cat", "dog"]
    assert read_labels("cat, dog") == ["cat", "dog"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat", "1 of them; wanted 2 to"),
        (b"", "0 of them"),
        (b"cat\n\ndog", "'' is no name"),
        (b"cat\ncat", "'cat' is there twice"),
        (b"cat\n" + b"d" * 300, "is no name of one line of 1 to 200"),
        (b"cat\nd\x07g", "is no name"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b'{"cat": 0, "dog": 1}', "holds a JSON object; wanted a list"),
        (b'["cat", 1]', "'1' is no name"),
        (b'["cat", ["dog"]]', "is no name"),
        (b'["cat"', "begins as JSON but is none"),
        (b"[" * 100_000, "begins as JSON but is none"),
        (b"a\n" * (2**21 + 1), "wanted at most 4,194,304"),
    ],
)
def test_a_file_that_holds_no_labels_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(content)
    with pytest.raises(RecipeError) as refused:
        read_labels(str(file))
    assert str(refused.value).startswith(f"--labels {file}"[:60])
    assert message in str(refused.value)


def test_labels_that_are_neither_file_nor_list_are_refused(tmp_path: Path) -> None:
    for text in ("absent.txt", str(tmp_path), "x" * 5000):
        with pytest.raises(RecipeError, match="no such file; give a file of one name a line, or names as a,b,c"):
            read_labels(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": [0.0, 1.0]}, "a factor of 0 leaves nothing"),
        ({"scale": [[0.1, 1e-9], 1.0]}, "a factor of 1e-09 leaves nothing"),
        ({"scale": [float("nan"), 1.0]}, "must be numbers of at most 1e+06"),
        ({"scale": [1.0, float("inf")]}, "must be numbers of at most"),
        ({"scale": [1e9, 0]}, "must be numbers of at most"),
        ({"scale": [[], 0]}, "is empty"),
        ({"scale": "tf"}, "tf"),
        ({"scale": [1.0]}, "length"),
        ({"scale": "caffe", "channels": "rgb"}, "takes BGR, not 'rgb'"),
        ({"channels": "yuv"}, "yuv"),
        ({"size": 0}, "size: 0 pixels; wanted 1 to 16,384"),
        ({"size": [96, 20000]}, "size: 96×20000 pixels"),
        ({"dtype": "float16"}, "float16"),
    ],
)
def test_input_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(settings, InputSettings)
    assert message in str(refused.value)


@pytest.mark.parametrize("labels", [["a"], ["a", "a"], ["a", ""], ["a", "b\nc"], ["a", "b" * 201], ["a", "b\u202ec"]])
def test_output_settings_refuse_labels_that_are_none(labels: list[str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"labels": labels}, OutputSettings)


@pytest.mark.parametrize("white", [255, 0, -1, 65_536])
def test_an_impossible_white_is_refused(white: int) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"white: .*; wanted 256 to 65,535"):
        msgspec.convert({"white": white}, InputSettings)


def test_numbers_for_each_channel_and_for_all() -> None:
    assert InputSettings(scale=(2.0, (1.0, 2.0, 3.0))).scaling == Scaling((2.0,), (1.0, 2.0, 3.0))
    assert Scaling((2.0,), (1.0, 2.0, 3.0)).per_channel(3) == Scaling((2.0, 2.0, 2.0), (1.0, 2.0, 3.0))
    assert Scaling((2.0,), (1.0, 2.0, 3.0)).per_channel(4) is None


def test_a_recipe_declares_them_and_the_command_line_changes_single_keys(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[input]\nscale = [[0.1, 0.2, 0.3], -1]\nchannels = "bgr"\n[output]\nlabels = ["a", "b"]\n')
    declared = read_export_recipe(recipe, {"input": {"size": [8, 12]}})
    assert declared.input == InputSettings("uint8", ((0.1, 0.2, 0.3), -1.0), "bgr", (8, 12))
    assert declared.output.labels == ("a", "b")
    assert read_export_recipe(recipe, {"input": {"scale": "0-1"}}).input.scale == "0-1"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_recipe_of_before_is_told_what_to_write(tmp_path: Path, dtype: str) -> None:
    recipe = tmp_path / "old.toml"
    recipe.write_text(f"input = {json.dumps(dtype)}\n")
    with pytest.raises(RecipeError) as refused:
        read_export_recipe(recipe, {})
    assert str(refused.value) == f'{recipe}: input is a table; write input = {{ dtype = "{dtype}" }}'
    recipe.write_text(str(refused.value).partition("write ")[2])
    assert read_export_recipe(recipe, {}).input.dtype == dtype


@pytest.mark.parametrize("text", ["centre 200 of 360", "center 200 of 360", " Centre  200 OF 360 "])
def test_how_images_were_prepared_is_a_part_of_a_picture(text: str) -> None:
    assert read_prepared(text) == (200, 360)


@pytest.mark.parametrize(
    "text", ["", "no", "200", "200 of 360", "centre 0 of 9", "centre 361 of 360", "centre 2.5 of 9"]
)
def test_another_preparation_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^--prepared .*as 'centre 200 of 360'$"):
        read_prepared(text)


def test_a_recipe_cannot_cut_more_than_the_picture() -> None:
    with pytest.raises(ValueError, match="wanted a part of it"):
        InputSettings(prepared=(361, 360))
