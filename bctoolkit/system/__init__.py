"""The system below: what it is, and in `counters` what it counts while a program runs."""

from bctoolkit.system.facts import (
    CPU_FEATURES,
    cache_folder,
    cpu_features,
    cpu_info,
    cpu_name,
    usable_cpus,
    utc_now,
    versions,
)

__all__ = ["CPU_FEATURES", "cache_folder", "cpu_features", "cpu_info", "cpu_name", "usable_cpus", "utc_now", "versions"]
