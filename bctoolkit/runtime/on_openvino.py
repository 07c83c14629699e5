"""ONNX bundles on OpenVINO: Intel's and AMD's CPUs, and Intel's GPUs and NPUs."""

import io
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import ProviderUnavailable
from bctoolkit.lazy import require
from bctoolkit.runtime.backends import Placement, engine_errors

__all__ = ["PROVIDERS", "Device", "OpenVinoBackend", "compile_model", "open_model"]


class Device(NamedTuple):
    """Where a model is computed, and how precisely."""

    name: str
    """As OpenVINO lists it."""
    precision: str
    """Of what the file leaves in floating point; OpenVINO alone would choose the device's fastest."""
    capability: str
    """What the device says that it can do where it computes so."""


PROVIDERS = {
    "cpu": Device("CPU", "f32", "FP32"),
    "cpu-bf16": Device("CPU", "bf16", "BF16"),
    "gpu": Device("GPU", "f32", "FP32"),
    "gpu-f16": Device("GPU", "f16", "FP16"),
    "npu": Device("NPU", "f16", "FP16"),
}
NO_WORK = ("Const", "Input", "Output")
"""Types of nodes in OpenVINO's compiled graph that compute nothing."""


class OpenVinoBackend:
    """A model compiled for one image, and for more of them once a batch comes.

    Images of a known number are computed faster than of any number. Calls of several threads take turns.

    Args:
        compile_for: compiles the graph for so many images, for any number of them with -1.
        free_batch: whether the graph takes any number.
        provider: what it runs on.
        threads: what was asked for; read back where the device has threads.
    """

    def __init__(self, compile_for: Callable[[int], Any], free_batch: bool, provider: str, threads: int) -> None:
        self._compile_for, self._free_batch = compile_for, free_batch
        self._compiled = {1: compile_for(1)}
        self._requests = {1: self._compiled[1].create_infer_request()}
        self._turn = threading.Lock()
        self.provider = provider
        on_cpu = PROVIDERS[provider].name == "CPU"
        self.threads = int(self._compiled[1].get_property("INFERENCE_NUM_THREADS")) if on_cpu else threads

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the whole batch in one call, or image by image where the graph takes one at a time."""
        if len(batch) > 1 and not self._free_batch:
            return np.concatenate([self.run(batch[i : i + 1]) for i in range(len(batch))])
        with engine_errors("OpenVINO failed at this image"), self._turn:
            answers = self._request(1 if len(batch) == 1 else -1).infer([batch])
        result: NDArray[np.float32] = answers[0]
        return result

    def placement(self) -> Placement:
        """The compiled graph's nodes, fused as they are, by the provider and the type of number that they compute in.

        The types are OpenVINO's: a node on `cpu-bf16` that stays in `f32` is told as such.
        """
        nodes = _nodes(self._compiled[1])
        return Placement({f"{self.provider} {precision}": count for precision, count in nodes.most_common()})

    def _request(self, images: int) -> Any:
        if images not in self._requests:
            self._compiled[images] = self._compile_for(images)
            self._requests[images] = self._compiled[images].create_infer_request()
        return self._requests[images]


def open_model(model: bytes, provider: str, threads: int) -> OpenVinoBackend:
    """Open an ONNX model.

    Raises:
        MissingExtra: OpenVINO is not installed.
        ProviderUnavailable: there is no such device, or it does not compute in the provider's precision.
        BackendError: OpenVINO refuses the file.
    """
    graph = _read(model, provider)

    def compile_for(images: int) -> Any:
        return compile_model(graph, provider, threads, images)

    return OpenVinoBackend(compile_for, graph.inputs[0].partial_shape[0].is_dynamic, provider, threads)


def compile_model(model: Any, provider: str, threads: int, images: int = 1, **settings: Any) -> Any:
    """Compile a model as `open_model` does.

    Args:
        model: the file's content, or what OpenVINO has read of it.
        provider: a name in `PROVIDERS`.
        threads: of the CPU; other devices have none.
        images: in a batch; -1 for any number.
        settings: further properties of OpenVINO's.

    Raises:
        ProviderUnavailable: what runs is not what was asked for.
        BackendError: OpenVINO refuses the file.
    """
    graph = (_read(model, provider) if isinstance(model, bytes) else model).clone()
    device = PROVIDERS[provider]
    wanted = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": device.precision} | settings
    if device.name == "CPU":
        # pinned threads of two processes may come to lie on one core
        wanted |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False, "NUM_STREAMS": 1}
    with engine_errors("OpenVINO cannot open the model"):
        shape = graph.inputs[0].partial_shape
        if shape[0].is_dynamic:
            graph.reshape([images, *(axis.get_length() for axis in list(shape)[1:])])
        compiled = _core().compile_model(graph, device.name, wanted)
    _check_runs_as(provider, compiled)
    return compiled


def _read(model: bytes, provider: str) -> Any:
    """OpenVINO's reading of a file, for a provider that is there."""
    core = _core()
    if provider not in PROVIDERS:
        raise ProviderUnavailable(f"unknown provider {provider!r}; providers: {', '.join(PROVIDERS)}")
    device, available = PROVIDERS[provider], core.available_devices
    if not any(name.split(".")[0] == device.name for name in available):
        raise ProviderUnavailable(f"OpenVINO finds no {device.name} here; it finds {', '.join(available)}")
    capabilities = core.get_property(device.name, "OPTIMIZATION_CAPABILITIES")
    if device.capability not in capabilities:
        raise ProviderUnavailable(
            f"this {device.name} does not compute in {device.precision}; OpenVINO says: {', '.join(capabilities)}"
        )
    with engine_errors("OpenVINO cannot open the model"):
        return core.read_model(io.BytesIO(model))


def _core() -> Any:
    return require("openvino", "openvino").Core()


def _check_runs_as(provider: str, compiled: Any) -> None:
    """Refuse a compiled model that is on another device, or computes nothing in the provider's precision."""
    device = PROVIDERS[provider]
    devices = compiled.get_property("EXECUTION_DEVICES")
    if [name.split(".")[0] for name in devices] != [device.name]:
        raise ProviderUnavailable(f"asked for {device.name}, OpenVINO runs the model on {', '.join(devices)}")
    nodes = _nodes(compiled)
    if device.precision == "bf16" and not nodes["bf16"]:
        counts = ", ".join(f"{count} in {precision}" for precision, count in nodes.items())
        raise ProviderUnavailable(f"asked for bf16, but OpenVINO computes nothing of the model so: {counts}")


def _nodes(compiled: Any) -> Counter[str]:
    """How many nodes compute in each type of number."""
    nodes = Counter[str]()
    for operator in compiled.get_runtime_model().get_ops():
        facts = operator.get_rt_info()
        if facts["layerType"].astype(str) not in NO_WORK:
            nodes[facts["runtimePrecision"].astype(str)] += 1
    return nodes
