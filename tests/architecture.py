"""Reads the imports of `bctoolkit/` and says what breaks the house rules: circles, crowded folders, long files.

usage: python tests/architecture.py

Every import counts, also those inside functions and those for the type checker alone.
"""

import ast
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "bctoolkit"
MOST_FILES, MOST_LINES = 14, 400


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its dotted name; a package by the name of its folder."""
    paths = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


def imports(path: Path, package: Collection[str]) -> set[str]:
    """The modules that a file names in its imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (inner & set(package)) or {node.module}
    return names & set(package)


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The strongly connected components of more than one module (Tarjan 1972), each in alphabetical order."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                components.append(tuple(sorted(component)))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return components


def violations(root: Path) -> Iterator[str]:
    """What breaks the rules, a line each."""
    paths = modules(root)
    for circle in circles({name: imports(path, paths) - {name} for name, path in paths.items()}):
        yield f"import circle: {', '.join(circle)}"
    for folder in sorted({path.parent for path in paths.values()}):
        files = len(list(folder.glob("*.py")))
        name = folder.relative_to(root).as_posix()
        if files > MOST_FILES:
            yield f"{name}: {files} Python files, at most {MOST_FILES}"
    for path in paths.values():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            yield f"{path.relative_to(root)}: {lines} lines, at most {MOST_LINES}"


if __name__ == "__main__":
    broken = list(violations(ROOT))
    print(*broken, sep="\n", end="\n" if broken else "")
    sys.exit(bool(broken))
