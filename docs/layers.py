"""Draw the layers of the code in docs/pictures/layers.svg, and list the packages in docs/architecture.md.

The layers are those that `make check` holds imports to (`[tool.importlinter]` in pyproject.toml); what a package is,
its own docstring says.

usage: python docs/layers.py [--check]
"""

import ast
import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE, PAGE = ROOT / "docs" / "pictures" / "layers.svg", ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- packages: written by docs/layers.py -->\n", "<!-- end -->"
WIDTH, HEIGHT, GAP, MARGIN = 820, 34, 8, 12

STYLE = """
  text { font: 13px system-ui, sans-serif; text-anchor: middle; fill: #1b1f24 }
  rect { fill: #eef2f7; stroke: #8794a5 }
  .device { fill: #dcefe2 }
  .verb { fill: #dfe8fb }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e9ee } rect { fill: #262c35; stroke: #6b7787 } .device { fill: #1f4230 } .verb { fill: #25365c }
  }
"""
DEVICE = frozenset(
    {"bom", "bundle", "contract", "documents", "errors", "escaping", "files", "lazy", "manifest", "runtime", "signing"}
    | {"statistics", "system", "untrusted"}
)
"""What an app has imported that has loaded a bundle and asked it about an image."""
VERBS = frozenset({"train", "export", "bench", "evaluate", "app", "vectors", "scoring", "dossier", "fleet", "cli"})


def layers() -> list[list[str]]:
    """The packages of each layer, the uppermost first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [line.split(" | ") for line in contract["layers"]]


def picture() -> str:
    """Rows of boxes, one for each layer."""
    rows = layers()
    height = len(rows) * (HEIGHT + GAP) - GAP + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="The layers of bctoolkit: each imports from those below it">\n<style>{STYLE}</style>\n'
    ]
    for index, names in enumerate(rows):
        y, each = MARGIN + index * (HEIGHT + GAP), (WIDTH - 2 * MARGIN + GAP) / len(names)
        for position, name in enumerate(names):
            x, kind = MARGIN + position * each, "verb" if name in VERBS else "device" if name in DEVICE else ""
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{each - GAP:.1f}" height="{HEIGHT}" rx="5"/>'
                f'<text x="{x + (each - GAP) / 2:.1f}" y="{y + 22}">{escape(name)}</text>\n'
            )
    return "".join((*parts, "</svg>\n"))


def table() -> str:
    """What each package knows."""
    lines = ["| package | what it is |\n|---|---|\n"]
    for name in (name for names in layers() for name in names):
        path = ROOT / "bctoolkit" / name
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        lines.append(f"| `{name}` | {' '.join(said.partition(chr(10) * 2)[0].split())} |\n")
    return "".join(lines)


def written() -> dict[Path, str]:
    """The files as they should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return {PICTURE: picture(), PAGE: before + BEGIN + table() + END + rest.partition(END)[2]}


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(any(path.read_text(encoding="utf-8") != text for path, text in written().items()))
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
