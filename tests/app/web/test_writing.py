"""What is written, and what is refused, without a browser."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from bctoolkit import bundle as bundles
from bctoolkit.app.web import Packages, engine_of, write_page
from bctoolkit.app.web.engines import ENGINES, WASM_UTILS, EngineFile
from bctoolkit.errors import BundleCorrupt, BundleError, BundleUntrusted, RecipeError
from bctoolkit.files import sha256_bytes
from bctoolkit.progress import Silent
from tests.app.web.conftest import ZOO
from tests.support.bundles import write as write_bundle
from tests.support.cli import Bctk
from tests.support.progress import Recorder

ONNX = ZOO / "atto-onnx-int8-dynamic"
PAGE = Path(bundles.__file__).parents[1] / "app" / "web" / "page"


def test_the_bundle_is_the_very_one(onnx_page: Path) -> None:
    for path in ONNX.iterdir():
        assert (onnx_page / "bundle" / path.name).read_bytes() == path.read_bytes()


def test_settings_name_what_is_there(onnx_page: Path, tflite_page: Path) -> None:
    for page in (onnx_page, tflite_page):
        settings = json.loads((page / "settings.json").read_bytes())
        for file in settings["engine"]["files"].values():
            assert sha256_bytes((page / file["name"]).read_bytes()) == file["sha256"]
        there = {path.name for path in page.iterdir() if path.is_file()}
        assert {*settings["page"], "settings.json", "bctk-app.txt"} == {*there, "./"}


def test_no_address_of_another_machine_stands_in_the_page() -> None:
    """But for names that look like one, and sources in comments."""
    names = ("https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0")
    for path in PAGE.iterdir():
        code = re.sub(r"^\s*(//|\*|/\*).*", "", path.read_text(), flags=re.MULTILINE)
        assert {*re.findall(r"https?://[\w./-]+", code)} <= {*names}, path.name


def test_the_policy_allows_nothing_from_elsewhere(onnx_page: Path) -> None:
    html = (onnx_page / "index.html").read_text()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?:|\*|unsafe-inline|'unsafe-eval'", policy)
    assert "<script>" not in html
    assert re.findall(r"<script[^>]*>", html) == ['<script type="module" src="app.js">']
    assert not re.search(r"\son\w+=|style=", html)


def test_modules_are_small_and_their_imports_are_there() -> None:
    for path in PAGE.glob("*.js"):
        lines = path.read_text().splitlines()
        assert len(lines) < 400
        for name in re.findall(r'from "\./([\w-]+\.js)"', path.read_text()):
            assert (PAGE / name).is_file()


def test_a_later_page_replaces_an_earlier_one_and_nothing_else(node_modules: Path, tmp_path: Path) -> None:
    target, packages = tmp_path / "page", Packages(node_modules, Silent())
    write_page(bundles.read(ONNX), target, "folder", packages)
    write_page(bundles.read(ONNX), target, "single-file", packages)
    assert not (target / "bundle").exists()
    (target / "mine.txt").write_text("mine")
    with pytest.raises(RecipeError, match=r"holds mine\.txt, which is not ours"):
        write_page(bundles.read(ONNX), target, "folder", packages)
    assert (target / "mine.txt").read_text() == "mine"


def test_a_damaged_bundle_is_not_written(node_modules: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ONNX, tmp_path / "bundle"))
    (copy / "golden.npz").write_bytes(b"damaged")
    with pytest.raises(BundleCorrupt, match=r"golden\.npz: SHA-256 differs"):
        write_page(bundles.read(copy), tmp_path / "page", "folder", Packages(node_modules, Silent()))
    with pytest.raises(BundleUntrusted):
        bundles.read(copy, [ZOO / "zoo.pub.pem"])
    assert not (tmp_path / "page").exists()


def test_a_form_that_answers_in_integers_is_refused(tmp_path: Path) -> None:
    for format_, form in (("onnx", "int8"), ("tflite", "int8-dynamic")):
        fine = write_bundle(tmp_path / form, format=format_, quantization=form)
        assert engine_of(fine.manifest) is ENGINES[format_]
    for form in ("int8-full", "w8a16"):
        with pytest.raises(BundleError, match="answers in integers"):
            engine_of(write_bundle(tmp_path / form, format="tflite", quantization=form).manifest)


def test_without_npm_the_remedy_is_named(bctk: Bctk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = bctk("app", "web", ONNX, "--out", tmp_path / "page")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "there is none on the path: install Node.js with npm, or name a folder" in line
    assert not (tmp_path / "page").exists()


def npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a command of that name first on the path, and begin with an empty cache."""
    (folder / "bin").mkdir()
    path = folder / "bin" / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


UTILS = {"utils": EngineFile(WASM_UTILS, "dist/index.js", "0" * 64)}


def test_what_npm_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, "echo 'npm error  network is down' >&2; exit 1", monkeypatch)
    with pytest.raises(
        RecipeError, match=r"npm cannot fetch @litertjs/wasm-utils@2\.5\.3 \(npm error network is down\)"
    ):
        Packages(None, Silent()).read(UTILS)


def test_another_archive_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, 'echo other > "$4/package.tgz"', monkeypatch)
    progress = Recorder()
    with pytest.raises(RecipeError, match="what npm fetched is another archive than the one that was tested"):
        Packages(None, progress).read(UTILS)
    assert progress.lines == ["fetching @litertjs/wasm-utils@2.5.3 with npm, 1 MB, once"]
    assert not list((tmp_path / "cache").rglob("*.tgz"))


def test_an_archive_is_fetched_once_and_again_where_it_is_damaged_or_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(Path(__file__), "package/dist/index.js")
    (tmp_path / "archive").write_bytes(content.getvalue())
    package = WASM_UTILS._replace(integrity=base64.b64encode(hashlib.sha512(content.getvalue()).digest()).decode())
    files = {"utils": EngineFile(package, "dist/index.js", sha256_bytes(Path(__file__).read_bytes()))}
    npm(tmp_path, f'cp "{tmp_path}/archive" "$4/package.tgz"', monkeypatch)
    progress = Recorder()
    for fetched in (1, 1):
        assert Packages(None, progress).read(files)["utils"] == Path(__file__).read_bytes()
        assert len(progress.lines) == fetched
    [kept] = (tmp_path / "cache").rglob("*.tgz")
    kept.write_bytes(b"damaged")
    Packages(None, progress).read(files)
    assert len(progress.lines) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    Packages(None, progress).read(files)
    assert len(progress.lines) == 3


def test_other_files_than_the_pinned_ones_are_refused(node_modules: Path, tmp_path: Path) -> None:
    package = Path(shutil.copytree(node_modules / "onnxruntime-web", tmp_path / "onnxruntime-web"))
    (package / "dist" / "ort-wasm-simd-threaded.wasm").write_bytes(b"other")
    files = {role: file for role, file in ENGINES["onnx"].files.items() if role in ("code", "wasm")}
    for folder in (package, tmp_path):
        with pytest.raises(RecipeError, match=r"ort-wasm-simd-threaded\.wasm is not that of onnxruntime-web 1\.30\.0"):
            Packages(folder, Silent()).read(files)
    with pytest.raises(RecipeError, match="holds no package @litertjs/core"):
        Packages(tmp_path, Silent()).read({"code": ENGINES["tflite"].files["code"]})
