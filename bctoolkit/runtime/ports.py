"""What goes into a model file and what comes out, and whether that is what the manifest says."""

from typing import NamedTuple

from bctoolkit.documents.formats import lookup
from bctoolkit.errors import BundleCorrupt
from bctoolkit.lazy import attribute
from bctoolkit.manifest import Manifest

__all__ = ["Port", "Ports", "require_ports"]

Shape = tuple[int | None, ...]


class Port(NamedTuple):
    """An input or an output."""

    dtype: str
    """As numpy calls it, or the format's own name of what is no number."""
    shape: Shape | None
    """None where an axis, or all of it, is left open."""
    scaled: bool = False
    """Integers that stand for floats by one scale, which the engine's adapter turns back into them."""

    def __str__(self) -> str:
        """In the words of an error message."""
        if self.shape is None:
            return self.dtype
        return f"{self.dtype} {'×'.join('N' if axis is None else str(axis) for axis in self.shape) or 'value'}"


class Ports(NamedTuple):
    """Those of a model file."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def require_ports(model: bytes, manifest: Manifest, source: str) -> None:
    """Compare a model file with the manifest before an engine sees it.

    Args:
        model: the file's content.
        manifest: what it has to be.
        source: what to call it in a message.

    Raises:
        BundleCorrupt: it cannot be read, holds what no bundle does, or takes or gives something else than one image and
            its probabilities.
    """
    try:
        ports: Ports = attribute(lookup(manifest.format).ports)(model)
    except ValueError as problem:
        raise BundleCorrupt(f"{source}: {problem}; export it again") from None
    image = Port(manifest.input.dtype, (None, *manifest.input.shape))
    probabilities = Port("float32", (None, len(manifest.labels)))
    for role, found, wanted in (("input", ports.inputs, image), ("output", ports.outputs, probabilities)):
        if len(found) != 1 or not _fits(found[0], wanted):
            given = ", ".join(map(str, found[:4])) or "none"
            raise BundleCorrupt(f"{source}: its {role} is {given}; the manifest says {wanted}; export it again")


def _fits(found: Port, wanted: Port) -> bool:
    if found.dtype != wanted.dtype and not (found.scaled and wanted.dtype == "float32"):
        return False
    if found.shape is None or wanted.shape is None:
        return True
    batch, *rest = found.shape or (0,)
    return (
        batch in (None, 1)
        and len(found.shape) == len(wanted.shape)
        and all(axis in (None, size) for axis, size in zip(rest, wanted.shape[1:], strict=True))
    )
