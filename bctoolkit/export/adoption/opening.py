"""Open a file made elsewhere and its reference, and settle what the file does not tell of itself."""

import ast
import shlex
from pathlib import Path

import msgspec

from bctoolkit import run
from bctoolkit.documents.preprocessing import InputSettings, require_labels
from bctoolkit.errors import ExportError, RecipeError
from bctoolkit.export.adoption.classifier import ForeignClassifier
from bctoolkit.export.adoption.foreign import ForeignModel, read_model
from bctoolkit.export.adoption.ports import image_axes
from bctoolkit.export.adoption.reference import KerasReference, Reference, file_reference, referring
from bctoolkit.export.adoption.stated import Adoption
from bctoolkit.export.source import open_source
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe

__all__ = ["class_names", "open_pair"]

MOST_METADATA = 1_000_000
"""Characters of labels inside a file."""


def open_pair(adoption: Adoption, model: ForeignModel, progress: Progress) -> tuple[ForeignClassifier, Reference]:
    """The file and its reference, for images of the same shape.

    Raises:
        ExportError: one is no image classifier, or they are not the same network.
        RecipeError: something that the files do not tell is missing.
        WeightsError: Keras cannot load the reference safely.
    """
    path, stated = adoption.reference, _pair(adoption.input.size)
    reference: Reference
    if path.suffix in (".onnx", ".tflite"):
        other = read_model(path)
        size = stated or _fixed(model, adoption.file) or _fixed(other, path)
        classifier = _classifier(adoption, model, size)
        reference = file_reference(
            path,
            other,
            adoption.reference_input or adoption.input,
            adoption.reference_output,
            None if _fixed(other, path) else classifier.shape[:2],
            pictures=adoption.input,
            shared=adoption.reference_input is None,
        )
    else:
        recipe = _reference_recipe(adoption, path)
        with referring():
            source = open_source(path, adoption.options, recipe, progress)
        reference = KerasReference(source, recipe.input)
        classifier = _classifier(adoption, model, stated or source.contract.shape[:2])
    _require_same_network(adoption, classifier, reference)
    return classifier, reference


def _reference_recipe(adoption: Adoption, path: Path) -> ExportRecipe:
    """What a Keras file eats and which of its outputs is compared; a run needs no telling."""
    settings = adoption.reference_input or InputSettings()
    size = None if (path / run.MODEL).exists() else adoption.input.size
    pictures = adoption.input
    stated = msgspec.structs.replace(settings, size=size, white=pictures.white, prepared=pictures.prepared)
    return ExportRecipe(input=stated, output=adoption.reference_output)


def _classifier(adoption: Adoption, model: ForeignModel, size: tuple[int, int] | None) -> ForeignClassifier:
    """The file; only a size that is stated, or that it leaves open, is asked of it."""
    needed = adoption.input.size is not None or _fixed(model, adoption.file) is None
    return ForeignClassifier(adoption.file, model, adoption.output, size if needed else None)


def _require_same_network(adoption: Adoption, classifier: ForeignClassifier, reference: Reference) -> None:
    file, path, shape = adoption.file, adoption.reference, reference.source.contract.shape
    if shape != classifier.shape:
        ours, theirs = ("×".join(map(str, each)) for each in (classifier.shape, shape))
        raise ExportError(
            f"{file}: takes images of {ours}, the reference {path} of {theirs}; export one of them again, so that both "
            "take the same"
        )
    if reference.classes != classifier.classes:
        raise ExportError(
            f"{file}: has {classifier.classes} classes, the reference {path} has {reference.classes}; it is another "
            "network, give the one that the file was made from"
        )


def class_names(
    adoption: Adoption, model: ForeignModel, reference: Reference, classes: int, folders: tuple[str, ...]
) -> tuple[str, ...]:
    """The classes in the order of the outputs: those of the run, the stated ones, or those that the file names.

    Args:
        adoption: what is stated.
        model: the file.
        reference: its reference.
        classes: how many there are.
        folders: the classes of the images, in alphabetical order; empty where there are none.

    Raises:
        RecipeError: they are unknown, too many or too few, or others than the run's.
    """
    stated, trained = adoption.output.labels, reference.source.labels
    if stated and trained and stated != trained:
        raise RecipeError(f"--labels: the run {reference.source.name} has {', '.join(trained)}; leave out --labels")
    labels = stated or trained or _named(model)
    if labels:
        if len(labels) != classes:
            raise RecipeError(f"{adoption.file}: has {classes} classes, but there are {len(labels)} labels")
        return labels
    names = shlex.quote(",".join(folders))
    hint = f"; by the alphabet the images' classes are --labels {names}" if len(folders) == classes else ""
    raise RecipeError(
        f"{adoption.file}: what its {classes} outputs stand for is not in the file; say it in their order with "
        f"--labels a,b,… or a text file of one per line{hint}"
    )


def _named(model: ForeignModel) -> tuple[str, ...]:
    """The classes that the file names, as Ultralytics does it: a dictionary from position to name."""
    text = model.metadata.get("names", "")
    if not text or len(text) > MOST_METADATA:
        return ()
    try:
        names = ast.literal_eval(text)
        labels = tuple(names[index] for index in range(len(names))) if isinstance(names, dict) else ()
        require_labels(labels)
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        return ()
    return labels


def _pair(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (size, size) if isinstance(size, int) else size


def _fixed(model: ForeignModel, path: Path) -> tuple[int, int] | None:
    """Height and width, where the file fixes them."""
    axes = image_axes(model.input, path)
    return None if axes.height is None or axes.width is None else (axes.height, axes.width)
