"""Writing the page: a folder to serve, or one file that needs no server."""

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal, get_args

import msgspec

from bctoolkit import __version__
from bctoolkit.app.web.engines import BrowserEngine, EngineFile, engine_of
from bctoolkit.app.web.packages import Packages
from bctoolkit.app.web.single_file import in_one_file
from bctoolkit.bundle import MANIFEST, Bundle
from bctoolkit.bundle.content import SEAL
from bctoolkit.errors import RecipeError
from bctoolkit.escaping.text import for_html
from bctoolkit.files import atomic_folder, sha256_bytes
from bctoolkit.runtime.model_files.identity import model_file
from bctoolkit.signing import SIGNATURE
from bctoolkit.signing.keys import CURVES, PublicKey
from bctoolkit.untrusted.files import read_bounded

__all__ = ["FORMS", "Form", "write_page"]

Form = Literal["folder", "single-file"]
FORMS: tuple[Form, ...] = get_args(Form)

MARKER = "bctk-app.txt"
"""Says what a folder is, and whose code lies in it; without one a folder is not ours to replace."""

OURS = ("index.html", "*.js", "style.css", "settings.json", "decoder-check.json", "engine", "bundle")

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
    "worker-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; base-uri 'none'; form-action 'none'"
)

IMPORT, EXPORT = b'import { createWasmLib } from "@litertjs/wasm-utils";', b"export {\n  createWasmLib\n};"
"""A browser finds no package by its name, and a file inside the page has no neighbours: one file takes in the other."""

MOST_BYTES = 2**31

NAMES_OF_CURVES = {curve: f"P-{name[1:]}" for name, (curve, _, _) in CURVES.items()}
"""As WebCrypto calls them."""


def write_page(
    bundle: Bundle, target: Path, form: Form, packages: Packages, keys: tuple[PublicKey, ...] = (), webgpu: bool = False
) -> None:
    """Write a page that runs a bundle, all of it or nothing; an earlier page in `target` is replaced.

    Args:
        bundle: opened, with `keys` where there are any.
        target: the folder.
        form: a folder to serve, or a single `index.html`.
        packages: where the engine comes from.
        keys: that the page trusts; it runs nothing that none of them signed.
        webgpu: whether the page is to offer the graphics processor.

    Raises:
        BundleError: the bundle is damaged, or no engine runs it in a browser.
        RecipeError: the engine's files cannot be had, or `target` is not ours to replace.
    """
    engine = engine_of(bundle.manifest)
    chosen = _chosen(engine, form, webgpu)
    content = _bundle_files(bundle, signed=bool(keys)) | _engine_files(packages.read(chosen), chosen)
    page = {path.name: path.read_bytes() for path in (files(__package__) / "page").iterdir() if path.is_file()}
    content["settings.json"] = _settings(bundle, engine, chosen, content, keys, webgpu, sorted(page))
    title = for_html(bundle.manifest.name)
    template, loader, style = (page.pop(name) for name in ("index.html", "single.js", "style.css"))
    if form == "single-file":
        written = {"index.html": in_one_file(template, title, style, loader, page, content)}
    else:
        head = {"policy": POLICY, "title": title, "style": '<link rel="stylesheet" href="style.css">'}
        html = Template(template.decode()).substitute(head, script='<script type="module" src="app.js"></script>')
        written = {"index.html": html.encode(), "style.css": style, **page, **content}
    written[MARKER] = _notice(bundle, engine, chosen).encode()
    with atomic_folder(target, MARKER, OURS) as folder:
        for name, data in written.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)


def _chosen(engine: BrowserEngine, form: Form, webgpu: bool) -> dict[str, EngineFile]:
    left_out = (() if webgpu else engine.for_webgpu) + (engine.not_in_single_file if form == "single-file" else ())
    return {role: file for role, file in engine.files.items() if role not in left_out}


def _bundle_files(bundle: Bundle, signed: bool) -> dict[str, bytes]:
    """The bundle's files as they are, each checked as `load` checks it."""
    bundle.check()
    model_file(bundle)
    bundle.golden()
    bundle.acceptance_rule()
    present = [name for name in (SIGNATURE,) if signed or (bundle.path / name).is_file()]
    names = (MANIFEST, SEAL, *bundle.files, *present)
    return {f"bundle/{name}": read_bounded(bundle.path / name, MOST_BYTES, RecipeError) for name in names}


def _engine_files(contents: dict[str, bytes], chosen: dict[str, EngineFile]) -> dict[str, bytes]:
    utils = contents.pop("utils", None)
    if utils is not None:
        assert contents["code"].count(IMPORT) == utils.count(EXPORT) == 1, "pinned files"
        contents["code"] = contents["code"].replace(IMPORT, utils.replace(EXPORT, b""))
    return {f"engine/{chosen[role].name}": data for role, data in contents.items()}


def _settings(
    bundle: Bundle,
    engine: BrowserEngine,
    chosen: dict[str, EngineFile],
    content: dict[str, bytes],
    keys: tuple[PublicKey, ...],
    webgpu: bool,
    page: list[str],
) -> bytes:
    """What the page cannot know by itself."""
    paths = {role: f"engine/{file.name}" for role, file in chosen.items() if role != "utils"}
    return msgspec.json.encode(
        {
            "bctoolkit": __version__,
            "engine": {
                "name": engine.package.name,
                "version": engine.package.version,
                "webgpu": webgpu,
                "files": {role: {"name": path, "sha256": sha256_bytes(content[path])} for role, path in paths.items()},
            },
            "tolerance": bundle.manifest.tolerance._asdict(),
            "trusted": [{"pem": key.pem.decode(), "curve": NAMES_OF_CURVES[key.key.curve.name]} for key in keys],
            "page": ["./", *(name for name in page if name != "single.js")],
        }
    )


def _notice(bundle: Bundle, engine: BrowserEngine, chosen: dict[str, EngineFile]) -> str:
    manifest = bundle.manifest
    packages = dict.fromkeys(file.package for file in chosen.values())
    lines = (
        f"A page that runs the bundle {manifest.name} in a browser, written by bctoolkit {__version__}.",
        "Not a medical device; not for diagnosis.",
        "",
        f"The page: Apache-2.0, bctoolkit. The model's images: {manifest.licence or 'licence not stated'}.",
        *(f"{package.name} {package.version}: {package.licence}" for package in packages),
    )
    return "\n".join(lines) + "\n"
