"""ONNX bundles on ONNX Runtime."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import BackendError, ProviderUnavailable
from bctoolkit.lazy import require

__all__ = ["OnnxRuntimeBackend", "open_model"]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeBackend:
    """One ONNX Runtime session."""

    def __init__(self, session: Any, provider: str) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.provider = provider
        self.threads = int(session.get_session_options().intra_op_num_threads)

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the whole batch in one call."""
        result: NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        return result


def open_model(model: bytes, provider: str, threads: int) -> OnnxRuntimeBackend:
    """Open an ONNX model.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
        ProviderUnavailable: the session would not run on `provider`; there is no silent fall-back to the CPU.
        BackendError: ONNX Runtime refuses the file.
    """
    runtime = require("onnxruntime", "onnx")
    wanted = PROVIDERS.get(provider)
    if wanted is None:
        raise ProviderUnavailable(f"unknown provider {provider!r}; providers: {', '.join(PROVIDERS)}")
    available = runtime.get_available_providers()
    if wanted not in available:
        raise ProviderUnavailable(f"this ONNX Runtime has no {wanted}; it has {', '.join(available)}")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(model, options, providers=[wanted])
    except Exception as problem:  # its exception classes are private to a C extension
        raise BackendError(f"ONNX Runtime cannot open the model: {problem}") from None
    active = session.get_providers()
    if active[0] != wanted:
        raise ProviderUnavailable(f"asked for {wanted}, the session runs on {active[0]}; check driver and libraries")
    return OnnxRuntimeBackend(session, provider)
