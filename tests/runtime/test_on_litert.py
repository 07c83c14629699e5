"""The LiteRT adapter on outputs of every kind."""

import numpy as np
import pytest

from bctoolkit.errors import BackendError, ProviderUnavailable
from bctoolkit.runtime.on_litert import LiteRtBackend, open_model


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
    told = LiteRtBackend(Echo(dtype, quantization), 1).run(batch)
    assert told.dtype == np.float32
    assert told.tolist() == expected


def test_another_provider_and_another_file_are_refused() -> None:
    with pytest.raises(ProviderUnavailable, match="LiteRT runs on cpu here, not on 'npu'"):
        open_model(b"", "npu", 1)
    with pytest.raises(BackendError, match="LiteRT cannot open the model"):
        open_model(b"not a model", "cpu", 1)
