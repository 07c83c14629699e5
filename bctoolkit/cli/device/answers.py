"""Answers of a bundle to images one at a time, as on a device, each within its time."""

from typing import TYPE_CHECKING

from bctoolkit.progress import Progress, Silent
from bctoolkit.supervision.time_limit import time_limit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bctoolkit.runtime import Classifier

__all__ = ["timed_answers"]


def timed_answers(
    classifier: "Classifier", images: "NDArray[np.uint8]", seconds: int, progress: Progress | None = None
) -> "NDArray[np.float32]":
    """The model's own probabilities, N × classes.

    Args:
        classifier: opened in the process that the time limit may end.
        images: N × height × width × channels.
        seconds: that an answer may take.
        progress: shows how many images are answered.
    """
    import numpy as np

    answers: list[NDArray[np.float32]] = []
    for index in range(len(images)):
        with time_limit(seconds):
            answers += [*classifier.predict_each(images[index : index + 1])]
        (progress or Silent()).step("answering images", index + 1, len(images))
    return np.stack(answers)
