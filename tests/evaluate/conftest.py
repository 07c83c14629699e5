"""What the tests of the evaluation share: pictures with their hashes, and a subject that needs no engine."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.evaluate.pipeline import evaluate_subject
from bctoolkit.evaluate.report import Evaluation
from bctoolkit.evaluate.subject import Selection, Subject
from bctoolkit.progress import Silent


def by_colour(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A classifier of eight classes that looks at the middle of the picture only."""
    middle = images[:, 20:28, 20:28].mean((1, 2))
    logits = np.stack([middle[:, 0] - 100, 2 * (middle[:, 2] - middle[:, 0]), *np.zeros((6, len(images)))], axis=1) / 20
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def subject(cells: Dataset) -> Subject:
    return Subject(
        name="colour",
        kind="bundle",
        model_sha256="ab" * 32,
        contract=InputContract(height=48, width=48),
        labels=cells.classes,
        predict=by_colour,
        acceptance=None,
        home=None,
        select=lambda dataset, part: Selection(np.arange(len(dataset)), "all images"),
    )


@pytest.fixture
def evaluated(subject: Subject, cells: Dataset) -> Callable[..., Evaluation]:
    """`evaluated(corruptions=True)`: the figures of `subject` on `cells`."""
    return lambda corruptions=False: evaluate_subject(subject, cells, "all", "all images", Silent(), corruptions)
