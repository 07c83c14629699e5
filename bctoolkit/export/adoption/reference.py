"""What an adopted file is compared with: a run, a Keras file, or a float ONNX file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.data.stores import Images
from bctoolkit.documents.preprocessing import Adaptation, Channels, InputSettings, OutputSettings, Scaling
from bctoolkit.errors import ExportError, RecipeError, UnsupportedOp
from bctoolkit.export.adoption.adapter import Adapter, to_input, to_probabilities
from bctoolkit.export.adoption.classifier import ForeignClassifier
from bctoolkit.export.adoption.foreign import ForeignModel
from bctoolkit.export.checks.feeding import judge_feeding, require_right_feeding
from bctoolkit.export.exporter import Exporter, ExportSettings
from bctoolkit.export.network import Form, Network
from bctoolkit.export.source import ModelData, ModelSource, as_prepared
from bctoolkit.lazy import require
from bctoolkit.manifest import Source
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe

if TYPE_CHECKING:
    import keras

__all__ = ["FileReference", "KerasReference", "Reference", "file_reference", "referring"]

BATCH = 32


class Reference(Protocol):
    """A float network that takes images as an app hands them over."""

    @property
    def source(self) -> ModelSource:
        """Where it comes from, and what is known of it."""

    @property
    def classes(self) -> int:
        """Probabilities per image."""

    def network(self, images: NDArray[np.uint8]) -> Network:
        """The network, ready to predict; what its scores are may be seen on images N × height × width × channels."""

    def require_right_feeding(self, data: ModelData | None, stated: OutputSettings, progress: Progress) -> None:
        """Check on labelled images that it is fed, and its outputs are read, as suits it.

        Args:
            data: labelled images; None where there are none.
            stated: the labels.
            progress: told what was assumed.

        Raises:
            ExportError: it is right far more often fed otherwise; the message names the option that feeds it so.
        """


class _Unexported:
    """A `Network` of one form, from which nothing is made."""

    trained: Form | None = None
    twins: tuple[Form, ...] = ()

    def exporter(self, format_name: str, settings: ExportSettings) -> Exporter:
        """None: an adopted file is there already."""
        raise UnsupportedOp(f"no {format_name} file is made from the reference of an adopted file")


class _KerasNetwork(_Unexported):
    def __init__(self, model: object) -> None:
        from bctoolkit.export.keras_network import keras_form  # imports TensorFlow
        from bctoolkit.networks.inference import in_float32

        self._model = in_float32(model)
        self.reference = keras_form("float32 Keras", self._model)

    def float64(self, images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """The reference computed in float64."""
        from bctoolkit.export.keras_graph import precision

        return precision.float64(self._model, images)

    def rounded(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The reference with other rounding."""
        from bctoolkit.export.keras_graph import precision

        return precision.rounded(self._model, images)


@dataclass(frozen=True)
class KerasReference:
    """A run, or a Keras file."""

    source: ModelSource
    settings: InputSettings
    """What is stated of the input of a file."""

    @property
    def classes(self) -> int:
        """Probabilities per image."""
        return int(self._model.output_shape[-1])

    def network(self, images: NDArray[np.uint8]) -> Network:
        """The network in float32."""
        return _KerasNetwork(self._model)

    @cached_property
    def _model(self) -> "keras.Model":
        return self.source.load()

    def require_right_feeding(self, data: ModelData | None, stated: OutputSettings, progress: Progress) -> None:
        """As every Keras file; a run's network was measured when it was trained."""
        if self.source.adapted is not None:
            recipe = ExportRecipe(input=self.settings, output=stated)
            with referring():
                require_right_feeding(self.source, data, recipe, progress)


class _FileNetwork(_Unexported):
    def __init__(self, classifier: ForeignClassifier, adapter: Adapter) -> None:
        self._classifier, self._adapter = classifier, adapter
        self.reference = Form(f"{classifier.path.name} in float32", self._predict, lambda image: [], lambda: ())

    def float64(self, images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """Unknown: the engine has no float64 form of every operator."""
        return None

    def rounded(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The file operator by operator, none fused with another: a second order of evaluation."""
        runtime = require("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = self._classifier.model.content(self._adapter.output.name)
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        fed = to_input(self._adapter, images)
        name = self._adapter.input.name
        rows = [session.run(None, {name: fed[i : i + 1]})[0] for i in range(len(fed))]
        return to_probabilities(self._adapter, np.concatenate([row.reshape(1, -1) for row in rows]))

    def _predict(self, images: Images, label: str, progress: Progress) -> NDArray[np.float32]:
        batches = []
        for start in range(0, len(images), BATCH):
            progress.step(label, start, len(images))
            batches.append(self._classifier.predict(self._adapter, np.asarray(images[start : start + BATCH])))
        progress.step(label, len(images), len(images))
        return np.concatenate(batches)


@dataclass(frozen=True)
class FileReference:
    """A float ONNX file with its preprocessing."""

    source: ModelSource
    classifier: ForeignClassifier
    settings: InputSettings | None
    """None where its scale is unknown."""
    shared: bool
    """Whether its scale and colours are stated by the options of the adopted file."""

    @property
    def classes(self) -> int:
        """Probabilities per image."""
        return self.classifier.classes

    def network(self, images: NDArray[np.uint8]) -> Network:
        """The file as it came, in ONNX Runtime, with what it lacks done in numpy."""
        assert self.settings is not None
        with referring(self.shared):
            return _FileNetwork(self.classifier, self.classifier.adapter(self.settings, images))

    def require_right_feeding(self, data: ModelData | None, stated: OutputSettings, progress: Progress) -> None:
        """As every Keras file, run as it came."""
        assert self.settings is not None
        if data is None:
            return
        settings, channels = self.settings, self.classifier.shape[2]
        scaling = settings.scaling.per_channel(channels)
        assert scaling is not None

        def predict(images: NDArray[np.uint8], entry: _Entry) -> NDArray[np.float32]:
            adapter = self.classifier.adapter(settings, images)
            fed = replace(adapter, scaling=entry.scaling, reversed=entry.reversed)
            return self.classifier.predict(fed, images)

        entry = _Entry(channels, channels, scaling, self.settings.reversed)
        recipe = ExportRecipe(input=self.settings, output=stated)
        with referring(self.shared):
            judge_feeding(self.source.name, predict, entry, data.dataset, recipe, progress)


@dataclass(frozen=True)
class _Entry:
    """How a file is fed."""

    channels: int
    eaten: int
    scaling: Scaling
    reversed: bool


@contextmanager
def referring(shared: bool = False) -> Iterator[None]:
    """Let errors name the options that hold for the reference.

    Args:
        shared: whether scale and colours are stated by the options of the adopted file.
    """
    names = "output|head" if shared else "scale|channels|output|head"
    try:
        yield
    except (ExportError, RecipeError) as problem:
        raise type(problem)(re.sub(rf"--({names})\b", r"--reference-\1", str(problem))) from None


def file_reference(
    path: Path,
    model: ForeignModel,
    settings: InputSettings,
    output: OutputSettings,
    size: tuple[int, int] | None,
    pictures: InputSettings,
    shared: bool,
) -> FileReference:
    """A float file as a reference.

    Args:
        path: of the file.
        model: the file as it was read.
        settings: of its input.
        output: which output holds the classes, and what it lacks.
        size: of images, where the file leaves it open.
        pictures: what is stated of pictures: white in those of 16 bits a channel, and how images were made of them.
        shared: whether scale and colours are stated by the options of the adopted file.

    Raises:
        ExportError: it computes in integers or half precision, so that nothing could be measured against it.
        RecipeError: something that the file does not tell is missing, or does not go with it.
    """
    if model.format != "onnx" or model.quantization != "fp32":
        raise ExportError(
            f"{path}: {model.format}, {model.arithmetic}; a reference is a Keras file, a run, or an ONNX file in "
            "float32"
        )
    with referring(shared):
        classifier = ForeignClassifier(path, model, output, size)
        complete = classifier.settings(settings)
    height, width, channels = classifier.shape
    contract = InputContract(height=height, width=width, channels=channels, white=pictures.white)
    source = ModelSource(
        path.stem,
        path,
        as_prepared(contract, pictures),
        Source(path.stem, model.sha256),
        adaptation=_fed(complete, channels),
    )
    return FileReference(source, classifier, complete, shared)


def _fed(settings: InputSettings | None, channels: int) -> Adaptation | None:
    """How a file is fed, which decides its predictions as much as the file does."""
    if settings is None:
        return None
    colours: Channels = "grey" if channels == 1 else "bgr" if settings.reversed else "rgb"
    return Adaptation(factor=settings.scaling.factor, offset=settings.scaling.offset, channels=colours)
