"""Which precision `auto` means."""

import pytest

from bctoolkit.recipes import Precision
from bctoolkit.train import precision


@pytest.mark.parametrize("given", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_precision_that_is_named_stays(given: Precision) -> None:
    assert precision.policy(given) == given


@pytest.mark.parametrize(
    ("gpus", "flags", "expected"),
    [
        (1, {"avx512_bf16"}, "mixed_float16"),
        (0, {"avx2", "avx512_bf16"}, "mixed_bfloat16"),
        (0, {"amx_bf16"}, "mixed_bfloat16"),
        (0, {"avx2", "avx512f"}, "float32"),
        (0, set(), "float32"),
    ],
)
def test_auto_is_half_precision_only_where_hardware_computes_it(
    gpus: int, flags: set[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] * gpus)
    monkeypatch.setattr(precision, "cpu_features", lambda: flags)
    assert precision.policy("auto") == expected
