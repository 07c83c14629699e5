"""The machine's fingerprint and state, from what the system reports; nothing is guessed."""

import itertools
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.bench.documents.settings import Machine
from bctoolkit.lazy import require
from bctoolkit.system import cpu_features, cpu_name, usable_cpus, versions

__all__ = [
    "Reading",
    "available_memory",
    "clock_tick",
    "detect_interference",
    "fingerprint",
    "peak_rss",
    "reading",
    "steady_rss",
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
    """Describe this machine.

    Raises:
        MissingExtra: psutil is not installed.
    """
    psutil = require("psutil", "bench")
    return Machine(
        system=platform.platform(),
        cpu=cpu_name(),
        cpu_flags=cpu_features(),
        cores=os.cpu_count() or 1,
        cores_usable=usable_cpus(),
        memory_bytes=psutil.virtual_memory().total,
        governor=_first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        frequency_mhz=_frequency(psutil),
        temperature_c=_temperature(psutil),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        versions=versions(*PACKAGES),
    )


def peak_rss() -> int:
    """Largest resident set of this process so far, in bytes.

    On Linux from `VmHWM`, which counts from this program's start; `ru_maxrss` would include the parent's memory.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return int(require("psutil", "bench").Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def steady_rss() -> int:
    """Resident set of this process now, in bytes."""
    return int(require("psutil", "bench").Process().memory_info().rss)


def available_memory() -> int:
    """Bytes that programs can still have without any being moved out."""
    return int(require("psutil", "bench").virtual_memory().available)


def reading() -> Reading:
    """Read the counters of the CPUs this process may use."""
    psutil = require("psutil", "bench")
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    times = [entry for number, entry in enumerate(psutil.cpu_times(percpu=True)) if number in usable]
    busy = sum(sum(entry) - entry.idle - getattr(entry, "iowait", 0.0) for entry in times)
    return Reading(
        time.perf_counter(), busy, time.process_time(), _throttles(), _frequency(psutil), _temperature(psutil)
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
    counts = [_first_line(str(path)) for path in Path("/sys/devices/system/cpu").glob(THROTTLE_COUNTS)]
    return sum(int(count) for count in counts if count)


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None


def _frequency(psutil: object) -> float | None:
    try:
        reading = psutil.cpu_freq()  # type: ignore[attr-defined]
    except (AttributeError, OSError, NotImplementedError):
        return None
    return float(reading.current) if reading else None


def _temperature(psutil: object) -> float | None:
    try:
        readings = psutil.sensors_temperatures()  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    degrees = [reading.current for sensor in readings.values() for reading in sensor if reading.current]
    return float(max(degrees)) if degrees else None
