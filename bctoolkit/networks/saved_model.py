"""Open a TensorFlow SavedModel: its graph is run, and only what computes."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.saved_model.loader_impl import parse_saved_model

from bctoolkit.errors import WeightsError
from bctoolkit.files import scratch_folder
from bctoolkit.networks.traced import Traced, functional_of, operators, require_pure

__all__ = ["FILE", "load_saved_model"]

FILE = "saved_model.pb"
"""What the folder of a SavedModel holds."""

SIGNATURE = "serving_default"

SEALED = ("_XlaMustCompile", "_noinline")
"""Marks of functions that are compiled by themselves."""

AT_LOAD = ("_create_resource", "_initialize", "_destroy_resource")
"""Functions of an object that TensorFlow runs while it loads or lets go of a SavedModel."""


def load_saved_model(folder: Path) -> keras.Model:
    """Open a SavedModel's serving signature as a functional model of one operation.

    What runs is the signature's graph, and what TensorFlow runs to load it; both are searched for operators that reach
    beyond the network before anything is loaded. Python code that Keras 2 keeps beside the graph is not read.

    Raises:
        WeightsError: no SavedModel of TensorFlow 2, one without the signature, one that takes something else than a
            batch of images of any size, or one whose graph does more than compute.
    """
    try:
        regular = stat.S_ISREG((folder / FILE).stat().st_mode)
    except OSError:
        regular = False
    if not regular:
        raise WeightsError(
            f"{folder}: holds no {FILE}; expected the folder of a SavedModel, a run, or a .keras or .h5 file"
        )
    try:
        content = parse_saved_model(str(folder))
        meta = content.meta_graphs[0]
        objects = meta.object_graph_def
        if not objects.nodes:
            raise WeightsError(f"{folder}: written by TensorFlow 1; load it there and save it with TensorFlow 2")
        serving = _serving(folder, objects)
        require_pure(operators(meta.graph_def, _entry_points(objects, serving)), str(folder))
        loaded = _load(folder, content)
        return _as_model(folder, loaded, loaded.signatures[SIGNATURE])
    except WeightsError:
        raise
    except Exception as problem:  # TensorFlow raises many kinds here, all of them about the folder
        reason = " ".join(str(problem).split())[:200]
        raise WeightsError(f"{folder}: not a SavedModel that can be loaded ({reason})") from problem


def _load(folder: Path, content: Any) -> Any:
    """Load what was looked at, with all functions open to the converters: Keras seals grouped convolutions for XLA."""
    for function in content.meta_graphs[0].graph_def.library.function:
        for holder in (function, *function.node_def):
            for mark in SEALED:
                holder.attr.pop(mark, None)
    with scratch_folder() as copy:
        (copy / FILE).write_bytes(content.SerializeToString())
        for name in ("variables", "assets"):
            part = folder.absolute() / name
            if not all(path.is_file() for path in (part.iterdir() if part.is_dir() else ())):
                raise WeightsError(f"{part}: holds what is no file; copy the folder again")
            (copy / name).symlink_to(part)
        return tf.saved_model.load(str(copy))


def _serving(folder: Path, objects: Any) -> int:
    """Which object is the function of the serving signature."""
    signatures = [child.node_id for child in objects.nodes[0].children if child.local_name == "signatures"]
    functions = {child.local_name: child.node_id for node in signatures for child in objects.nodes[node].children}
    if SIGNATURE not in functions:
        names = ", ".join(functions) or "none"
        raise WeightsError(
            f"{folder}: has no signature {SIGNATURE!r} (signatures: {names}); save it with "
            f"tf.saved_model.save(model, folder, signatures={{{SIGNATURE!r}: function}})"
        )
    return int(functions[SIGNATURE])


def _entry_points(objects: Any, serving: int) -> Iterator[str]:
    """Names of the functions that loading and calling begin with."""
    roots = {serving}
    for node in objects.nodes:
        resource = node.WhichOneof("kind") == "resource"
        roots.update(child.node_id for child in node.children if resource or child.local_name in AT_LOAD)
        for saveable in node.saveable_objects.values():
            roots.update((saveable.save_function, saveable.restore_function))
    for root in roots:
        node = objects.nodes[root]
        yield node.bare_concrete_function.concrete_function_name
        yield from node.function.concrete_functions


def _as_model(folder: Path, loaded: Any, function: Any) -> keras.Model:
    inputs = function.structured_input_signature[1]
    if len(inputs) != 1:
        raise WeightsError(f"{folder}: takes {len(inputs)} inputs ({', '.join(sorted(inputs))}); expected one image")
    ((name, spec),) = inputs.items()
    if spec.shape.rank != 4 or not (spec.dtype.is_floating or spec.dtype.is_integer):
        raise WeightsError(f"{folder}: takes {spec.dtype.name} of shape {spec.shape}; expected a batch of images")
    if spec.shape[0] is not None:
        raise WeightsError(
            f"{folder}: takes {spec.shape[0]} images at a time; save it with a signature whose first axis, the batch, "
            "is None"
        )

    def call(images: Any) -> Any:
        outputs = {
            key: tf.cast(value, tf.float32) for key, value in function(**{name: tf.cast(images, spec.dtype)}).items()
        }
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    title = folder.resolve().name
    return functional_of(Traced(call, loaded, name="saved_model"), spec.shape[1:], title)
