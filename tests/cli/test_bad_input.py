"""What a user gets wrong is answered in one line that says what and where, and nothing is written."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.cli import Bctk

Refused = Callable[..., str]
READERS = ("verify", "predict", "bench")
"""The commands that are given a bundle."""


@pytest.fixture
def image(class_folders: Path) -> Path:
    return next((class_folders / "left").iterdir())


def reading(command: str, bundle: Path, image: Path) -> list[object]:
    return [command, bundle, *([image] if command == "predict" else [])]


def picture(path: Path, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def two_classes(root: Path) -> Path:
    picture(root / "left" / "1.png")
    picture(root / "right" / "1.png")
    return root


def missing_folder(root: Path) -> tuple[Path, str]:
    return root / "absent", "absent: no such folder or file"


def no_class_folders(root: Path) -> tuple[Path, str]:
    picture(root / "data" / "1.png")
    return root / "data", "data: holds no class folders"


def empty_class_folders(root: Path) -> tuple[Path, str]:
    (root / "data" / "left").mkdir(parents=True)
    (root / "data" / "right").mkdir()
    return root / "data", "data: none of its 2 class folders holds an image"


def parts_for_classes(root: Path) -> tuple[Path, str]:
    two_classes(root / "data" / "val")
    two_classes(root / "data" / "test")
    return root / "data", "data: test, val look like parts of a set, not like classes, but are not train beside "


def truncated_jpegs(root: Path) -> tuple[Path, str]:
    path = picture(two_classes(root / "data") / "up" / "cut.jpg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return root / "data", "of class 'up' none of 1 images can be read; the first: "


def text_as_png(root: Path) -> tuple[Path, str]:
    (two_classes(root / "data") / "right" / "1.png").write_text("no image")
    return root / "data", "data/right/1.png: cannot be decoded"


def cmyk_images(root: Path) -> tuple[Path, str]:
    picture(two_classes(root / "data") / "up" / "print.jpg", "CMYK")
    return root / "data", "data/up/print.jpg is CMYK (mode CMYK)"


def images_of_sixteen_bits(root: Path) -> tuple[Path, str]:
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(two_classes(root / "data") / "left" / "1.png")
    return root / "data", "data/left/1.png has 16 bits a channel and values up to 4,000; say which value is white"


def other_classes(root: Path) -> tuple[Path, str]:
    picture(two_classes(root / "data") / "sideways" / "1.png")
    return root / "data", "data: class 'sideways' is not one of left, right, up"


def npz_without_images(root: Path) -> tuple[Path, str]:
    np.savez(root / "set.npz", pixels=np.zeros((2, 8, 8, 3), np.uint8), labels=np.arange(2))
    return root / "set.npz", "it holds: pixels, labels; name them: images, labels = pixels, labels"


def npz_without_labels(root: Path) -> tuple[Path, str]:
    np.savez(root / "set.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    return root / "set.npz", "set.npz: holds images but no labels"


def npz_of_two_channels(root: Path) -> tuple[Path, str]:
    np.savez(root / "set.npz", images=np.zeros((2, 8, 8, 2), np.uint8), labels=np.arange(2))
    return root / "set.npz", "its images are 8×8×2; the model wants uint8 array"


def npz_of_fractions_cast_to_whole_numbers(root: Path) -> tuple[Path, str]:
    np.savez(root / "set.npz", images=np.eye(8, dtype=np.uint8)[None].repeat(2, 0), labels=np.arange(2))
    return root / "set.npz", "its images hold 0 and 1 alone, as fractions cast to whole numbers do"


def npz_with_pickled_objects(root: Path) -> tuple[Path, str]:
    objects = np.empty(2, object)
    objects[:] = [{"a": 1}, {"b": 2}]
    np.savez(root / "set.npz", images=objects, labels=np.arange(2))
    return root / "set.npz", "objects, which are never loaded"


def pickle_called_npz(root: Path) -> tuple[Path, str]:
    (root / "set.npz").write_bytes(pickle.dumps({"images": [1, 2]}))
    return root / "set.npz", "set.npz: "


def npz_of_something_else(root: Path) -> tuple[Path, str]:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("images.txt", "no array")
    (root / "set.npz").write_bytes(content.getvalue())
    return root / "set.npz", "set.npz: "


def other_suffix(root: Path) -> tuple[Path, str]:
    (root / "set.xlsx").write_text("a,b\n")
    return root / "set.xlsx", "set.xlsx: neither a folder of class folders nor a .csv or .npz"


BAD_DATA = (
    missing_folder,
    no_class_folders,
    empty_class_folders,
    parts_for_classes,
    truncated_jpegs,
    text_as_png,
    cmyk_images,
    images_of_sixteen_bits,
    other_classes,
    npz_without_images,
    npz_without_labels,
    npz_of_two_channels,
    npz_of_fractions_cast_to_whole_numbers,
    npz_with_pickled_objects,
    pickle_called_npz,
    npz_of_something_else,
    other_suffix,
)


@pytest.mark.parametrize("make", BAD_DATA, ids=lambda make: make.__name__)
def test_bad_data_is_refused_by_bench(
    refused: Refused, bundle: Path, tmp_path: Path, make: Callable[[Path], tuple[Path, str]]
) -> None:
    path, message = make(tmp_path)
    assert message in refused("bench", bundle, "--data", path)


@pytest.mark.parametrize("make", [missing_folder, truncated_jpegs], ids=lambda make: make.__name__)
def test_bad_data_is_refused_by_train(
    refused: Refused, tmp_path: Path, make: Callable[[Path], tuple[Path, str]]
) -> None:
    path, message = make(tmp_path)
    assert message in refused("train", "--recipe", "smoke", "--data", path)


def test_train_without_images_says_where_to_put_them(refused: Refused) -> None:
    line = refused("train")
    assert "training/data holds neither class folders nor one .npz" in line
    assert "--data PATH" in line


def test_an_unknown_recipe_is_answered_with_the_known_ones(refused: Refused) -> None:
    assert "unknown recipe 'convnext'; recipes: baseline_cnn, " in refused("train", "--recipe", "convnext")


def test_an_unknown_key_of_a_recipe_is_answered_with_the_valid_ones(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("batchsize = 3\n")
    line = refused("train", "--recipe", "own.toml", "--data", "synthetic")
    assert "own.toml: unknown key 'batchsize'; did you mean 'batch_size'? valid keys: model, " in line


@pytest.mark.parametrize("setting", ["batchsize=3", "batch_size=0", "batch_size", "phases.9.epochs=1", "phases.²=1"])
def test_a_bad_setting_is_refused(refused: Refused, setting: str) -> None:
    assert setting.partition("=")[0].partition(".")[0] in refused("train", "--set", setting, "--data", "synthetic")


def test_a_recipe_that_is_no_toml_is_named(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b"\xff model = [\n")
    assert "own.toml is not valid TOML" in refused("export", "--recipe", "own.toml")


def test_an_unknown_budget_is_answered_with_the_known_ones(refused: Refused, bundle: Path) -> None:
    assert "unknown budget 'toaster'; budgets: " in refused("bench", bundle, "--budget", "toaster")


@pytest.mark.parametrize("name", ["absent", "absent.keras", "sub/absent"])
def test_the_export_of_a_missing_run_is_refused(refused: Refused, name: str) -> None:
    assert name in refused("export", name)


def test_the_export_of_a_file_with_a_lambda_names_the_layer(refused: Refused, tmp_path: Path) -> None:
    code = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}}
    layer = {"class_name": "Lambda", "config": {"name": "scale", "trainable": True, "function": code}}
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Functional", "config": {"layers": [layer]}}))
    line = refused("export", tmp_path / "model.keras")
    assert "model.keras: layer 'scale' (Lambda) holds Python code, which runs only if you trust it: bctk export" in line


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.onnx", "model"])
@pytest.mark.parametrize("kind", ["empty", "folder", "pipe", "noise"])
def test_the_export_of_what_is_no_network_is_one_line(refused: Refused, tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"" if kind == "empty" else bytes(range(256)) * 9)
    line = refused("export", path)
    assert line.startswith(f"error: {path}: ")
    assert "unexpected" not in line


def test_an_export_without_a_run_says_how_to_make_one(refused: Refused) -> None:
    assert "no finished run in training/runs; make one with: bctk train --data PATH" in refused("export")


def test_a_bench_without_a_bundle_says_how_to_make_one(refused: Refused) -> None:
    assert "no bundle in exports/bundles; make one with: bctk export --format onnx" in refused("bench")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "--format", "coreml"], "'coreml' is not one of 'onnx', 'tflite'"),
        (["export", "--quantize", "int4"], "'int4' is not one of"),
        (["export", "--input", "float16"], "'float16' is not one of"),
        (["bench", "--threads", "0"], "0 is not in the range"),
        (["predict", "bundle"], "Missing argument 'IMAGE...'"),
        (["verify"], "Missing argument 'BUNDLE'"),
        (["fly"], "No such command 'fly'"),
        (["train", "--fast"], "No such option"),
    ],
)
def test_wrong_usage_is_exit_code_2(bctk: Bctk, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = bctk(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (command, name)
        for command in READERS
        for name in ("model.onnx", "golden.npz", "reference.npz", "manifest.json")
        if command != "predict" or not name.endswith(".npz")
    ],
)
def test_one_flipped_byte_in_a_bundle_is_noticed(
    refused: Refused, damaged: Callable[[str], Path], class_folders: Path, image: Path, command: str, name: str
) -> None:
    """A prediction reads neither the golden images nor the reference."""
    more = ["--data", class_folders] if command == "bench" else []
    line = refused(*reading(command, damaged(name), image), *more)
    assert f"bundle/{name}" in line
    assert "copy the bundle again" in line


@pytest.mark.parametrize("command", READERS)
def test_a_bundle_of_a_later_schema_asks_for_an_upgrade(
    refused: Refused, too_new: Path, image: Path, command: str
) -> None:
    assert "schema 99, this bctoolkit reads up to 2; upgrade" in refused(*reading(command, too_new, image))


@pytest.mark.parametrize("command", READERS)
def test_a_folder_that_is_no_bundle_is_named(refused: Refused, class_folders: Path, image: Path, command: str) -> None:
    assert f"{class_folders}: not a bundle" in refused(*reading(command, class_folders, image))


@pytest.mark.parametrize("command", READERS)
def test_a_missing_bundle_is_named(refused: Refused, image: Path, command: str) -> None:
    assert "absent: no such folder" in refused(*reading(command, Path("absent"), image))


@pytest.mark.parametrize("command", READERS)
def test_an_unknown_provider_is_refused(refused: Refused, bundle: Path, image: Path, command: str) -> None:
    assert "unknown provider 'npu'" in refused(*reading(command, bundle, image), "--provider", "npu")


def test_an_image_of_another_mode_is_refused(refused: Refused, bundle: Path, tmp_path: Path) -> None:
    path = picture(tmp_path / "print.jpg", "CMYK")
    assert f"{path} is CMYK (mode CMYK); wanted grey, RGB or palette" in refused("predict", bundle, path)


def test_a_missing_image_is_named(refused: Refused, bundle: Path) -> None:
    assert "absent.png: no such file" in refused("predict", bundle, "absent.png")


def test_a_folder_in_a_list_of_images_is_no_image(refused: Refused, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(".")
    assert ".: is a folder, not a file" in refused("predict", bundle, "list.txt")


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0"])
def test_an_unreadable_image_is_named(refused: Refused, bundle: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cell.jpg").write_bytes(content)
    assert "cell.jpg: cannot be decoded as an image" in refused("predict", bundle, "cell.jpg")


def test_init_refuses_to_touch_what_stands(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    assert "exports already exists; choose an empty folder" in refused("init")


def test_a_report_never_takes_the_place_of_a_folder_with_other_things(
    refused: Refused, bundle: Path, tmp_path: Path
) -> None:
    two_classes(tmp_path / "images")
    assert "images" in refused("bench", bundle, "--quick", "--out", "images")


def test_a_report_can_not_take_the_place_of_the_working_folder(refused: Refused, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine\n")
    refused("bench", bundle, "--quick", "--out", ".")
