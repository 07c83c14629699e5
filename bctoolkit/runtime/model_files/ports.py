"""What goes into a model file and what comes out, and whether that is what a classifier takes and gives."""

from typing import NamedTuple

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import lookup
from bctoolkit.errors import BctkError
from bctoolkit.lazy import attribute

__all__ = ["Port", "Ports", "classifier_ports", "require_ports"]

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


def classifier_ports(contract: InputContract, classes: int) -> Ports:
    """Those of a classifier: one image, and its probabilities."""
    return Ports((Port(contract.dtype, (None, *contract.shape)),), (Port("float32", (None, classes)),))


def require_ports(model: bytes, format_name: str, wanted: Ports, source: str, error: type[BctkError]) -> None:
    """Refuse a model file that holds what no bundle does, or takes or gives something else.

    Args:
        model: the file's content.
        format_name: a key of `FORMATS`.
        wanted: what it has to take and give.
        source: what to call it in a message.
        error: what to raise.

    Raises:
        BctkError: of class `error`.
    """
    try:
        ports: Ports = attribute(lookup(format_name).ports)(model)
    except ValueError as problem:
        raise error(f"{source}: {problem}; export it again") from None
    for role, found, (port,) in (("input", ports.inputs, wanted.inputs), ("output", ports.outputs, wanted.outputs)):
        if len(found) != 1 or not _fits(found[0], port):
            given = ", ".join(map(str, found[:4])) or "none"
            raise error(f"{source}: its {role} is {given}; wanted {port}; export it again")


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
