"""`bench`: bundles → parity, latency, verdict → report folder."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bench.analysis import parity, statistics, verdict
from bctoolkit.bench.analysis import robustness as robust
from bctoolkit.bench.analysis import scenarios as scenario_stats
from bctoolkit.bench.checkpoint import Asked, Journal
from bctoolkit.bench.configurations import (
    Case,
    Subject,
    Work,
    answers_key,
    image_key,
    parity_of_all,
    profiles_of_all,
    sample_key,
    sessions_of_all,
)
from bctoolkit.bench.documents.predictions import Answered
from bctoolkit.bench.documents.profiles import Profile
from bctoolkit.bench.documents.report import REPORT, ParityReport, Report, Result, Session, Settings
from bctoolkit.bench.documents.samples import Answer, Observed
from bctoolkit.bench.report import write
from bctoolkit.bench.report.page import Evidence
from bctoolkit.bench.rounds import Scenarios
from bctoolkit.bench.worker.machine import fingerprint
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load
from bctoolkit.errors import BackendError, BundleError, RecipeError
from bctoolkit.files import atomic_folder, sha256_file, unfinished
from bctoolkit.progress import Progress
from bctoolkit.recipes import Budget
from bctoolkit.tools import utc_now

__all__ = ["bench", "resume"]

T = TypeVar("T")


def bench(
    paths: list[Path],
    settings: Settings,
    target: Path,
    progress: Progress,
    *,
    data: str | None = None,
    budget: Budget | None = None,
) -> Report:
    """Measure bundles and write the report folder `target`.

    Each finished case is kept in a hidden folder beside `target` until the report is written. A bundle that cannot be
    measured is named in the report's failures, and the others go on.

    Args:
        paths: bundle folders.
        settings: sessions, runs, threads, providers, scenarios, whether to profile and to corrupt.
        target: the report's folder.
        progress: told what goes on.
        data: labelled images, as `bctoolkit.data.sources.load` takes them.
        budget: limits to judge each bundle by.

    Raises:
        BundleError: no bundle, a damaged one, or two of the same name in folders of the same name.
        RecipeError: `target` exists and is no report, an unfinished one stands beside it, or the suite has no images.
        BackendError: no bundle can run here.
        DatasetError: the labelled images cannot be used.
    """
    if not paths:
        raise BundleError("no bundle to measure")
    if settings.corrupted is not None and data is None:
        raise RecipeError("--corruptions needs labelled images; give them with --data")
    opened = _opened(paths)
    journal = Journal(unfinished(target))
    if journal.folder.exists():
        raise RecipeError(f"{journal.folder} holds an unfinished report; go on with --resume, or remove it")
    asked = Asked(
        bundles=tuple(str(bundle.path.absolute()) for bundle in opened),
        manifests=tuple(_seal(bundle) for bundle in opened),
        settings=settings,
        data=data,
        budget=budget,
        machine=fingerprint(),
        created=utc_now(),
    )
    return _work(opened, asked, journal, journal.begun(asked), target, progress)


def resume(target: Path, progress: Progress) -> Report:
    """Go on with a benchmark that was interrupted: the cases that are finished are not measured again.

    Raises:
        RecipeError: there is none, its bundles have changed, or this is another machine.
        BctkError: as `bench` does.
    """
    journal = Journal(unfinished(target))
    if not journal.folder.is_dir():
        raise RecipeError(f"--resume: {target} has no unfinished report beside it")
    asked = journal.asked()
    opened = _opened([Path(path) for path in asked.bundles])
    for bundle, sha256 in zip(opened, asked.manifests, strict=True):
        if _seal(bundle) != sha256:
            raise RecipeError(f"--resume: {bundle.path} has changed since; remove {journal.folder} and measure anew")
    here = fingerprint()
    if (here.cpu, here.cores_usable) != (asked.machine.cpu, asked.machine.cores_usable):
        raise RecipeError(
            f"--resume: begun on {asked.machine.cpu} with {asked.machine.cores_usable} cores, this is {here.cpu} with "
            f"{here.cores_usable}; measure anew"
        )
    return _work(opened, asked, journal, nullcontext(), target, progress)


def _opened(paths: list[Path]) -> list[Bundle]:
    """The bundles under names that tell their results apart: their own, or where two share one, their folders'."""
    opened = [bundles.read(path) for path in paths]
    if len({bundle.manifest.name for bundle in opened}) < len(opened):
        opened = [
            Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, name=bundle.path.absolute().name))
            for bundle in opened
        ]
    names = [bundle.manifest.name for bundle in opened]
    if len(set(names)) < len(names):
        raise BundleError(
            f"two bundles are called {max(names, key=names.count)!r}; results could not be told apart, so give one "
            "folder another name"
        )
    return opened


def _work(
    opened: list[Bundle],
    asked: Asked,
    journal: Journal,
    begun: AbstractContextManager[object],
    target: Path,
    progress: Progress,
) -> Report:
    with atomic_folder(target, REPORT) as folder, begun:
        datasets = _datasets(opened, asked.data, progress)
        work = Work(opened, asked, journal, progress)
        answered = parity_of_all(work, datasets)
        profiles = profiles_of_all(work) if answered else {}
        scenarios = Scenarios(work)
        measured = sessions_of_all(work, scenarios.turn) if answered else {}
        scenarios.sustain()
        sessions = {case: answers for case, answers in measured.items() if not work.failed(case.subject)}
        if not sessions:
            messages = "; ".join(failure.message for failure in work.failures)
            journal.remove()
            raise BackendError(messages)
        observed = {case.subject: scenarios.of(case.subject) for case in sessions}
        report = _report(work, datasets, answered, profiles, sessions, observed)
        answers, samples = _by_name(work, answered), {sample_key(work, case): sessions[case] for case in sessions}
        write.folder(folder, report, _evidence(work, datasets, answered, sessions), answers, samples)
        write.scenarios(folder, _by_name(work, observed))
    journal.remove()
    return report


def _by_name(work: Work, found: dict[Subject, T]) -> dict[str, T]:
    return {answers_key(work, subject): each for subject, each in found.items()}


def _evidence(
    work: Work,
    datasets: dict[InputContract, Dataset],
    answered: dict[Subject, Answered],
    sessions: dict[Case, list[Answer]],
) -> list[Evidence]:
    """What the page shows of each result besides the document."""
    return [
        Evidence(
            [_milliseconds(answer.model) for answer in answers],
            work.bundle(case),
            answered[case.subject],
            datasets.get(image_key(work.bundle(case))),
        )
        for case, answers in sessions.items()
    ]


def _report(
    work: Work,
    datasets: dict[InputContract, Dataset],
    answered: dict[Subject, Answered],
    profiles: dict[Case, Profile],
    sessions: dict[Case, list[Answer]],
    observed: dict[Subject, Observed],
) -> Report:
    judged = {}
    for subject, answers in answered.items():
        bundle = work.bundle(subject)
        dataset = datasets.get(image_key(bundle))
        judged[subject] = parity.judge(bundle, answers, "" if dataset is None else dataset.source)
    for provider in work.settings.providers or (None,):
        said = {subject.bundle: answers for subject, answers in answered.items() if subject.provider == provider}
        for number, robustness in robust.judge_all(work.opened, said).items():
            subject = Subject(number, provider)
            judged[subject] = parity.with_robustness(judged[subject], robustness)
    results = []
    for case, answer in sessions.items():
        result = _result(work.bundle(case), answer, judged[case.subject])
        result = msgspec.structs.replace(result, profile=profiles.get(case))
        if case.threads == work.settings.threads:
            result = scenario_stats.added(result, answer, observed[case.subject])
        if work.asked.budget is not None:
            result = msgspec.structs.replace(result, verdict=verdict.judge(result, work.asked.budget))
        results.append(result)
    return Report(
        created=work.asked.created,
        machine=work.asked.machine,
        settings=work.settings,
        results=tuple(results),
        failures=work.failures,
    )


def _result(bundle: Bundle, answers: list[Answer], figures: ParityReport) -> Result:
    manifest = bundle.manifest
    conditions = statistics.conditions(
        [answer.disturbed for answer in answers],
        [answer.clock_tick for answer in answers],
        [answer.model for answer in answers],
    )
    model = statistics.latency([_milliseconds(answer.model) for answer in answers], conditions)
    return Result(
        bundle=manifest.name,
        format=manifest.format,
        quantization=manifest.quantization,
        provider=answers[0].provider,
        placement=answers[0].placement,
        threads=answers[0].threads,
        batch=1,
        size_bytes=manifest.model.bytes,
        load_ms=float(np.median(_milliseconds([answer.load for answer in answers]))),
        first_ms=float(np.median(_milliseconds([answer.first for answer in answers]))),
        latency_ms=model,
        end_to_end_ms=statistics.latency([_milliseconds(answer.end_to_end) for answer in answers], conditions),
        throughput_per_s=1000 / model.mean,
        peak_rss_bytes=max(answer.peak_rss for answer in answers),
        steady_rss_bytes=int(np.median([answer.steady_rss for answer in answers])),
        repeat_ratio=float(np.median([answer.repeat_ratio for answer in answers])),
        sessions=tuple(map(_session, answers)),
        parity=figures,
        energy=scenario_stats.energy([answer.energy for answer in answers], [len(answer.model) for answer in answers]),
    )


def _session(answer: Answer) -> Session:
    return Session(
        p50_ms=float(np.median(answer.model)) / 1e6,
        end_to_end_p50_ms=float(np.median(answer.end_to_end)) / 1e6,
        slices_p50_ms=_of_slices(answer.model, answer.model_slices),
        slices_end_to_end_p50_ms=_of_slices(answer.end_to_end, answer.end_to_end_slices),
        load_ms=answer.load / 1e6,
        first_ms=answer.first / 1e6,
        peak_rss_bytes=answer.peak_rss,
        steady_rss_bytes=answer.steady_rss,
    )


def _of_slices(samples: list[int], runs: list[int]) -> tuple[float, ...]:
    """The median of each slice, in milliseconds."""
    return tuple(float(np.median(slice_)) / 1e6 for slice_ in np.split(samples, np.cumsum(runs)[:-1]))


def _milliseconds(nanoseconds: list[int]) -> NDArray[np.float64]:
    return np.array(nanoseconds, np.float64) / 1e6


def _seal(bundle: Bundle) -> str:
    return sha256_file(bundle.path / bundles.MANIFEST)


def _datasets(opened: list[Bundle], data: str | None, progress: Progress) -> dict[InputContract, Dataset]:
    """The labelled images, prepared once for each contract among the bundles."""
    if data is None:
        return {}
    return {key: load(data, key, progress) for key in dict.fromkeys(map(image_key, opened))}
