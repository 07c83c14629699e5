"""`export`: run → float32 twin → artifacts → bundles, each checked before it is sealed.

Nothing heavy is imported here: bundles whose inputs have not changed are reused, and then no network needs to be
loaded.
"""

from pathlib import Path

from bctoolkit.bundle import Bundle
from bctoolkit.errors import FormsRefused
from bctoolkit.export.cache import earlier_bundle
from bctoolkit.export.checks.images import choose_check_images
from bctoolkit.export.plan import Artifact, Job, plan
from bctoolkit.export.source import load_data, open_source
from bctoolkit.files import without_empty_folders
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe

__all__ = ["export"]


def export(
    path: Path,
    recipe: ExportRecipe,
    target: Path,
    progress: Progress,
    *,
    data: str | None = None,
    golden: str | None = None,
    cache: Path | None = None,
    force: bool = False,
    bisect: bool = False,
) -> list[Bundle]:
    """Export a network to every format and quantization of the recipe.

    Args:
        path: a run folder, or a `.keras` / `.h5` file.
        recipe: formats, quantizations, input dtype, number of golden images.
        target: the folder that gets one bundle folder per artifact.
        progress: shows what goes on.
        data: the network's images, where the run does not name them or they have moved.
        golden: None for golden images of the test part, `synthetic`, or a path to images of the user's own.
        cache: a folder that caches the reference's predictions for the next export; None for no cache.
        force: export every artifact anew, even where no input of its bundle has changed.
        bisect: trace a parity step that fails to the first layer whose output departs.

    Returns:
        The bundles, in the order of the recipe.

    Raises:
        ParityFailed: all artifacts depart from the Keras reference; the message names the parity step.
        UnsupportedOp: a layer has no form in any of the formats.
        FormsRefused: some artifacts were refused, for these reasons, or all for several. Nothing is left of them; the
            bundles of the others are with the error.
        ExportError: there is nothing to export, or nothing to check it on.
    """
    artifacts = plan(recipe)
    source = open_source(path)
    model_data = None if golden is not None and data is None else load_data(source, data, progress)
    check_images = choose_check_images(golden, recipe.golden, model_data, source.contract, progress)
    job = Job(source, recipe, model_data, check_images, target, progress, cache, bisect)
    inputs = {artifact: job.inputs_sha256(artifact) for artifact in artifacts}
    bundles = {} if force else _reusable(job, inputs)
    missing = {artifact: inputs[artifact] for artifact in artifacts if artifact not in bundles}
    if missing:
        progress.step("starting TensorFlow", 0, 1)
        from bctoolkit.export.build import build_bundles

        with without_empty_folders(target, job.reports, *([cache] if cache else [])):
            built = build_bundles(job, missing)
        bundles |= built.bundles
        refusals = list({str(refusal): refusal for refusal in built.refusals.values()}.values())
        if len(refusals) == 1 and not bundles:
            raise refusals[0]
        if refusals:
            raise FormsRefused([bundles[artifact] for artifact in artifacts if artifact in bundles], refusals)
    return [bundles[artifact] for artifact in artifacts]


def _reusable(job: Job, inputs: dict[Artifact, str]) -> dict[Artifact, Bundle]:
    """The bundles that an earlier export wrote from the same inputs."""
    candidates = {key: earlier_bundle(job.target / job.name(key), sha256) for key, sha256 in inputs.items()}
    bundles = {key: bundle for key, bundle in candidates.items() if bundle is not None}
    if bundles:
        names = ", ".join(bundle.manifest.name for bundle in bundles.values())
        job.progress.say(f"  reused, as no input has changed: {names} (--force exports them anew)")
    return bundles
