"""The zoo's bundles in a headless Chromium: what Python answers, without a network, for everybody."""

import json
from pathlib import Path

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from tests.app.web.conftest import ZOO
from tests.support.chromium import Browser
from tests.support.web_page import ask, facts, findings, served, start, wait_until_kept

pytestmark = pytest.mark.slow

VECTORS = ZOO / "vectors"
PHONE = 320
"""CSS pixels."""

NAMES = {"onnx": "atto-onnx-int8-dynamic", "tflite": "atto-tflite-int8-dynamic"}


def require_answers_of_python(browser: Browser, name: str) -> None:
    """Every conformance vector: the array bit by bit, the answer within the bundle's tolerance."""
    vectors = json.loads((VECTORS / "vectors.json").read_bytes())
    rule = bundles.read(ZOO / name).acceptance_rule()
    assert rule is not None
    expected, images = vectors["bundles"][name], np.load(VECTORS / "inputs.npz")["images"]
    for case, probabilities, accepted in zip(vectors["cases"], expected["answers"], expected["accepted"], strict=True):
        answer = ask(browser, (VECTORS / case["file"]).read_bytes())
        assert answer.is_foreseen, (case["file"], answer.refused)
        assert (answer.refused is None) == (case["refused"] is None), (case["file"], answer.refused)
        if answer.refused is None:
            assert np.array_equal(answer.pixels, images[case["array"]]), case["file"]
            assert np.abs(answer.raw - probabilities).max() <= expected["tolerance"], case["file"]
            assert answer.accepted == accepted, case["file"]
            judged = rule.judge(answer.pixels[None], answer.raw[None])
            assert answer.probabilities == pytest.approx(judged.probabilities[0], abs=1e-6)
            assert answer.distance == pytest.approx(judged.distances[0], rel=1e-4)
            assert answer.accepted == judged.accepted[0]


@pytest.mark.parametrize("kind", ["onnx", pytest.param("tflite", marks=pytest.mark.soak)])
def test_a_page_answers_as_python_does_without_a_network(
    kind: str,
    browser: Browser,
    axe: bytes,
    request: pytest.FixtureRequest,
) -> None:
    page: Path = request.getfixturevalue(f"{kind}_page")
    picture = VECTORS / "images" / "00-jpeg-420.jpg"
    with served(page) as (url, asked):
        assert "Ready after" in start(browser, url, PHONE)
        assert wait_until_kept(browser).startswith("yes")
        requests, before = browser.requests(url), len(asked)
        assert requests
        assert [each for each in requests if not each.startswith((url, "data:", "blob:"))] == []
        require_answers_of_python(browser, NAMES[kind])
        browser.choose("#file", [picture])
        browser.wait("!document.getElementById('answer').hidden")
        browser.evaluate("document.getElementById('checks').open = true")
        assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE
        assert findings(browser, axe) == []
        assert len(browser.requests(url)) - len(requests) == len(asked) - before == 0, (
            "nothing is asked for after the start"
        )
    told = facts(browser)
    assert told["Signature"].startswith("by the trusted key")
    assert told["Self-test"].startswith("10 golden images")
    assert told["JPEG decoder"] == "as in training, bit by bit"
    assert "Ready after" in start(browser, url, PHONE, "dark"), "nobody serves it any more"
    assert ask(browser, picture.read_bytes()).refused is None
    browser.choose("#file", [picture])
    browser.wait("!document.getElementById('answer').hidden")
    assert findings(browser, axe) == []
