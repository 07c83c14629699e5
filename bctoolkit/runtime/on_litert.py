"""TFLite bundles on LiteRT (ai-edge-litert): with its XNNPACK delegate, or on its built-in kernels alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import ProviderUnavailable
from bctoolkit.lazy import require
from bctoolkit.runtime.backends import Placement, engine_errors
from bctoolkit.system import usable_cpus

__all__ = ["PROVIDERS", "LiteRtBackend", "Pool", "open_model"]

PROVIDERS = {"cpu": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}
"""Name → LiteRT's `OpResolverType`. On `cpu`, XNNPACK takes every operator it can."""

DELEGATE = "DELEGATE"

T = TypeVar("T")


class Pool(Generic[T]):
    """Lends each thread a thing of its own; another is made only where all are lent, up to so many.

    Args:
        first: what there is at the beginning.
        make: makes another like it.
        most: how many there may be; beyond that a thread waits.
    """

    def __init__(self, first: T, make: Callable[[], T], most: int) -> None:
        self._make, self._most = make, most
        self._idle, self._count = [first], 1
        self._returned = threading.Condition()

    @contextmanager
    def lend(self) -> Iterator[T]:
        """One of them, until the block ends."""
        item = self._take()
        try:
            yield item
        finally:
            self._give_back(item)

    def _take(self) -> T:
        with self._returned:
            while not self._idle and self._count >= self._most:
                self._returned.wait()
            if self._idle:
                return self._idle.pop()
            self._count += 1
        try:
            return self._make()
        except BaseException:
            self._make_room()
            raise

    def _give_back(self, item: T) -> None:
        with self._returned:
            self._idle.append(item)
            self._returned.notify()

    def _make_room(self) -> None:
        """Let a thread that waits try in the place of one that failed."""
        with self._returned:
            self._count -= 1
            self._returned.notify()


class LiteRtBackend:
    """LiteRT interpreters of one graph that takes one image at a time.

    Probabilities that the graph returns as integers are turned back into floats by the output's scale and zero point;
    they add up to one within half a step per class.

    An interpreter holds the image and the answer in memory of its own, so that two threads using one may be given each
    other's answers. Each call has one to itself: as long as there are CPUs for their threads another one is opened
    where all are busy, and then calls take turns.

    Args:
        open_interpreter: opens the graph, as often as it is called.
        provider: what it runs on.
        threads: that each interpreter computes with.
        most: how many interpreters there may be.
    """

    def __init__(self, open_interpreter: Callable[[], Any], provider: str, threads: int, most: int = 1) -> None:
        first = open_interpreter()
        self._interpreters = Pool(first, open_interpreter, most)
        output = first.get_output_details()[0]
        self._input = first.get_input_details()[0]["index"]
        self._output = output["index"]
        self._scale, self._zero_point = output["quantization"]
        self._is_integer = output["dtype"] is not np.float32
        self.provider = provider
        self.threads = threads

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the batch, image by image."""
        with engine_errors("LiteRT failed at this image"):
            return np.concatenate([self._one(batch[i : i + 1]) for i in range(len(batch))])

    def placement(self) -> Placement | None:
        """The file's operators by what runs them, and the partitions of the delegate."""
        with self._interpreters.lend() as interpreter:
            details = getattr(interpreter, "_get_ops_details", None)
            outputs = [output["index"] for output in interpreter.get_output_details()]
            return None if details is None else _placement(details(), outputs)

    def _one(self, image: NDArray[Any]) -> NDArray[np.float32]:
        with self._interpreters.lend() as interpreter:
            interpreter.reset_all_variables()  # else what a recurrent layer keeps of the image before counts too
            interpreter.set_tensor(self._input, image)
            interpreter.invoke()
            output: NDArray[Any] = interpreter.get_tensor(self._output)
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

    def open_interpreter() -> Any:
        with engine_errors("LiteRT cannot open the model"):
            interpreter = litert.Interpreter(
                model_content=model, num_threads=threads, experimental_op_resolver_type=resolver
            )
            interpreter.allocate_tensors()
        return interpreter

    return LiteRtBackend(open_interpreter, provider, threads, max(1, usable_cpus() // threads))


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
