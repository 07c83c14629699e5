"""A missing optional package is answered with the command that installs it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bctoolkit.errors import MissingExtra
from bctoolkit.lazy import attribute, require


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported for the length of a test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_package_that_is_there_is_imported() -> None:
    assert require("json.decoder", "any") is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["nowhere_to_be_found", "nowhere_to_be_found.inner"])
def test_a_missing_package_names_the_extra_to_install(module: str) -> None:
    with pytest.raises(MissingExtra, match=r"needs the package 'nowhere.*pip install 'bctoolkit\[tflite\]'$"):
        require(module, "tflite")


def test_a_missing_extra_hides_the_import_s_own_traceback() -> None:
    with pytest.raises(MissingExtra) as caught:
        require("nowhere_to_be_found", "onnx")
    assert caught.value.__suppress_context__


def test_a_package_that_lacks_its_own_dependency_is_not_called_missing(importable: Path) -> None:
    (importable / "half_installed.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        require("half_installed", "onnx")


def test_an_error_inside_a_package_keeps_its_own_class(importable: Path) -> None:
    (importable / "explodes.py").write_text("raise OSError('libcudart.so: cannot open shared object file')\n")
    with pytest.raises(OSError, match="libcudart"):
        require("explodes", "onnx")


def test_attribute_resolves_module_and_name() -> None:
    assert attribute("bctoolkit.lazy:require") is require


def test_attribute_of_a_missing_name_is_an_error() -> None:
    with pytest.raises(AttributeError):
        attribute("bctoolkit.lazy:absent")
