"""Which labelled images an artifact is judged on: the first, and all where only more could let it pass."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.data.stores import Images
from bctoolkit.documents.quantization import Gate
from bctoolkit.export.checks.judgement import Validated, Validation, validate

FIRST, ALL = 1000, 4000


class Part:
    """A validation part whose images hold their number, all decided rightly by the reference."""

    def __init__(self, groups: int | None = None) -> None:
        self.asked: list[int] = []
        """How many images the artifact was asked for, each time."""
        self.whole = cache(lambda: self._validation(ALL, groups))
        self.first = replace(self._validation(FIRST, groups), whole=self.whole)

    def _validation(self, count: int, groups: int | None) -> Validation:
        numbers = np.arange(count)
        images = np.stack([numbers // 256, numbers % 256], 1).astype(np.uint8).reshape(-1, 1, 1, 2)
        patients = None if groups is None else np.array([f"patient {i % groups}" for i in numbers], object)
        labels = numbers % 2
        reference = np.eye(2, dtype=np.float32)[labels]
        return Validation(images, labels, reference, ("even", "odd"), np.empty((count, 32), np.uint8), patients)

    def judged(self, *lost: int) -> Validated:
        """Judge an artifact that is wrong on some images."""

        def predict(images: Images) -> NDArray[np.float32]:
            self.asked.append(len(images))
            numbers = images[:].reshape(-1, 2) @ np.array([256, 1])
            return np.eye(2, dtype=np.float32)[(numbers + np.isin(numbers, lost)) % 2]

        return validate(self.first, predict, Gate())


@pytest.mark.parametrize(
    ("lost", "asked", "outcome"),
    [
        ((), [FIRST], "passed"),
        ((0, 1, 2), [FIRST, ALL - FIRST], "passed"),
        ((0, 1, 2, *range(2000, 2030)), [FIRST, ALL - FIRST], "failed"),
        (tuple(range(8)), [FIRST], "failed"),  # beyond the limit by the figure itself
    ],
)
def test_all_images_are_judged_where_only_more_could_let_it_pass(
    lost: tuple[int, ...], asked: list[int], outcome: str
) -> None:
    part = Part()
    validated = part.judged(*lost)
    assert part.asked == asked
    assert validated.gate.outcome == outcome
    assert validated.gate.count == len(validated.probabilities) == len(validated.validation.labels) == sum(asked)
    wrong = np.flatnonzero(validated.probabilities.argmax(1) != validated.validation.labels)
    assert tuple(wrong) == lost  # in the order of the part


def test_where_the_first_images_are_all_they_decide() -> None:
    part = Part()
    part.first = replace(part.first, whole=None)
    assert part.judged(0, 1, 2).gate.outcome == "failed"
    assert part.asked == [FIRST]


def test_groups_are_respected_on_the_first_images_and_on_all() -> None:
    validated = Part(groups=40).judged(0, 40, 80)
    assert (validated.gate.outcome, validated.gate.groups, validated.gate.count) == ("undecided", 40, ALL)
    assert Part(groups=40).judged(0, 41, 82).gate.outcome == "passed"
