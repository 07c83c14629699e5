"""`bench`: bundles → parity, latency, verdict → report folder."""

from pathlib import Path

import msgspec
import numpy as np

from bctoolkit import bundle as bundles
from bctoolkit.bench import latency, parity, stats, tables, verdict
from bctoolkit.bench.machine import fingerprint
from bctoolkit.bench.report import ParityReport, Report, Result, Settings
from bctoolkit.bench.worker import Answer
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load
from bctoolkit.documents import to_json
from bctoolkit.errors import BundleError
from bctoolkit.files import atomic_folder
from bctoolkit.progress import Progress
from bctoolkit.recipes import Budget
from bctoolkit.tools import utc_now

__all__ = ["bench"]

REPORT = "report.json"


def bench(
    paths: list[Path],
    settings: Settings,
    target: Path,
    progress: Progress,
    *,
    data: str | None = None,
    budget: Budget | None = None,
    provider: str | None = None,
) -> Report:
    """Measure bundles and write the report folder `target`: `report.json`, `report.md` and the raw samples.

    Args:
        paths: bundle folders.
        settings: sessions, runs, threads.
        target: the report's folder.
        progress: told what goes on.
        data: labelled images, as `bctoolkit.data.load` takes them.
        budget: limits to judge each bundle by.
        provider: what to run on; each engine's first by default.

    Raises:
        BundleError: no bundle, a damaged one, or two of the same name.
        RecipeError: `target` exists and is no report.
        BackendError: a bundle cannot run here.
        DatasetError: the labelled images cannot be used.
    """
    if not paths:
        raise BundleError("no bundle to measure")
    opened = [bundles.read(path) for path in paths]
    names = [bundle.manifest.name for bundle in opened]
    if len(set(names)) < len(names):
        raise BundleError(f"two bundles are called {max(names, key=names.count)!r}; results could not be told apart")
    with atomic_folder(target, REPORT) as folder:
        machine = fingerprint()
        datasets = _datasets(opened, data, progress)
        judged = []
        for number, bundle in enumerate(opened):
            progress.step("parity", number, len(opened), bundle.manifest.name)
            judged.append(parity.judge(bundle, datasets.get(_image_key(bundle)), settings.threads, provider))
        answers = latency.sessions([bundle.path for bundle in opened], settings, provider, progress)
        results = []
        for bundle, figures in zip(opened, judged, strict=True):
            result = _result(bundle, answers[bundle.path], figures, settings.seed)
            if budget is not None:
                result = msgspec.structs.replace(result, verdict=verdict.judge(result, budget))
            results.append(result)
        report = Report(created=utc_now(), machine=machine, settings=settings, results=tuple(results))
        raw = {bundle.manifest.name: answers[bundle.path] for bundle in opened}
        (folder / REPORT).write_bytes(to_json(report))
        (folder / "report.md").write_text(tables.markdown(report), encoding="utf-8")
        (folder / "samples.json").write_bytes(msgspec.json.encode(raw) + b"\n")
    return report


def _result(bundle: Bundle, answers: list[Answer], figures: ParityReport, seed: int) -> Result:
    manifest = bundle.manifest
    model = stats.latency([_milliseconds(answer.model) for answer in answers], seed)
    return Result(
        bundle=manifest.name,
        format=manifest.format,
        quantization=manifest.quantization,
        provider=answers[0].provider,
        threads=answers[0].threads,
        batch=1,
        size_bytes=manifest.model.bytes,
        load_ms=float(np.median(_milliseconds([answer.load for answer in answers]))),
        first_ms=float(np.median(_milliseconds([answer.first for answer in answers]))),
        latency_ms=model,
        end_to_end_ms=stats.latency([_milliseconds(answer.end_to_end) for answer in answers], seed),
        throughput_per_s=1000 / model.mean,
        peak_rss_bytes=max(answer.peak_rss for answer in answers),
        parity=figures,
    )


def _milliseconds(nanoseconds: list[int]) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.array(nanoseconds, np.float64) / 1e6


def _image_key(bundle: Bundle) -> InputContract:
    """What decides how images are prepared for a bundle, whatever dtype it eats."""
    return msgspec.structs.replace(bundle.manifest.input, dtype="uint8")


def _datasets(opened: list[Bundle], data: str | None, progress: Progress) -> dict[InputContract, Dataset]:
    """The labelled images, prepared once for each contract among the bundles."""
    if data is None:
        return {}
    return {key: load(data, key, progress) for key in dict.fromkeys(map(_image_key, opened))}
