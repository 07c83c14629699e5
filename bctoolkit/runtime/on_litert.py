"""TFLite bundles on LiteRT (ai-edge-litert): with its XNNPACK delegate, or on its built-in kernels alone."""

import threading
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

    Probabilities that the graph returns as integers are turned back into floats by the output's scale and zero point;
    they add up to one within half a step per class.

    Threads take turns: an interpreter holds the image and the answer in memory of its own, so that without a lock two
    threads may be given each other's answers.
    """

    def __init__(self, interpreter: Any, provider: str, threads: int) -> None:
        self._interpreter = interpreter
        output = interpreter.get_output_details()[0]
        self._input = interpreter.get_input_details()[0]["index"]
        self._output = output["index"]
        self._scale, self._zero_point = output["quantization"]
        self._is_integer = output["dtype"] is not np.float32
        self._turn = threading.Lock()
        self.provider = provider
        self.threads = threads

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the batch, image by image."""
        return np.concatenate([self._one(batch[i : i + 1]) for i in range(len(batch))])

    def placement(self) -> Placement | None:
        """The file's operators by what runs them, and the partitions of the delegate."""
        details = getattr(self._interpreter, "_get_ops_details", None)
        if details is None:
            return None
        outputs = [output["index"] for output in self._interpreter.get_output_details()]
        return _placement(details(), outputs)

    def _one(self, image: NDArray[Any]) -> NDArray[np.float32]:
        with self._turn:
            self._interpreter.reset_all_variables()  # else what a recurrent layer keeps of the image before counts too
            self._interpreter.set_tensor(self._input, image)
            self._interpreter.invoke()
            output: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return (output.astype(np.float32) - self._zero_point) * np.float32(self._scale) if self._is_integer else output


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
        raise BackendError(f"LiteRT cannot open the model: {' '.join(str(problem).split())}") from None
    return LiteRtBackend(interpreter, provider, threads)


def _placement(operators: list[dict[str, Any]], outputs: list[int]) -> Placement:
    """Separate the operators that are run from those a delegate has taken.

    LiteRT lists both, and each partition as one more operator at the end. What runs is what the outputs lead back to.
    """
    producers = {int(tensor): operator for operator in operators for tensor in operator["outputs"]}
    run: dict[int, str] = {}
    pending = list(outputs)
    while pending:
        producer = producers.get(int(pending.pop()))
        if producer is not None and producer["index"] not in run:
            run[producer["index"]] = producer["op_name"]
            pending += list(producer["inputs"])
    partitions = sum(name == DELEGATE for name in run.values())
    builtin = len(run) - partitions
    taken = len(operators) - len(run)
    counts = {"xnnpack": taken, "builtin": builtin}
    return Placement({name: count for name, count in counts.items() if count}, partitions)
