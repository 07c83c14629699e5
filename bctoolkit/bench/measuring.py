"""All that is measured of a benchmark, into its checkpoint; what the checkpoint has is only read from it."""

from dataclasses import dataclass, field

from bctoolkit.bench.configurations import (
    BenchRun,
    Configuration,
    image_contract,
    measure_predictions,
    measure_profiles,
    measure_sessions,
)
from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.documents.samples import ScenarioSamples, SessionSamples
from bctoolkit.bench.rounds import Scenarios
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load, load_pictures
from bctoolkit.data.groups import grouped
from bctoolkit.errors import BackendError
from bctoolkit.progress import Progress

__all__ = ["ImageSets", "Measured", "load_images", "measure"]


@dataclass(frozen=True)
class ImageSets:
    """Images prepared once for each contract among the bundles."""

    labelled: dict[InputContract, Dataset] = field(default_factory=dict)
    foreign: dict[InputContract, Dataset] = field(default_factory=dict)
    """Pictures of which none belongs to a class, for the bundles that have a rule to refuse them by."""


@dataclass(frozen=True)
class Measured:
    """What was measured of everything that could be."""

    configurations: list[Configuration]
    predictions: dict[str, Predictions]
    """By the key of the target."""
    profiles: dict[str, Profile]
    """By the key of the configuration."""
    sessions: dict[str, list[SessionSamples]]
    """By the key of the configuration."""
    scenarios: dict[str, ScenarioSamples]
    """By the key of the target."""


def load_images(
    bundles: list[Bundle], data: str | None, group: str, foreign: str | None, progress: Progress
) -> ImageSets:
    """The images that a benchmark was asked to measure on.

    Raises:
        DatasetError: they cannot be used.
    """
    labelled_for = dict.fromkeys(map(image_contract, bundles)) if data is not None else {}
    ruled = [bundle for bundle in bundles if bundle.manifest.acceptance is not None]
    foreign_for = dict.fromkeys(map(image_contract, ruled)) if foreign is not None else {}
    return ImageSets(
        {key: grouped(load(str(data), key, progress), group) for key in labelled_for},
        {key: load_pictures(str(foreign), key, progress) for key in foreign_for},
    )


def measure(run: BenchRun, images: ImageSets) -> Measured:
    """Measure every configuration.

    Raises:
        BackendError: none could be measured; the checkpoint is removed.
    """
    predictions = measure_predictions(run, images.labelled, images.foreign)
    profiles = measure_profiles(run) if predictions else {}
    scenarios = Scenarios(run)
    sessions = measure_sessions(run, scenarios.one_round) if predictions else {}
    scenarios.sustain()
    configurations = [each for each in run.configurations if each.key in sessions and not run.failed(each.target)]
    if not configurations:
        messages = "; ".join(failure.message for failure in run.failures)
        run.checkpoint.remove()
        raise BackendError(messages)
    return Measured(
        configurations,
        predictions,
        profiles,
        {each.key: sessions[each.key] for each in configurations},
        {each.target.key: scenarios.of(each.target) for each in configurations},
    )
