"""One process of `applications.py`: draw a network and save it, or take one route from the saved network to a file."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.lazy import attribute

ROUTES = {
    "keras onnx": "keras.onnx",
    "keras litert": "keras.tflite",
    "ours onnx": "ours.onnx",
    "ours tflite": "ours.tflite",
}
SIZE, CLASSES, IMAGES, THREADS = 96, 10, 8, 2
MODEL, GOLDEN = "model.keras", "golden.npz"


def prepare(name: str, folder: Path) -> dict[str, Any]:
    """Draw the network's weights, save it, and freeze its answers to images it was not drawn on."""
    import keras

    from perf.draw import draw, pictures

    model = getattr(keras.applications, name)(weights=None, classes=CLASSES, input_shape=(SIZE, SIZE, 3))
    draw(model, pictures(IMAGES, SIZE, seed=1), seed=0)
    images = pictures(IMAGES, SIZE, seed=2)
    probabilities = model.predict(images.astype(np.float32), verbose=0)
    model.save(folder / MODEL)
    np.savez(folder / GOLDEN, images=images, probabilities=probabilities)
    apart = np.abs(probabilities[:, None] - probabilities[None]).max(axis=2)
    nearest = apart[~np.eye(IMAGES, dtype=bool)].min()
    return {"parameters": model.count_params(), "nearest_answers": float(nearest)}


def take(route: str, folder: Path) -> dict[str, Any]:
    """Convert the saved network and compare the file's answers with Keras's."""
    target = folder / ROUTES[route]
    begin = time.perf_counter()
    try:
        with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):  # Keras lists every weight
            (_convert_ours if route.startswith("ours") else _convert_keras)(folder / MODEL, target)
        seconds = time.perf_counter() - begin
        golden = np.load(folder / GOLDEN)
        observed = _answers(target, golden["images"].astype(np.float32))
    except Exception as problem:  # what a converter or an engine says is the result
        return {"error": f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"}
    difference = float(np.abs(observed - golden["probabilities"]).max())
    return {
        "max_abs_diff": difference,
        "seconds": round(seconds, 1),
        "megabytes": round(target.stat().st_size / 1e6, 1),
    }


def _convert_keras(source: Path, target: Path) -> None:
    import keras

    model = keras.models.load_model(source, compile=False)
    model(np.zeros((1, SIZE, SIZE, 3), np.float32))  # Keras exports no model that was never called
    model.export(str(target), format="onnx" if target.suffix == ".onnx" else "litert", verbose=False)


def _convert_ours(source: Path, target: Path) -> None:
    from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
    from bctoolkit.export.keras_graph.twin import fold, freeze
    from bctoolkit.networks import load_model

    contract = InputContract(height=SIZE, width=SIZE, dtype="float32")
    exporter = attribute(FORMATS[_format(target)].exporter)(fold(freeze(load_model(source))), ExportSettings(contract))
    target.write_bytes(exporter.convert("fp32", QuantizationSettings()))


def _answers(file: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    engine = engine_for(_format(file))
    backend = attribute(engine.backend)(file.read_bytes(), "cpu", THREADS)
    return np.concatenate([backend.run(images[index : index + 1]) for index in range(len(images))])


def _format(file: Path) -> str:
    return next(name for name, row in FORMATS.items() if row.suffix == file.suffix)
