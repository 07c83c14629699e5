"""The page as one file: from a disk or a mail it opens without a server, where a browser would load no second file."""

import base64
import gzip
import hashlib
import re
from graphlib import TopologicalSorter
from string import Template

__all__ = ["in_one_file"]

POLICY = (
    "default-src 'none'; script-src {script} blob: 'wasm-unsafe-eval'; style-src {style}; connect-src blob:; "
    "worker-src blob:; img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'"
)
"""Of scripts and styles in the file itself those of these hashes; a blob is what such a script has made."""

IMPORT = re.compile(rb'from "\./([\w-]+\.js)"')

WORKER = "sw.js"


def in_one_file(
    template: bytes, title: str, style: bytes, loader: bytes, page: dict[str, bytes], content: dict[str, bytes]
) -> bytes:
    """The page with all that it needs.

    Args:
        template: of its HTML.
        title: escaped already.
        style: the style sheet.
        loader: the module that starts the others.
        page: modules by name, and other files of the page.
        content: files of bundle and engine by the names under which the page asks for them.
    """
    modules = {name: code for name, code in page.items() if name.endswith(".js") and name != WORKER}
    others = {name: data for name, data in page.items() if not name.endswith(".js")} | content
    blocks = [
        *(_block("module", name, modules[name]) for name in _in_order(modules)),
        *(_block("file", name, data) for name, data in others.items()),
    ]
    policy = POLICY.format(script=_hash(loader), style=_hash(style))
    html = Template(template.decode()).substitute(
        policy=policy,
        title=title,
        style=f"<style>{style.decode()}</style>",
        script="\n".join([*blocks, f'<script type="module">{loader.decode()}</script>']),
    )
    return html.encode()


def _in_order(modules: dict[str, bytes]) -> list[str]:
    """Each module after those that it imports."""
    graph = {name: {found.decode() for found in IMPORT.findall(code)} for name, code in modules.items()}
    return list(TopologicalSorter(graph).static_order())


def _block(kind: str, name: str, data: bytes) -> str:
    """Content that is no code to the browser: compressed, in base64."""
    packed = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    return f'<script type="application/gzip" id="{kind}:{name}" data-bytes="{len(data)}">{packed}</script>'


def _hash(content: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
