"""Which precision to train in: mixed precision only where the hardware computes it fast."""

from bctoolkit.lazy import require
from bctoolkit.recipes import Precision
from bctoolkit.system import cpu_features

__all__ = ["policy"]

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def policy(precision: Precision) -> str:
    """The Keras dtype policy for a recipe's precision.

    `auto` is mixed_float16 on a GPU, mixed_bfloat16 on a CPU that multiplies bfloat16 in hardware, else float32.
    """
    if precision != "auto":
        return precision
    if require("tensorflow", "train").config.list_physical_devices("GPU"):
        return "mixed_float16"
    return "float32" if BFLOAT16_FLAGS.isdisjoint(cpu_features()) else "mixed_bfloat16"
