"""What `python -m perf.gpu` writes."""

from typing import Literal

import msgspec

__all__ = ["Check", "GpuReport"]


class Check(msgspec.Struct, kw_only=True):
    """One thing that was asked of a GPU."""

    name: str
    outcome: Literal["passed", "failed", "not run"]
    reason: str = ""
    """Why it failed or was not run."""
    figures: dict[str, float | list[float] | str] = {}


class GpuReport(msgspec.Struct, kw_only=True):
    """All of them."""

    schema: int = 1
    created: str
    cpu: str
    gpus: list[str]
    """As their drivers name them; empty where CPUs stood in."""
    stand_in: bool
    """Whether the same code ran on the CPU at a small size: it shows that the checks work, and nothing of a GPU."""
    versions: dict[str, str]
    seconds: float
    checks: list[Check]
