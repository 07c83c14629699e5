"""Every configuration once: what the checkpoint has is not measured again, and a bundle that fails stops no other."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import msgspec

from bctoolkit.bench.checkpoint import Checkpoint, Request
from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.documents.report import Failure
from bctoolkit.bench.documents.samples import SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher import predictions, sessions
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.documents.formats import lookup
from bctoolkit.errors import BackendError, RecipeError
from bctoolkit.progress import Progress
from bctoolkit.system.counters import available_memory

__all__ = [
    "BenchRun",
    "Configuration",
    "Target",
    "image_contract",
    "measure_predictions",
    "measure_profiles",
    "measure_sessions",
    "slug",
]

T = TypeVar("T")

FREE_SHARE = 0.5
"""Of the memory at hand: so much may be taken by processes that stand side by side."""
PARTS = 100
"""Of a group's round, as progress counts them."""
PROCESS_BYTES, MODEL_COPIES = 100_000_000, 3


@dataclass(frozen=True)
class Target:
    """What predicts: a bundle in an engine on a provider. The number of threads does not change what it predicts."""

    key: str
    """Its name in files and documents: the bundle's, and where there are several engines or providers `@` with each."""
    bundle: Bundle
    provider: str | None
    """None: its engine's first."""
    engine: str | None = None
    """None: its format's first."""


@dataclass(frozen=True)
class Configuration:
    """One row of the report: a target with a number of threads."""

    key: str
    """Its name in files and documents: the target's, and in a sweep `@` with the number of threads."""
    target: Target
    threads: int


@dataclass(frozen=True)
class BenchRun:
    """A benchmark under way."""

    bundles: list[Bundle]
    request: Request
    checkpoint: Checkpoint
    progress: Progress
    fetched: bool = False
    """Whether it was measured on another machine: nothing that its checkpoint lacks is measured here."""

    @property
    def settings(self) -> Settings:
        """How to measure."""
        return self.request.settings

    @cached_property
    def targets(self) -> list[Target]:
        """Every bundle in every engine that its format has, on every provider."""
        return [
            Target(self._target_key(bundle, engine, provider), bundle, provider, engine)
            for bundle in self.bundles
            for engine in self._engines(bundle)
            for provider in self.settings.providers or (None,)
        ]

    @cached_property
    def configurations(self) -> list[Configuration]:
        """All configurations, in the order in which they are measured."""
        sweep = self.settings.sweep
        return [
            Configuration(target.key + (f"@{threads}" if sweep else ""), target, threads)
            for target in self.targets
            for threads in sweep or (self.settings.threads,)
        ]

    def _engines(self, bundle: Bundle) -> tuple[str | None, ...]:
        """Those of the settings that read the bundle's format; where none does, the first, which is then refused."""
        wanted = self.settings.engines
        return tuple(name for name in wanted if name in lookup(bundle.manifest.format).engines) or wanted[:1] or (None,)

    def _target_key(self, bundle: Bundle, engine: str | None, provider: str | None) -> str:
        parts = [bundle.manifest.name]
        parts += [str(engine)] if len(self.settings.engines) > 1 else []
        parts += [str(provider)] if len(self.settings.providers) > 1 else []
        return "@".join(map(slug, parts))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What could not be measured."""
        return tuple(failure for target in self.targets if (failure := self._failure(target)))

    def failed(self, target: Target) -> bool:
        """Whether it could not be measured."""
        return self._failure(target) is not None

    def attempt(self, target: Target, work: Callable[[], T]) -> T | None:
        """What the work returns; None where the target fails, which is kept."""
        self.require_here(target)
        try:
            return work()
        except BackendError as problem:
            self.fail(target, problem)
            return None

    def require_here(self, target: Target) -> None:
        """Refuse to measure what another machine should have.

        Raises:
            RecipeError: the benchmark was measured elsewhere.
        """
        if self.fetched:
            raise RecipeError(f"{self.checkpoint.folder}: lacks parts of {target.key}; measure anew")

    def fail(self, target: Target, problem: BackendError) -> None:
        """Keep why a target fails and, if there are others, say it."""
        if self.failed(target):
            return
        manifest = target.bundle.manifest
        form = manifest.format, manifest.quantization
        failure = Failure(manifest.name, *form, str(problem), target.provider, target.engine)
        self.checkpoint.keep(f"failure-{target.key}", failure)
        if len(self.targets) > 1:
            self.progress.say(f"{problem}; skipping it")

    def _failure(self, target: Target) -> Failure | None:
        return self.checkpoint.read(f"failure-{target.key}", Failure)


def slug(name: str) -> str:
    """A name that can be a file's."""
    return re.sub(r"[^\w.+-]", "_", name)


def image_contract(bundle: Bundle) -> InputContract:
    """What decides how images are prepared for a bundle, whatever dtype it eats."""
    return msgspec.structs.replace(bundle.manifest.input, dtype="uint8")


def measure_predictions(
    run: BenchRun, datasets: dict[InputContract, Dataset], foreign: dict[InputContract, Dataset]
) -> dict[str, Predictions]:
    """The predictions of each target that gives some, by its key."""
    results: dict[str, Predictions] = {}
    for number, target in enumerate(run.targets):
        result = run.checkpoint.predictions(target.key)
        if result is None and not run.failed(target):
            run.progress.step("parity", number, len(run.targets), target.bundle.manifest.name)
            work = partial(
                predictions.predict_all,
                target.bundle,
                datasets.get(image_contract(target.bundle)),
                run.settings.threads,
                target.provider,
                run.progress,
                run.settings.corrupted,
                foreign.get(image_contract(target.bundle)),
                target.engine,
            )
            result = run.attempt(target, work)
            if result is not None:
                run.checkpoint.keep_predictions(target.key, result)
        if result is not None:
            results[target.key] = result
    run.progress.step("parity", len(run.targets), len(run.targets))
    return results


def measure_profiles(run: BenchRun) -> dict[str, Profile]:
    """The profile of each configuration whose target does not fail, by its key; none where the settings want none."""
    runs = run.settings.profile_runs
    configurations = run.configurations if runs else []
    profiles: dict[str, Profile] = {}
    for number, configuration in enumerate(configurations):
        target, name = configuration.target, f"profile-{configuration.key}"
        profile = run.checkpoint.read(name, Profile)
        if profile is None and not run.failed(target):
            run.progress.step("profile", number, len(configurations), target.bundle.manifest.name)
            path, threads = target.bundle.path, configuration.threads
            work = partial(sessions.profile, path, threads, target.provider, runs, target.engine)
            profile = run.attempt(target, work)
            if profile is not None:
                run.checkpoint.keep(name, profile)
        if profile is not None:
            profiles[configuration.key] = profile
    if runs:
        run.progress.step("profile", len(configurations), len(configurations))
    return profiles


def measure_sessions(run: BenchRun, after: Callable[[int], None]) -> dict[str, list[SessionSamples]]:
    """The sessions of each configuration by its key, in rounds; `after` is called with the number of each round."""
    groups, rounds = _groups(run), run.settings.sessions
    total = PARTS * rounds * len(groups)
    for round_ in range(rounds):
        for number, group in enumerate(groups):
            begin = PARTS * (round_ * len(groups) + number)

            def on_progress(share: float, name: str, begin: int = begin) -> None:
                run.progress.step("timing", begin + int((PARTS - 1) * share), total, name)

            _one_round(run, round_, group, on_progress)
        after(round_)
    run.progress.step("timing", total, total)
    return {
        configuration.key: [
            samples
            for round_ in range(rounds)
            if (samples := run.checkpoint.read(_session_name(round_, configuration), SessionSamples))
        ]
        for configuration in run.configurations
    }


def _session_name(round_: int, configuration: Configuration) -> str:
    return f"session-{round_}-{configuration.key}"


def _one_round(
    run: BenchRun, round_: int, group: list[Configuration], on_progress: Callable[[float, str], None]
) -> None:
    """Measure a group's configurations side by side, and keep what they give."""
    missing = [
        each for each in group if not run.checkpoint.has(_session_name(round_, each)) and not run.failed(each.target)
    ]
    for configuration in missing:
        run.require_here(configuration.target)
    if round_ % 2:  # who starts later may find its memory in a better place
        missing.reverse()
    requests = [
        sessions.SessionRequest(
            each.target.bundle.path, each.threads, each.target.provider, run.settings, each.target.engine
        )
        for each in missing
    ]
    for configuration, samples in zip(missing, sessions.sessions(requests, on_progress), strict=True):
        if isinstance(samples, BackendError):
            run.fail(configuration.target, samples)
        else:
            run.checkpoint.keep(_session_name(round_, configuration), samples)


def _groups(run: BenchRun) -> list[list[Configuration]]:
    """The configurations that are measured side by side: those of one number of threads, as far as memory allows."""
    free = FREE_SHARE * available_memory()
    groups: dict[int, list[list[Configuration]]] = {}
    for configuration in run.configurations:
        of_threads = groups.setdefault(configuration.threads, [[]])
        needed = sum(_memory(each.target.bundle) for each in [*of_threads[-1], configuration])
        if of_threads[-1] and needed > free:
            of_threads.append([])
        of_threads[-1].append(configuration)
    return [group for of_threads in groups.values() for group in of_threads]


def _memory(bundle: Bundle) -> int:
    """What a process that runs a bundle may take, in bytes, by rule of thumb: interpreter, weights, activations."""
    return PROCESS_BYTES + MODEL_COPIES * bundle.manifest.model.bytes
