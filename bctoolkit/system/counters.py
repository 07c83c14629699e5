"""What the system counts: memory, CPU time, clock, temperature. On Linux from /proc and /sys, elsewhere from psutil."""

import os
import sys
from pathlib import Path
from typing import Any

from bctoolkit.lazy import require

__all__ = [
    "available_memory",
    "busy_seconds",
    "first_line",
    "frequency",
    "peak_rss",
    "steady_rss",
    "temperature",
    "total_memory",
]

LINUX = sys.platform == "linux"
IDLE = (3, 4)
"""Of the times of a CPU in /proc/stat: idle, and waiting for a disk. Guests (from the ninth on) are in user time."""
COUNTED = 8


def total_memory() -> int:
    """Bytes of memory.

    Raises:
        MissingExtra: this is not Linux, and psutil is not installed; so do all below.
    """
    return _meminfo("MemTotal") if LINUX else int(_psutil().virtual_memory().total)


def available_memory() -> int:
    """Bytes that programs can still have without any being moved out."""
    return _meminfo("MemAvailable") if LINUX else int(_psutil().virtual_memory().available)


def steady_rss() -> int:
    """Resident set of this process now, in bytes."""
    if not LINUX:
        return int(_psutil().Process().memory_info().rss)
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_rss() -> int:
    """Largest resident set of this process so far, in bytes.

    On Linux from `VmHWM`, which counts from this program's start; `ru_maxrss` would include the parent's memory.
    """
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return int(_psutil().Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def busy_seconds() -> float:
    """Seconds that all programs together have computed on the CPUs this process may use."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    if not LINUX:
        times = [entry for number, entry in enumerate(_psutil().cpu_times(percpu=True)) if number in usable]
        return float(sum(sum(entry) - entry.idle - getattr(entry, "iowait", 0.0) for entry in times))
    names = {f"cpu{number}" for number in usable}
    ticks = 0
    for line in _lines("/proc/stat"):
        name, *counts = line.split()
        if name in names:
            ticks += sum(int(count) for at, count in enumerate(counts[:COUNTED]) if at not in IDLE)
    return ticks / os.sysconf("SC_CLK_TCK")


def frequency() -> float | None:
    """Mean clock of the CPUs in MHz; None where the system does not report it."""
    if not LINUX:
        try:
            reading = _psutil().cpu_freq()
        except (AttributeError, OSError, NotImplementedError):
            return None
        return float(reading.current) if reading else None
    folder = Path("/sys/devices/system/cpu")
    clocks = [first_line(str(path)) for path in folder.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    mhz = [int(clock) / 1000 for clock in clocks if clock and clock.isdecimal()]
    if not mhz:
        mhz = [float(line.partition(":")[2]) for line in _lines("/proc/cpuinfo") if line.startswith("cpu MHz")]
    return sum(mhz) / len(mhz) if mhz else None


def temperature() -> float | None:
    """The hottest sensor in °C; None where the system does not report it."""
    if not LINUX:
        try:
            readings = _psutil().sensors_temperatures()
        except (AttributeError, OSError):
            return None
        degrees = [float(reading.current) for sensor in readings.values() for reading in sensor if reading.current]
        return max(degrees, default=None)
    sensors = [*Path("/sys/class/hwmon").glob("hwmon*/temp*_input")]
    sensors = sensors or [*Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    lines = [first_line(str(path)) for path in sensors]
    return max(
        (int(line) / 1000 for line in lines if line and line.lstrip("-").isdecimal() and int(line)), default=None
    )


def first_line(path: str) -> str | None:
    """The first line of a small file; None where it cannot be read."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _meminfo(name: str) -> int:
    for line in _lines("/proc/meminfo"):
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _psutil() -> Any:
    return require("psutil", "bench")
