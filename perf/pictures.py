"""What pages look like, for the documentation: the upper part of each, light and dark, as PNG.

usage: python -m perf.pictures PAGE.html… [--out docs/pictures] [--height 900]

Each page becomes NAME-light.png and NAME-dark.png, NAME being that of the file. The browser is the one of the tests.
"""

import argparse
import base64
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.support.chromium import Browser, program

WIDTH = 1100
"""CSS pixels."""


def write_screenshot(browser: Browser, file: Path, **options: object) -> None:
    """Write what the browser shows, in 64 colours.

    Args:
        browser: with a page.
        file: the PNG.
        options: of `Page.captureScreenshot` in the DevTools protocol.
    """
    taken = browser.call("Page.captureScreenshot", captureBeyondViewport=True, **options)
    with Image.open(io.BytesIO(base64.b64decode(taken["data"]))) as image:
        image.convert("RGB").quantize(64).save(file, optimize=True)


def photograph(browser: Browser, page: Path, folder: Path, height: int) -> None:
    """Write both pictures of a page."""
    for scheme in ("light", "dark"):
        browser.open(page.resolve().as_uri(), WIDTH, scheme)
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
        write_screenshot(browser, folder / f"{page.stem}-{scheme}.png", clip=clip)


def main() -> int:
    """Photograph each page."""
    parser = argparse.ArgumentParser(description="What pages look like, as PNG.")
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE.html")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--height", type=int, default=900, help="CSS pixels")
    options = parser.parse_args()
    path = program()
    if path is None:
        print("no browser: set CHROMIUM, or put chromium or Chrome on the path", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(path, Path(profile))
        for page in options.pages:
            photograph(browser, page, options.out, options.height)
        browser.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
