"""From any Keras model of one image to the classifier that is exported: image 0–255 in, a probability per class out."""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit.documents.preprocessing import PRESETS, Adaptation, InputSettings, OutputSettings
from bctoolkit.errors import ExportError
from bctoolkit.export.keras_graph.entry import Entry, plan_entry
from bctoolkit.export.keras_graph.head import HeadForm, classes, finish, head_form, logit_of, select_output
from bctoolkit.export.keras_graph.state import require_finite
from bctoolkit.export.keras_graph.walk import functional

__all__ = ["AdaptedNetwork", "adapt", "adapt_network"]

PROBES = 12
"""Images that tell what an output is."""


@dataclass(frozen=True)
class AdaptedNetwork:
    """A network between what an app hands over and what it reads."""

    model: keras.Model
    """N × height × width × channels float32, 0–255 → N × classes probabilities."""
    core: keras.Model
    """The same without what is done to the image before the network sees it."""
    entry: Entry
    adaptation: Adaptation | None
    """What was added; None of a network that is used as it is."""
    notes: tuple[str, ...] = ()
    """The same in words, for the user."""


def adapt(
    model: keras.Model, settings: InputSettings, name: str, output: OutputSettings | None = None, loss: str = ""
) -> keras.Model:
    """The classifier of a network: see `adapt_network`, whose model this is."""
    return adapt_network(model, settings, name, output, loss).model


def adapt_network(
    model: keras.Model, settings: InputSettings, name: str, output: OutputSettings | None = None, loss: str = ""
) -> AdaptedNetwork:
    """Put a network between what an app hands over and what it reads.

    Ensures: a functional model of one float32 image N × height × width × channels, values 0–255, and one output
    N × classes, two or more, of probabilities: of one class each, or independent ones. A network that is all this
    already is used as it is.

    Args:
        model: a functional or sequential model; its weights are used, not copied.
        settings: what it eats.
        name: what to call it in a message.
        output: which output, and what it means.
        loss: what it was trained with, where the file tells.

    Raises:
        UnsupportedOp: a subclassed model, which has no graph.
        ExportError: a weight is no finite number, it takes no image, its outputs are no classes, settings do not go
            with it, or what its outputs mean cannot be told; the message says which option does.
    """
    output = output or OutputSettings()
    graph = functional(model)
    require_finite(model, name)
    if len(graph.inputs) != 1:
        names = ", ".join(tensor.name for tensor in graph.inputs)
        raise ExportError(f"{name}: has {len(graph.inputs)} inputs ({names}); wanted a model of one image")
    entry = plan_entry(model, graph.inputs[0], settings, name)
    result = select_output(graph, output.name, name)
    classes(result.shape, name)
    single = graph if len(graph.outputs) == 1 else keras.Model(graph.inputs[0], result, name=model.name)
    form = head_form(result, output.head, lambda: _values(single, entry, name), loss, name)
    if entry.idle and form == "none" and len(result.shape) == 2 and None not in graph.inputs[0].shape[1:]:
        if single is graph:
            return AdaptedNetwork(model, model, entry, None)
        return AdaptedNetwork(single, single, entry, _adaptation(settings, entry, output.name, form))
    body, added = _before_sigmoid(single, form)
    plain = dataclasses.replace(entry, channels=entry.eaten, scaling=PRESETS["none"], reversed=False)
    return AdaptedNetwork(
        model=_around(body, entry, added, name),
        core=_around(body, plain, added, name),
        entry=entry,
        adaptation=_adaptation(settings, entry, output.name, form),
        notes=tuple(_notes(settings, entry, form)),
    )


def _before_sigmoid(model: Any, form: HeadForm) -> tuple[Any, HeadForm]:
    """A network of two classes without its last sigmoid, if that can be taken off, and what makes both of the logit."""
    logit = logit_of(model.outputs[0]) if form == "two classes" else None
    if logit is None:
        return model, form
    return keras.Model(model.inputs[0], logit, name=model.name), "sigmoid, two classes"


def _around(model: Any, entry: Entry, form: HeadForm, name: str) -> keras.Model:
    """The network between the two.

    Raises:
        ExportError: it cannot take images of that size.
    """
    image = keras.Input((entry.height, entry.width, entry.channels), dtype="float32", name="image")
    with _runs(entry, name):
        return keras.Model(image, finish(_call(model, entry.layers(image)), form), name=model.name)


@contextmanager
def _runs(entry: Entry, name: str) -> Iterator[None]:
    """Turn what Keras and TensorFlow raise of images that a network cannot take into an `ExportError`."""
    try:
        yield
    except (ValueError, ArithmeticError, RuntimeError, tf.errors.OpError) as problem:
        text = re.sub(r"\x1b\[\d*m|Exception encountered when calling [\w.]+\(\)\.", "", str(problem))
        reason = " ".join(text.split())[:160]
        size = f"{entry.height}×{entry.width}×{entry.channels}"
        raise ExportError(f"{name}: cannot be run on images of {size} ({reason})") from None


def _call(model: Any, image: Any) -> Any:
    """The one output of a functional model, whatever structures it takes and returns."""
    (output,) = keras.tree.flatten(model(keras.tree.pack_sequence_as(model._inputs_struct, [image])))
    return output


def _values(model: Any, entry: Entry, name: str) -> NDArray[np.float32]:
    """The output on a few images that differ: noise of all strengths, and flat ones.

    Raises:
        ExportError: the network cannot take images of that size.
    """
    rng = np.random.default_rng(0)
    shape = (PROBES, entry.height, entry.width, entry.channels)
    strength = np.linspace(0, 1, PROBES)[:, None, None, None]
    base = rng.uniform(0, 255, (PROBES, 1, 1, entry.channels))
    images = np.clip(base + strength * rng.uniform(-255, 255, shape), 0, 255).round()
    probe = _around(model, entry, "none", name)
    with _runs(entry, name):
        return np.asarray(keras.ops.cast(probe(images.astype(np.float32), training=False), "float32"))


def _adaptation(settings: InputSettings, entry: Entry, output: str, form: HeadForm) -> Adaptation:
    colours = "bgr" if entry.reversed else {1: "grey", 3: "rgb"}.get(entry.channels, "any")
    return Adaptation(
        scale="numbers" if isinstance(settings.scale, tuple) else settings.scale or "none",
        factor=settings.scaling.factor,
        offset=settings.scaling.offset,
        channels=colours,  # type: ignore[arg-type]  # a literal by construction
        output=output,
        head=form,
    )


FORMS: dict[str, str] = {
    "softmax": "softmax added: the network ends in logits",
    "sigmoid": "sigmoid added: the network ends in a logit for each class by itself",
    "two classes": "one output p becomes two classes: the first label has 1 − p, the second p",
    "sigmoid, two classes": "sigmoid added: the network ends in one logit, p of the second label; the first has 1 − p",
}


def _notes(settings: InputSettings, entry: Entry, form: HeadForm) -> list[str]:
    notes = []
    if entry.numbers is not None:
        numbers = ", ".join(f"{f:g}·x{o:+g}" for f, o in dict.fromkeys(zip(*entry.scaling, strict=True)))
        name = "" if not isinstance(settings.scale, str) else f"{settings.scale}: "
        notes.append(f"scale built in: {name}{numbers}")
    if entry.reversed:
        notes.append("RGB becomes BGR inside the graph")
    if entry.channels < entry.eaten:
        notes.append(f"a grey image becomes {entry.eaten} equal channels inside the graph")
    return notes + ([FORMS[form]] if form in FORMS else [])
