"""A classifier under the suite: every image once under each corruption, whatever the batches, prepared ahead."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.apply import _ahead, predicted_classes
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bctoolkit.errors import DatasetError
from bctoolkit.progress import Silent


@pytest.mark.parametrize("batch", [1, 7, 24, 100, 10_000])
def test_every_image_comes_once_under_each_corruption(cells: Dataset, batch: int) -> None:
    batches: list[NDArray[np.uint8]] = []

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        batches.append(images)
        return np.eye(3, dtype=np.float32)[images.reshape(len(images), -1).sum(1, dtype=np.int64) % 3]

    classes = predicted_classes(predict, cells, batch, Silent())
    total = len(CORRUPTIONS) * len(SEVERITIES) * len(cells)
    assert [len(images) for images in batches[:-1]] == [batch] * (total // batch - (total % batch == 0))
    corrupted = [
        corrupt(cells.images[:], cells.hashes, name, severity) for name in CORRUPTIONS for severity in SEVERITIES
    ]
    assert np.array_equal(np.concatenate(batches), np.concatenate(corrupted))
    expected = np.stack([predict(images).argmax(1) for images in corrupted], axis=1)
    assert np.array_equal(classes.reshape(len(cells), -1), expected)


def test_work_done_ahead_comes_in_order() -> None:
    assert list(_ahead(lambda task: task * task, range(50))) == [task * task for task in range(50)]


def test_an_error_ahead_reaches_who_waits() -> None:
    def odd(task: int) -> NDArray[np.int64]:
        if task == 3:
            raise DatasetError("image 3 has gone")
        return np.array(task)

    with pytest.raises(DatasetError, match="image 3 has gone"):
        list(_ahead(odd, range(9)))


SCIPY_FIRST = """
import sys
import numpy as np
from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.apply import predicted_classes
from bctoolkit.progress import Silent

class Images:
    def __getitem__(self, index):
        assert {"scipy.ndimage", "scipy.signal"} <= set(sys.modules)
        return np.zeros((2, 8, 8, 3), np.uint8)[index]

dataset = Dataset(Images(), np.zeros(2, np.int64), ("a", "b"), np.zeros((2, 32), np.uint8), "memory")
print(predicted_classes(lambda images: np.eye(2)[:1].repeat(len(images), 0), dataset, 64, Silent()).shape)
"""


def test_scipy_is_imported_before_the_threads_begin() -> None:
    """Two threads that import parts of SciPy at the same time can meet a half-initialized module."""
    done = subprocess.run([sys.executable, "-c", SCIPY_FIRST], capture_output=True, text=True, check=False)
    assert done.stdout == f"(2, {len(CORRUPTIONS)}, {len(SEVERITIES)})\n", done.stderr
