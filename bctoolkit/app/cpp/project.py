"""A bundle as a CMake project: its files, a library of two C++ files to copy into an app, and a command.

The library is written in parts, `source/library/`, and put together in the order in which they need each other, so that
who copies it copies one header and one source. What Python has in a table is written into it from there.
"""

from importlib.resources import files
from pathlib import Path

from bctoolkit import bundle
from bctoolkit.bundle.content import SEAL
from bctoolkit.contract import COLOURS
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.errors import BundleCorrupt, BundleError
from bctoolkit.files import atomic_folder
from bctoolkit.manifest import SCHEMA
from bctoolkit.runtime.saturation import PROBE
from bctoolkit.signing import SIGNATURE
from bctoolkit.untrusted.files import read_bounded

__all__ = ["PARTS", "library_source", "write_project"]

PARTS = (
    *("files", "sha256", "json", "arrays", "bundle"),
    *("images", "jpeg", "png", "prepare"),
    *("acceptance", "engine", "onnxruntime", "litert"),
    *("self_test", "classifier", "vectors"),
)
"""Of the library, in their order."""

MOST_BYTES = 2**31
"""Of a file of a bundle."""

MARKER, BUNDLE = "CMakeLists.txt", "bundle"
HEADER, LIBRARY, COMMAND = "bctoolkit.h", "bctoolkit.cpp", "main.cpp"

ENGINES = {"onnx": "ONNXRUNTIME", "tflite": "LITERT"}
"""Format → what the project's option for its engine is called."""


def write_project(path: Path, target: Path) -> Path:
    """Write a CMake project around a bundle, whole or not at all; an earlier one of ours is replaced.

    Args:
        path: the bundle's folder; each of its files is compared with its hash first.
        target: the folder to write.

    Returns:
        `target`.

    Raises:
        BundleError: not a bundle, damaged, or for images that no picture file holds.
        RecipeError: `target` is something else.
    """
    opened = bundle.read(path)
    opened.check()
    channels = opened.manifest.input.channels
    if channels not in COLOURS:
        raise BundleError(
            f"{path}: takes images of {channels} channels, which no JPEG or PNG file has; write your own app"
        )
    with atomic_folder(target, MARKER, (HEADER, LIBRARY, COMMAND, BUNDLE)) as folder:
        for name, text in _texts(opened.manifest.format).items():
            (folder / name).write_text(text, encoding="utf-8")
        copies = folder / BUNDLE
        copies.mkdir()
        for name in _names(opened):
            (copies / name).write_bytes(read_bounded(path / name, MOST_BYTES, BundleCorrupt, within=path))
    return target


def library_source() -> str:
    """The library's one C++ source."""
    parts = [_source(f"library/{name}.cpp") for name in PARTS]
    return "\n".join([_source("library/prologue.cpp"), _tables(), *parts])


def _texts(format_name: str) -> dict[str, str]:
    options = {option: "ON" if name == format_name else "OFF" for name, option in ENGINES.items()}
    build = _source(MARKER)
    for placeholder, value in {"FORMAT": format_name, **options}.items():
        build = build.replace(f"@{placeholder}@", value)
    return {MARKER: build, HEADER: _source(HEADER), COMMAND: _source(COMMAND), LIBRARY: library_source()}


def _names(opened: bundle.Bundle) -> list[str]:
    """The bundle's own files, and none that lies beside them."""
    names = [bundle.MANIFEST, SEAL, *opened.files]
    return [*names, SIGNATURE] if (opened.path / SIGNATURE).exists() else names


def _source(name: str) -> str:
    return files("bctoolkit.app.cpp").joinpath("source", name).read_text(encoding="utf-8")


def _tables() -> str:
    """What Python knows of all bundles, as C++."""
    rows = "\n".join(
        f'    {{"{name}", {limits.max_abs_diff!r}, {limits.mean_abs_diff!r}, {limits.top1_agreement!r}}},'
        for name, limits in ((name, form.tolerance) for name, form in QUANTIZATIONS.items())
    )
    probe = ", ".join(f"0x{byte:02x}" for byte in PROBE)
    return f"""// What bctoolkit knows of all bundles.

namespace bctoolkit {{
namespace {{

constexpr int newest_schema = {SCHEMA};

/// A numeric form, and how far its answers may be from the float32 Keras network's.
struct Form {{
  const char* name;
  double max_abs_diff, mean_abs_diff, top1_agreement;
}};

constexpr Form forms[] = {{
{rows}
}};

/// An ONNX file: y = x · w of integers that saturate on x86 without VNNI.
[[maybe_unused]] constexpr std::uint8_t saturation_probe[] = {{{probe}}};

}}  // namespace
}}  // namespace bctoolkit
"""
