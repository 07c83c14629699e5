"""One row for each image: what the model says of it, or why it cannot say anything."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Union

import msgspec
from numpy.typing import NDArray

from bctoolkit.contract import InputContract, prepare
from bctoolkit.errors import BackendError, BctkError, DatasetError, InputMismatch
from bctoolkit.runtime import Classifier
from bctoolkit.scoring.inputs import Item

__all__ = ["Prepared", "Row", "answer", "prepared", "row_from_json", "row_to_json"]

Prepared = Union["NDArray[Any]", BctkError]
"""An image as the model takes it, or why there is none."""


class Row(NamedTuple):
    """What is known of one image: `error`, or everything but that."""

    file: str
    place: int | None
    """In an array; None of a file."""
    label: str | None = None
    accepted: bool | None = None
    """None also where the bundle has no acceptance rule."""
    probabilities: tuple[float, ...] | None = None
    """Float32 values, of each class."""
    error: str | None = None


class _Answer(NamedTuple):
    label: str
    accepted: bool | None
    probabilities: tuple[float, ...]


def prepared(item: Item, contract: InputContract) -> Prepared:
    """An image read, cropped and resized; what speaks against it is returned, so that the others go on.

    Raises:
        MissingExtra: Pillow is not installed, so that no image can be read.
    """
    try:
        image = prepare(item.read(), contract)
        contract.require_levels(image[None])
        return image
    except (InputMismatch, DatasetError) as problem:
        return problem


def answer(classifier: Classifier, items: Sequence[Item], pictures: Sequence[Prepared]) -> list[Row]:
    """The rows of a batch; the images that can be used are asked in one call.

    Args:
        classifier: whom to ask.
        items: N images.
        pictures: the same, prepared.
    """
    answers = iter(_predictions(classifier, [each for each in pictures if not isinstance(each, BctkError)]))
    return [
        _row(item, each if isinstance(each, BctkError) else next(answers)) for item, each in _pairs(items, pictures)
    ]


def _pairs(items: Sequence[Item], pictures: Sequence[Prepared]) -> Iterable[tuple[Item, Prepared]]:
    return zip(items, pictures, strict=True)


def _predictions(classifier: Classifier, images: list[NDArray[Any]]) -> list[_Answer | BctkError]:
    """An answer for each image; where the engine fails at a batch, each of its images is asked alone."""
    if not images:
        return []
    try:
        prediction = classifier.predict(images)
    except BackendError as problem:
        if len(images) == 1:
            return [problem]
        return [found for image in images for found in _predictions(classifier, [image])]
    accepted = [None] * len(images) if prediction.accepted is None else prediction.accepted.tolist()
    rows = prediction.probabilities.tolist()
    return [_Answer(*each) for each in zip(prediction.labels, accepted, map(tuple, rows), strict=True)]


def _row(item: Item, found: _Answer | BctkError) -> Row:
    if isinstance(found, BctkError):
        return Row(item.file, item.place, error=str(found))
    return Row(item.file, item.place, found.label, found.accepted, found.probabilities)


def row_to_json(row: Row) -> str:
    """A row as ASCII in one line."""
    return json.dumps(row)


def row_from_json(line: str | bytes) -> Row:
    """The row that `row_to_json` wrote.

    Raises:
        ValueError, RecursionError: it is none.
    """
    return msgspec.convert(json.loads(line), Row)  # msgspec's own decoder refuses names that are no UTF-8
