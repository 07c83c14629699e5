"""Draw docs/pictures/architecture.svg: the way of an image, and the layers of pyproject.toml.

usage: python docs/architecture.py [--check]
"""

import sys
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "pictures" / "architecture.svg"

ROLES = (
    "what a user types",
    "above the verbs: a page to sign, many machines",
    "the verbs",
    "what the verbs work with",
    "what commands leave",
    "a bundle's bill of materials",
    "what a bundle says of itself",
    "tables, pages, pictures",
    "declared data, figures, places, signatures",
    "pictures → arrays",
    "stored documents; formats and quantizations",
    "the one reader of files of others",
    "the system",
    "optional imports",
    "known to all",
)
"""Of the layers, the highest first."""

WAY = ("images", "train", "run", "export", "bundle", "runtime", "answers")
"""Things that are stored or seen, and between them the packages that make one of the other."""

WIDTH, LEFT, TOP, ROW, BOX, LETTER = 830, 46, 128, 36, 26, 7.3
STYLE = """
text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1f2328 }
.said { font-family: system-ui, sans-serif; fill: #57606a }
.page { fill: #ffffff } .box { fill: #eaf1fb; stroke: #5b7db1 }
.thing { fill: none; stroke: #57606a; stroke-dasharray: 4 3 }
.line { stroke: #57606a; fill: none } .head { fill: #57606a }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .said { fill: #9da7b3 } .page { fill: #0d1117 } .box { fill: #1b2b44; stroke: #7ea2d8 }
  .thing, .line { stroke: #9da7b3 } .head { fill: #9da7b3 }
}
"""


def layers(root: Path = ROOT) -> list[list[str]]:
    """The packages of each layer as import-linter keeps them, the highest layer first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (rows,) = (each["layers"] for each in contracts if each.get("containers") == ["bctoolkit"])
    return [row.split(" | ") for row in rows]


def box(x: float, y: float, text: str, kind: str = "box") -> tuple[str, float]:
    """A box with a text, and where the next one may begin."""
    width = 14 + LETTER * len(text)
    shape = f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}" rx="4"/>'
    return f'{shape}<text x="{x + 7:.0f}" y="{y + 17:.0f}">{escape(text)}</text>', x + width


def said(x: float, y: float, text: str, anchor: str = "start") -> str:
    """A remark."""
    return f'<text class="said" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def arrow(x: float, y: float, x2: float, y2: float) -> str:
    """A line with a head."""
    return f'<path class="line" marker-end="url(#head)" d="M{x:.0f} {y:.0f}L{x2:.0f} {y2:.0f}"/>'


def way() -> Iterator[str]:
    """What becomes of an image, from left to right; `bench` looks at the bundle."""
    x, y = float(LEFT), 36.0
    for number, name in enumerate(WAY):
        if number:
            yield arrow(x + 3, y + BOX / 2, x + 32, y + BOX / 2)
            x += 38
        left = x
        shape, x = box(x, y, name, "box" if number % 2 else "thing")
        yield shape
        if name == "bundle":
            middle = (left + x) / 2
    yield arrow(middle, y + BOX + 3, middle, y + BOX + 14)
    yield said(
        middle, y + BOX + 29, "verify, bench, evaluate, compare: the same bundle against Keras's answers", "middle"
    )


def stack(rows: list[list[str]]) -> Iterator[str]:
    """The layers, one below the other; whoever imports stands above what it imports."""
    for number, (names, role) in enumerate(zip(rows, ROLES, strict=True)):
        x, y = float(LEFT), float(TOP + ROW * number)
        for name in names:
            shape, x = box(x, y, name)
            yield shape
            x += 8
        yield said(520, y + 17, role)
    yield arrow(24, TOP + 4, 24, TOP + ROW * len(rows) - 18)


def picture(rows: list[list[str]]) -> str:
    """The whole picture as SVG."""
    height = TOP + ROW * len(rows) + 10
    head = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The way of an image, and the layers of the package: imports point downward</title>",
        f"<style>{STYLE}</style>",
        f'<defs>{head}<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        said(LEFT, 24, "the way of an image: what is stored (dashed), and what makes it"),
        *way(),
        said(LEFT, TOP - 10, "the layers: imports point downward, packages on one line do not know each other"),
        *stack(rows),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    drawn = picture(layers())
    if "--check" in sys.argv[1:]:
        sys.exit(TARGET.read_text(encoding="utf-8") != drawn)
    TARGET.write_text(drawn, encoding="utf-8")
