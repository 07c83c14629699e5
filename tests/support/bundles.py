"""Bundles written without an export."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle, BundleContent, Golden, Reference
from bctoolkit.contract import InputContract
from bctoolkit.files import sha256_bytes
from bctoolkit.manifest import Source
from bctoolkit.statistics.metrics import Parity

__all__ = ["SIGNED", "SIGNED_BY", "STORED", "replace_model", "reseal", "write"]

STORED = Path(__file__).parents[1] / "stored" / "bundle-1"
"""A bundle of schema 1 that must keep loading: the mean colour of an image, as a softmax. Never written again."""
SIGNED, SIGNED_BY = STORED.with_name("bundle-2"), STORED.with_name("bundle-2.pub.pem")
"""The same as schema 2, signed by the package `model-signing` 1.1.1, and the key to check with."""
FILES = ("model.onnx", "golden.npz", "reference.npz", "manifest.json")


def write(target: Path, **changes: Any) -> Bundle:
    """A small bundle whose model is not one."""
    rng, classes = np.random.default_rng(0), len(changes.get("labels", (1, 2)))
    golden = Golden(
        rng.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8),
        rng.dirichlet((1, 1), 4).astype(np.float32),
        np.array([0, 1, 1, -1]),
    )
    parts: dict[str, Any] = {
        "format": "onnx",
        "quantization": "int8-dynamic",
        "model": b"a stub, not a model",
        "input": InputContract(height=6, width=5, dtype="float32", crop=5, resize="nearest"),
        "labels": ("Zelle ü", "b"),
        "golden": golden,
        "reference": Reference(
            rng.integers(0, 256, (9, 32), dtype=np.uint8), np.full((9, classes), 1 / classes, np.float32)
        ),
        "source": Source("run", "0" * 64, "1" * 64, ""),
        "tools": {"keras": "3.15.1"},
        "parity": Parity(4, 1.0, 1e-7, 1e-8),
        "created": "2026-01-02T03:04:05+00:00",
    }
    return bundles.write(target, BundleContent(**(parts | changes)))


def reseal(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and seal it again, as another tool or a later version might write it."""
    raw = json.loads((folder / "manifest.json").read_bytes())
    change(raw)
    content = json.dumps(raw).encode()
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.json.sha256").write_text(f"{sha256_bytes(content)}  manifest.json\n")


def replace_model(target: Path, content: bytes) -> Path:
    """The stored bundle with another model, sealed as if it had been exported so."""
    shutil.copytree(STORED, target)
    (target / "model.onnx").write_bytes(content)
    reseal(target, lambda raw: raw["model"].update(sha256=sha256_bytes(content), bytes=len(content)))
    return target
