"""The profile by operators that ONNX Runtime's own profiler writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.worker.operators import WARM_UP, OperatorCalls, profile_by_type
from bctoolkit.errors import BackendError
from bctoolkit.files import scratch_folder
from bctoolkit.runtime.on_onnxruntime import PROVIDERS, open_session

__all__ = ["profile"]

METHOD = "ONNX Runtime's profiler"
KERNEL, RUN = "_kernel_time", "model_run"


class Attributes(msgspec.Struct, frozen=True):
    """The attributes of a node's event."""

    op_name: str = ""
    provider: str = ""


class Event(msgspec.Struct):
    """One line of the trace; times in microseconds."""

    cat: str
    name: str
    ts: int = 0
    dur: int = 0
    args: Attributes = Attributes()


def profile(model: bytes, provider: str, threads: int, images: NDArray[Any], runs: int) -> Profile:
    """Profile an ONNX model.

    Args:
        model: the file's content.
        provider: what to run on.
        threads: threads within an operator.
        images: N × height × width × channels in the model's dtype, run one after the other.
        runs: inferences that count.

    Raises:
        BackendError: as `open_model` does, or the profiler wrote no operators.
    """
    with scratch_folder() as folder:
        session = open_session(model, provider, threads, profile=str(folder / "trace"))
        name = session.get_inputs()[0].name
        for number in range(WARM_UP + runs):
            at = number % len(images)
            session.run(None, {name: images[at : at + 1]})
        events = msgspec.json.decode(Path(session.end_profiling()).read_bytes(), type=list[Event])
    result = profile_by_type(METHOD, runs, _kernels(events))
    if not result.operators:
        raise BackendError("ONNX Runtime's profiler reported no operators; measure without --profile")
    return result


def _kernels(events: list[Event]) -> Iterator[OperatorCalls]:
    """The kernels of the runs after the warm-up."""
    names = {full: name for name, full in PROVIDERS.items()}
    begun = sorted(event.ts for event in events if event.name == RUN)[WARM_UP]
    for event in events:
        if event.cat == "Node" and event.name.endswith(KERNEL) and event.ts >= begun:
            where = names.get(event.args.provider, event.args.provider)
            yield OperatorCalls(event.args.op_name, where, 1, event.dur / 1000)
