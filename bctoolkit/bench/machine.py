"""The machine's fingerprint, from what the system tells; nothing is guessed."""

import os
import platform
import sys
from pathlib import Path

from bctoolkit.bench.report import Machine
from bctoolkit.lazy import require
from bctoolkit.tools import cpu_info, usable_cpus, versions

__all__ = ["fingerprint", "peak_rss"]

TELLING_FLAGS = (
    "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Instruction sets that decide how fast float32, bfloat16 and int8 products run on x86 and Arm."""

PACKAGES = ("bctoolkit", "numpy", "onnxruntime", "onnxruntime-gpu", "ai-edge-litert")


def fingerprint() -> Machine:
    """Describe this machine.

    Raises:
        MissingExtra: psutil is not installed.
    """
    psutil = require("psutil", "bench")
    info = cpu_info()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return Machine(
        system=platform.platform(),
        cpu=info.get("model name") or platform.processor() or platform.machine(),
        cpu_flags=tuple(flag for flag in TELLING_FLAGS if flag in flags),
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
    found = [reading.current for sensor in readings.values() for reading in sensor if reading.current]
    return float(max(found)) if found else None
