"""The ways a picture comes in, and the page without a mouse."""

import base64
from pathlib import Path

import pytest

from tests.app.web.conftest import ZOO
from tests.support.chromium import Browser
from tests.support.web_page import served, start

pytestmark = pytest.mark.soak

PICTURE = ZOO / "vectors" / "images" / "28-png-rgb.png"

HAND_OVER = """
(() => {
  const carried = new DataTransfer();
  const bytes = Uint8Array.from(atob("CONTENT"), (character) => character.charCodeAt(0));
  carried.items.add(new File([bytes], "NAME", { type: "image/png" }));
  document.dispatchEvent(EVENT);
})()
"""

WAYS = {
    "dropped.png": 'new DragEvent("drop", { dataTransfer: carried, cancelable: true })',
    "pasted.png": 'new ClipboardEvent("paste", { clipboardData: carried })',
}


def press(browser: Browser, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def wait_for_answer_to(browser: Browser, name: str) -> None:
    browser.wait(f"document.getElementById('caption').textContent.startsWith('Probabilities of {name},')")
    assert browser.evaluate("document.getElementById('answer').hidden") is False


def test_pictures_are_dropped_pasted_and_photographed(browser: Browser, onnx_page: Path) -> None:
    content = base64.b64encode(PICTURE.read_bytes()).decode()
    with served(onnx_page) as (url, _):
        assert "Ready after" in start(browser, url)
        for name, event in WAYS.items():
            browser.evaluate(HAND_OVER.replace("CONTENT", content).replace("NAME", name).replace("EVENT", event))
            wait_for_answer_to(browser, name)
        browser.evaluate("document.getElementById('camera').click()")
        browser.wait("document.activeElement.id === 'shoot'")
        browser.evaluate("document.getElementById('shoot').click()")
        refused = browser.wait("document.getElementById('refused').textContent")
        assert refused.startswith("the camera"), "a frame of 640×480 is not at the scale that the contract states"
        browser.evaluate("document.getElementById('leave').click()")
        assert browser.evaluate("document.getElementById('video').srcObject") is None
        assert browser.evaluate("document.activeElement.id") == "camera"


def test_every_control_is_reached_by_the_keyboard(browser: Browser, onnx_page: Path) -> None:
    with served(onnx_page) as (url, _):
        assert "Ready after" in start(browser, url)
        reached = []
        for _ in range(3):
            press(browser, "Tab", 9)
            reached.append(browser.evaluate("document.activeElement.id || document.activeElement.tagName"))
            outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", "what has the focus is seen"
        assert reached == ["file", "camera", "SUMMARY"]
        press(browser, " ", 32)
        assert browser.evaluate("document.getElementById('checks').open") is True
