"""Whatever is wrong is one line and exit code 1, usage 2; and no sanitizer has anything to say."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.files import sha256_bytes
from tests.app.cpp.bundles import mean_colour_bundle
from tests.app.cpp.machine import ZOO, App
from tests.support.bundles import STORED, reseal

pytestmark = pytest.mark.slow

Change = Callable[[dict[str, Any]], object]


def require_error(done: CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.arange(120 * 100 * 3, dtype=np.uint8).reshape(120, 100, 3)).save(path)
    return path


FILES = ("manifest.json", "manifest.json.sha256", "golden.npz", "reference.npz", "validation.npz", "bom.cdx.json")


@pytest.mark.parametrize("name", [*FILES, "model.onnx"])
def test_a_byte_that_is_another(name: str, onnx_app: App, ruled_copy: Path, picture: Path) -> None:
    content = bytearray((ruled_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (ruled_copy / name).write_bytes(content)
    require_error(onnx_app.run(ruled_copy, picture), "manifest.json" if name.startswith("manifest") else name)


@pytest.mark.parametrize("name", [*FILES, "model.onnx"])
def test_a_file_that_is_missing_or_no_file(name: str, onnx_app: App, ruled_copy: Path, picture: Path) -> None:
    (ruled_copy / name).rename(ruled_copy / "elsewhere")
    require_error(onnx_app.run(ruled_copy, picture), name)
    (ruled_copy / name).symlink_to("elsewhere")
    require_error(onnx_app.run(ruled_copy, picture), name)
    (ruled_copy / name).unlink()
    (ruled_copy / name).mkdir()
    require_error(onnx_app.run(ruled_copy, picture), name)


CHANGES: dict[str, tuple[Change, str]] = {
    "a later schema": (lambda raw: raw.update(schema=99), "reads up to 2"),
    "another format": (lambda raw: raw.update(format="coreml"), "unknown format 'coreml'"),
    "an engine that is not there": (lambda raw: raw.update(format="tflite"), "model"),
    "a path": (lambda raw: raw["golden"].update(file="../../golden.npz"), "names another file"),
    "a file twice": (lambda raw: raw["reference"].update(file="golden.npz"), "names another file"),
    "a label too many": (lambda raw: raw["labels"].append("more"), "probabilities"),
    "a label twice": (lambda raw: raw["labels"].__setitem__(0, raw["labels"][1]), "stands there twice"),
    "a label that steers": (lambda raw: raw["labels"].__setitem__(0, "a\x1b[2Jb"), "cannot be seen"),
    "labels in another order": (lambda raw: raw["labels"].reverse(), "was made for other labels"),
    "another size": (lambda raw: raw["input"].update(height=95), "images"),
    "a size without end": (lambda raw: raw["input"].update(height=1e300), "height"),
    "more images than there are": (lambda raw: raw["golden"].update(count=10_000_000), "golden"),
    "another network": (lambda raw: raw["source"].update(model_sha256="e" * 64), "source_sha256"),
    "half a rule": (lambda raw: raw.update(validation=None), "acceptance rule"),
    "no labels": (lambda raw: raw.pop("labels"), "'labels' is missing"),
    "a rule of another kind": (lambda raw: raw["acceptance"].update(temperature="hot"), "temperature"),
    "another quantization": (lambda raw: raw.update(quantization="int2"), "int2"),
}


@pytest.mark.parametrize(("change", "word"), CHANGES.values(), ids=CHANGES.keys())
def test_a_manifest_that_says_otherwise(
    change: Change, word: str, onnx_app: App, ruled_copy: Path, picture: Path
) -> None:
    reseal(ruled_copy, change)
    require_error(onnx_app.run(ruled_copy, picture), word)


def test_bundles_of_each_schema_are_read(onnx_app: App, picture: Path) -> None:
    done = onnx_app.run(STORED, picture, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["accepted"] is None


def test_a_model_that_answers_otherwise_is_not_served(onnx_app: App, tmp_path: Path, picture: Path) -> None:
    opened = mean_colour_bundle(tmp_path / "means", InputContract(height=20, width=20))
    reseal(opened.path, lambda raw: raw["labels"].reverse())
    require_error(onnx_app.run(opened.path, picture), "was made for other labels")
    other = mean_colour_bundle(tmp_path / "other", InputContract(height=20, width=20))
    model = (other.path / "model.onnx").read_bytes().replace(b"\0\0\x80\x3c", b"\0\0\x80\xbc")  # a weight's sign
    assert model != (other.path / "model.onnx").read_bytes()
    (other.path / "model.onnx").write_bytes(model)
    reseal(other.path, lambda raw: raw["model"].update(sha256=sha256_bytes(model)))
    require_error(onnx_app.run(other.path, picture), "its self-test on 4 golden images failed")
    done = onnx_app.run(other.path, "--self-test")
    assert done.returncode == 3
    assert done.stderr.startswith("FAILED: max |Δp|")


def test_pictures_that_are_none(onnx_app: App, tmp_path: Path, picture: Path) -> None:
    whole = picture.read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.open(picture).save(tmp_path / "a.jpg")
    jpeg = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "nothing.png").touch()
    Image.open(picture).save(tmp_path / "a.bmp")
    Image.open(picture).convert("CMYK").save(tmp_path / "cmyk.jpg")
    expected = {
        "cut.png": "cannot be decoded",
        "cut.jpg": "cannot be decoded",
        "a.txt": "neither JPEG nor PNG",
        "a.bmp": "neither JPEG nor PNG",
        "nothing.png": "the file is empty",
        "cmyk.jpg": "CMYK",
        "absent.png": "No such file",
        "": "no regular file",
    }
    for name, words in expected.items():
        require_error(onnx_app.run(STORED, tmp_path / name), words)


def test_a_picture_smaller_than_the_crop(onnx_app: App, tmp_path: Path, picture: Path) -> None:
    opened = mean_colour_bundle(tmp_path / "means", InputContract(height=20, width=20, crop=110))
    require_error(onnx_app.run(opened.path, picture), "100×120 pixels, less than the contract's crop of 110×110")


def test_vectors_that_are_none(onnx_app: App, tmp_path: Path) -> None:
    require_error(onnx_app.run(STORED, "--vectors", tmp_path), "vectors.json")
    folder = shutil.copytree(ZOO / "vectors", tmp_path / "vectors")
    require_error(onnx_app.run(STORED, "--vectors", folder), "another contract")
    raw = json.loads((folder / "vectors.json").read_bytes())

    def written(**changes: object) -> CompletedProcess[str]:
        (folder / "vectors.json").write_text(json.dumps(raw | changes))
        return onnx_app.run(onnx_app.bundle, "--vectors", folder)

    require_error(written(cases=[raw["cases"][0] | {"file": "images/../../etc/passwd"}]), "inputs.npz")
    away = [case | {"file": f"images/../{case['file']}"} for case in raw["cases"]]
    require_error(written(cases=away), "is no file in images/")
    require_error(written(cases=[case | {"sha256": "0" * 64} for case in raw["cases"]]), "SHA-256 differs")
    require_error(
        written(bundles={"a": next(iter(raw["bundles"].values())) | {"answers": []}}), "one entry for each case"
    )


@pytest.mark.parametrize(
    "words", [(), ("bundle",), ("bundle", "image", "--self-test"), ("bundle", "--json"), ("bundle", "image", "--no"),
              ("bundle", "image", "--threads", "many"), ("bundle", "image", "--threads", "0"), ("bundle", "--vectors")]
)  # fmt: skip
def test_usage(words: tuple[str, ...], onnx_app: App) -> None:
    done = onnx_app.run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: classify BUNDLE IMAGE")


def test_help_and_an_output_that_is_full(onnx_app: App, picture: Path) -> None:
    assert onnx_app.run("--help").returncode == 0
    with Path("/dev/full").open("w") as full:
        words = [onnx_app.program, STORED, picture]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: the answers cannot be written\n")


@pytest.mark.soak
def test_an_engine_that_is_too_old(built: Callable[[str], App], tmp_path: Path, picture: Path) -> None:
    app = built("tflite")
    listed = subprocess.run(["nm", "-D", "-u", app.program], capture_output=True, text=True, check=True).stdout
    needed = {name.partition("@")[0] for name in listed.split() if name.startswith("LiteRt")}
    older = [name for name in sorted(needed) if "Scheduling" not in name]
    (tmp_path / "old.c").write_text("".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in older))
    (tmp_path / "versions").write_text("VERS_1.0 { global: *; };")
    target = tmp_path / "libLiteRt.so"
    versions = f"-Wl,--version-script={tmp_path / 'versions'}"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", versions, tmp_path / "old.c", "-o", target], check=True)
    done = app.run(app.bundle, picture, environment={"LD_LIBRARY_PATH": str(tmp_path)})
    require_error(done, "this libLiteRt is older than 2.2")
