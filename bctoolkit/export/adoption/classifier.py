"""A model file made elsewhere as a classifier: run as it came, with pre- and postprocessing in numpy."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents.formats import engine_for
from bctoolkit.documents.preprocessing import Head, InputSettings, OutputSettings
from bctoolkit.errors import ExportError, RecipeError
from bctoolkit.export.adoption.adapter import Adapter, pixels_as_they_are, to_input, to_probabilities
from bctoolkit.export.adoption.foreign import ForeignModel
from bctoolkit.export.adoption.ports import choose_output, image_axes, score_count
from bctoolkit.lazy import attribute
from bctoolkit.runtime.backends import Backend, default_threads
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["ForeignClassifier"]

SUM = 0.02
"""How far probabilities of one image may be from a sum of one; eight bits add half a step per class."""

LAST = {"Softmax", "SOFTMAX", "Sigmoid", "LOGISTIC", "HardSigmoid"}
"""Operators behind which nothing is missing."""


class ForeignClassifier:
    """A file and what is to be put around it.

    Args:
        path: what to call it in a message.
        model: the file as it was read.
        output: which output, what makes probabilities of it; the labels are not used.
        size: height and width where the file leaves them open.

    Raises:
        ExportError: the file is no image classifier.
        RecipeError: something that the file does not tell is missing, or does not go with it.
    """

    def __init__(self, path: Path, model: ForeignModel, output: OutputSettings, size: tuple[int, int] | None) -> None:
        self.path, self.model = path, model
        self._head = output.head
        self._axes = image_axes(model.input, path)
        self._output = choose_output(model.outputs, output.name or None, path)
        self._count = score_count(self._output, path)
        self.shape = (*self._size(size), self._axes.channels)

    @property
    def classes(self) -> int:
        """Probabilities per image."""
        return max(self._count, 2)

    def settings(self, stated: InputSettings) -> InputSettings | None:
        """The settings of its input: those of the user, or that pixels go in as they are where the file takes uint8.

        Returns:
            None where the scale is unknown.

        Raises:
            RecipeError: the settings do not go with the file.
        """
        channels, port = self._axes.channels, self.model.input
        colours = ("grey",) if channels == 1 else ("rgb", "bgr")
        if stated.channels not in (None, *colours) or (stated.reversed and channels == 1):
            what = stated.channels if stated.channels is not None else f"scale {stated.scale}"
            raise RecipeError(f"{self.path}: takes {channels} channel(s), not {what}; channels: {', '.join(colours)}")
        as_they_are = pixels_as_they_are(port)
        if stated.scale is None and port.dtype == "uint8":
            return _with_numbers(stated, as_they_are.factor[0], as_they_are.offset[0])
        if stated.scale is None:
            return None
        if stated.scaling.per_channel(channels) is None:
            raise RecipeError(f"{self.path}: --scale has numbers for another count of channels than {channels}")
        if port.dtype == "uint8" and port.quantization is None and stated.scaling != as_they_are:
            raise RecipeError(f"{self.path}: takes pixels 0–255 as they are (uint8); leave out --scale")
        return stated

    def adapter(self, settings: InputSettings, images: NDArray[np.uint8]) -> Adapter:
        """What is put around the file; whether its scores are probabilities is seen on images.

        Args:
            settings: of its input.
            images: N × height × width × channels, at least one.

        Raises:
            ExportError: a score is not finite.
            RecipeError: the scores may be either.
        """
        bare = Adapter(
            self.model.input,
            self._output,
            self._axes.layout,
            self.shape,
            settings.scaling,
            settings.reversed,
            self._head or "none",
            self._count,
        )
        if self._head is not None:
            return bare
        return replace(bare, head=self._needed_head(self._scores(bare, images)))

    def predict(self, adapter: Adapter, images: NDArray[np.uint8]) -> Probabilities:
        """N × classes probabilities, image by image, with all that `adapter` names done in numpy."""
        return to_probabilities(adapter, self._scores(adapter, images))

    def _scores(self, adapter: Adapter, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = [self._backend.run(to_input(adapter, images[index : index + 1])) for index in range(len(images))]
        scores = np.concatenate([row.reshape(1, -1) for row in rows]).astype(np.float32)
        if scores.shape[1] != self._count:
            raise ExportError(f"{self.path}: gives {scores.shape[1]} scores per image, its shape says {self._count}")
        if not np.isfinite(scores).all():
            row = int(np.argwhere(~np.isfinite(scores))[0, 0])
            raise ExportError(f"{self.path}: score {scores[row].tolist()[:8]} of check image {row} is not finite")
        return scores

    def _needed_head(self, scores: NDArray[np.float32]) -> Head:
        """What is missing behind the scores: nothing where they are probabilities by their operator or by value."""
        if self.model.last_operator(self._output.name) in LAST:
            return "none"
        inside = bool((scores >= -SUM).all() and (scores <= 1 + SUM).all())
        if self._count == 1:
            if not inside:
                return "sigmoid"
            raise RecipeError(
                f"{self.path}: its one score lies within 0–1 on all images, so it may be a probability or not; say "
                "--head none or --head sigmoid"
            )
        sums = np.abs(scores.sum(1) - 1) <= SUM + self._count / 512
        return "none" if inside and sums.all() else "softmax"

    @cached_property
    def _backend(self) -> Backend:
        engine = engine_for(self.model.format)
        content = self.model.content(self._output.name)
        backend: Backend = attribute(engine.backend)(content, engine.providers[0], default_threads())
        return backend

    def _size(self, stated: tuple[int, int] | None) -> tuple[int, int]:
        """Height and width: those of the file, or those that the user states where it leaves them open."""
        fixed = self._axes.height, self._axes.width
        if None in fixed and self.model.format == "tflite":
            raise ExportError(f"{self.path}: leaves the size of the image open; convert it again with a fixed one")
        if stated is None:
            if fixed[0] is None or fixed[1] is None:
                port = self.model.input
                raise RecipeError(
                    f"{self.path}: input {port} leaves the size of the image open; say --size HEIGHTxWIDTH"
                )
            return fixed[0], fixed[1]
        if any(side not in (None, wish) for side, wish in zip(fixed, stated, strict=True)):
            shape = "×".join(str(side or "any") for side in fixed)
            raise RecipeError(
                f"{self.path}: takes images of {shape} pixels, not {stated[0]}×{stated[1]}; leave out --size, or "
                "export the file again with that size"
            )
        return stated


def _with_numbers(stated: InputSettings, factor: float, offset: float) -> InputSettings:
    return InputSettings(dtype=stated.dtype, scale=(factor, offset), channels=stated.channels, size=stated.size)
