"""Pages around the zoo's bundles, and a browser to open them in."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bctoolkit.app.web import Packages
from bctoolkit.errors import RecipeError
from bctoolkit.progress import Silent
from tests.support import web_page
from tests.support.chromium import Browser, started
from tests.support.cli import fresh_bctk
from tests.support.web_page import AXE, written

ZOO = Path(__file__).resolve().parents[3] / "exports" / "zoo"
KEY = ZOO / "zoo.pub.pem"


@pytest.fixture(scope="session")
def node_modules(user_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as npm installs packages into, filled from a cache that outlives the tests. Read only."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(Path.home() / ".cache" / "bctoolkit-tests"))
        try:
            return web_page.node_modules(tmp_path_factory.mktemp("engines") / "node_modules", Packages(None, Silent()))
        except RecipeError as problem:
            pytest.skip(f"no engine for the browser: {problem}")


@pytest.fixture(scope="session")
def axe(node_modules: Path) -> bytes:
    """axe-core's script."""
    return (node_modules / AXE.package.name / AXE.path).read_bytes()


@pytest.fixture(scope="session")
def onnx_page(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the command line writes it. Read only."""
    root = tmp_path_factory.mktemp("page")
    options = ("--out", "onnx", "--trusted", KEY, "--engine-files", node_modules)
    done = fresh_bctk("app", "web", ZOO / "atto-onnx-int8-dynamic", *options, cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "onnx: 19.1 MB; serve it over https, or on localhost\n"
    return root / "onnx"


@pytest.fixture(scope="session")
def tflite_page(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    target = tmp_path_factory.mktemp("page") / "tflite"
    return written(ZOO / "atto-tflite-int8-dynamic", target, node_modules, trusted=KEY)


@pytest.fixture
def page_copy(onnx_page: Path, tmp_path: Path) -> Path:
    """A page of which files can be replaced, not changed in place: they are links."""
    return Path(shutil.copytree(onnx_page, tmp_path / "copy", copy_function=os.link))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from started(tmp_path_factory.mktemp("chromium"))
