"""The machine's fingerprint and state, from what the system reports; nothing is guessed."""

import itertools
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bctoolkit import __version__
from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.bench.documents.settings import Machine
from bctoolkit.system import counters, cpu_features, cpu_name, usable_cpus, versions

__all__ = [
    "Reading",
    "clock_tick",
    "detect_interference",
    "fingerprint",
    "reading",
]

THROTTLE_COUNTS = "cpu[0-9]*/thermal_throttle/core_throttle_count"
PACKAGES = ("bctoolkit", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "ai-edge-litert")

MOST_OTHERS, LEAST_SPEED = 0.25, 0.9
SHORTEST_WATCH = 0.2
"""Seconds; the system counts CPU time in hundredths."""


class Reading(NamedTuple):
    """The state of the CPUs this process may use, at one moment."""

    wall: float
    busy: float
    """Seconds all programs together have computed on them."""
    own: float
    """Seconds this process has computed."""
    throttles: int
    mhz: float | None
    celsius: float | None = None


def fingerprint() -> Machine:
    """Describe this machine."""
    return Machine(
        system=platform.platform(),
        cpu=cpu_name(),
        cpu_flags=cpu_features(),
        cores=os.cpu_count() or 1,
        cores_usable=usable_cpus(),
        memory_bytes=counters.total_memory(),
        governor=counters.first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        frequency_mhz=counters.frequency(),
        temperature_c=counters.temperature(),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        versions=versions(*PACKAGES) | {"bctoolkit": __version__},
    )


def reading() -> Reading:
    """Read the counters of the CPUs this process may use."""
    return Reading(
        time.perf_counter(),
        counters.busy_seconds(),
        time.process_time(),
        _throttles(),
        counters.frequency(),
        counters.temperature(),
    )


def detect_interference(spans: Sequence[tuple[Reading, Reading]], cpus: int) -> list[TimingWarning]:
    """What interfered with a measurement in its spans of time on so many CPUs, as far as the system reports it.

    Args:
        spans: the readings before and after each span.
        cpus: CPUs this process may use.
    """
    warnings = []
    wall = sum(after.wall - before.wall for before, after in spans)
    others = sum((after.busy - before.busy) - (after.own - before.own) for before, after in spans)
    if wall >= SHORTEST_WATCH and others > MOST_OTHERS * wall * cpus:
        warnings.append(TimingWarning.LOAD)
    first, last = spans[0][0], spans[-1][1]
    slowed = first.mhz and last.mhz and last.mhz < LEAST_SPEED * first.mhz
    if slowed or any(after.throttles > before.throttles for before, after in spans):
        warnings.append(TimingWarning.THROTTLING)
    return warnings


def clock_tick(clock: Callable[[], int] = time.perf_counter_ns) -> int:
    """The least time above 0 that two of a thousand readings of the clock lie apart, in nanoseconds; 1 if none do."""
    readings = [clock() for _ in range(1000)]
    return min((b - a for a, b in itertools.pairwise(readings) if b > a), default=1)


def _throttles() -> int:
    """How often the cores have throttled themselves since the system started; 0 where it is not reported."""
    counts = [counters.first_line(str(path)) for path in Path("/sys/devices/system/cpu").glob(THROTTLE_COUNTS)]
    return sum(int(count) for count in counts if count)
