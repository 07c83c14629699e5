"""The walk over the suite: every image once under each corruption, in order, prepared ahead."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.apply import _ahead, batches, corrupted
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bctoolkit.errors import DatasetError


@pytest.mark.parametrize("batch", [1, 7, 24, 100])
def test_every_image_comes_once_under_each_corruption(cells: Dataset, batch: int) -> None:
    found = list(corrupted(cells, batch))
    assert len(found) == batches(len(cells), batch)
    for name in CORRUPTIONS:
        for severity in SEVERITIES:
            pieces = [piece for piece in found if (piece.name, piece.severity) == (name, severity)]
            images = np.concatenate([piece.images for piece in pieces])
            assert np.array_equal(images, corrupt(cells.images[:], cells.hashes, name, severity))
            assert [piece.chosen.start for piece in pieces] == list(range(0, len(cells), batch))


def test_work_done_ahead_comes_in_order() -> None:
    assert list(_ahead(lambda task: task * task, range(50))) == [task * task for task in range(50)]


def test_an_error_ahead_reaches_who_waits() -> None:
    def odd(task: int) -> NDArray[np.int64]:
        if task == 3:
            raise DatasetError("image 3 has gone")
        return np.array(task)

    with pytest.raises(DatasetError, match="image 3 has gone"):
        list(_ahead(odd, range(9)))
