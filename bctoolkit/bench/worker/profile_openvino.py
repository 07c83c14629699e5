"""The profile by operators that OpenVINO's own counters give."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.worker.operators import WARM_UP, OperatorCalls, profile_by_type
from bctoolkit.errors import BackendError
from bctoolkit.runtime.on_openvino import compile_model

__all__ = ["profile"]

METHOD = "OpenVINO's performance counters"
EXECUTED = "EXECUTED"


def profile(model: bytes, provider: str, threads: int, images: NDArray[Any], runs: int) -> Profile:
    """Profile an ONNX model; its nodes are those that OpenVINO has fused.

    Args:
        model: the file's content.
        provider: what to run on.
        threads: threads to compute with.
        images: N × height × width × channels in the model's dtype, run one after the other.
        runs: inferences that count.

    Raises:
        BackendError: as `open_model` does, or there are no counters.
    """
    request = compile_model(model, provider, threads, PERF_COUNT=True).create_infer_request()
    calls: list[OperatorCalls] = []
    for number in range(WARM_UP + runs):
        at = number % len(images)
        request.infer([images[at : at + 1]])
        if number >= WARM_UP:
            calls += _executed(request.profiling_info, provider)
    result = profile_by_type(METHOD, runs, calls)
    if not result.operators:
        raise BackendError("OpenVINO counted no operators; measure without --profile")
    return result


def _executed(counters: Any, provider: str) -> Iterator[OperatorCalls]:
    for node in counters:
        if node.status.name == EXECUTED:
            yield OperatorCalls(node.node_type, provider, 1, node.real_time.total_seconds() * 1000)
