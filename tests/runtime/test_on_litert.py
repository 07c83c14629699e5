"""The LiteRT adapter on outputs of every kind."""

from pathlib import Path

import numpy as np
import pytest

from bctoolkit.errors import BackendError, ProviderUnavailable
from bctoolkit.runtime import load
from bctoolkit.runtime.backends import Placement
from bctoolkit.runtime.on_litert import LiteRtBackend, open_model

PARTLY = Path(__file__).parents[1] / "stored" / "partly-delegated.tflite"
"""uint8 1×32×32×3 → cast → convolution → cumulative sum → convolution → mean → product → softmax over four classes."""


class Echo:
    """As much of an interpreter as the adapter needs: it answers each image with its first row of bytes."""

    def __init__(self, dtype: type, quantization: tuple[float, int]) -> None:
        self._detail = {"index": 1, "dtype": dtype, "quantization": quantization}

    def get_input_details(self) -> list[dict[str, object]]:
        return [{"index": 0}]

    def get_output_details(self) -> list[dict[str, object]]:
        return [self._detail]

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        self._value = value[:, 0]

    def reset_all_variables(self) -> None:
        pass

    def invoke(self) -> None:
        pass

    def get_tensor(self, index: int) -> np.ndarray:
        return self._value.astype(self._detail["dtype"])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("dtype", "quantization", "expected"),
    [
        (np.uint8, (1 / 256, 0), [[0, 0.5, 1 - 1 / 256], [0.25, 0.25, 0.5]]),
        (np.int8, (1 / 256, -128), [[0.5, 0, 0.5 - 1 / 256], [0.75, 0.75, 0]]),
        (np.float32, (0.0, 0), [[0, 128, 255], [64, 64, 128]]),
    ],
)
def test_integers_become_probabilities_by_scale_and_zero(
    dtype: type, quantization: tuple[float, int], expected: list[list[float]]
) -> None:
    batch = np.array([[[0, 128, 255]], [[64, 64, 128]]], np.uint8)
    told = LiteRtBackend(lambda: Echo(dtype, quantization), "cpu", 1).run(batch)
    assert told.dtype == np.float32
    assert told.tolist() == expected


def test_another_provider_and_another_file_are_refused() -> None:
    with pytest.raises(ProviderUnavailable, match="unknown provider 'npu'; providers: cpu, builtin"):
        open_model(b"", "npu", 1)
    with pytest.raises(BackendError, match="LiteRT cannot open the model"):
        open_model(b"not a model", "cpu", 1)


def test_the_delegate_s_partitions_and_what_stays_outside_are_told() -> None:
    """XNNPACK takes neither the cast nor the sum between its two partitions."""
    assert open_model(PARTLY.read_bytes(), "cpu", 1).placement() == Placement({"xnnpack": 5, "builtin": 2}, 2)


def test_without_the_delegate_the_builtin_kernels_run_everything_and_say_the_same() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    backend = open_model(PARTLY.read_bytes(), "builtin", 1)
    assert backend.provider == "builtin"
    assert backend.placement() == Placement({"builtin": 7}, 0)
    expected = open_model(PARTLY.read_bytes(), "cpu", 1).run(image)
    np.testing.assert_allclose(backend.run(image), expected, atol=1e-5)


def test_a_tiny_bundle_runs_in_one_partition(workspace: Path) -> None:
    placed = load(workspace / "exports" / "bundles" / "tiny-tflite-fp32", threads=1).backend.placement()
    assert placed is not None
    assert placed.partitions == 1
    assert "builtin" not in placed.operators
