"""A page of `bctk app web`, served on this machine alone and driven in a headless Chromium."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.app.web import ENGINES, Packages, write_page
from bctoolkit.app.web.engines import EngineFile, Package
from bctoolkit.app.web.writing import Form
from bctoolkit.progress import Silent
from bctoolkit.signing import read_public_keys
from tests.support.chromium import Browser

AXE = EngineFile(
    Package(
        "axe-core",
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        "MPL-2.0",
        1,
    ),
    "axe.min.js",
    "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
)
"""Checks accessibility: https://github.com/dequelabs/axe-core."""

ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
"""Headers with which a page may use several threads."""

STARTED = "/^(Ready|Not ready)/.test(document.getElementById('status').textContent)"
ASK = """
(async () => {
  const { ready } = await import(new URL("app.js", document.baseURI).href);
  const classifier = await ready;
  const inBase64 = (array) => {
    let text = "";
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
  };
  try {
    const answer = await classifier.classify(Uint8Array.from(atob("CONTENT"), (c) => c.charCodeAt(0)));
    const { label, accepted, milliseconds, picture: { width, height, channels, data } } = answer;
    return {
      label, accepted, milliseconds, shape: [height, width, channels], pixels: inBase64(data),
      raw: inBase64(answer.raw), probabilities: inBase64(answer.probabilities),
      distance: answer.judged?.distance ?? null,
    };
  } catch (problem) {
    return { refused: problem.message, kind: problem.constructor.name };
  }
})()
"""


class Answer:
    """What a page says of a file."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.refused: str | None = told.get("refused")
        self.is_foreseen = told.get("kind") in (None, "Refused")
        if self.refused is None:
            self.label: str = told["label"]
            self.accepted: bool | None = told["accepted"]
            self.distance: float | None = told["distance"]
            self.milliseconds: dict[str, float] = told["milliseconds"]
            self.pixels = _array(told["pixels"], np.uint8).reshape(told["shape"])
            self.raw = _array(told["raw"], np.float32)
            self.probabilities = _array(told["probabilities"], np.float32)


def _array(text: str, dtype: Any) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype)


def ask(browser: Browser, content: bytes) -> Answer:
    """Classify a file's content in the page that is open."""
    return Answer(browser.evaluate(ASK.replace("CONTENT", base64.b64encode(content).decode())))


def start(browser: Browser, url: str, width: int = 900, scheme: str = "light") -> str:
    """Open a page and wait until it is ready, or says why not; what it says."""
    browser.open(url, width, scheme)
    browser.wait(STARTED)
    return str(browser.evaluate("document.body.innerText"))


def wait_until_kept(browser: Browser) -> str:
    """Wait until the page has kept what it needs without a network, or says why not."""
    script = (
        "[...document.querySelectorAll('dt')].find(e => e.textContent === 'Without a network')?.nextSibling.textContent"
    )
    return str(browser.wait(script))


def node_modules(root: Path, packages: Packages) -> Path:
    """A folder as npm installs packages into: the engines, and axe-core."""
    wanted = [file for engine in ENGINES.values() for file in engine.files.values()] + [AXE]
    for index, content in packages.read({str(index): file for index, file in enumerate(wanted)}).items():
        file = wanted[int(index)]
        path = root / file.package.name / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        stated = {"name": file.package.name, "version": file.package.version}
        (root / file.package.name / "package.json").write_text(json.dumps(stated))
    return root


def written(bundle: Path, target: Path, engine_files: Path, form: Form = "folder", trusted: Path | None = None) -> Path:
    """A page around a bundle."""
    keys = None if trusted is None else [trusted]
    opened = bundles.read(bundle, keys)
    write_page(opened, target, form, Packages(engine_files, Silent()), read_public_keys(keys) if keys else ())
    return target


class _Quiet(SimpleHTTPRequestHandler):
    extra: dict[str, str]

    def end_headers(self) -> None:
        for name, value in self.extra.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        """Not to the terminal."""


@contextmanager
def served(folder: Path, headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """The address of a folder, and the paths that were asked for so far."""
    asked: list[str] = []

    class Handler(_Quiet):
        extra = headers or {}

        def send_head(self) -> Any:
            asked.append(self.path)
            return super().send_head()

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))) as port:
        yield f"http://127.0.0.1:{port}/", asked


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[int]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def findings(browser: Browser, axe: bytes) -> list[str]:
    """What axe-core finds serious or critical in the page as it stands."""
    browser.evaluate(axe.decode() + ";0")
    found = browser.evaluate("axe.run().then(result => JSON.stringify(result.violations))")
    grave = [each for each in json.loads(found) if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {node['html']}" for each in grave for node in each["nodes"]]


def facts(browser: Browser) -> dict[str, str]:
    """What the page says that it has checked."""
    script = "JSON.stringify([...document.querySelectorAll('dt')].map(e => [e.textContent, e.nextSibling.textContent]))"
    return dict(json.loads(browser.evaluate(script)))
