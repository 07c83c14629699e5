"""TFLite bundles on LiteRT's compiled model, its newer interface: the CPU as the interpreter has it, and GPUs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import BackendError, ProviderUnavailable
from bctoolkit.lazy import require
from bctoolkit.runtime.backends import Placement, engine_errors
from bctoolkit.runtime.model_files.tflite_file import GraphFacts, graph_facts
from bctoolkit.runtime.on_litert import Pool
from bctoolkit.system import usable_cpus

__all__ = ["PROVIDERS", "CompiledBackend", "open_model"]


class Accelerator(NamedTuple):
    """What computes."""

    name: str
    """LiteRT's `HardwareAccelerator`."""
    kernels: str | None
    """LiteRT's `CpuKernelMode`."""
    runs: str
    """What runs the operators, as `placement` names it."""
    enforce_float32: bool = False
    """A GPU computes floats in float16 otherwise."""


PROVIDERS = {
    "cpu": Accelerator("CPU", "DELEGATE", "xnnpack"),
    "builtin": Accelerator("CPU", "BUILTIN", "builtin"),
    "gpu": Accelerator("GPU", None, "gpu", enforce_float32=True),
    "gpu-f16": Accelerator("GPU", None, "gpu"),
}


class CompiledBackend:
    """Compiled models of one graph that takes one image at a time, each with buffers of its own.

    As of interpreters, there are as many as there are CPUs for their threads, and calls of several threads take turns
    beyond that. LiteRT does not tell how many threads it computes with, so `threads` is what it was given.
    """

    def __init__(
        self, compile_one: Callable[[], Any], facts: GraphFacts, provider: str, threads: int, most: int = 1
    ) -> None:
        self._facts, self._dtype = facts, np.dtype(facts.dtype).type
        first = _Compiled(compile_one())
        self._complete = first.model.is_fully_accelerated()
        self._models = Pool(first, lambda: _Compiled(compile_one()), most)
        self.provider = provider
        self.threads = threads

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the batch, image by image; integers are turned back into floats by scale and zero point."""
        with engine_errors("LiteRT failed at this image"):
            answers = np.stack([self._one(batch[i : i + 1]) for i in range(len(batch))])
        if self._dtype is np.float32:
            return answers
        return (answers.astype(np.float32) - self._facts.zero_point) * np.float32(self._facts.scale)

    def placement(self) -> Placement | None:
        """The file's operators where all are run alike; None where a delegate runs some, for LiteRT does not say."""
        runs = PROVIDERS[self.provider].runs
        if runs == "builtin":
            return Placement({runs: self._facts.operators}, 0)
        return Placement({runs: self._facts.operators}, 1) if self._complete else None

    def _one(self, image: NDArray[Any]) -> NDArray[Any]:
        with self._models.lend() as compiled:
            return compiled.run(image, self._dtype)


class _Compiled:
    """A compiled model with its input and its output."""

    def __init__(self, model: Any) -> None:
        self.model = model
        (self._input,), (self._output,) = model.create_input_buffers(0), model.create_output_buffers(0)
        key = next(iter(model.get_signature_list()))
        ((_, output),) = model.get_output_tensor_details(key).items()
        self._numbers = int(np.prod(output["shape"]))

    def run(self, image: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
        self._input.write(np.ascontiguousarray(image))
        self.model.run_by_index(0, [self._input], [self._output])
        # as bytes, for `read` knows no int16
        content = self._output.read(self._numbers * np.dtype(dtype).itemsize, np.int8)
        return np.array(content).view(dtype)


def open_model(model: bytes, provider: str, threads: int) -> CompiledBackend:
    """Open a TFLite model.

    Raises:
        MissingExtra: LiteRT is not installed, or has no compiled model.
        ProviderUnavailable: `provider` is none of `PROVIDERS`, or a GPU that is not there or takes only some of the
            operators; there is no silent fall-back to the CPU.
        BackendError: LiteRT refuses the file, or it keeps state, which only the interpreter can reset.
    """
    litert = require("ai_edge_litert.compiled_model", "tflite")
    if provider not in PROVIDERS:
        raise ProviderUnavailable(f"unknown provider {provider!r}; providers: {', '.join(PROVIDERS)}")
    with engine_errors("LiteRT cannot open the model"):
        facts = graph_facts(model)
    if facts.variables:
        raise BackendError(
            f"the model keeps {facts.variables} tensors from image to image, which LiteRT's compiled model cannot "
            "reset; use the engine litert"
        )
    return CompiledBackend(
        _compiler(litert, model, provider, threads), facts, provider, threads, max(1, usable_cpus() // threads)
    )


def _on_gpu(accelerator: Accelerator) -> bool:
    return accelerator.name == "GPU"


def _compiler(litert: Any, model: bytes, provider: str, threads: int) -> Callable[[], Any]:
    """What opens the model, as often as it is called, in one environment."""
    accelerator = PROVIDERS[provider]
    on_gpu = _on_gpu(accelerator)
    folder = str(Path(litert.__file__).parent) if on_gpu else None  # where LiteRT looks for GPU and NPU libraries
    with engine_errors("LiteRT cannot open the model"):
        environment = litert.Environment.create(options=litert.EnvironmentOptions(runtime_path=folder))
        options = litert.Options(getattr(litert.HardwareAccelerator, accelerator.name))
        if accelerator.kernels is not None:
            mode = getattr(litert.CpuKernelMode, accelerator.kernels)
            options.cpu_options.num_threads, options.cpu_options.kernel_mode = threads, mode
        options.gpu_options.enforce_f32 = accelerator.enforce_float32

    def compile_one() -> Any:
        try:
            with engine_errors("LiteRT cannot open the model"):
                compiled = litert.CompiledModel.from_buffer(model, environment=environment, options=options)
        except BackendError:
            if on_gpu:  # LiteRT's own words are lines of its source
                raise ProviderUnavailable(f"asked for {provider}, but LiteRT finds no GPU here for the model") from None
            raise
        if on_gpu and not compiled.is_fully_accelerated():
            raise ProviderUnavailable(f"asked for {provider}, but LiteRT's GPU takes only some of the operators")
        return compiled

    return compile_one
