"""What the system and the installation are: time, versions, CPUs."""

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

__all__ = ["CPU_FEATURES", "cache_folder", "cpu_features", "cpu_info", "cpu_name", "usable_cpus", "utc_now", "versions"]

CPU_FEATURES = (
    "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme", "sme2",
)  # fmt: skip
"""Instruction sets, as Linux calls them, that decide how float32, bfloat16 and int8 products run on x86 and Arm."""


def utc_now() -> str:
    """The time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cache_folder() -> Path:
    """Ours below the cache folder of https://specifications.freedesktop.org/basedir-spec; a relative one is ignored.

    Raises:
        OSError: nobody knows where this user's files are.
    """
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        cache = stated if stated.is_absolute() else Path.home() / ".cache"
    except RuntimeError as problem:
        raise OSError(str(problem)) from None
    if not cache.is_absolute():
        raise OSError("the home folder is relative")
    return cache / "bctoolkit"


def usable_cpus() -> int:
    """How many CPUs this process may use: those of its affinity, and no more than its control group's quota allows.

    A quota of 1.5 CPUs counts as one: a second thread would spend half of every period stopped, and the first waiting.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in _cpu_quotas(Path("/")))]))


def _cpu_quotas(root: Path) -> Iterator[float]:
    """CPUs that each control group above this process may use, where it has a limit.

    Version 2: https://docs.kernel.org/admin-guide/cgroup-v2.html, `cpu.max`; version 1: `cpu.cfs_quota_us`. In a
    container the group's own folder is often mounted as the top one.

    Args:
        root: where `proc` and `sys` are.
    """
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            tree = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            tree = root / "sys/fs/cgroup" / controllers
        else:
            continue
        own = Path(os.path.normpath("/" + path.lstrip("/"))).relative_to("/")
        for folder in (tree / part for part in (own, *own.parents)):
            quota, period = _limit(folder)
            if quota > 0 and period > 0:
                yield quota / period


def _limit(folder: Path) -> tuple[float, float]:
    """Quota and period of a control group, in microseconds; zeros where it has none."""
    words = " ".join(_lines(folder / "cpu.max")).split()
    if not words:
        words = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:  # "max", or not there
        return 0, 0
    return quota, period


def _lines(path: Path) -> list[str]:
    """A small file's lines; none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def cpu_info() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo; empty where the system has none."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            first = list(takewhile(str.strip, file))  # the system writes an entry as it is read, slowly
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first)
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
    from importlib import metadata  # a third of what the runtime would import otherwise

    installed = {"python": platform.python_version()}
    for name in packages:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
