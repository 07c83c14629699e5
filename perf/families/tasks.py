"""What is done to one network: draw it and save it, export it as a user would, have Keras export it.

Each runs in a process of its own.
"""

import contextlib
import io
import logging
import os
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit import bundle
from bctoolkit.cli import main
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.lazy import attribute
from perf.families.sources import NETWORKS

__all__ = ["FORMS", "IMAGES", "MODEL", "STOCK", "artifact", "as_probabilities", "export", "keras_export", "prepare"]

FORMS = {"onnx": ("onnx", "fp32"), "tflite": ("tflite", "fp32"), "onnx int8-dynamic": ("onnx", "int8-dynamic")}
"""Our routes, each a format and a quantization."""

STOCK = {"keras onnx": "keras.onnx", "keras litert": "keras.tflite"}
"""Routes of Keras's own `export`, and the files they write."""

MODEL, IMAGES, GOLDEN, LABELLED, BUNDLES = "model.keras", "images.npz", "golden", "labelled", "bundles"
DRAWN_ON, CHECKED_ON, LABELLED_IMAGES, THREADS = 8, 24, 400, 2


def prepare(name: str, folder: str, labelled: bool) -> dict[str, Any]:
    """Build the network, draw its weights and save it with images it was not drawn on, and its answers to them.

    Args:
        name: of the network, a key of `NETWORKS`.
        folder: gets the model's file, `images.npz`, and the images as pictures.
        labelled: whether to write a set of images that the network itself has labelled.
    """
    from perf.draw import draw, pictures

    network, target = NETWORKS[name], Path(folder)
    model = network.build()
    shape = network.size, network.channels
    draw(model, pictures(DRAWN_ON, shape[0], 1, shape[1]), seed=0)
    images = pictures(CHECKED_ON, shape[0], 2, shape[1])
    probabilities = _reference(model, images)
    model.save(target / MODEL)
    np.savez(target / IMAGES, images=images, probabilities=probabilities)
    _write_pictures(target / GOLDEN, images)
    if labelled:
        images = pictures(LABELLED_IMAGES, shape[0], 3, shape[1])
        answers = _reference(model, images).argmax(axis=1)
        for index in range(probabilities.shape[1]):
            _write_pictures(target / LABELLED / f"class_{index}", images[answers == index])
    apart = np.abs(probabilities[:, None] - probabilities[None]).max(axis=2)
    distances = apart[np.triu_indices(len(apart), 1)]
    return {"parameters": model.count_params(), "median_distance": float(np.median(distances))}


def export(name: str, folder: str, routes: list[str]) -> dict[str, Any]:
    """Call `bctk export` on the saved network and look at what comes of it.

    Args:
        name: of the network.
        folder: where its file is; gets the bundles.
        routes: of `FORMS`, with the same quantization.

    Returns:
        By route: of a sealed bundle its figures; `refused` with the line that says why; `failed` where it is neither.
    """
    os.chdir(folder)
    kinds = [FORMS[route][0] for route in routes]
    quantization = FORMS[routes[0]][1]
    images = ("--golden", GOLDEN) if quantization == "fp32" else ("--data", LABELLED)
    formats = [word for kind in kinds for word in ("--format", kind)]
    arguments = ["export", MODEL, *formats, "--quantize", quantization, "--input", "float32", *images]
    targets = {route: Path(BUNDLES) / _bundle(*FORMS[route]) for route in routes}
    for target in targets.values():
        shutil.rmtree(target, ignore_errors=True)
    errors, begin = io.StringIO(), time.perf_counter()
    with _through_tf2onnx() as layers, contextlib.redirect_stderr(errors):
        failure = _call([*arguments, *NETWORKS[name].options, "--out", BUNDLES])
    shared = {"seconds": round(time.perf_counter() - begin, 1)}
    print(errors.getvalue(), flush=True)
    lines = [line.removeprefix("error: ") for line in errors.getvalue().splitlines() if line.startswith("error: ")]
    outcomes = {route: _figures(bundle.read(path), layers) for route, path in targets.items() if path.exists()}
    missing = [route for route in routes if route not in outcomes]
    lines = lines if len(lines) == len(missing) else lines[-1:] * len(missing)
    if failure or len(lines) != len(missing):
        outcomes |= {route: {"failed": failure or "no file and no reason"} for route in missing}
    else:
        outcomes |= {route: {"refused": line} for route, line in zip(missing, lines, strict=True)}
    return {route: outcomes[route] | shared for route in routes}


def keras_export(name: str, folder: str, route: str) -> dict[str, Any]:
    """Have Keras export the saved network and compare the file's answers with Keras's own."""
    os.chdir(folder)
    begin, model, target = time.perf_counter(), NETWORKS[name].build(), Path(STOCK[route])
    model.load_weights(MODEL)
    saved = np.load(IMAGES)
    model(saved["images"][:1].astype(np.float32))  # Keras exports no model that was never called
    model.export(str(target), format=route.split()[1], verbose=False)
    seconds = round(time.perf_counter() - begin, 1)
    answers = as_probabilities(_answers(target.suffix, target.read_bytes(), saved["images"]))
    return _against(saved["probabilities"], answers, target.stat().st_size) | {"seconds": seconds}


def artifact(route: str) -> str:
    """Where a route's file lies, from the network's folder."""
    if route in STOCK:
        return STOCK[route]
    kind, quantization = FORMS[route]
    return f"{BUNDLES}/{_bundle(kind, quantization)}/model{FORMATS[kind].suffix}"


def as_probabilities(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """A classifier's outputs as one probability per class: logits and a lone sigmoid are turned into them."""
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], axis=1)
    if outputs.min() >= 0 and np.allclose(outputs.sum(axis=1), 1, atol=1e-4):
        return outputs
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _bundle(kind: str, quantization: str) -> str:
    return f"{Path(MODEL).stem}-{kind}-{quantization}"


def _call(arguments: list[str]) -> str:
    """Be `bctk`; what it crashes with, or an exit code that it does not have, in a line."""
    try:
        main(arguments)
    except SystemExit as end:
        return "" if end.code in (0, None, 1, 2) else f"exit code {end.code}"
    except Exception as problem:  # a crash is a result
        traceback.print_exc()
        return f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"
    return ""


@contextlib.contextmanager
def _through_tf2onnx() -> Iterator[Counter[str]]:
    """Count the layers that have no emitter of ours, by class."""
    layers: Counter[str] = Counter()
    handler = logging.Handler()
    handler.emit = lambda record: layers.update([str(record.args[0])])  # type: ignore[method-assign, index]
    logger = logging.getLogger("bctoolkit.export.onnx.tf2onnx")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield layers
    finally:
        logger.removeHandler(handler)


def _figures(sealed: bundle.Bundle, layers: Mapping[str, int]) -> dict[str, Any]:
    manifest, saved, model = sealed.manifest, np.load(IMAGES), sealed.model()
    answers = _answers(FORMATS[manifest.format].suffix, model, saved["images"])
    figures = _against(saved["probabilities"], answers, len(model))
    if manifest.format == "onnx":
        figures["tf2onnx"] = dict(sorted(layers.items()))
    if manifest.quantization != "fp32":
        return figures | {"layers_in_float": len(manifest.keep_float)}
    step = manifest.parity_steps[-1]
    if step.error is not None and step.reference_error is not None:
        figures["error"] = {"from": step.exact, "keras": step.reference_error.typical, "file": step.error.typical}
    return figures


def _against(probabilities: NDArray[np.float32], answers: NDArray[np.float32], size: int) -> dict[str, Any]:
    return {"max_abs_diff": float(np.abs(answers - probabilities).max()), "megabytes": round(size / 1e6, 1)}


def _reference(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network itself answers: one call after another, as it was written."""
    batches = np.split(images.astype(np.float32), len(images) // DRAWN_ON)
    return as_probabilities(np.concatenate([np.asarray(model(batch, training=False)) for batch in batches]))


def _answers(suffix: str, model: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    kind = next(name for name, row in FORMATS.items() if row.suffix == suffix)
    backend = attribute(engine_for(kind).backend)(model, "cpu", THREADS)
    singles = np.split(images.astype(np.float32), len(images))
    return np.concatenate([backend.run(image) for image in singles])


def _write_pictures(folder: Path, images: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / f"{index:03}.png")
