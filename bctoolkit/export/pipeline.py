"""`export`: run → float32 twin → artifacts → bundles, each checked before it is sealed.

Nothing heavy is imported here: what an earlier export made of the same inputs is used again, and then no network needs
to be loaded.
"""

from pathlib import Path

from bctoolkit.bundle import Bundle
from bctoolkit.export.cache import earlier_bundle
from bctoolkit.export.checks.images import choose_evidence
from bctoolkit.export.plan import Artifact, Job, plan
from bctoolkit.export.source import images_of, open_origin
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
        progress: told what goes on.
        data: the network's images, where the run does not know them or they have moved.
        golden: None for golden images of the test part, `synthetic`, or a path to images of the user's own.
        cache: a folder in which the reference's answers are kept for the next export; None to keep none.
        force: make every artifact anew, even where its bundle stands and nothing has changed.
        bisect: trace a link that does not hold to the first layer whose output departs.

    Returns:
        The bundles, in the order of the recipe.

    Raises:
        ParityFailed: an artifact departs from the Keras reference; the message names the link. No bundle is left of it.
        UnsupportedOp: a layer has no form in a format.
        ExportError: there is nothing to export, or nothing to check it on.
    """
    artifacts = plan(recipe)
    origin = open_origin(path)
    known = None if golden is not None and data is None else images_of(origin, data, progress)
    evidence = choose_evidence(golden, recipe.golden, known, origin.contract, progress)
    job = Job(origin, recipe, known, evidence, target, progress, cache, bisect)
    inputs = {artifact: job.inputs_sha256(artifact) for artifact in artifacts}
    done = {} if force else _standing(job, inputs)
    wanted = {artifact: inputs[artifact] for artifact in artifacts if artifact not in done}
    if wanted:
        progress.step("starting TensorFlow", 0, 1)
        from bctoolkit.export.build import make

        done |= make(job, wanted)
    return [done[artifact] for artifact in artifacts]


def _standing(job: Job, inputs: dict[Artifact, str]) -> dict[Artifact, Bundle]:
    """The bundles that an earlier export made of the same inputs."""
    looked = {key: earlier_bundle(job.target / job.name(key), sha256) for key, sha256 in inputs.items()}
    found = {key: bundle for key, bundle in looked.items() if bundle is not None}
    if found:
        names = ", ".join(bundle.manifest.name for bundle in found.values())
        job.progress.say(f"  nothing has changed for {names}: kept as they are (--force makes them anew)")
    return found
