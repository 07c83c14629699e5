"""What a user sees where something is not as it should be: a reason in plain words, and no answer."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace as replace_fields
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from PIL import Image

from bctoolkit import bundle as bundles
from bctoolkit.files import sha256_bytes
from bctoolkit.runtime import load
from bctoolkit.signing import sign_folder
from bctoolkit.signing.keys import new_key
from tests.support.acceptance import ruled_bundle
from tests.support.bundles import reseal
from tests.support.chromium import Browser
from tests.support.web_page import ask, served, start, written

pytestmark = pytest.mark.slow


def replace(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Another file of that name, not the same one changed: it may be a link to one that others read."""
    content = change(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def changed_manifest(page: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Exchanged with its seal, as somebody would who can write both."""
    for name in ("manifest.json", "manifest.json.sha256"):
        replace(page / "bundle" / name, bytes)
    reseal(page / "bundle", change)


def without_keys(page: Path) -> None:
    replace(page / "settings.json", lambda content: json.dumps(json.loads(content) | {"trusted": []}).encode())


def by_another_key(page: Path) -> None:
    names = {path.name for path in (page / "bundle").iterdir()}
    (page / "bundle" / "model.sig").unlink()
    sign_folder(page / "bundle", "zoo", names - {"model.sig"}, new_key())


def with_a_file_of_its_own(page: Path) -> None:
    without_keys(page)
    changed_manifest(page, lambda raw: raw["golden"].update(file="../../secret.npz"))  # type: ignore[attr-defined]


def with_labels_in_another_order(page: Path) -> None:
    without_keys(page)
    changed_manifest(page, lambda raw: raw["labels"].reverse())  # type: ignore[attr-defined]


def with_another_signature(page: Path) -> None:
    """One bit of it changed."""

    def change(content: bytes) -> bytes:
        raw = json.loads(content)
        [entry] = raw["dsseEnvelope"]["signatures"]
        signature = bytearray(base64.b64decode(entry["sig"]))
        signature[-1] ^= 1
        entry["sig"] = base64.b64encode(signature).decode()
        return json.dumps(raw).encode()

    replace(page / "bundle" / "model.sig", change)


def with_a_field_more(page: Path) -> None:
    """A signature that holds, in an envelope with a field more."""
    replace(page / "bundle" / "model.sig", lambda content: json.dumps(json.loads(content) | {"more": 1}).encode())


WAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "model": (lambda page: replace(page / "bundle" / "model.onnx", flipped), "model.onnx is not the file that the"),
    "golden": (lambda page: replace(page / "bundle" / "golden.npz", flipped), "golden.npz is not the file that the"),
    "manifest": (lambda page: replace(page / "bundle" / "manifest.json", flipped), "manifest.json"),
    "gone": (lambda page: (page / "bundle" / "bom.cdx.json").unlink(), "bom.cdx.json is missing where this page is"),
    "unsigned": (lambda page: (page / "bundle" / "model.sig").unlink(), "The bundle is not signed"),
    "signature": (with_another_signature, "model.sig was changed: the key did not sign this content"),
    "envelope": (with_a_field_more, "model.sig is no signature by a key"),
    "another key": (by_another_key, "which this page does not trust"),
    "resealed": (
        lambda page: changed_manifest(page, lambda raw: raw.update(licence="mine")),
        "manifest.json was changed after the bundle was signed",
    ),
    "path": (with_a_file_of_its_own, "names a file that is no part of a bundle"),
    "labels": (with_labels_in_another_order, "golden.npz was made for another bundle: its labels"),
    "engine": (
        lambda page: replace(page / "engine" / "ort.wasm.bundle.min.mjs", flipped),
        "ort.wasm.bundle.min.mjs is not the file that was written",
    ),
}


ALWAYS = ("model", "unsigned", "signature", "path")
"""The others wait for `make soak`."""


@pytest.mark.parametrize("way", [way if way in ALWAYS else pytest.param(way, marks=pytest.mark.soak) for way in WAYS])
def test_nothing_is_classified_by_what_is_not_as_it_was_written(way: str, browser: Browser, page_copy: Path) -> None:
    change, words = WAYS[way]
    change(page_copy)
    with served(page_copy) as (url, asked):
        told = start(browser, url)
    assert "Not ready: nothing is classified." in told
    assert words in told
    assert "unforeseen" not in told
    assert browser.evaluate("document.getElementById('file').disabled") is True
    assert browser.evaluate("document.getElementById('result').hidden") is True
    assert not [path for path in asked if "secret" in path]


@pytest.mark.soak
def test_a_model_that_computes_something_else_fails_its_self_test(browser: Browser, page_copy: Path) -> None:
    """Sealed and named as it should be, and not what the reference answers."""
    without_keys(page_copy)

    path = page_copy / "bundle" / "model.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 10_000:
            tensor.raw_data = bytes(len(tensor.raw_data))
    path.unlink()
    onnx.save(model, path)
    digest = sha256_bytes(path.read_bytes())
    changed_manifest(page_copy, lambda raw: raw["model"].update(sha256=digest))  # type: ignore[attr-defined]
    with served(page_copy) as (url, _):
        told = start(browser, url)
    assert "Not ready: nothing is classified." in told
    assert "The self-test on 10 golden images failed" in told


def test_what_is_no_picture_is_refused_and_the_next_one_answered(
    browser: Browser, page_copy: Path, tmp_path: Path
) -> None:
    without_keys(page_copy)
    hostile = "<img src=x onerror=document.title='run'>.txt"
    (tmp_path / hostile).write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 256, (360, 363, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "BMP")
    (tmp_path / "picture.bmp").write_bytes(buffer.getvalue())
    Image.fromarray(noise).save(tmp_path / "small.png")
    with served(page_copy) as (url, _):
        assert "Ready after" in start(browser, url)
        for name, words in ((hostile, "is no picture"), ("picture.bmp", "is a BMP; this page reads PNG and JPEG")):
            browser.choose("#file", [tmp_path / name])
            browser.wait(f"document.getElementById('refused').textContent.includes({json.dumps(words)})")
            assert browser.evaluate("document.getElementById('refused').textContent").startswith(name)
            assert browser.evaluate("document.getElementById('answer').hidden") is True
            assert browser.evaluate("document.title") == "atto-onnx-int8-dynamic"
        browser.choose("#file", [tmp_path / "small.png"])
        browser.wait("!document.getElementById('answer').hidden")
        assert browser.evaluate("document.getElementById('refused').hidden") is True
        assert browser.evaluate("document.getElementById('label').textContent").startswith("Not accepted: would be ")
        assert "unlike those the model was validated on" in browser.evaluate("document.body.innerText")


@pytest.fixture(scope="module")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes by their mean colour, of which one is called as if it were HTML; it wants eight pixels or more."""
    content = ruled_bundle(tmp_path_factory.mktemp("ruled") / "colours").content()
    contract = msgspec.structs.replace(content.input, crop=8)
    target = tmp_path_factory.mktemp("small") / "bundle"
    return bundles.write(target, replace_fields(content, input=contract, labels=("<b>red</b>", "green", "blue"))).path


def test_a_picture_that_is_too_small_and_a_class_called_like_html(
    browser: Browser, small_bundle: Path, node_modules: Path, tmp_path: Path
) -> None:
    page = written(small_bundle, tmp_path / "page", node_modules)
    Image.new("RGB", (7, 30), "red").save(tmp_path / "small.png")
    Image.new("RGB", (8, 30), (130, 110, 110)).save(tmp_path / "red.png")
    with served(page) as (url, _):
        assert "Ready after" in start(browser, url)
        browser.choose("#file", [tmp_path / "small.png"])
        words = browser.wait("document.getElementById('refused').textContent")
        assert words == "small.png has 7×30 pixels, less than the contract's crop of 8×8"
        browser.choose("#file", [tmp_path / "red.png"])
        browser.wait("!document.getElementById('answer').hidden")
        assert "<b>red</b>" in browser.evaluate("document.getElementById('label').textContent")
        assert browser.evaluate("document.querySelectorAll('b').length") == 0
        answer = ask(browser, (tmp_path / "red.png").read_bytes())
    with load(small_bundle) as classifier:
        prediction = classifier.predict(tmp_path / "red.png")
    assert prediction.labels == (answer.label,)
    assert answer.probabilities == pytest.approx(prediction.probabilities[0], abs=1e-5)
    assert prediction.accepted is not None
    assert answer.accepted == prediction.accepted[0]
