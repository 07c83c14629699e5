"""`bench`: bundles → parity, latency, verdict → report folder."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.analysis import acceptance, parity, relative, robustness, scenarios, statistics, verdict
from bctoolkit.bench.checkpoint import Checkpoint, Request, refuse_unfinished
from bctoolkit.bench.configurations import (
    BenchRun,
    Configuration,
    image_contract,
    slug,
)
from bctoolkit.bench.documents.judgements import ParityReport
from bctoolkit.bench.documents.measurements import Session
from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.documents.report import REPORT, Report, Result
from bctoolkit.bench.documents.samples import ScenarioSamples, SessionSamples
from bctoolkit.bench.documents.settings import Machine, Settings
from bctoolkit.bench.measuring import ImageSets, Measured, load_images, measure
from bctoolkit.bench.report import write
from bctoolkit.bench.report.page import ResultDetails
from bctoolkit.bench.worker.machine import fingerprint
from bctoolkit.bundle import MANIFEST, Bundle, read
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.errors import BundleError, RecipeError
from bctoolkit.files import atomic_folder, in_use, sha256_file, unfinished
from bctoolkit.progress import Progress
from bctoolkit.recipes import Budget
from bctoolkit.signing import TrustedKey
from bctoolkit.system import utc_now

__all__ = ["bench", "open_bundles", "open_named", "request_for", "resume", "write_report"]


def bench(
    paths: list[Path],
    settings: Settings,
    target: Path,
    progress: Progress,
    *,
    data: str | None = None,
    group: str = "",
    foreign: str | None = None,
    budget: Budget | None = None,
    baseline: str | None = None,
    trusted_keys: Sequence[TrustedKey] | None = None,
) -> Report:
    """Measure bundles and write the report folder `target`.

    Each finished part is kept in a hidden folder beside `target` until the report is written. A bundle that cannot be
    measured is named in the report's failures, and the others go on.

    Args:
        paths: bundle folders.
        settings: sessions, runs, threads, providers, scenarios, whether to profile and to corrupt.
        target: the report's folder.
        progress: notified of each step.
        data: labelled images, as `bctoolkit.data.sources.load` takes them.
        group: pattern of what they belong to, see `data.groups.grouped`; intervals of decisions are then over groups.
        foreign: pictures of which none belongs to a class, as `load_pictures` takes them.
        budget: limits to judge each bundle by.
        baseline: what figures are relative to: the name of one of the bundles, or the folder of one, which is measured
            too. By default the most precise of them, of several the first.
        trusted_keys: as `bctoolkit.bundle.read` takes them.

    Raises:
        BundleError: no bundle, a damaged one, or two of the same name in folders of the same name.
        RecipeError: `target` exists and is no report, an unfinished one stands beside it, the suite has no images,
            no bundle has a rule to refuse foreign pictures by, or the baseline is none, or measured alone.
        BackendError: no bundle can run here.
        DatasetError: the labelled images cannot be used.
    """
    opened, baseline = open_bundles(
        paths, settings, data=data, foreign=foreign, baseline=baseline, trusted_keys=trusted_keys
    )
    checkpoint = Checkpoint(unfinished(target))
    refuse_unfinished(checkpoint.folder)
    request = request_for(
        opened,
        settings,
        fingerprint(),
        data=data,
        group=group,
        foreign=foreign,
        budget=budget,
        baseline=baseline,
    )
    return _measure(BenchRun(opened, request, checkpoint, progress), checkpoint.begin(request), target)


def resume(target: Path, progress: Progress) -> Report:
    """Go on with a benchmark that was interrupted: the parts that are finished are not measured again.

    Raises:
        RecipeError: there is none, its bundles have changed, or this is another machine.
        BctkError: as `bench` does.
    """
    checkpoint = Checkpoint(unfinished(target))
    if not checkpoint.folder.is_dir():
        raise RecipeError(f"--resume: {target} has no unfinished report beside it")
    request = checkpoint.request()
    opened = open_named([Path(path) for path in request.bundles])
    for bundle, sha256 in zip(opened, request.manifests, strict=True):
        if _seal(bundle) != sha256:
            raise RecipeError(f"--resume: {bundle.path} has changed since; remove {checkpoint.folder} and measure anew")
    here = fingerprint()
    if (here.cpu, here.cores_usable) != (request.machine.cpu, request.machine.cores_usable):
        raise RecipeError(
            f"--resume: begun on {request.machine.cpu} with {request.machine.cores_usable} cores, this is {here.cpu} "
            f"with {here.cores_usable}; measure anew"
        )
    return _measure(BenchRun(opened, request, checkpoint, progress), in_use(checkpoint.folder), target)


def open_bundles(
    paths: list[Path],
    settings: Settings,
    *,
    data: str | None,
    foreign: str | None,
    baseline: str | None = None,
    trusted_keys: Sequence[TrustedKey] | None = None,
) -> tuple[list[Bundle], str | None]:
    """Open bundles to measure under names that tell their results apart, if what is asked of them makes sense.

    Returns:
        The bundles, and the baseline's name among them where one is asked for.

    Raises:
        BundleError: as `bench` does.
        RecipeError: as `bench` does.
    """
    if not paths:
        raise BundleError("no bundle to measure")
    if settings.corrupted is not None and data is None:
        raise RecipeError("--corruptions needs labelled images; give them with --data")
    opened, baseline = _beside_baseline(paths, baseline, trusted_keys)
    if foreign is not None and not any(bundle.manifest.acceptance for bundle in opened):
        raise RecipeError("--foreign: none of the bundles has an acceptance rule; export them with labelled images")
    return opened, baseline


def request_for(
    opened: list[Bundle],
    settings: Settings,
    machine: Machine,
    *,
    data: str | None,
    group: str = "",
    foreign: str | None,
    budget: Budget | None,
    baseline: str | None = None,
) -> Request:
    """What a benchmark of these bundles on a machine is begun with, now."""
    return Request(
        bundles=tuple(str(bundle.path.absolute()) for bundle in opened),
        manifests=tuple(_seal(bundle) for bundle in opened),
        settings=settings,
        data=data,
        group=group,
        foreign=foreign,
        baseline=baseline,
        budget=budget,
        machine=machine,
        created=utc_now(),
    )


def open_named(paths: list[Path], trusted_keys: Sequence[TrustedKey] | None = None) -> list[Bundle]:
    """The bundles under names that tell their results apart: their own, or where two share one, their folders'."""
    opened = [read(path, trusted_keys) for path in paths]
    if len({slug(bundle.manifest.name) for bundle in opened}) < len(opened):
        opened = [
            replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, name=bundle.path.absolute().name))
            for bundle in opened
        ]
    names = [slug(bundle.manifest.name) for bundle in opened]
    if len(set(names)) < len(names):
        raise BundleError(
            f"two bundles are called {max(names, key=names.count)!r}; results could not be told apart, so give one "
            "folder another name"
        )
    return opened


def _beside_baseline(
    paths: list[Path], baseline: str | None, trusted_keys: Sequence[TrustedKey] | None
) -> tuple[list[Bundle], str | None]:
    """The bundles, the baseline first where it is none of them, and the baseline's name among their results."""
    if baseline is None:
        return open_named(paths, trusted_keys), None
    folder = Path(baseline)
    if folder.is_dir():
        known = any(folder.samefile(path) for path in paths if path.is_dir())
        opened = open_named(paths if known else [folder, *paths], trusted_keys)
        name = next(bundle.manifest.name for bundle in opened if bundle.path.samefile(folder))
    else:
        opened, name = open_named(paths, trusted_keys), baseline
    names = [bundle.manifest.name for bundle in opened]
    if name not in names:
        raise RecipeError(f"--baseline {baseline}: no bundle's folder, and none of those measured: {', '.join(names)}")
    if len(names) < 2:
        raise RecipeError(f"--baseline {baseline}: it alone is measured; give another bundle to hold against it")
    return opened, name


def _measure(run: BenchRun, begun: AbstractContextManager[object], target: Path) -> Report:
    with atomic_folder(target, REPORT, write.OTHERS) as folder, begun:
        request = run.request
        images = load_images(run.bundles, request.data, request.group, request.foreign, run.progress)
        report = write_report(run, images, measure(run, images), folder)
    run.checkpoint.remove()
    return report


def write_report(run: BenchRun, images: ImageSets, measured: Measured, folder: Path) -> Report:
    """Judge what was measured, and write every file of the report into an empty folder."""
    sessions, scenario_samples = measured.sessions, measured.scenarios
    predictions = _with_groups(run, images, measured.predictions)
    parities = _parities(run, images, predictions)
    unjudged = [
        _measured(run, each, sessions[each.key], scenario_samples[each.target.key], parities[each.target.key])
        for each in measured.configurations
    ]
    baseline = _baseline(run, unjudged)
    results = [_judged(run, result, baseline) for result in relative.with_relatives(unjudged, baseline)]
    profiles = measured.profiles
    report = Report(
        created=run.request.created,
        machine=run.request.machine,
        settings=run.settings,
        baseline=baseline,
        results=tuple(msgspec.structs.replace(result, profile=profiles.get(result.key)) for result in results),
        failures=run.failures,
    )
    details = [_details(each, sessions[each.key], predictions, images.labelled) for each in measured.configurations]
    write.folder(folder, report, details, predictions, sessions, scenario_samples)
    return report


def _details(
    configuration: Configuration,
    sessions: list[SessionSamples],
    predictions: dict[str, Predictions],
    datasets: dict[InputContract, Dataset],
) -> ResultDetails:
    target = configuration.target
    dataset = datasets.get(image_contract(target.bundle))
    samples = [_milliseconds(session.model) for session in sessions]
    return ResultDetails(samples, target.bundle, predictions[target.key], dataset)


def _baseline(run: BenchRun, results: list[Result]) -> str | None:
    """The bundle that was asked for, as far as it could be measured beside another."""
    wanted = run.request.baseline
    if wanted is None:
        return relative.default_baseline(results)
    bundles = {result.bundle for result in results}
    return wanted if wanted in bundles and len(bundles) > 1 else None


def _measured(
    run: BenchRun,
    configuration: Configuration,
    sessions: list[SessionSamples],
    samples: ScenarioSamples,
    figures: ParityReport,
) -> Result:
    """The result with its scenarios."""
    result = _result(configuration, sessions, figures)
    if configuration.threads == run.settings.threads:
        result = scenarios.with_scenarios(result, sessions, samples)
    return result


def _judged(run: BenchRun, result: Result, baseline: str | None) -> Result:
    """The result with its verdict, where there is a budget."""
    if run.request.budget is None:
        return result
    return msgspec.structs.replace(result, verdict=verdict.check_budget(result, run.request.budget, baseline))


def _with_groups(run: BenchRun, images: ImageSets, predictions: dict[str, Predictions]) -> dict[str, Predictions]:
    """The predictions of each target, which know the groups of their images where the set does."""
    datasets = {target.key: images.labelled.get(image_contract(target.bundle)) for target in run.targets}
    return {key: parity.with_groups(predicted, datasets[key]) for key, predicted in predictions.items()}


def _parities(run: BenchRun, images: ImageSets, predictions: dict[str, Predictions]) -> dict[str, ParityReport]:
    """The parity of each target by its key, what it accepts, and its robustness among those that run alike."""
    parities: dict[str, ParityReport] = {}
    for place in dict.fromkeys((target.engine, target.provider) for target in run.targets):
        targets = [
            target for target in run.targets if (target.engine, target.provider) == place and target.key in predictions
        ]
        tested = {target.key: (target.bundle, predictions[target.key]) for target in targets}
        robust = robustness.robustness_by_target(tested)
        for target in targets:
            contract, predicted = image_contract(target.bundle), predictions[target.key]
            dataset = images.labelled.get(contract)
            figures = parity.compare_with_reference(target.bundle, predicted, "" if dataset is None else dataset.source)
            figures = acceptance.with_acceptance(
                figures, target.bundle, predicted, dataset, images.foreign.get(contract)
            )
            parities[target.key] = parity.with_robustness(figures, robust.get(target.key))
    return parities


def _result(configuration: Configuration, sessions: list[SessionSamples], figures: ParityReport) -> Result:
    target = configuration.target
    manifest = target.bundle.manifest
    warnings = statistics.warnings_of(
        [session.interference for session in sessions],
        [session.clock_tick for session in sessions],
        [session.model for session in sessions],
    )
    return Result(
        key=configuration.key,
        target=target.key,
        bundle=manifest.name,
        format=manifest.format,
        quantization=manifest.quantization,
        adopted=manifest.adopted,
        engine=sessions[0].engine,
        provider=sessions[0].provider,
        placement=sessions[0].placement,
        threads=sessions[0].threads,
        size_bytes=manifest.model.bytes,
        model_sha256=manifest.model.sha256,
        load_ms=float(np.median(_milliseconds([session.load for session in sessions]))),
        first_ms=float(np.median(_milliseconds([session.first for session in sessions]))),
        latency_ms=statistics.latency([_milliseconds(session.model) for session in sessions], warnings),
        end_to_end_ms=statistics.latency([_milliseconds(session.end_to_end) for session in sessions], warnings)
        if all(session.end_to_end for session in sessions)
        else None,
        peak_rss_bytes=max(session.peak_rss for session in sessions),
        steady_rss_bytes=int(np.median([session.steady_rss for session in sessions])),
        repeat_ratio=float(np.median([session.repeat_ratio for session in sessions])),
        sessions=tuple(map(_session, sessions)),
        parity=figures,
        energy=scenarios.energy([session.energy for session in sessions], [len(session.model) for session in sessions]),
    )


def _session(samples: SessionSamples) -> Session:
    return Session(
        p50_ms=float(np.median(samples.model)) / 1e6,
        end_to_end_p50_ms=float(np.median(samples.end_to_end)) / 1e6 if samples.end_to_end else None,
        slices_p50_ms=_of_slices(samples.model, samples.model_slices),
        slices_end_to_end_p50_ms=_of_slices(samples.end_to_end, samples.end_to_end_slices),
        slices_fastest_ms=_of_slices(samples.model, samples.model_slices, np.min),
        end_to_end_fastest_ms=min(samples.end_to_end) / 1e6 if samples.end_to_end else None,
        load_ms=samples.load / 1e6,
        first_ms=samples.first / 1e6,
        peak_rss_bytes=samples.peak_rss,
        steady_rss_bytes=samples.steady_rss,
    )


def _of_slices(
    samples: list[int], runs: list[int], statistic: Callable[[NDArray[np.int64]], Any] = np.median
) -> tuple[float, ...]:
    """A statistic of each slice, in milliseconds."""
    return tuple(float(statistic(slice_)) / 1e6 for slice_ in np.split(samples, np.cumsum(runs)[:-1]) if len(slice_))


def _milliseconds(nanoseconds: list[int]) -> NDArray[np.float64]:
    return np.array(nanoseconds, np.float64) / 1e6


def _seal(bundle: Bundle) -> str:
    return sha256_file(bundle.path / MANIFEST)
