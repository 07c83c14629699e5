"""What a bundle says of its input, and of what was written around its network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Golden
from bctoolkit.contract import InputContract
from bctoolkit.documents.preprocessing import Adaptation
from bctoolkit.errors import BundleCorrupt
from tests.support.bundles import STORED, reseal, write


def test_what_was_written_around_a_network_is_read_back(tmp_path: Path) -> None:
    adaptation = Adaptation(scale="caffe", offset=(-1.0, -2.0, -3.0), channels="bgr", output="kind", head="softmax")
    assert write(tmp_path / "one", adaptation=adaptation).manifest.adaptation == adaptation
    assert bundles.read(STORED).manifest.adaptation is None


@pytest.mark.parametrize(
    "change",
    [{"scale": 3}, {"channels": "yuv"}, {"head": "relu"}, {"factor": "1"}, {"mean": [1.0]}, {"channels": None}],
)
def test_an_adaptation_that_makes_no_sense_is_no_manifest(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write(tmp_path / "one", adaptation=Adaptation()).path
    reseal(folder, lambda raw: raw["adaptation"].update(change))
    with pytest.raises(BundleCorrupt, match="adaptation"):
        bundles.read(folder)


@pytest.mark.parametrize("channels", [1, 5])
def test_golden_images_of_other_channels_are_read_back(tmp_path: Path, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5, channels), dtype=np.uint8)
    golden = Golden(images, np.full((4, 2), 0.5, np.float32), np.full(4, -1))
    written = write(tmp_path / "one", input=InputContract(height=6, width=5, channels=channels), golden=golden)
    assert np.array_equal(written.golden().images, images)
    assert written.manifest.input.shape == (6, 5, channels)


@pytest.mark.parametrize("channels", [0, -1, 1025, 3.5, "3", None])
def test_an_impossible_number_of_channels_is_no_manifest(tmp_path: Path, channels: Any) -> None:
    folder = write(tmp_path / "one").path
    reseal(folder, lambda raw: raw["input"].update(channels=channels))
    with pytest.raises(BundleCorrupt, match="channels"):
        bundles.read(folder)
