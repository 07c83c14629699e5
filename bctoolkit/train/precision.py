"""Which precision to train in: mixed precision only where the hardware computes it fast."""

from bctoolkit.lazy import require
from bctoolkit.recipes import Precision
from bctoolkit.tools import cpu_info

__all__ = ["policy"]

BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


def policy(precision: Precision) -> str:
    """The Keras dtype policy for a recipe's precision.

    `auto` is mixed_float16 on a GPU, mixed_bfloat16 on a CPU that multiplies bfloat16 in hardware, else float32.
    """
    if precision != "auto":
        return precision
    if require("tensorflow", "train").config.list_physical_devices("GPU"):
        return "mixed_float16"
    return "mixed_bfloat16" if any(flag in _cpu_flags() for flag in BFLOAT16_FLAGS) else "float32"


def _cpu_flags() -> frozenset[str]:
    """The CPU's feature flags, where the system tells them (Linux)."""
    return frozenset(cpu_info().get("flags", "").split())
