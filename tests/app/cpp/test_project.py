"""Writing the C++ project: what it holds, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bctoolkit.app.cpp import project
from bctoolkit.app.cpp.project import PARTS, library_source, write_project
from bctoolkit.bundle import Golden
from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.errors import BctkError, BundleCorrupt, BundleError, RecipeError
from bctoolkit.manifest import SCHEMA
from tests.app.cpp.machine import ZOO
from tests.support.bundles import SIGNED, STORED, write
from tests.support.cli import Bctk

SOURCE = Path(project.__file__).with_name("source")
LONGEST = 400


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("name", "on"), [("onnx", "ONNXRUNTIME"), ("tflite", "LITERT")])
def test_it_holds_the_very_bundle_and_its_engine(name: str, on: str, tmp_path: Path) -> None:
    bundle = ZOO / f"atto-{name}-int8-dynamic"
    folder = write_project(bundle, tmp_path / "app")
    assert names(folder) == {"CMakeLists.txt", "bctoolkit.h", "bctoolkit.cpp", "main.cpp", "bundle"}
    for path in bundle.iterdir():
        assert (folder / "bundle" / path.name).read_bytes() == path.read_bytes()
    build = (folder / "CMakeLists.txt").read_text()
    assert "@" not in build
    for option in ("ONNXRUNTIME", "LITERT"):
        assert f"option(BCTOOLKIT_{option} " in build
        assert ("ON)" in build.split(f"option(BCTOOLKIT_{option} ")[1].splitlines()[0]) == (option == on)


def test_a_signature_goes_along_and_what_is_not_of_the_bundle_does_not(tmp_path: Path) -> None:
    bundle = shutil.copytree(SIGNED, tmp_path / "bundle")
    (bundle / "notes.txt").write_text("mine")
    folder = write_project(bundle, tmp_path / "app")
    assert names(folder / "bundle") == names(SIGNED)


def test_every_part_is_in_the_library_and_none_is_long() -> None:
    assert {path.stem for path in (SOURCE / "library").iterdir()} == {*PARTS, "prologue"}
    for path in SOURCE.rglob("*.*"):
        assert len(path.read_text().splitlines()) <= LONGEST, path
    source = library_source()
    for name in QUANTIZATIONS:
        assert f'{{"{name}", ' in source
    assert f"newest_schema = {SCHEMA};" in source


def test_an_earlier_project_is_replaced_and_anything_else_is_left_alone(tmp_path: Path) -> None:
    folder = write_project(STORED, tmp_path / "app")
    (folder / "main.cpp").write_text("old")
    write_project(SIGNED, folder)
    assert (folder / "main.cpp").read_text() == (SOURCE / "main.cpp").read_text()
    (folder / "build").mkdir()
    with pytest.raises(RecipeError, match="holds build"):
        write_project(STORED, folder)
    assert (folder / "bundle" / "model.sig").exists()


def test_what_cannot_be_an_app_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    damaged = shutil.copytree(STORED, tmp_path / "damaged")
    (damaged / "reference.npz").write_bytes(b"other")
    six = InputContract(height=6, width=5, channels=6)
    golden = Golden(np.zeros((1, *six.shape), np.uint8), np.array([[0.5, 0.5]], np.float32), np.array([0]), "synthetic")
    satellite = write(tmp_path / "six", input=six, golden=golden)
    cases: list[tuple[Path, type[BctkError], str]] = [
        (damaged, BundleCorrupt, "SHA-256 differs"),
        (tmp_path / "nowhere", BundleError, "no such folder"),
        (satellite.path, BundleError, "images of 6 channels"),
    ]
    for path, error, words in cases:
        with pytest.raises(error, match=words):
            write_project(path, tmp_path / "app")
    assert not (tmp_path / "app").exists()


@pytest.mark.slow
def test_the_command(bctk: Bctk, tmp_path: Path) -> None:
    done = bctk("app", "cpp", STORED, "--out", "cells")
    assert (done.returncode, done.stderr) == (0, "")
    assert "cmake -S cells -B build" in done.stdout
    assert names(tmp_path / "cells" / "bundle") == names(STORED) - {".gitattributes"}
    done = bctk("app", "cpp", tmp_path, "--out", "other")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "not a bundle" in done.stderr
    assert not (tmp_path / "other").exists()
