"""Every page the toolkit writes, opened in a headless Chromium that has no network: whole, readable, and quiet.

See `tests.support.chromium`: without a browser these tests are skipped.
"""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bctoolkit.bench import pipeline
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.progress import Terminal
from bctoolkit.recipes import Budget
from tests.support.chromium import Browser, started
from tests.support.cli import ForkServer
from tests.support.local_child import do_jobs_locally

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]

MEASURED = ("tiny-onnx-fp32", "tiny-tflite-fp32", "tiny-tflite-int8-dynamic")

PHONE, DESK, PAPER = 390, 1300, 718
"""Widths in CSS pixels; paper is A4 within Chromium's margins."""

MEASURE = """
(async () => {
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map(image => image.decode()));
  const box = element => element.getBoundingClientRect();
  const empty = element => !(box(element).width > 0 && box(element).height > 0);
  const told = element => element.outerHTML.slice(0, 120);
  return {
    width: document.documentElement.scrollWidth,
    headings: [...document.querySelectorAll("h2")].map(heading => heading.textContent),
    empty: [...document.querySelectorAll("section, figure, svg, img, table, dl, h1, h2")].filter(empty).map(told),
    cut: [...document.querySelectorAll("figure, svg, img, dl")].filter(e => box(e).right > innerWidth + 1).map(told),
    figures: document.querySelectorAll("figure").length,
    drawn: document.querySelectorAll("svg[role=img]").length,
    images: document.images.length,
  };
})()
"""

FAINT = """
(() => {
  const numbers = colour => {
    const found = colour.match(/[\\d.]+/g).map(Number);
    return colour.startsWith("color(") ? found.map((x, i) => i < 3 ? x * 255 : x) : found;
  };
  const light = colour => {
    const linear = x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = numbers(colour).map(x => linear(x / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      const seen = numbers(colour);
      if (seen.length < 4 || seen[3] > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join("");
    if (!text || element.closest("style, title, .key span")) continue;
    const style = getComputedStyle(element);
    const ink = light(element.closest("svg") ? style.fill : style.color), paper = light(ground(element));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${text.slice(0, 60)}`);
  }
  return found;
})()
"""
"""Texts below the contrast of 4.5 to 1 that WCAG 2.2 AA asks of text (success criterion 1.4.3)."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from started(tmp_path_factory.mktemp("chromium"))


@pytest.fixture(scope="module")
def report(workspace: Path, class_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three bundles and a damaged one in every scenario, against limits that are kept, broken and undecided."""
    root = tmp_path_factory.mktemp("report")
    shelf = workspace / "exports" / "bundles"
    shutil.copytree(shelf / "tiny-onnx-fp32", root / "damaged")
    with (root / "damaged" / "model.onnx").open("r+b") as file:
        file.write(b"damaged")
    paths = [
        *(shelf / name for name in MEASURED),
        root / "damaged",
    ]
    settings = Settings(
        sessions=2,
        min_runs=24,
        min_seconds=0.05,
        warmup_runs=5,
        warmup_seconds=0.01,
        threads=1,
        batches=(1, 2),
        streams=2,
        sustain_minutes=0.002,
        profile_runs=5,
        corrupted=3,
    )
    budget = Budget(device="a desk", max_size_mb=0.001, max_peak_rss_mb=10_000, max_p50_ms=1_000, min_accuracy=0.5)
    with pytest.MonkeyPatch.context() as monkeypatch:
        do_jobs_locally(monkeypatch)
        pipeline.bench(paths, settings, root / "report", Terminal(), data=str(class_folders), budget=budget)
    return root / "report" / "report.html"


@pytest.fixture(scope="module")
def evaluation(
    fork_server: ForkServer, bundle: Path, class_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("evaluation")
    options = ("--corruptions", "--limit", 40, "--out", root / "out")
    done = fork_server.run("evaluate", bundle, "--data", class_folders, *options, cwd=root)
    assert done.returncode == 0, done.stderr
    return root / "out" / "evaluation.html"


@pytest.fixture(scope="module")
def sheet(fork_server: ForkServer, class_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sheet")
    done = fork_server.run("data", "inspect", class_folders, "--html", root / "sheet.html", cwd=root)
    assert done.returncode == 0, done.stderr
    return root / "sheet.html"


@pytest.fixture(scope="module")
def dossier(
    fork_server: ForkServer, workspace: Path, report: Path, evaluation: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Of a bundle that report and evaluation are of, with its run."""
    root = tmp_path_factory.mktemp("dossier")
    options = ("--evaluation", evaluation.parent, "--run", "tiny", "--out", root / "out")
    done = fork_server.run("dossier", f"exports/bundles/{MEASURED[0]}", report.parent, *options, cwd=workspace)
    assert done.returncode == 0, done.stderr
    return root / "out" / "dossier.html"


@pytest.fixture(params=["report", "evaluation", "sheet", "dossier"])
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def complaints(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the browser says to the console, and what it asks the network for."""
    loud = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")
    requests = [event for event in events if event["method"] == "Network.requestWillBeSent"]
    assert requests, "at least the page itself"
    outside = [event for event in requests if not event["params"]["request"]["url"].startswith(("file:", "data:"))]
    return outside + [event for event in events if event["method"] in loud]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_page_opens_without_a_network_fits_and_can_be_read(
    browser: Browser, page: Path, width: int, scheme: str
) -> None:
    events = browser.open(page.as_uri(), width, scheme)
    seen = browser.evaluate(MEASURE)
    assert seen["width"] <= width
    assert seen["empty"] == []
    assert seen["cut"] == []
    assert browser.evaluate(FAINT) == []
    assert complaints(events) == []


def test_every_part_of_a_report_is_shown(browser: Browser, report: Path) -> None:
    browser.open(report.as_uri(), DESK, "light")
    seen = browser.evaluate(MEASURE)
    assert seen["headings"] == [
        "Verdict", "Figures", "Relative to tiny-onnx-fp32", "Limits", "Accuracy, latency, size", "Latency",
        "Operator profile", "Offline",
        "Multi-stream", "Sustained", "Classes", "Confusion matrices", "Reliability", "Risk and coverage",
        "Corruptions",
        *(f"Corruptions of {name}" for name in MEASURED), *(f"Where {name} differs most" for name in MEASURED),
        "Machine and settings", "How each number was computed",
    ]  # fmt: skip
    window = json.loads(report.with_name("report.json").read_bytes())["results"][0]["sustained"]["windows"][0]
    state = sum(
        window[field] is not None for field in ("frequency_mhz", "temperature_c")
    )  # not every system tells them
    plots = 4 + 1 + 1 + 1 + state + 1  # ratios, latency and its like, operators, batches, sustained, corruptions
    assert seen["drawn"] == plots + 4 + 3  # reliability of the reference and three bundles, risk of the bundles
    assert seen["images"] == 3 * 8
    assert seen["figures"] == plots + 3 + 3 + 4 + 4 + 3 + 24  # limits, classes, confusions, reliability, risk, pictures
    text = browser.evaluate("document.querySelector('.verdicts').innerText")
    assert re.findall(r": (failed|not measured)$", text, re.MULTILINE) == ["failed"] * 3 + ["not measured"]


def test_a_page_prints(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri(), PAPER, "light", medium="print")
    assert browser.evaluate(MEASURE)["width"] <= PAPER
    pdf = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 1


def test_what_is_wrong_with_a_page_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<!doctype html><meta name="viewport" content="width=device-width"><body><h2></h2>'
        '<p style="width: 900px; color: #999">pale</p><svg viewBox="0 0 9 9"><text y="9" fill="#aaa">faint</text></svg>'
        '<script src="http://example.org/x.js"></script><script>console.log("loud"); nothing.here()</script>'
    )
    methods = {event["method"] for event in complaints(browser.open(bad.as_uri(), PHONE, "light"))}
    seen = browser.evaluate(MEASURE)
    assert seen["width"] > PHONE
    assert seen["empty"] == ["<h2></h2>"]
    assert [words.split(": ")[1] for words in browser.evaluate(FAINT)] == ["pale", "faint"]
    assert methods >= {"Network.requestWillBeSent", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
