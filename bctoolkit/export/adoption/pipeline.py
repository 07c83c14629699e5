"""`adopt`: a file made elsewhere → what it lacks written into it → compared with its reference → a bundle.

Nothing heavy is imported here: a file that cannot be adopted is refused before TensorFlow is started.
"""

from pathlib import Path

from bctoolkit.bundle import Bundle
from bctoolkit.export.adoption.foreign import read_model
from bctoolkit.export.adoption.stated import Adoption, bundle_name, quantization_of
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe

__all__ = ["Adoption", "adopt"]


def adopt(
    adoption: Adoption,
    target: Path,
    progress: Progress,
    *,
    data: str | None = None,
    golden: str | None = None,
    recipe: ExportRecipe | None = None,
    cache: Path | None = None,
) -> Bundle:
    """Seal a file made elsewhere in a bundle that is checked like one of our own.

    Args:
        adoption: the file and what is stated of it.
        target: the folder that gets the bundle's folder, named NAME-FORMAT-QUANTIZATION.
        progress: shows what goes on.
        data: labelled images, where the reference is no run or they have moved.
        golden: None for golden images of the test part, `synthetic`, or a path to images of the user's own.
        recipe: the gate, and how many golden images; by default as every export.
        cache: a folder that caches the reference's predictions; None for no cache.

    Raises:
        ParityFailed: the file departs from its reference; no bundle is left.
        ExportError: the file or the reference is no image classifier, or there is nothing to check it on.
        RecipeError: something that the file does not tell is missing, or does not go with it.
        WeightsError: Keras cannot load the reference safely.
    """
    bundle_name(adoption)
    for notice in adoption.options.notices():
        progress.say(notice)
    model = read_model(adoption.file)
    kind = quantization_of(model, adoption)
    progress.step("starting TensorFlow", 0, 1)
    from bctoolkit.export.adoption.checking import Request, adopt_model

    return adopt_model(adoption, model, kind, Request(target, progress, data, golden, recipe or ExportRecipe(), cache))
