"""`export`: run → float32 twin → artifacts → bundles, each checked before it is sealed; `dry_run` says what it takes.

Nothing heavy is imported here: bundles whose inputs have not changed are reused, and then no network needs to be
loaded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bctoolkit.bundle import Bundle
from bctoolkit.errors import FormsRefused
from bctoolkit.export.cache import earlier_bundle
from bctoolkit.export.checks.feeding import require_right_feeding
from bctoolkit.export.checks.images import choose_check_images
from bctoolkit.export.plan import Artifact, Job, plan
from bctoolkit.export.source import load_data, open_source
from bctoolkit.files import without_empty_folders
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe
from bctoolkit.trust import NOTHING, LoadOptions

if TYPE_CHECKING:
    from bctoolkit.export.estimate import ExportPlan

__all__ = ["dry_run", "export"]


def export(
    path: Path,
    recipe: ExportRecipe,
    target: Path,
    progress: Progress,
    *,
    options: LoadOptions = NOTHING,
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
        options: the code that may run while the network is loaded; each is printed before.
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
        ExportError: there is nothing to export, nothing to check it on, or the network wants to be fed another scale.
    """
    artifacts = plan(recipe)
    job = _job(path, recipe, target, progress, options, data, golden, cache, bisect)
    bundles, missing = _reusable_and_missing(job, artifacts, force)
    if missing:
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


def dry_run(
    path: Path,
    recipe: ExportRecipe,
    target: Path,
    progress: Progress,
    *,
    options: LoadOptions = NOTHING,
    data: str | None = None,
    golden: str | None = None,
    force: bool = False,
) -> "ExportPlan | None":
    """Say what `export` would make, and what it would take, from a few timed calls; nothing is written.

    Arguments and errors are those of `export`; what only its checks can tell is not among them.

    Returns:
        None where every bundle is there already.
    """
    artifacts = plan(recipe)
    job = _job(path, recipe, target, progress, options, data, golden)
    _, missing = _reusable_and_missing(job, artifacts, force)
    if not missing:
        return None
    from bctoolkit.export.estimate import estimate

    return estimate(job, list(missing))


def _job(
    path: Path,
    recipe: ExportRecipe,
    target: Path,
    progress: Progress,
    options: LoadOptions,
    data: str | None,
    golden: str | None,
    cache: Path | None = None,
    bisect: bool = False,
) -> Job:
    """The network and its images, opened."""
    for notice in options.notices():
        progress.say(notice)
    source = open_source(path, options, recipe, progress)
    model_data = None if golden is not None and data is None else load_data(source, data, progress)
    check_images = choose_check_images(golden, recipe.golden, model_data, source.contract, progress)
    return Job(source, recipe, model_data, check_images, target, progress, cache, bisect)


def _reusable_and_missing(
    job: Job, artifacts: Sequence[Artifact], force: bool
) -> tuple[dict[Artifact, Bundle], dict[Artifact, str]]:
    """The bundles that an earlier export left, and of the other artifacts the hash of all that decides each.

    Where there are others, the network is asked whether it is fed right, and TensorFlow is the next to start.

    Raises:
        ExportError: the network wants to be fed another scale.
    """
    inputs = {artifact: job.inputs_sha256(artifact) for artifact in artifacts}
    bundles = {} if force else _reusable(job, inputs)
    missing = {artifact: inputs[artifact] for artifact in artifacts if artifact not in bundles}
    if missing:
        if job.source.adapted is not None:
            require_right_feeding(job.source, job.data, job.recipe, job.progress)
        job.progress.step("starting TensorFlow", 0, 1)
    return bundles, missing


def _reusable(job: Job, inputs: dict[Artifact, str]) -> dict[Artifact, Bundle]:
    """The bundles that an earlier export wrote from the same inputs."""
    candidates = {key: earlier_bundle(job.target / job.name(key), sha256) for key, sha256 in inputs.items()}
    bundles = {key: bundle for key, bundle in candidates.items() if bundle is not None}
    if bundles:
        names = ", ".join(bundle.manifest.name for bundle in bundles.values())
        job.progress.say(f"  reused, as no input has changed: {names} (--force exports them anew)")
    return bundles
