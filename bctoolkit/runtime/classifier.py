"""`load(bundle).predict(images)`: every check once, above the engines."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle
from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import engine_for
from bctoolkit.errors import BackendError
from bctoolkit.lazy import attribute
from bctoolkit.runtime.backends import Backend, default_threads
from bctoolkit.runtime.identity import model_file
from bctoolkit.signing import TrustedKey

__all__ = ["Classifier", "Prediction", "load"]

MAX_THREADS = 256

ROUNDING = 0.01
"""How far beyond 0 and 1 a probability may lie: outputs of eight or sixteen bits are rounded."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of a batch of N images."""

    labels: tuple[str, ...]
    """The most probable class of each image."""
    probabilities: NDArray[np.float32]
    """N × classes, each row summing to 1; where the model returns eight bits, to within 1/512 per class."""


class Classifier:
    """An opened model with its input contract and its labels.

    Several threads may use one classifier: each call gets the answers to its own images. A process of its own needs a
    classifier of its own, for an engine's threads and memory are not inherited.
    """

    def __init__(self, backend: Backend, contract: InputContract, labels: tuple[str, ...]) -> None:
        self.backend = backend
        self.contract = contract
        self.labels = labels
        self._process = os.getpid()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: an opened model lives in one process.

        Raises:
            BackendError: always.
        """
        raise BackendError("a classifier cannot be pickled or copied; hand on the bundle's path and load it there")

    def predict(self, images: NDArray[Any]) -> Prediction:
        """Classify a batch.

        Args:
            images: array N × height × width × channels, values 0–255, in the contract's dtype; `prepare` makes one
                image of it from a file, a Pillow image or an array of another size.

        Raises:
            InputMismatch: shape, dtype or values break the contract.
            BackendError: the engine returned something that is no probability per class, or this process is a fork of
                the one that opened the model.
        """
        if os.getpid() != self._process:
            raise BackendError(
                f"the classifier was opened in process {self._process} and this is a fork of it, without the engine's "
                "threads; load the bundle in each process"
            )
        probabilities = self.backend.run(self.contract.check(images))
        if probabilities.shape != (len(images), len(self.labels)):
            raise BackendError(
                f"the engine returned shape {probabilities.shape}, expected {(len(images), len(self.labels))}"
            )
        if not np.isfinite(probabilities).all():
            raise BackendError("the engine returned probabilities that are not finite")
        low, high = float(probabilities.min()), float(probabilities.max())
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise BackendError(f"the engine returned values from {low:g} to {high:g}, which are no probabilities")
        return Prediction(tuple(self.labels[i] for i in probabilities.argmax(1)), probabilities)

    def predict_each(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify images one at a time, as a device does, however many there are.

        A form that finds the range of its activations at run time takes it over the whole batch, so that the
        probabilities of an image of a batch depend on its neighbours there.

        Args:
            images: N × height × width × channels uint8, at least one, as bundles and data sets hold them; they may be
                on disk.

        Returns:
            N × classes probabilities.

        Raises:
            InputMismatch: the shape breaks the contract.
            BackendError: the engine returned something that is no probability per class.
        """
        single = (np.asarray(images[i : i + 1], self.contract.dtype) for i in range(len(images)))
        return np.concatenate([self.predict(image).probabilities for image in single])


def load(
    path: str | Path,
    *,
    engine: str | None = None,
    provider: str | None = None,
    threads: int | None = None,
    trusted_keys: Sequence[TrustedKey] | None = None,
) -> Classifier:
    """Open a bundle with an inference engine. The model's hash is checked before the engine sees a byte of it.

    Args:
        path: the bundle's folder.
        engine: an engine of the bundle's format; the format's first by default.
        provider: what to run on, e.g. `"cpu"` or `"cuda"`; the engine's first by default.
        threads: threads to compute with; by default the CPUs at hand, at most four.
        trusted_keys: public keys, as paths of PEM files or their content, of which one must have signed the bundle as
            it is; by default no signature is asked for.

    Raises:
        BundleError: not a bundle, damaged, put together of files that do not belong together, not signed by a trusted
            key, or too new.
        MissingExtra: the engine is not installed.
        ProviderUnavailable: there is no such engine, or it cannot run on `provider`.
        BackendError: an impossible number of threads, or a file the engine refuses.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise BackendError(f"got {threads} threads; wanted 1 to {MAX_THREADS}")
    opened = bundle.read(path, trusted_keys)
    row = engine_for(opened.manifest.format, engine)
    open_model = attribute(row.backend)
    backend = open_model(
        model_file(opened),
        row.providers[0] if provider is None else provider,
        default_threads() if threads is None else threads,
    )
    return Classifier(backend, opened.manifest.input, opened.manifest.labels)
