"""TFLite bundles on LiteRT (ai-edge-litert): with its XNNPACK delegate, or on its built-in kernels alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import BackendError, ProviderUnavailable
from bctoolkit.lazy import require
from bctoolkit.runtime.backends import Placement

__all__ = ["PROVIDERS", "LiteRtBackend", "open_model"]

PROVIDERS = {"cpu": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}
"""Name → LiteRT's `OpResolverType`. On `cpu`, XNNPACK takes every operator it can."""

DELEGATE = "DELEGATE"


class LiteRtBackend:
    """One LiteRT interpreter whose graph takes one image at a time.

    Probabilities that the graph tells as integers are turned back into floats by the output's scale and zero point;
    they add up to one within half a step per class.
    """

    def __init__(self, interpreter: Any, provider: str, threads: int) -> None:
        self._interpreter = interpreter
        output = interpreter.get_output_details()[0]
        self._input = interpreter.get_input_details()[0]["index"]
        self._output = output["index"]
        self._scale, self._zero = output["quantization"]
        self._whole = output["dtype"] is not np.float32
        self.provider = provider
        self.threads = threads

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the batch, image by image."""
        return np.concatenate([self._one(batch[i : i + 1]) for i in range(len(batch))])

    def placement(self) -> Placement | None:
        """The file's operators by what runs them, and the partitions of the delegate."""
        told = getattr(self._interpreter, "_get_ops_details", None)
        if told is None:
            return None
        outputs = [output["index"] for output in self._interpreter.get_output_details()]
        return _placement(told(), outputs)

    def _one(self, image: NDArray[Any]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        told: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return (told.astype(np.float32) - self._zero) * np.float32(self._scale) if self._whole else told


def open_model(model: bytes, provider: str, threads: int) -> LiteRtBackend:
    """Open a TFLite model.

    Raises:
        MissingExtra: LiteRT is not installed.
        ProviderUnavailable: `provider` is none of `PROVIDERS`.
        BackendError: LiteRT refuses the file.
    """
    litert = require("ai_edge_litert.interpreter", "tflite")
    if provider not in PROVIDERS:
        raise ProviderUnavailable(f"unknown provider {provider!r}; providers: {', '.join(PROVIDERS)}")
    resolver = getattr(litert.OpResolverType, PROVIDERS[provider])
    try:
        interpreter = litert.Interpreter(
            model_content=model, num_threads=threads, experimental_op_resolver_type=resolver
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as problem:
        raise BackendError(f"LiteRT cannot open the model: {problem}") from None
    return LiteRtBackend(interpreter, provider, threads)


def _placement(operators: list[dict[str, Any]], outputs: list[int]) -> Placement:
    """Tell the operators that are run from those a delegate has taken.

    LiteRT lists both, and each partition as one more operator at the end. What runs is what the outputs lead back to.
    """
    makers = {int(tensor): operator for operator in operators for tensor in operator["outputs"]}
    run: dict[int, str] = {}
    wanted = list(outputs)
    while wanted:
        maker = makers.get(int(wanted.pop()))
        if maker is not None and maker["index"] not in run:
            run[maker["index"]] = maker["op_name"]
            wanted += list(maker["inputs"])
    partitions = sum(name == DELEGATE for name in run.values())
    builtin = len(run) - partitions
    taken = len(operators) - len(run)
    counts = {"xnnpack": taken, "builtin": builtin}
    return Placement({name: count for name, count in counts.items() if count}, partitions)
