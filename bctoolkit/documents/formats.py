"""The one table of formats: what can be exported, by which code, in which precisions, and which engines read it.

The command line's choices, error texts, the docs' table and the parametrisation of the tests are all read from here.
A new format is one row, one folder of `export` and one adapter of `runtime`; a second engine for a format is one more
`Engine` in its row. Code is named as `"module:attribute"` so that reading the table imports nothing.
"""

from typing import NamedTuple

from bctoolkit.errors import ProviderUnavailable, RecipeError

__all__ = [
    "ENGINES",
    "FORMATS",
    "QUANTIZATIONS",
    "Engine",
    "Format",
    "Quantization",
    "Tolerance",
    "engine_for",
    "engine_name",
    "lookup",
]


class Tolerance(NamedTuple):
    """How far an artifact's probabilities may be from the float32 Keras reference before it is refused."""

    max_abs_diff: float
    """Largest |Δp| of any class of any image."""
    mean_abs_diff: float
    """Mean |Δp| over all classes and images."""
    top1_agreement: float
    """Least share of images with the same top-1 class; near-ties (within `max_abs_diff`) count as agreeing."""


class Quantization(NamedTuple):
    """A numeric form of the weights and activations."""

    summary: str
    tolerance: Tolerance
    logit_error: float
    """Largest `metrics.logit_error` against what the artifact was made from, before it is refused at export.

    Of fp32: against float64, and four times that of the float32 reference where this is larger.
    """
    weight_bytes: int = 4
    """Of a weight of a product, in the file."""
    gated: bool = False
    """Integer arithmetic: what it costs in accuracy is measured on labelled images of the validation part."""
    calibrated: bool = False
    """The ranges of its activations come from images of the training part."""
    dynamic: bool = False
    """The ranges of its activations are taken at run time, over a whole batch where a graph takes several images."""
    throughout: bool = False
    """In integers from a uint8 image to the probabilities, for accelerators without floats."""
    by_name: bool = False
    """Not among `all` forms: of use to few, and slow on the CPU that checks it."""


class Engine(NamedTuple):
    """An inference engine that runs a format on a device."""

    backend: str
    """`module:attribute` of a callable `(model: bytes, provider: str, threads: int) -> Backend`."""
    providers: tuple[str, ...]
    """What it can run on; the first is the default."""
    package: str
    """What is installed for it, as manifests name it in `tools`; its module has the same name with underscores."""
    profiler: str
    """`module:attribute` of a callable `(model: bytes, provider: str, threads: int, images, runs: int) -> Profile`."""


class Format(NamedTuple):
    """A file format that a trained network can be exported to."""

    suffix: str
    summary: str
    exporter: str
    """`module:attribute` of a class that is an `export.exporter.Exporter`."""
    ports: str
    """`module:attribute` of a callable `(model: bytes) -> runtime.model_files.ports.Ports`; it raises `ValueError`."""
    batch: int | None
    """The fixed batch size of the exported graph; None where it is free."""
    quantizations: tuple[str, ...]
    properties: str
    """`module:attribute` of a callable `(model: bytes) -> dict[str, str]`: what a file says of itself."""
    engines: dict[str, Engine]


QUANTIZATIONS: dict[str, Quantization] = {
    "fp32": Quantization("float32 weights and activations", Tolerance(1e-4, 1e-5, 1.0), 1e-5),
    "fp16": Quantization(
        "float16 weights and arithmetic, for GPUs", Tolerance(0.02, 1e-3, 0.999), 0.03, weight_bytes=2
    ),
    "fp16-weights": Quantization(
        "float16 weights, computed in float32: half the size", Tolerance(0.02, 1e-3, 0.999), 0.03, weight_bytes=2
    ),
    "int8-dynamic": Quantization(
        "int8 weights per channel, activations quantized at run time",
        *(Tolerance(0.35, 0.02, 0.98), 0.1),
        weight_bytes=1,
        gated=True,
        dynamic=True,
    ),
    "int8": Quantization(
        "int8 weights per channel, int8 activations with calibrated ranges",
        *(Tolerance(0.5, 0.03, 0.95), 0.2),
        weight_bytes=1,
        gated=True,
        calibrated=True,
    ),
    "int8-full": Quantization(
        "int8 throughout where the format can, uint8 in and out, for NPUs",
        *(Tolerance(0.5, 0.03, 0.95), 0.2),
        weight_bytes=1,
        gated=True,
        calibrated=True,
        throughout=True,
    ),
    "w8a16": Quantization(
        "int8 weights per channel, int16 activations where the format can, uint8 in, int16 out, for NPUs",
        *(Tolerance(0.2, 0.01, 0.99), 0.2),
        weight_bytes=1,
        gated=True,
        calibrated=True,
        throughout=True,
        by_name=True,
    ),
}

FORMATS: dict[str, Format] = {
    "onnx": Format(
        suffix=".onnx",
        summary="ONNX, for ONNX Runtime",
        exporter="bctoolkit.export.onnx.exporter:OnnxExporter",
        ports="bctoolkit.runtime.model_files.onnx_file:ports",
        batch=None,
        quantizations=("fp32", "fp16", "fp16-weights", "int8-dynamic", "int8"),
        properties="bctoolkit.runtime.model_files.properties:onnx_properties",
        engines={
            "onnxruntime": Engine(
                backend="bctoolkit.runtime.on_onnxruntime:open_model",
                providers=("cpu", "cuda", "tensorrt", "openvino", "coreml", "qnn"),
                package="onnxruntime",
                profiler="bctoolkit.bench.worker.profile_onnxruntime:profile",
            ),
            "openvino": Engine(
                backend="bctoolkit.runtime.on_openvino:open_model",
                providers=("cpu", "cpu-bf16", "gpu", "gpu-f16", "npu"),
                package="openvino",
                profiler="bctoolkit.bench.worker.profile_openvino:profile",
            ),
        },
    ),
    "tflite": Format(
        suffix=".tflite",
        summary="TFLite (LiteRT), for phones and small boards",
        exporter="bctoolkit.export.tflite.exporter:TfliteExporter",
        ports="bctoolkit.runtime.model_files.tflite_file:ports",
        batch=1,
        quantizations=("fp32", "fp16", "int8-dynamic", "int8", "int8-full", "w8a16"),
        properties="bctoolkit.runtime.model_files.properties:tflite_properties",
        engines={
            "litert": Engine(
                backend="bctoolkit.runtime.on_litert:open_model",
                providers=("cpu", "builtin"),
                package="ai-edge-litert",
                profiler="bctoolkit.bench.worker.profile_litert:profile",
            ),
            "litert-compiled": Engine(
                backend="bctoolkit.runtime.on_litert_compiled:open_model",
                providers=("cpu", "builtin", "gpu", "gpu-f16"),
                package="ai-edge-litert",
                profiler="bctoolkit.bench.worker.profile_litert:profile",
            ),
        },
    ),
}

ENGINES = tuple(name for row in FORMATS.values() for name in row.engines)
"""The names of all engines, each of one format."""


def lookup(name: str) -> Format:
    """The row of a format.

    Raises:
        RecipeError: no such format; the message names those that exist.
    """
    if name not in FORMATS:
        raise RecipeError(f"unknown format {name!r}; formats: {', '.join(FORMATS)}")
    return FORMATS[name]


def engine_name(format_name: str, engine: str | None = None) -> str:
    """`engine` if the format has it, the format's first if it is None.

    Raises:
        RecipeError: the format is unknown; the message names those that exist.
        ProviderUnavailable: the engine is unknown; the message names those that exist.
    """
    engines = lookup(format_name).engines
    name = next(iter(engines)) if engine is None else engine
    if name not in engines:
        raise ProviderUnavailable(f"unknown engine {name!r} for {format_name}; engines: {', '.join(engines)}")
    return name


def engine_for(format_name: str, engine: str | None = None) -> Engine:
    """The row of an engine; errors are those of `engine_name`."""
    return lookup(format_name).engines[engine_name(format_name, engine)]
