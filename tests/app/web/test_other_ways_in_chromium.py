"""The page as one file, with several threads, and on a graphics processor that is none."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bctoolkit import bundle as bundles
from bctoolkit.app.web import Packages, write_page
from bctoolkit.progress import Silent
from bctoolkit.runtime import load
from tests.app.web.conftest import KEY, ZOO
from tests.support.chromium import Browser, started
from tests.support.cli import fresh_bctk
from tests.support.web_page import ISOLATION, ask, facts, served, start

pytestmark = pytest.mark.soak

PICTURE = ZOO / "vectors" / "images" / "06-jpeg-rgb.jpg"
SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
KINDS = ("onnx", "tflite")


def zoo(kind: str) -> Path:
    return ZOO / f"atto-{kind}-int8-dynamic"


def require_answer_of_python(browser: Browser, kind: str, tolerance: float) -> None:
    with load(zoo(kind)) as classifier:
        expected = classifier.raw_probabilities(PICTURE)[0]
    assert ask(browser, PICTURE.read_bytes()).raw == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_is_enough(kind: str, browser: Browser, node_modules: Path, tmp_path: Path) -> None:
    options = ("--form", "single-file", "--engine-files", node_modules, "--trusted", KEY)
    done = fresh_bctk("app", "web", zoo(kind), "--out", tmp_path / "page", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["bctk-app.txt", "index.html"]
    alone = shutil.copy(tmp_path / "page" / "index.html", tmp_path / "alone.html")
    assert "Ready after" in start(browser, Path(alone).as_uri(), 320, "dark")
    told = facts(browser)
    assert told["Signature"].startswith("by the trusted key")
    assert told["Without a network"] == "yes: all is in this file"
    browser.choose("#file", [PICTURE])
    browser.wait("!document.getElementById('answer').hidden")
    with load(zoo(kind)) as classifier:
        assert classifier.predict(PICTURE).labels[0] in browser.evaluate("document.getElementById('label').textContent")
    asked = [each for each in browser.requests("file:") if not each.startswith(("blob:", "data:"))]
    assert asked == [Path(alone).as_uri()]


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_headers_for_it_several_threads_compute(
    kind: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    with served(request.getfixturevalue(f"{kind}_page"), ISOLATION) as (url, _):
        start(browser, url)
        if browser.evaluate("navigator.hardwareConcurrency") < 2:
            pytest.skip("one processor")
        assert facts(browser)["Engine"].endswith("threads")
        require_answer_of_python(browser, kind, 0.02)
        start(browser, url)  # from what was kept, which keeps its headers
        assert facts(browser)["Engine"].endswith("threads")


@pytest.fixture(scope="module")
def browser_with_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Its graphics processor is SwiftShader, which computes on the CPU."""
    yield from started(tmp_path_factory.mktemp("gpu"), SOFTWARE_GPU)


@pytest.mark.parametrize("kind", KINDS)
def test_a_graphics_processor_computes_where_it_is_ticked(
    kind: str, browser_with_gpu: Browser, node_modules: Path, tmp_path: Path
) -> None:
    write_page(bundles.read(zoo(kind)), tmp_path / "page", "folder", Packages(node_modules, Silent()), webgpu=True)
    with served(tmp_path / "page") as (url, _):
        assert "Ready after" in start(browser_with_gpu, url)
        if not browser_with_gpu.evaluate("navigator.gpu?.requestAdapter().then(adapter => Boolean(adapter))"):
            pytest.skip("this browser has no WebGPU, not even in software")
        assert ", wasm, " in facts(browser_with_gpu)["Engine"]
        browser_with_gpu.follow("document.getElementById('webgpu').click()")
        assert browser_with_gpu.evaluate("location.search") == "?webgpu"
        assert "Ready after" in start(browser_with_gpu, f"{url}?webgpu")
        assert ", webgpu" in facts(browser_with_gpu)["Engine"]
        require_answer_of_python(browser_with_gpu, kind, 0.05)


def test_without_a_graphics_processor_the_page_says_so(browser: Browser, onnx_page: Path) -> None:
    with served(onnx_page) as (url, _):
        assert "offers no graphics processor (WebGPU)" in start(browser, f"{url}?webgpu")
