"""The scenarios' figures from samples made by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from bctoolkit.bench.analysis import scenarios, statistics
from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.bench.documents.report import Result
from bctoolkit.bench.documents.samples import (
    BatchRuns,
    EnergyUse,
    OfflineSamples,
    ScenarioSamples,
    SessionSamples,
    StreamsSamples,
    SustainedSamples,
    WindowEnd,
)

MILLI = 1_000_000


def session(rates: dict[int, float], **changes: Any) -> OfflineSamples:
    """Ten batches of each size, so that so many images are predicted in a second."""
    batches = [BatchRuns(size, [round(size * 1e9 / rate)] * 10, 10 * size, 1.0, []) for size, rate in rates.items()]
    return structs.replace(OfflineSamples("cpu", 2, batches, mismatches=0, stop_reason=""), **changes)


def streamed(milliseconds: float, count: int = 2, runs: int = 600) -> StreamsSamples:
    """Streams that never wait."""
    spent = round(milliseconds * MILLI)
    return StreamsSamples("cpu", 1, [[spent] * runs for _ in range(count)], spent * runs, 0, 5000)


def test_throughput_is_the_mean_of_the_sessions_with_their_interval() -> None:
    figures = scenarios.offline([session({1: rate, 8: 4 * rate}) for rate in (97.0, 100.0, 103.0)], None)
    one, eight = figures.batches
    assert one.images_per_s == pytest.approx((97 * 100 * 103) ** (1 / 3))
    assert one.ci95_images_per_s == pytest.approx(statistics.mean_interval([97.0, 100.0, 103.0]))
    assert eight.images_per_s == pytest.approx(4 * one.images_per_s)
    assert (eight.batch, eight.samples, eight.peak_rss_bytes) == (8, 30, 80)
    assert eight.p50_ms == pytest.approx(8 * 1000 / 400)
    assert figures.warnings == ()


@pytest.mark.parametrize(
    ("rates", "knee"),
    [
        ({1: 100.0}, 1),
        ({1: 100.0, 2: 104.0}, 1),
        ({1: 100.0, 2: 106.0}, 2),
        ({1: 100.0, 2: 180.0, 4: 200.0, 8: 208.0, 16: 205.0}, 4),
        ({1: 100.0, 2: 90.0, 4: 80.0}, 1),
        ({32: 208.0, 8: 200.0, 1: 100.0}, 8),
    ],
)
def test_the_knee_is_the_smallest_batch_within_5_percent_of_the_best(rates: dict[int, float], knee: int) -> None:
    figures = scenarios.offline([session(rates)] * 3, None)
    assert (figures.knee, figures.knee_range) == (knee, (knee, knee))


def test_the_range_of_the_knee_is_that_of_the_sessions() -> None:
    sessions = [session({1: 100.0, 2: rate, 4: 200.0}) for rate in (150.0, 195.0, 199.0)]
    figures = scenarios.offline(sessions, None)
    assert (figures.knee, figures.knee_range) == (4, (2, 4))


def test_a_batch_whose_answers_are_not_those_of_its_images_is_no_knee() -> None:
    spoilt = session({1: 100.0, 2: 200.0, 4: 400.0})
    spoilt.batches[2].violations = ["top-1 agreement 40.00% < 98.00%"]
    spoilt.batches[2].top1_agreement = 0.4
    figures = scenarios.offline([session({1: 100.0, 2: 200.0, 4: 400.0}), spoilt], None)
    assert figures.knee == 2
    assert (figures.batches[2].top1_agreement, figures.batches[2].violations) == (
        0.4,
        ("top-1 agreement 40.00% < 98.00%",),
    )


def test_what_disturbed_the_batches_is_told() -> None:
    figures = scenarios.offline([session({1: 100.0}, interference=[TimingWarning.LOAD]), session({1: 120.0})], 1)
    assert figures.warnings == (TimingWarning.SPREAD, TimingWarning.LOAD, TimingWarning.FEW)
    assert figures.fixed_batch == 1


def test_streams_are_held_against_single_stream_turn_by_turn() -> None:
    """The machine drifts by a third; the ratio does not."""
    speeds = (10.0, 12.0, 13.0)
    single = [SessionSamples("cpu", 2, model=[round(speed * MILLI)] * 100) for speed in speeds]
    figures = scenarios.multi_stream([streamed(speed * 1.25) for speed in speeds], single)
    assert (figures.streams, figures.threads, figures.peak_rss_bytes) == (2, 1, 5000)
    assert figures.ratio == pytest.approx(1.6)
    assert figures.ci95_ratio == pytest.approx((1.6, 1.6), rel=1e-6)
    assert figures.images_per_s == pytest.approx(2000 / (1.25 * np.prod(speeds) ** (1 / 3)))
    assert figures.latency_ms.p50 == pytest.approx(15.0)
    assert figures.latency_ms.p99 is not None
    assert figures.latency_ms.warnings == (TimingWarning.SPREAD,)


def test_one_session_of_streams_has_no_interval_and_few_runs_no_p99() -> None:
    figures = scenarios.multi_stream([streamed(10.0, runs=50)], [SessionSamples("cpu", 2, model=[10 * MILLI])])
    assert figures.ratio == pytest.approx(2.0)
    assert (figures.ci95_ratio, figures.latency_ms.p99) == (None, None)


def long_run(milliseconds: list[float], ends: list[int], **changes: Any) -> SustainedSamples:
    windows = [WindowEnd(end, float(number + 1), None, None) for number, end in enumerate(ends)]
    runs = [round(each * MILLI) for each in milliseconds]
    return structs.replace(SustainedSamples("cpu", 1, runs, windows, mismatches=0), **changes)


def test_a_sustained_run_that_slows_down_is_told_by_its_tenths() -> None:
    figures = scenarios.sustained(long_run([10.0] * 500 + [12.0] * 500, [500, 1000]))
    assert figures.slow_down == pytest.approx(1.2)
    assert [(window.samples, window.p50_ms, window.p99_ms) for window in figures.windows] == [
        (500, 10, None),
        (500, 12, None),
    ]
    assert figures.samples == 1000
    assert figures.p99_ms == pytest.approx(12.0)
    assert figures.minutes == pytest.approx(2 / 60)
    assert (figures.windows[0].frequency_mhz, figures.windows[0].temperature_c, figures.energy) == (None, None, None)


def test_few_runs_say_nothing_of_slowing_down() -> None:
    figures = scenarios.sustained(long_run([10.0] * 99, [99]))
    assert (figures.slow_down, figures.p99_ms) == (None, None)


def test_energy_per_run_is_the_mean_of_the_sessions() -> None:
    figures = scenarios.energy([EnergyUse("package", 10.0), EnergyUse("package", 12.0)], [1000, 1000])
    assert figures is not None
    assert figures.mj_per_inference == pytest.approx((10 * 12) ** 0.5)
    assert (figures.joules, figures.source) == (22.0, "package")
    assert figures.ci95 == pytest.approx(statistics.mean_interval([10.0, 12.0]))


@pytest.mark.parametrize("spent", [[None, None], [EnergyUse("battery", 1.0), None]])
def test_energy_that_a_session_does_not_know_is_not_told(spent: list[EnergyUse | None]) -> None:
    assert scenarios.energy(spent, [10, 10]) is None


def test_what_was_not_asked_for_is_absent(make_result: Callable[..., Result]) -> None:
    result = make_result()
    assert scenarios.with_scenarios(result, [], ScenarioSamples([], [], [])) == result
    one = scenarios.with_scenarios(make_result(format="tflite"), [], ScenarioSamples([session({1: 100.0})] * 2, [], []))
    assert one.offline is not None
    assert one.offline.fixed_batch == 1
    assert (one.multi_stream, one.sustained) == (None, None)
