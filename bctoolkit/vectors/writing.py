"""Writing vectors: files are drawn, converted as an app's pictures are, and answered by bundles."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bundle import Bundle
from bctoolkit.contract import COLOURS, InputContract, prepare_bytes
from bctoolkit.documents import to_json
from bctoolkit.errors import InputMismatch, VectorsError
from bctoolkit.files import atomic_folder, sha256_bytes
from bctoolkit.runtime import Classifier
from bctoolkit.vectors.document import ARRAYS, IMAGES, VECTORS, Answers, Case, Vectors
from bctoolkit.vectors.drawing import prepared_pictures, whole_pictures
from bctoolkit.vectors.files import ImageFile
from bctoolkit.vectors.jpegs import jpegs
from bctoolkit.vectors.pngs import pngs

__all__ = ["write"]

FLOAT32_TOLERANCE, BEYOND_SEALED = 1e-4, 0.01
"""Largest |Δp| of fp32; and of other forms, beyond what was sealed: engines round activations each in its way."""

Subject = tuple[Bundle, Classifier]
Answer = Callable[[Classifier, NDArray[np.uint8]], NDArray[np.float32]]


def write(subjects: Sequence[Subject], out: Path, answer: Answer = Classifier.predict_each) -> Vectors:
    """Write a folder of vectors, whole or not at all; an earlier one is replaced.

    Args:
        subjects: bundles of one contract and the same labels, each opened to answer.
        out: the folder.
        answer: asks a classifier for its probabilities of N images one at a time.

    Raises:
        VectorsError: bundles that cannot share vectors, or take something else than pictures.
        RecipeError: `out` is something else.
    """
    contract, labels = _shared([opened for opened, _ in subjects])
    files = [*jpegs(whole_pictures(contract)), *pngs(contract.white, prepared_pictures(contract))]
    cases, arrays = _converted(files, contract)
    answers = {
        opened.manifest.name: _answers(opened, classifier, cases, arrays, answer) for opened, classifier in subjects
    }
    vectors = Vectors(input=contract, labels=labels, bundles=answers, cases=cases)
    with atomic_folder(out, VECTORS, (ARRAYS, IMAGES)) as folder:
        (folder / IMAGES).mkdir()
        for case, file in zip(cases, files, strict=True):
            (folder / case.file).write_bytes(file.content)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=arrays)
        (folder / ARRAYS).write_bytes(buffer.getvalue())
        (folder / VECTORS).write_bytes(to_json(vectors))
    return vectors


def _shared(opened: Sequence[Bundle]) -> tuple[InputContract, tuple[str, ...]]:
    """The contract and the labels of all bundles."""
    first = opened[0].manifest
    for other in (bundle.manifest for bundle in opened[1:]):
        if (other.input, other.labels) != (first.input, first.labels):
            raise VectorsError(
                f"{other.name} has another contract or other labels than {first.name}; write vectors of each"
            )
    if len({bundle.manifest.name for bundle in opened}) < len(opened):
        raise VectorsError(f"two bundles are called {first.name}; give each once")
    if first.input.channels not in COLOURS:
        raise VectorsError(f"{first.name} takes {first.input}, which no image file holds")
    return first.input, first.labels


def _converted(files: Sequence[ImageFile], contract: InputContract) -> tuple[tuple[Case, ...], NDArray[np.uint8]]:
    cases: list[Case] = []
    arrays: list[NDArray[np.uint8]] = []
    for number, file in enumerate(files):
        name = f"{IMAGES}/{number:02}-{file.slug}.{file.suffix}"
        refused: str | None = None
        try:
            arrays.append(prepare_bytes(file.content, contract, name).astype(np.uint8))
        except InputMismatch as problem:
            refused = str(problem).removeprefix(name).lstrip(": ")
        array = len(arrays) - 1 if refused is None else None
        cases.append(Case(file=name, sha256=sha256_bytes(file.content), what=file.what, refused=refused, array=array))
    return tuple(cases), np.stack(arrays)


def _answers(
    opened: Bundle, classifier: Classifier, cases: Sequence[Case], arrays: NDArray[np.uint8], answer: Answer
) -> Answers:
    manifest = opened.manifest
    raw = answer(classifier, arrays)
    accepted: list[bool | None] = [None] * len(arrays)
    if classifier.acceptance is not None:
        accepted = [bool(each) for each in classifier.acceptance.judge(arrays, raw).accepted]
    exact = manifest.quantization == "fp32"
    return Answers(
        model_sha256=manifest.model.sha256,
        format=manifest.format,
        quantization=manifest.quantization,
        tolerance=FLOAT32_TOLERANCE if exact else manifest.parity.max_abs_diff + BEYOND_SEALED,
        answers=tuple(None if case.array is None else tuple(raw[case.array].tolist()) for case in cases),
        accepted=tuple(None if case.array is None else accepted[case.array] for case in cases),
    )
