"""ConvNeXtSmall, 96×96, batch 1, two threads: our artifacts beside the peers', the same weights, turn by turn.

usage: python benchmarks/versus/latency.py [--cache DIR] [--rounds N]

Peers: Keras's own LiteRT export, TensorFlow Lite's converter with dynamic-range quantization on the same Keras model,
and, where PyTorch and onnxscript are installed, `torch.onnx.export(dynamo=True)` of an equivalent network on the same
ONNX Runtime. Prints medians, and ratios beside the limits the project holds itself to.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from turns import answer, in_turns, ratio

from bctoolkit.contract import InputContract
from bctoolkit.formats import FORMATS, engine_for
from bctoolkit.lazy import attribute

THREADS = 2
LIMITS = (
    ("ours tflite fp32", "keras litert fp32", 1.00),
    ("ours tflite int8-dynamic", "keras litert int8-dynamic", 0.65),
    ("ours onnx fp32", "pytorch onnx fp32", 1.00),
)


def make_files(cache: Path) -> dict[str, Path]:
    """Write every artifact that is not in the cache yet; case name → file."""
    files = {f"ours {f} {q}": cache / f"ours-{q}{FORMATS[f].suffix}" for f in FORMATS for q in ("fp32", "int8-dynamic")}
    files |= {f"keras litert {q}": cache / f"keras-{q}.tflite" for q in ("fp32", "int8-dynamic")}
    if not all(file.exists() for file in files.values()):
        print("exporting ConvNeXtSmall every way …", flush=True)
        with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):  # Keras lists every weight
            _write_keras_files(files)
    torch_file = cache / "pytorch-fp32.onnx"
    if torch_file.exists() or _write_torch_file(torch_file):
        files["pytorch onnx fp32"] = torch_file
    return files


def _write_keras_files(files: dict[str, Path]) -> None:
    import tensorflow as tf
    from peers import stock_classifier

    from bctoolkit.export.exporter import Quantizing, Settings
    from bctoolkit.export.twin import fold, freeze

    model = stock_classifier()
    twin = fold(freeze(model))
    for name, row in FORMATS.items():
        exporter = attribute(row.exporter)(twin, Settings(InputContract(dtype="float32")))
        for quantization in ("fp32", "int8-dynamic"):
            content = exporter.convert(quantization, Quantizing())
            files[f"ours {name} {quantization}"].write_bytes(content)
    model.export(str(files["keras litert fp32"]), format="litert", verbose=False)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    files["keras litert int8-dynamic"].write_bytes(converter.convert())


def _write_torch_file(path: Path) -> bool:
    """Export the PyTorch peer; False where PyTorch is not installed."""
    try:
        from peers_torch import export
    except ImportError:
        return False
    export(path)
    return True


def child(path: Path) -> None:
    """Open one file with the runtime's own adapter and time it on request."""
    name = next(name for name, row in FORMATS.items() if row.suffix == path.suffix)
    backend = attribute(engine_for(name).backend)(path.read_bytes(), "cpu", THREADS)
    shape = (1, 3, 96, 96) if "pytorch" in path.name else (1, 96, 96, 3)
    image = (np.random.default_rng(0).random(shape) * 255).astype(np.float32)
    answer(lambda: backend.run(image), warm_up=20)


def main() -> int:
    """Make the files, take turns, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cache", type=Path, help="folder that keeps the artifacts between calls")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        child(given.child)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        cache = given.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        files = make_files(cache)
        commands = {name: [sys.executable, __file__, "--child", str(file)] for name, file in files.items()}
        times = in_turns(commands, given.rounds, runs=15)
    print(f"ConvNeXtSmall 96×96, batch 1, {THREADS} threads, {given.rounds} rounds in turns of 15 runs")
    for name, medians in times.items():
        print(f"  {name:28} {statistics.median(medians):6.2f} ms")
    missed = 0
    for ours, theirs, limit in LIMITS:
        if theirs not in times:
            print(f"  {ours} / {theirs}: not run, PyTorch is not installed here")
            continue
        value = ratio(times, ours, theirs)
        missed += value > limit
        print(f"  {ours} / {theirs}: {value:.2f} (limit {limit:.2f}: {'holds' if value <= limit else 'MISSED'})")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
