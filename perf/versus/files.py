"""The files that are timed: ours, and those of Keras, PyTorch and NNCF of the same network; made once, then kept."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from perf import latency
from perf.peers_onnx import quantize

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "exports" / "zoo"


class File(NamedTuple):
    """One network in one form."""

    network: str
    maker: str
    form: str
    path: Path


def files(cache: Path, peers_python: str) -> list[File]:
    """All files that can be had; what cannot is named.

    Args:
        cache: keeps them between calls.
        peers_python: an interpreter that has torch, onnxscript and nncf.
    """
    small = [
        *(File("ConvNeXtSmall", "ours", form, path) for form, path in _ours(cache)),
        *(File("ConvNeXtSmall", "Keras", form, cache / f"keras-{form}.tflite") for form in ("fp32", "int8-dynamic")),
        *(File("ConvNeXtSmall", maker, form, path) for maker, form, path in _others(cache, peers_python)),
    ]
    zoo = [
        File("zoo's atto", "ours", "int8-dynamic", next(path.glob("model.*"))) for path in sorted(ZOO.glob("*-dynamic"))
    ]
    return [file for file in (*small, *zoo) if file.path.exists()]


def _ours(cache: Path) -> list[tuple[str, Path]]:
    """Ours and Keras's, from one Keras model, as `perf.latency` writes them."""
    ours = {f"ours {f} {q}": cache / f"ours-{q}.{f}" for f, kinds in latency.OURS.items() for q in kinds}
    keras = {f"keras litert {form}": cache / f"keras-{form}.tflite" for form in ("fp32", "int8-dynamic")}
    if not all(path.exists() for path in (ours | keras).values()):
        print("exporting ConvNeXtSmall every way …", flush=True)
        latency.write_keras_files(ours | keras)
    return [(name.split()[2], path) for name, path in ours.items()]


def _others(cache: Path, python: str) -> list[tuple[str, str, Path]]:
    floats, integers = cache / "pytorch-fp32.onnx", cache / "pytorch-int8.onnx"
    script = f"from pathlib import Path; from perf.peers_torch import export; export(Path({str(floats)!r}))"
    if _made(floats, [python, "-c", script]) and not integers.exists():
        quantize(floats, integers)
    made = [("PyTorch", "fp32", floats), ("PyTorch and ONNX Runtime", "int8-dynamic", integers)]
    for maker, source in (("PyTorch and NNCF", floats), ("ours and NNCF", cache / "ours-fp32.onnx")):
        target = cache / f"{maker.split()[0].lower()}-nncf.onnx"
        if source.exists() and _made(target, [python, "-m", "perf.peers_nncf", str(source), str(target)]):
            made.append((maker, "int8", target))
    return made


def _made(target: Path, command: list[str]) -> bool:
    """Whether a file is there, made by a command where it was not."""
    if target.exists():
        return True
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"{target.name}: not made ({last}); name an interpreter that can with --peers-python", file=sys.stderr)
    return done.returncode == 0
