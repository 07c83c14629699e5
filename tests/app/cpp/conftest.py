"""The zoo's bundles as programs, built once for a whole run with sanitizers of addresses and undefined behaviour."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bctoolkit.app.cpp.project import write_project
from tests.app.cpp.machine import SANITIZED, ZOO, App, Unavailable, build
from tests.conftest import once

FORMATS = ("onnx", "tflite")
Build = Callable[[str], App]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A function that builds the zoo's bundle of a format."""

    def make(format_name: str) -> App:
        def both(folder: Path) -> None:
            write_project(ZOO / f"atto-{format_name}-int8-dynamic", folder / "project")
            build(folder / "project", folder / "build", "-O0", *SANITIZED)

        try:
            folder = once(tmp_path_factory, f"cpp-{format_name}", both)
        except Unavailable as reason:
            pytest.skip(str(reason))
        return App(folder / "build" / "classify", folder / "project" / "bundle")

    return make


@pytest.fixture(params=[pytest.param(each, marks=() if each == "onnx" else pytest.mark.soak) for each in FORMATS])
def app(request: pytest.FixtureRequest, built: Build) -> App:
    """Each of both in turn."""
    return built(request.param)


@pytest.fixture
def onnx_app(built: Build) -> App:
    return built("onnx")
