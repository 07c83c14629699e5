"""ConvNeXtSmall, 96×96, batch 1, two threads: our artifacts beside the peers', turn by turn.

usage: python -m perf.latency [--cache DIR] [--rounds N] [--torch-python PATH] [--openvino-python PATH]

Peers: Keras's own LiteRT export and TensorFlow Lite's converter with dynamic-range quantization, both of the same Keras
model; `torch.onnx.export(dynamo=True)` of an equivalent network and ONNX Runtime's `quantize_dynamic` of that file; the
matrix products alone on ONNX Runtime; and OpenVINO on our float32 file. Every ONNX file runs with the default options
of ONNX Runtime. PyTorch (with onnxscript) and OpenVINO may each live in an environment of their own. Prints medians,
and ratios beside the limits the project holds itself to.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.lazy import attribute
from bctoolkit.runtime.saturation import engine_saturates
from perf.peers_onnx import quantize, write_floor
from perf.turns import answer, in_turns, ratio

ROOT = Path(__file__).resolve().parents[1]
THREADS = "2"
OURS = {"onnx": ("fp32", "int8-dynamic", "int8"), "tflite": ("fp32", "int8-dynamic")}
LIMITS = (
    ("ours onnx fp32", "pytorch onnx fp32", 0.98, 0.88),
    ("ours onnx fp32", "products fp32", 1.20, 1.10),
    ("ours onnx int8-dynamic", "pytorch onnx fp32", 0.44, 0.50),
    ("ours onnx int8", "ours onnx int8-dynamic", 1.00, 1.05),
    ("ours onnx int8-dynamic", "openvino bf16", 1.00, 1.00),
    ("ours tflite fp32", "keras litert fp32", 0.90, 0.90),
    ("ours tflite int8-dynamic", "keras litert int8-dynamic", 0.50, 0.50),
)
"""Ours, theirs, and what the first may take of the second's time on x86 with VNNI, or Arm, and on x86 without."""


def commands(cache: Path, torch_python: str, openvino_python: str) -> dict[str, list[str]]:
    """Write every file that is not in the cache yet; case name → the program that times it."""
    ours = {f"ours {f} {q}": cache / f"ours-{q}{FORMATS[f].suffix}" for f, kinds in OURS.items() for q in kinds}
    keras = {f"keras litert {q}": cache / f"keras-{q}.tflite" for q in ("fp32", "int8-dynamic")}
    if not all(file.exists() for file in (ours | keras).values()):
        print("exporting ConvNeXtSmall every way …", flush=True)
        with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):  # Keras lists every weight
            write_keras_files(ours | keras)
    cases = {
        name: [sys.executable, "-m", "perf.latency", "--child", str(file)] for name, file in (ours | keras).items()
    }
    peers = {f"products {dtype}": cache / f"products-{dtype}.onnx" for dtype in ("fp32", "int8")}
    for dtype, file in zip(("float32", "int8"), peers.values(), strict=True):
        if not file.exists():
            write_floor(file, dtype)
    peers |= _torch_files(cache, torch_python)
    cases |= {name: [sys.executable, "-m", "perf.peers_onnx", str(file), THREADS] for name, file in peers.items()}
    if _has(openvino_python, "openvino", "--openvino-python"):
        peer = [openvino_python, "-m", "perf.peers_openvino", str(ours["ours onnx fp32"]), THREADS]
        cases |= {f"openvino {name}": [*peer, precision] for name, precision in (("fp32", "f32"), ("bf16", "bf16"))}
    return cases


def write_keras_files(files: dict[str, Path]) -> None:
    """Export the stock Keras network every way; case name → where to."""
    import tensorflow as tf

    from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
    from bctoolkit.export.keras_graph.twin import fold, freeze
    from perf.peers import stock_classifier

    model = stock_classifier()
    twin = fold(freeze(model))
    images = np.random.default_rng(0).integers(0, 256, (16, 96, 96, 3), dtype=np.uint8)
    for name, kinds in OURS.items():
        exporter = attribute(FORMATS[name].exporter)(twin, ExportSettings(InputContract(dtype="float32")))
        for quantization in kinds:
            content = exporter.convert(quantization, QuantizationSettings(images=images))
            files[f"ours {name} {quantization}"].write_bytes(content)
    model.export(str(files["keras litert fp32"]), format="litert", verbose=False)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    files["keras litert int8-dynamic"].write_bytes(converter.convert())


def _torch_files(cache: Path, python: str) -> dict[str, Path]:
    """PyTorch's export and its dynamic quantization; none where there is no PyTorch."""
    floats, integers = cache / "pytorch-fp32.onnx", cache / "pytorch-int8.onnx"
    if not floats.exists():
        if not _has(python, "torch, onnxscript", "--torch-python"):
            return {}
        script = f"from pathlib import Path; from perf.peers_torch import export; export(Path({str(floats)!r}))"
        subprocess.run([python, "-c", script], cwd=ROOT, check=True, capture_output=True)
    if not integers.exists():
        quantize(floats, integers)
    return {"pytorch onnx fp32": floats, "pytorch onnx int8": integers}


def _has(python: str, modules: str, option: str) -> bool:
    if subprocess.run([python, "-c", f"import {modules}"], capture_output=True, check=False).returncode == 0:
        return True
    print(f"{modules}: not run, {python} has none; name an interpreter that has with {option}")
    return False


def child(path: Path) -> None:
    """Open one file with the runtime's own adapter and time it on request."""
    name = next(name for name, row in FORMATS.items() if row.suffix == path.suffix)
    backend = attribute(engine_for(name).backend)(path.read_bytes(), "cpu", int(THREADS))
    image = (np.random.default_rng(0).random((1, 96, 96, 3)) * 255).astype(np.float32)
    answer(lambda: backend.run(image), warm_up=20)


def report(times: dict[str, list[float]]) -> int:
    """Print each ratio beside its limit; how many are missed."""
    missed = 0
    for ours, theirs, *limits in LIMITS:
        limit = limits[engine_saturates()]
        if theirs not in times:
            print(f"  {ours} / {theirs}: not run")
            continue
        value = round(ratio(times, ours, theirs), 2)
        missed += value > limit
        print(f"  {ours} / {theirs}: {value:.2f} (limit {limit:.2f}: {'holds' if value <= limit else 'MISSED'})")
    return missed


def main() -> int:
    """Make the files, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder that keeps the artifacts between calls")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--torch-python", default=sys.executable, help="a Python interpreter with torch and onnxscript")
    parser.add_argument("--openvino-python", default=sys.executable, help="a Python interpreter that has openvino")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        cache = (options.cache or Path(temporary)).resolve()
        cache.mkdir(parents=True, exist_ok=True)
        times = in_turns(commands(cache, options.torch_python, options.openvino_python), options.rounds, runs=15)
    print(f"ConvNeXtSmall 96×96, batch 1, {THREADS} threads, {options.rounds} rounds in turns of 15 runs")
    for name, medians in times.items():
        print(f"  {name:28} {statistics.median(medians):6.2f} ms")
    return int(report(times) > 0)


if __name__ == "__main__":
    sys.exit(main())
