"""ONNX bundles on ONNX Runtime."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import ProviderUnavailable
from bctoolkit.lazy import require
from bctoolkit.runtime.backends import Placement, engine_errors
from bctoolkit.runtime.saturation import engine_saturates, never_saturates

__all__ = ["PROVIDERS", "OnnxRuntimeBackend", "open_model", "open_session"]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "qnn": "QNNExecutionProvider",
}
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
ADD_EXACTLY = "session.x64quantprecision"


class OnnxRuntimeBackend:
    """One ONNX Runtime session."""

    def __init__(self, session: Any, provider: str) -> None:
        self._session = session
        image = session.get_inputs()[0]
        self._input = image.name
        self._single = image.shape[:1] == [1]
        self.provider = provider
        self.threads = int(session.get_session_options().intra_op_num_threads)

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the whole batch in one call, or image by image where the graph takes one at a time."""
        if self._single and len(batch) > 1:
            return np.concatenate([self.run(batch[i : i + 1]) for i in range(len(batch))])
        with engine_errors("ONNX Runtime failed at this image"):
            result: NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        return result

    def placement(self) -> Placement | None:
        """The graph's operators by provider, before each provider fuses its own; None from an ONNX Runtime too old."""
        assignment = getattr(self._session, "get_provider_graph_assignment_info", None)
        if assignment is None:
            return None
        names = {full: name for name, full in PROVIDERS.items()}
        operators = Counter[str]()
        for part in assignment():
            operators[names.get(part.ep_name, part.ep_name)] += len(part.get_nodes())
        return Placement(dict(operators))


def open_model(model: bytes, provider: str, threads: int) -> OnnxRuntimeBackend:
    """Open an ONNX model.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
        ProviderUnavailable: the session would not run on `provider`; there is no silent fall-back to the CPU.
        BackendError: ONNX Runtime refuses the file.
    """
    return OnnxRuntimeBackend(open_session(model, provider, threads), provider)


def open_session(model: bytes, provider: str, threads: int, profile: str | None = None) -> Any:
    """Open a session as `open_model` does.

    Integer products are exact: where this CPU would saturate those of a file that does not rule it out, the engine's
    slower mode is chosen, which changes nothing else.

    Args:
        model: the file's content.
        provider: a name in `PROVIDERS`.
        threads: threads within an operator.
        profile: the beginning of the path that the session's own profiler writes to; not profiled by default.
    """
    runtime = require("onnxruntime", "onnx")
    name = PROVIDERS.get(provider)
    if name is None:
        raise ProviderUnavailable(f"unknown provider {provider!r}; providers: {', '.join(PROVIDERS)}")
    available = runtime.get_available_providers()
    if name not in available:
        raise ProviderUnavailable(f"this ONNX Runtime has no {name}; it has {', '.join(available)}")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry(RECORD_PLACEMENT, "1")
    if provider == "cpu" and not never_saturates(model) and engine_saturates():
        options.add_session_config_entry(ADD_EXACTLY, "1")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    with engine_errors("ONNX Runtime cannot open the model"):
        session = runtime.InferenceSession(model, options, providers=[name])
    _check_runs_on(provider, session)
    return session


def _check_runs_on(provider: str, session: Any) -> None:
    """Refuse a session that has fallen back to the CPU, as a whole or operator by operator."""
    name, active = PROVIDERS[provider], session.get_providers()
    if active[0] != name:
        raise ProviderUnavailable(f"asked for {name}, the session runs on {active[0]}; check driver and libraries")
    placed = None if provider == "cpu" else OnnxRuntimeBackend(session, provider).placement()
    if placed is not None and not placed.operators.get(provider):
        counts = ", ".join(f"{count} on {other}" for other, count in placed.operators.items())
        raise ProviderUnavailable(f"asked for {name}, but it takes none of the model's operators: {counts}")
