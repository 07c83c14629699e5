"""What the system and the installation are: time, versions, CPUs."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["CPU_FEATURES", "cpu_features", "cpu_info", "cpu_name", "usable_cpus", "utc_now", "versions"]

CPU_FEATURES = (
    "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme", "sme2",
)  # fmt: skip
"""Instruction sets, as Linux calls them, that decide how float32, bfloat16 and int8 products run on x86 and Arm."""


def utc_now() -> str:
    """The time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_info() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo; empty where the system has none."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_name() -> str:
    """The processor in its maker's words, or its architecture where the system names no more."""
    return cpu_info().get("model name") or platform.processor() or platform.machine()


def cpu_features() -> tuple[str, ...]:
    """Those of `CPU_FEATURES` that the processor has; empty where the system names none."""
    info = cpu_info()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return tuple(feature for feature in CPU_FEATURES if feature in flags)


def versions(*packages: str) -> dict[str, str]:
    """Python's version and those of the installed ones of `packages`, none of which is imported."""
    installed = {"python": platform.python_version()}
    for name in packages:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
