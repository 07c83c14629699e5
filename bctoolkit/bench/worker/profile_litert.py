"""The profile by operators that LiteRT's own profiler makes, XNNPACK's operators inside the delegate included.

The Python package has no call for it, but the library it carries has: a compiled model of LiteRT's C API
(`litert/c/litert_compiled_model.h`, `litert_profiler.h`) opened with `enable_profiling`, whose summary names each type
of operator, how often it was called and its share of the time.
"""

import ctypes
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.worker.operators import WARM_UP, OperatorCalls, profile_by_type
from bctoolkit.errors import BackendError, ProviderUnavailable
from bctoolkit.lazy import require

__all__ = ["profile", "read_summary"]

METHOD = "LiteRT's profiler"
OLDEST = (2, 3)
"""The first version of ai-edge-litert whose C interface this was held against."""
KERNELS = {"cpu": 0, "builtin": 2}
"""Provider → `LiteRtCpuKernelMode`."""
CPU, READ, WRITE = 1, 0, 1
TENSOR_TYPE_BYTES = 1024
"""More than a `LiteRtRankedTensorType` takes; it is only handed on."""

Handle = ctypes.c_void_p
KEEP = ctypes.CFUNCTYPE(None, Handle)(lambda payload: None)
"""Frees nothing: the options' texts belong to Python."""
ROW = re.compile(r"^\s*(?P<name>\S.*?)\s+\d+\s+[\d.]+\s+(?P<share>[\d.]+)%\s+[\d.]+%\s+[\d.]+\s+(?P<calls>\d+)$", re.M)
WHOLE = re.compile(r"^Timings \(microseconds\): .*?curr=(?P<us>\d+)", re.M)
HEADING = "Summary by node type"
DELEGATED = "Delegate/"


def profile(model: bytes, provider: str, threads: int, images: NDArray[Any], runs: int) -> Profile:
    """Profile a TFLite model that has one input and one output.

    Args:
        model: the file's content.
        provider: `cpu` or `builtin`.
        threads: threads to compute with.
        images: N × height × width × channels in the model's dtype, run one after the other.
        runs: inferences that count.

    Raises:
        MissingExtra: LiteRT is not installed.
        ProviderUnavailable: `provider` is none of LiteRT's.
        BackendError: this LiteRT has no such profiler, or it refuses the file.
    """
    if provider not in KERNELS:
        raise ProviderUnavailable(f"unknown provider {provider!r}; providers: {', '.join(KERNELS)}")
    compiled = CompiledModel(model, KERNELS[provider], threads)
    for number in range(WARM_UP):
        compiled.run(images[number % len(images)])
    compiled.start_profiler()
    for number in range(runs):
        compiled.run(images[number % len(images)])
    return profile_by_type(METHOD, runs, read_summary(compiled.summary()))


class CompiledModel:
    """A model opened by LiteRT's C interface, with its profiler. The process that makes one is not for long."""

    def __init__(self, model: bytes, kernels: int, threads: int) -> None:
        self._library = _library()
        self._content = ctypes.create_string_buffer(model, len(model))
        self._option_texts: list[ctypes.Array[ctypes.c_char]] = []
        self._environment = self._handle("LiteRtCreateEnvironment", 0, None)
        size = ctypes.c_size_t(len(model))
        opened = self._handle("LiteRtCreateModelFromBuffer", self._environment, self._content, size)
        options = self._options(f"num_threads = {threads}\nkernel_mode = {kernels}\n")
        self._model = self._handle("LiteRtCreateCompiledModel", self._environment, opened, options)
        signature = self._handle("LiteRtGetModelSignature", opened, ctypes.c_size_t(0))
        self._input, self._output = (self._buffer(signature, kind) for kind in ("Input", "Output"))
        self._profiler = self._handle("LiteRtCompiledModelGetProfiler", self._model)

    def run(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Run one image, height × width × channels; the bytes of the output."""
        self._copy(self._input, np.ascontiguousarray(image).view(np.uint8).reshape(-1), WRITE)
        one = ctypes.c_size_t(1)
        buffers = [(Handle * 1)(buffer) for buffer in (self._input, self._output)]
        self._call("LiteRtRunCompiledModel", self._model, ctypes.c_size_t(0), one, buffers[0], one, buffers[1])
        size = ctypes.c_size_t()
        self._call("LiteRtGetTensorBufferPackedSize", self._output, ctypes.byref(size))
        output = np.empty(size.value, np.uint8)
        self._copy(self._output, output, READ)
        return output

    def start_profiler(self) -> None:
        """Count from here."""
        self._call("LiteRtStartProfiler", self._profiler)

    def summary(self) -> str:
        """What the profiler has counted, as LiteRT writes it for people."""
        self._call("LiteRtStopProfiler", self._profiler)
        text = ctypes.c_char_p()
        self._call("LiteRtGetProfileSummary", self._profiler, self._model, ctypes.byref(text))
        return (text.value or b"").decode(errors="replace")

    def _options(self, cpu: str) -> Handle:
        options = self._handle("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(CPU))
        for name, text in (("runtime_options_string", "enable_profiling = true\n"), ("xnnpack", cpu)):
            self._option_texts.append(ctypes.create_string_buffer(text.encode()))
            added = self._handle("LiteRtCreateOpaqueOptions", name.encode(), self._option_texts[-1], KEEP)
            self._call("LiteRtAddOpaqueOptions", options, added)
        return options

    def _buffer(self, signature: Handle, kind: str) -> Handle:
        count, first = ctypes.c_size_t(), ctypes.c_size_t(0)
        self._call(f"LiteRtGetNumSignature{kind}s", signature, ctypes.byref(count))
        if count.value != 1:
            raise BackendError(f"the model has {count.value} {kind.lower()}s, one is required")
        tensor = self._handle(f"LiteRtGetSignature{kind}TensorByIndex", signature, first)
        dtype = ctypes.create_string_buffer(TENSOR_TYPE_BYTES)
        self._call("LiteRtGetRankedTensorType", tensor, dtype)
        needs = self._handle(f"LiteRtGetCompiledModel{kind}BufferRequirements", self._model, first, first)
        return self._handle("LiteRtCreateManagedTensorBufferFromRequirements", self._environment, dtype, needs)

    def _copy(self, buffer: Handle, content: NDArray[np.uint8], direction: int) -> None:
        """Copy bytes into a buffer, or out of it."""
        size, host = ctypes.c_size_t(), Handle()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        if size.value != content.nbytes:
            raise BackendError(f"the model's tensor holds {size.value} bytes, the image {content.nbytes}")
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(host), ctypes.c_int(direction))
        target, source = (host, content.ctypes.data) if direction == WRITE else (content.ctypes.data, host)
        ctypes.memmove(target, source, content.nbytes)
        self._call("LiteRtUnlockTensorBuffer", buffer)

    def _handle(self, function: str, *arguments: Any) -> Handle:
        """The handle that a function fills as its last argument."""
        handle = Handle()
        self._call(function, *arguments, ctypes.byref(handle))
        return handle

    def _call(self, function: str, *arguments: Any) -> None:
        called = getattr(self._library, function)
        called.restype = ctypes.c_int
        status = called(*arguments)
        if status:
            raise BackendError(f"LiteRT's {function} ended with status {status}; measure without --profile")


def read_summary(text: str) -> Iterator[OperatorCalls]:
    """The rows of the summary by type; times from each type's share, for its mean per call is rounded to 1 µs.

    Raises:
        BackendError: there are none.
    """
    whole, rows = WHOLE.search(text), list(ROW.finditer(text, text.find(HEADING)))
    if HEADING not in text or whole is None or not rows:
        raise BackendError("LiteRT's profiler wrote a summary without operators; measure without --profile")
    for row in rows:
        where = "xnnpack" if row["name"].startswith(DELEGATED) else "builtin"
        ms = float(row["share"]) / 100 * int(whole["us"]) / 1000
        yield OperatorCalls(row["name"].removeprefix(DELEGATED), where, int(row["calls"]), ms)


def _library() -> ctypes.CDLL:
    package = Path(str(require("ai_edge_litert", "tflite").__file__)).parent
    installed = version("ai-edge-litert")
    libraries = sorted(package.glob("libLiteRt.*"))
    if not libraries or tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BackendError(
            f"ai-edge-litert {installed} has no profiler here; install {oldest} or later, or measure without --profile"
        )
    return ctypes.CDLL(str(libraries[0]))
