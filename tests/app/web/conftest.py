"""Pages around the zoo's bundles, and a browser to open them in."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bctoolkit.app.web import ENGINES, Packages
from bctoolkit.app.web.engines import EngineFile, Package
from bctoolkit.errors import RecipeError
from bctoolkit.progress import Silent
from tests.support.chromium import Browser, started
from tests.support.web_page import AXE, written

ZOO = Path(__file__).resolve().parents[3] / "exports" / "zoo"
KEY = ZOO / "zoo.pub.pem"


@pytest.fixture(scope="session")
def fetched(user_cache: Path) -> dict[EngineFile, bytes]:
    """What the tests need of npm, from a cache that outlives them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(Path.home() / ".cache" / "bctoolkit-tests"))
        wanted = [file for engine in ENGINES.values() for file in engine.files.values()]
        try:
            contents = Packages(None, Silent()).read({f"{i}": file for i, file in enumerate([*wanted, AXE])})
        except RecipeError as problem:
            pytest.skip(f"no engine for the browser: {problem}")
    return dict(zip([*wanted, AXE], contents.values(), strict=True))


@pytest.fixture(scope="session")
def node_modules(fetched: dict[EngineFile, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as npm installs packages into. Read only."""
    root = tmp_path_factory.mktemp("engines") / "node_modules"
    for file, content in fetched.items():
        package: Package = file.package
        path = root / package.name / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        (root / package.name / "package.json").write_text(
            f'{{"name": "{package.name}", "version": "{package.version}"}}'
        )
    return root


@pytest.fixture(scope="session")
def onnx_page(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    target = tmp_path_factory.mktemp("page") / "onnx"
    return written(ZOO / "atto-onnx-int8-dynamic", target, node_modules, trusted=KEY)


@pytest.fixture(scope="session")
def tflite_page(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    target = tmp_path_factory.mktemp("page") / "tflite"
    return written(ZOO / "atto-tflite-int8-dynamic", target, node_modules, trusted=KEY)


@pytest.fixture
def page_copy(onnx_page: Path, tmp_path: Path) -> Path:
    """A page of which files can be replaced, not changed in place: they are links."""
    return Path(shutil.copytree(onnx_page, tmp_path / "copy", copy_function=os.link))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from started(tmp_path_factory.mktemp("chromium"))
