"""What the user states of a file made elsewhere, and whether it goes with what the file shows."""

from dataclasses import dataclass, field
from pathlib import Path

from bctoolkit.documents.formats import FORMATS
from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
from bctoolkit.errors import RecipeError
from bctoolkit.export.adoption.foreign import ForeignModel
from bctoolkit.trust import NOTHING, LoadOptions

__all__ = ["Adoption", "bundle_name", "quantization_of"]

LONGEST_NAME = 100
"""Characters of a bundle's name, to which format and quantization are added."""


@dataclass(frozen=True)
class Adoption:
    """What the user states of a file made elsewhere."""

    file: Path
    reference: Path
    """A run folder, a Keras file or a float ONNX file."""
    input: InputSettings = field(default_factory=InputSettings)
    """What the file eats."""
    output: OutputSettings = field(default_factory=OutputSettings)
    """Which of its outputs, what it lacks to be probabilities, and the classes in its order."""
    reference_input: InputSettings | None = None
    """What the reference eats; None for 0–255 of a Keras network, and for the same as the file of an ONNX reference."""
    reference_output: OutputSettings = field(default_factory=OutputSettings)
    """Which output of the reference, and what it lacks; the labels are the file's."""
    options: LoadOptions = NOTHING
    """The code that may run while a Keras reference is loaded."""
    quantization: str | None = None
    """Whose limits hold, where the file's operators do not show it."""
    name: str | None = None
    """First part of the bundle's name; None for the file's."""


def bundle_name(adoption: Adoption) -> str:
    """The first part of the bundle's name, which is its folder's.

    Raises:
        RecipeError: no folder should be called so.
    """
    name = adoption.file.stem if adoption.name is None else adoption.name
    if not name or len(name) > LONGEST_NAME or name.startswith(".") or not name.isprintable() or set(name) & set("/\\"):
        raise RecipeError(f"{name[:80]!r} is no name of a bundle; give one with --name, such as --name torch")
    return name


def quantization_of(model: ForeignModel, adoption: Adoption) -> str:
    """The form whose limits hold: the one that the operators show, or the stated one where they show none."""
    file, stated, shown = adoption.file, adoption.quantization, model.quantization
    if shown is not None:
        if stated not in (None, shown):
            raise RecipeError(f"{file}: {model.arithmetic}, which is {shown}, not {stated}; leave out --quantization")
        return shown
    choices = [name for name in FORMATS[model.format].quantizations if name != "fp32"]
    if stated is None:
        raise RecipeError(
            f"{file}: {model.arithmetic}, a form that has no limits of its own; say whose hold with --quantization "
            f"{'|'.join(choices)}"
        )
    if stated not in choices:
        raise RecipeError(f"{file}: {model.arithmetic}, so it is not {stated}; --quantization: {', '.join(choices)}")
    return stated
