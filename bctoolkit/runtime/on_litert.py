"""TFLite bundles on LiteRT (ai-edge-litert), with its XNNPACK delegate."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import BackendError, ProviderUnavailable
from bctoolkit.lazy import require

__all__ = ["LiteRtBackend", "open_model"]


class LiteRtBackend:
    """One LiteRT interpreter whose graph takes one image at a time.

    Probabilities that the graph tells as integers are turned back into floats by the output's scale and zero point;
    they add up to one within half a step per class.
    """

    provider = "cpu"

    def __init__(self, interpreter: Any, threads: int) -> None:
        self._interpreter = interpreter
        output = interpreter.get_output_details()[0]
        self._input = interpreter.get_input_details()[0]["index"]
        self._output = output["index"]
        self._scale, self._zero = output["quantization"]
        self._whole = output["dtype"] is not np.float32
        self.threads = threads

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the batch, image by image."""
        return np.concatenate([self._one(batch[i : i + 1]) for i in range(len(batch))])

    def _one(self, image: NDArray[Any]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        told: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return (told.astype(np.float32) - self._zero) * np.float32(self._scale) if self._whole else told


def open_model(model: bytes, provider: str, threads: int) -> LiteRtBackend:
    """Open a TFLite model.

    Raises:
        MissingExtra: LiteRT is not installed.
        ProviderUnavailable: anything but `cpu` was asked for.
        BackendError: LiteRT refuses the file.
    """
    litert = require("ai_edge_litert.interpreter", "tflite")
    if provider != "cpu":
        raise ProviderUnavailable(f"LiteRT runs on cpu here, not on {provider!r}")
    try:
        interpreter = litert.Interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as problem:
        raise BackendError(f"LiteRT cannot open the model: {problem}") from None
    return LiteRtBackend(interpreter, threads)
