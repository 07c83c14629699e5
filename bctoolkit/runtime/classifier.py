"""`load(bundle).predict(images)`: every check once, above the engines."""

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, Union, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle
from bctoolkit.contract import InputContract, prepare
from bctoolkit.documents.formats import engine_for, engine_name
from bctoolkit.errors import BackendError, InputMismatch
from bctoolkit.lazy import attribute
from bctoolkit.manifest import Manifest
from bctoolkit.runtime.backends import Backend, default_threads, engine_errors
from bctoolkit.runtime.info import ClassifierInfo
from bctoolkit.runtime.model_files.identity import model_file
from bctoolkit.runtime.self_test.run import SelfTestMode, run_self_test
from bctoolkit.signing import TrustedKey
from bctoolkit.statistics.acceptance import AcceptanceRule
from bctoolkit.statistics.metrics import are_probabilities
from bctoolkit.system import versions

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Classifier", "Picture", "Prediction", "load"]

MAX_THREADS = 256

Picture: TypeAlias = Union[str, Path, "Image", NDArray[Any]]
"""One image: a file or a Pillow image, which is prepared, or an array as `prepare` makes it."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of a batch of N images."""

    labels: tuple[str, ...]
    """The most probable class of each image."""
    probabilities: NDArray[np.float32]
    """N × classes, each row summing to 1: calibrated where the bundle has an acceptance rule, else the model's own,
    which sum to 1 within 1/512 per class where it returns eight bits."""
    accepted: NDArray[np.bool_] | None = None
    """Of each image whether its answer is one to rely on; None where the bundle has no acceptance rule."""


class Classifier:
    """An opened model with its input contract, its labels, and its rule of which answers to accept.

    Several threads may use one classifier: each call gets the answers to its own images. A process of its own needs a
    classifier of its own, for an engine's threads and memory are not inherited.

    As a context manager it closes itself at the end of the block.

    Args:
        backend: the opened model; a `StubBackend` in an app's tests.
        contract: what the model takes.
        labels: the classes, in the order of its outputs.
        info: what there is to say of it; by default what the other arguments say.
        acceptance: which answers to accept; None where nothing is known of that.
    """

    def __init__(
        self,
        backend: Backend,
        contract: InputContract,
        labels: tuple[str, ...],
        info: ClassifierInfo | None = None,
        acceptance: AcceptanceRule | None = None,
    ) -> None:
        self.contract = contract
        self.labels = labels
        self.acceptance = acceptance
        self._backend: Backend | None = backend
        self._info = info or ClassifierInfo(
            provider=backend.provider, threads=backend.threads, labels=labels, input=contract
        )
        self._process = os.getpid()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: an opened model lives in one process.

        Raises:
            BackendError: always.
        """
        raise BackendError("a classifier cannot be pickled or copied; hand on the bundle's path and load it there")

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def backend(self) -> Backend:
        """The opened model, without any check of what goes in or comes out.

        Raises:
            BackendError: the classifier is closed, or this process is a fork of the one that opened the model.
        """
        if self._backend is None:
            raise BackendError("the classifier is closed; load the bundle again")
        if os.getpid() != self._process:
            raise BackendError(
                f"the classifier was opened in process {self._process} and this is a fork of it, without the engine's "
                "threads; load the bundle in each process"
            )
        return self._backend

    def info(self) -> ClassifierInfo:
        """What is opened, and what runs it."""
        return self._info

    def close(self) -> None:
        """Free the engine's memory. Calls under way in other threads still get their answers, later ones an error."""
        self._backend = None

    def warm_up(self, runs: int = 3) -> None:
        """Run the model on a black image, so that the first answer takes no longer than the others.

        Args:
            runs: how often.

        Raises:
            BackendError: the classifier cannot be used; see `backend`.
        """
        for _ in range(runs):
            self.backend.run(np.zeros((1, *self.contract.shape), self.contract.dtype))

    def predict(self, images: Picture | Sequence[Picture]) -> Prediction:
        """Classify a batch, or one image as a batch of one.

        Arrays are taken as they are, and have to be what the contract says. Files and Pillow images are cropped and
        resized first, as `prepare` does it.

        Args:
            images: array N × height × width × channels, values 0–255, in the contract's dtype; or one image: an array
                without the first axis, a file's path, or a Pillow image; or a list of images.

        Raises:
            InputMismatch: an array breaks the contract, holds 0 and 1 alone where pictures have 0 and 255, or a picture
                cannot be prepared; where numpy can mend it, the message ends in the code that does.
            BackendError: the engine returned something that is no probability per class, the classifier is closed, or
                this process is a fork of the one that opened the model.
            MissingExtra: files and Pillow images need Pillow.
        """
        batch = self._batch(images)
        self.contract.require_levels(batch)
        raw = self._answers(self.backend, batch)
        labels = tuple(self.labels[i] for i in raw.argmax(1))
        if self.acceptance is None:
            return Prediction(labels, raw)
        judged = self.acceptance.judge(batch, raw)
        return Prediction(labels, judged.probabilities, judged.accepted)

    def raw_probabilities(self, images: Picture | Sequence[Picture]) -> NDArray[np.float32]:
        """What the model itself answers to a batch: what parity, golden images and self-tests compare.

        Args:
            images: as `predict` takes them.

        Returns:
            N × classes, not calibrated.

        Raises:
            BctkError: as `predict`.
        """
        return self._answers(self.backend, self._batch(images))

    def predict_batches(self, images: Iterable[Picture], batch: int = 1) -> Iterator[Prediction]:
        """Classify images as they come, in their order, never holding more than a batch of them.

        Args:
            images: each as `predict` takes one; they are asked for as answers are.
            batch: images a call of the engine gets. With 1 the answers are those that export and `bctk verify` have
                checked; a form with dynamic ranges takes them over a whole batch.

        Yields:
            The prediction of each batch; the last may be smaller.

        Raises:
            InputMismatch: `images` is one image, or `batch` no number of images.
            BctkError: as `predict`, when the batch is reached.
        """
        if isinstance(images, str) or not isinstance(images, Iterable):
            raise InputMismatch(f"got {type(images).__name__}; wanted an iterable of images, for one image use predict")
        if batch < 1:
            raise InputMismatch(f"got batches of {batch} images; wanted at least 1")
        waiting = iter(images)
        return map(self.predict, iter(lambda: list(islice(waiting, batch)), []))

    def predict_each(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the model itself answers to images one at a time, as on a device, however many there are.

        A form that finds the range of its activations at run time takes it over the whole batch, so that the
        probabilities of an image of a batch depend on its neighbours there.

        Args:
            images: N × height × width × channels uint8, at least one, as bundles and data sets hold them; they may be
                on disk.

        Returns:
            N × classes probabilities, not calibrated.

        Raises:
            InputMismatch: the shape breaks the contract.
            BackendError: the engine returned something that is no probability per class.
        """
        single = (np.asarray(images[i : i + 1], self.contract.dtype) for i in range(len(images)))
        return np.concatenate([self.raw_probabilities(image) for image in single])

    def _answers(self, backend: Backend, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The model's probabilities of a batch that keeps the contract, N × classes, if that is what they are."""
        probabilities = backend.run(batch)
        if probabilities.shape != (len(batch), len(self.labels)):
            raise BackendError(
                f"the engine returned shape {probabilities.shape}, expected {(len(batch), len(self.labels))}"
            )
        if not np.isfinite(probabilities).all():
            raise BackendError("the engine returned probabilities that are not finite")
        if not are_probabilities(probabilities):
            low, high = float(probabilities.min()), float(probabilities.max())
            raise BackendError(f"the engine returned values from {low:g} to {high:g}, which are no probabilities")
        return probabilities

    def _batch(self, images: Picture | Sequence[Picture]) -> NDArray[Any]:
        """The argument of `predict` as the model takes it."""
        if isinstance(images, np.ndarray) and images.shape != self.contract.shape:
            return self.contract.check(images)
        if isinstance(images, str) or not isinstance(images, Sequence):
            return self._one(images)
        if not images:
            raise InputMismatch(f"got no images; the model wants {self.contract} with N ≥ 1")
        arrays = [image for image in images if isinstance(image, np.ndarray)]
        if len(arrays) == len(images) and len({array.shape for array in arrays}) == 1:
            return self.contract.check(np.stack(arrays), "np.stack(images)")
        return np.concatenate([self._one(image) for image in images])

    def _one(self, image: Picture) -> NDArray[Any]:
        """A batch of one."""
        array = image if isinstance(image, np.ndarray) else prepare(image, self.contract)
        if array.shape != self.contract.shape:
            raise InputMismatch(f"got an image of shape {array.shape} in a list; the model wants {self.contract}")
        return self.contract.check(array[None])


def load(
    path: str | Path,
    *,
    engine: str | None = None,
    provider: str | None = None,
    threads: int | None = None,
    self_test: SelfTestMode = "once",
    trusted_keys: Sequence[TrustedKey] | None = None,
) -> Classifier:
    """Open a bundle with an inference engine. The model's hash is checked before the engine sees a byte of it.

    Then the model is asked up to ten of its golden images, and not served unless it answers as it should. Once it has,
    a small file in the user's cache folder says so, and the next start does without.

    Args:
        path: the bundle's folder.
        engine: an engine of the bundle's format; the format's first by default.
        provider: what to run on, e.g. `"cpu"` or `"cuda"`; the engine's first by default.
        threads: threads to compute with; by default the CPUs at hand, at most four.
        self_test: when to ask golden images: `"once"` for each bundle, engine, provider, threads and CPU, `"always"`,
            or `"never"`.
        trusted_keys: public keys, as paths of PEM files or their content, of which one must have signed the bundle as
            it is; by default no signature is asked for.

    Raises:
        BundleError: not a bundle, damaged, put together of files that do not belong together, not signed by a trusted
            key, or too new.
        MissingExtra: the engine is not installed.
        ProviderUnavailable: there is no such engine, or it cannot run on `provider`.
        SelfTestFailed: the engine does not compute here what was sealed.
        BackendError: an impossible number of threads, no such mode of the self-test, or a file the engine refuses.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise BackendError(f"got {threads} threads; wanted 1 to {MAX_THREADS}")
    if self_test not in get_args(SelfTestMode):
        raise BackendError(f"unknown mode of the self-test: {self_test!r}; modes: {', '.join(get_args(SelfTestMode))}")
    opened = bundle.read(path, trusted_keys)
    name = engine_name(opened.manifest.format, engine)
    row, model = engine_for(opened.manifest.format, name), model_file(opened)
    with engine_errors("the engine cannot open the model"):
        backend: Backend = attribute(row.backend)(
            model,
            row.providers[0] if provider is None else provider,
            default_threads() if threads is None else threads,
        )
    info = _info(opened.manifest, name, _version(row.package), backend)
    outcome = run_self_test(self_test, opened, backend, info)
    info = msgspec.structs.replace(info, self_test=outcome)
    return Classifier(backend, info.input, info.labels, info, opened.acceptance_rule())


def _info(manifest: Manifest, engine: str, engine_version: str | None, backend: Backend) -> ClassifierInfo:
    return ClassifierInfo(
        bundle=manifest.name,
        model_sha256=manifest.model.sha256,
        format=manifest.format,
        quantization=manifest.quantization,
        engine=engine,
        engine_version=engine_version,
        provider=backend.provider,
        threads=backend.threads,
        labels=manifest.labels,
        input=manifest.input,
    )


def _version(package: str) -> str | None:
    """Of the engine that is imported; its own word costs less than a look among the installed packages."""
    module = importlib.import_module(package.replace("-", "_"))
    return getattr(module, "__version__", None) or versions(package).get(package)
