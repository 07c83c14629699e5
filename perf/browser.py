"""The zoo in a browser beside native Python: answers, time, size, and what the page asks of the network.

usage: python -m perf.browser [BUNDLE…] [--images FOLDER] [--count N] [--vectors FOLDER] [--pictures FOLDER]

Of each bundle, by default those of exports/zoo, a page is written and opened in a headless Chromium:

1. Answers: of each conformance vector and of N image files, the page's label, probabilities and acceptance beside those
   of `bctoolkit.runtime`, which reads the same file.
2. Latency: the model alone, one thread each, the page and native Python in turns; medians, that of the
   ratios, and the fastest of each, which other programs hardly move.
3. Time until ready: from an empty cache, and again once the page has kept its files, medians of five.
4. Size: of all that is written, and of what a browser loads, as it is and compressed by gzip.
5. Requests after the start, requests to other machines, and what axe-core finds serious or critical.

`--pictures` also writes what the page looks like, light and dark. Exit code 1 where a label differs or anything is
asked of the network after the start.
"""

import argparse
import gzip
import io
import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bctoolkit import bundle as bundles
from bctoolkit.app.web import Packages
from bctoolkit.errors import InputMismatch
from bctoolkit.progress import Terminal
from bctoolkit.runtime import Classifier, load
from perf.pictures import write_screenshot
from tests.support.chromium import Browser, program
from tests.support.web_page import AXE, Answer, ask, findings, node_modules, served, start, wait_until_kept, written

ZOO = Path(__file__).parents[1] / "exports" / "zoo"
IMAGES = Path(__file__).parents[2] / "shared" / "data" / "pbc_raw_sample"
STARTS = 5
WIDTH, HEIGHT = 720, 900


def chosen(folder: Path, count: int) -> list[Path]:
    """Some image files of a folder, the same ones each time."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    random.Random(0).shuffle(files)
    return files[:count]


def compare(browser: Browser, classifier: Classifier, files: list[Path]) -> Iterator[tuple[Path, Answer, Any, float]]:
    """The page's answer to each file, Python's (None: refused), and the milliseconds of Python's model, in turns."""
    for path in files:
        answer = ask(browser, path.read_bytes())
        try:
            prediction, raw = classifier.predict(path), classifier.raw_probabilities(path)[0]
        except InputMismatch:
            yield path, answer, None, 0.0
            continue
        began = time.perf_counter()
        classifier.backend.run(answer.pixels[None].astype(classifier.contract.dtype))
        yield path, answer, (prediction, raw), 1000 * (time.perf_counter() - began)


def answers(browser: Browser, classifier: Classifier, files: list[Path], what: str) -> bool:
    """Print how the answers agree and what they cost; whether all labels and refusals are the same."""
    rows = list(compare(browser, classifier, files))
    wrong = [path.name for path, answer, native, _ in rows if (answer.refused is None) != (native is not None)]
    both = [(path, answer, *native, ms) for path, answer, native, ms in rows if native and answer.refused is None]
    wrong += [path.name for path, answer, prediction, *_ in both if answer.label != prediction.labels[0]]
    raw = max(float(np.abs(answer.raw - raw).max()) for _, answer, _, raw, _ in both)
    calibrated = max(float(np.abs(a.probabilities - p.probabilities[0]).max()) for _, a, p, _, _ in both)
    accepted = sum(p.accepted is None or a.accepted == bool(p.accepted[0]) for _, a, p, _, _ in both)
    page, native = ([a.milliseconds["model"] for _, a, *_ in both], [ms for *_, ms in both])
    whole = statistics.median(a.milliseconds["whole"] for _, a, *_ in both)
    ratio = statistics.median(one / other for one, other in zip(page, native, strict=True))
    refused = len(rows) - len(both)
    print(f"  {what}: {len(rows)} files, {refused} refused by both; labels {len(both) - len(wrong)} of {len(both)}")
    print(f"    max |Δp| {raw:.2g}, calibrated {calibrated:.2g}; acceptance the same for {accepted} of {len(both)}")
    print(
        f"    model {statistics.median(page):.1f} ms, native {statistics.median(native):.1f} ms, ratio {ratio:.1f} "
        f"(fastest: {min(page):.1f}, {min(native):.1f}); from the file to the answer {whole:.1f} ms"
    )
    for name in wrong:
        print(f"    differs: {name}")
    return not wrong


def times_until_ready(folder: Path, page: Path) -> tuple[float, float]:
    """Median seconds from the address to the first picture: with nothing kept, and with all kept."""
    cold: list[float] = []
    warm: list[float] = []
    for index in range(STARTS):
        browser = opened(folder / f"profile-{index}")
        with served(page) as (url, _):
            for times in (cold, warm):
                began = time.perf_counter()
                start(browser, url)
                times.append(time.perf_counter() - began)
                wait_until_kept(browser)
        browser.end()
    return statistics.median(cold), statistics.median(warm)


def opened(profile: Path) -> Browser:
    """A browser that has kept nothing."""
    path = program()
    if path is None:
        raise SystemExit("no browser: set CHROMIUM, or put a chromium or Chrome on the path")
    return Browser(path, profile)


def sizes(page: Path, asked: list[str]) -> str:
    """Of a folder, and of the files that a browser asked for."""
    files = {path: path.read_bytes() for path in page.rglob("*") if path.is_file()}
    names = {name.split("?")[0].lstrip("/") or "index.html" for name in asked}
    loaded = {path: data for path, data in files.items() if path.relative_to(page).as_posix() in names}
    return f"written {_megabytes(files.values())}; loaded {_megabytes(loaded.values())}"


def _megabytes(contents: Collection[bytes]) -> str:
    compressed = sum(len(gzip.compress(content)) for content in contents)
    return f"{sum(map(len, contents)) / 1e6:.1f} MB, compressed {compressed / 1e6:.1f}"


def photograph(browser: Browser, url: str, bundle: Path, target: Path) -> None:
    """What the page looks like with an answer, light and dark."""
    buffer = io.BytesIO()
    Image.fromarray(bundles.read(bundle).golden().images[0]).save(buffer, "PNG")
    picture = target.resolve() / "cell.png"
    target.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(buffer.getvalue())
    for scheme in ("light", "dark"):
        start(browser, url, WIDTH, scheme)
        browser.choose("#file", [picture])
        browser.wait("!document.getElementById('answer').hidden")
        browser.evaluate("document.getElementById('checks').open = true")
        time.sleep(0.5)  # bars grow
        write_screenshot(browser, target / f"browser-{scheme}.png")
    picture.unlink()


def examine(bundle: Path, options: argparse.Namespace, engines: Path, axe: bytes) -> bool:
    """Print all of a bundle; whether it is as it should be."""
    print(f"{bundle.name}")
    key = bundle.parent / "zoo.pub.pem"
    with tempfile.TemporaryDirectory() as scratch:
        page = written(bundle, Path(scratch) / "page", engines, trusted=key if key.is_file() else None)
        browser = opened(Path(scratch) / "profile")
        with served(page) as (url, asked), load(bundle, threads=1) as classifier:
            start(browser, url)
            print(f"  keeps its files: {wait_until_kept(browser)}")
            print(f"  {sizes(page, asked)}")
            elsewhere = [each for each in browser.requests(url) if not each.startswith((url, "data:", "blob:"))]
            before = len(asked), len(browser.requests(url))
            vectors = sorted((options.vectors / "images").iterdir())
            is_fine = answers(browser, classifier, vectors, "conformance vectors")
            if options.images.is_dir():
                is_fine &= answers(browser, classifier, chosen(options.images, options.count), "image files")
            after = len(asked), len(browser.requests(url))
            print(f"  requests after the start {after[0] - before[0]}, to other machines {len(elsewhere)}")
            browser.choose("#file", [vectors[0]])
            browser.wait("!document.getElementById('answer').hidden")
            print(f"  axe-core, serious or critical: {len(findings(browser, axe))}")
            if options.pictures is not None:
                photograph(browser, url, bundle, options.pictures)
        browser.end()
        cold, warm = times_until_ready(Path(scratch), page)
        print(f"  ready after {cold:.1f} s, {warm:.1f} s the next time")
    return is_fine and before == after and not elsewhere


def main() -> None:
    """Examine each bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path, default=sorted(ZOO.glob("atto-*-int8-dynamic")))
    parser.add_argument("--images", type=Path, default=IMAGES)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--vectors", type=Path, default=ZOO / "vectors")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of a damaged Exif block, which counts as none
    with tempfile.TemporaryDirectory() as scratch:
        engines = node_modules(Path(scratch), Packages(None, Terminal()))
        axe = (engines / AXE.package.name / AXE.path).read_bytes()
        fine = [examine(bundle, options, engines, axe) for bundle in options.bundles]
    print(json.dumps({"browser": program(), "bundles": len(fine), "as they should be": sum(fine)}))
    sys.exit(not all(fine))


if __name__ == "__main__":
    main()
