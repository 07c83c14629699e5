"""The scenarios beside single-stream: offline and streams in the rounds of the sessions, sustained runs after them.

They run with the settings' `threads`, in a sweep its first number, on each provider. Each is a part of its own in the
checkpoint.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from bctoolkit.bench.configurations import BenchRun, Target
from bctoolkit.bench.documents.samples import OfflineSamples, ScenarioSamples, StreamsSamples, SustainedSamples
from bctoolkit.bench.launcher.process import in_child
from bctoolkit.bench.worker.scenarios import WINDOW, Offline, Streams, Sustain, windows_in
from bctoolkit.errors import BackendError

__all__ = ["Scenarios"]

A = TypeVar("A", OfflineSamples, StreamsSamples, SustainedSamples)


class Scenarios:
    """The scenarios of one benchmark; what the checkpoint has is not measured again."""

    def __init__(self, run: BenchRun) -> None:
        self._run, self._settings = run, run.settings

    def one_round(self, round_: int) -> None:
        """Offline of each target, then streams of each, where the settings ask for them."""
        if self._settings.batches is not None:
            self._of_each_target("offline", round_, self._offline)
        if self._settings.streams is not None:
            self._of_each_target("streams", round_, self._streams)

    def sustain(self) -> None:
        """A sustained run of each target, one after the other, where the settings ask for them."""
        minutes = self._settings.sustain_minutes
        for number, target in enumerate(self._run.targets if minutes is not None else []):
            name = f"sustained-{target.key}"
            if not self._settled(name, target):
                self._measure(name, target, partial(self._sustain, number, target, 60 * (minutes or 0.0)))

    def of(self, target: Target) -> ScenarioSamples:
        """What a target has measured."""
        rounds, read = range(self._settings.sessions), self._run.checkpoint.read
        offline = (read(f"offline-{round_}-{target.key}", OfflineSamples) for round_ in rounds)
        streams = (read(f"streams-{round_}-{target.key}", StreamsSamples) for round_ in rounds)
        sustained = read(f"sustained-{target.key}", SustainedSamples)
        return ScenarioSamples(
            [samples for samples in offline if samples],
            [samples for samples in streams if samples],
            [sustained] if sustained else [],
        )

    def _of_each_target(self, label: str, round_: int, measure: Callable[[Target], A]) -> None:
        targets = self._run.targets
        for number, target in enumerate(targets):
            name = f"{label}-{round_}-{target.key}"
            if not self._settled(name, target):
                done, total = round_ * len(targets) + number, self._settings.sessions * len(targets)
                self._run.progress.step(label, done, total, target.bundle.manifest.name)
                self._measure(name, target, partial(measure, target))

    def _offline(self, target: Target) -> OfflineSamples:
        """The first round determines the sizes, the later ones repeat them."""
        first = self._run.checkpoint.read(f"offline-0-{target.key}", OfflineSamples)
        sizes = tuple(runs.batch for runs in first.batches) if first else self._settings.batches or ()
        return in_child(Offline(*self._job(target), self._settings, sizes, engine=target.engine), OfflineSamples)

    def _streams(self, target: Target) -> StreamsSamples:
        job = Streams(*self._job(target), self._settings, self._settings.streams or 1, engine=target.engine)
        return in_child(job, StreamsSamples)

    def _sustain(self, number: int, target: Target, seconds: float) -> SustainedSamples:
        name, count = target.bundle.manifest.name, windows_in(seconds)
        done, total = number * count, count * len(self._run.targets)

        def on_line(line: bytes) -> None:
            nonlocal done
            if line == WINDOW:
                done += 1
                self._run.progress.step("sustain", done, total, name)

        self._run.progress.step("sustain", done, total, name)
        job = Sustain(*self._job(target), self._settings, seconds, engine=target.engine)
        return in_child(job, SustainedSamples, on_line)

    def _job(self, target: Target) -> tuple[str, int, str | None, str]:
        """What every job begins with."""
        return str(target.bundle.path), self._settings.threads, target.provider, ""

    def _settled(self, name: str, target: Target) -> bool:
        """Whether a part is finished, or never will be because its target has failed."""
        return self._run.failed(target) or self._run.checkpoint.has(name)

    def _measure(self, name: str, target: Target, measure: Callable[[], A]) -> None:
        """Measure a part and keep it, or keep that its target has failed."""
        samples = self._run.attempt(target, partial(self._verified, target, measure))
        if samples is not None:
            self._run.checkpoint.keep(name, samples)

    def _verified(self, target: Target, measure: Callable[[], A]) -> A:
        samples = measure()
        if samples.mismatches:
            raise BackendError(
                f"{target.bundle.path.name}: {samples.mismatches} outputs differed from the first pass "
                "(non-deterministic)"
            )
        return samples
