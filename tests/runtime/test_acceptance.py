"""What a bundle with an acceptance rule answers, and that what parity compares is none of it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.errors import BundleCorrupt
from bctoolkit.files import sha256_bytes
from bctoolkit.runtime import load
from bctoolkit.statistics import metrics
from tests.support.acceptance import coloured, noise
from tests.support.bundles import STORED, reseal

STATED = 0.9


def test_probabilities_are_calibrated_and_the_class_stays(ruled: Path) -> None:
    images = coloured(800, seed=2)
    answers, plain = load(ruled).predict(images.images[:]), load(STORED).predict(images.images[:])
    rule = bundles.read(ruled).manifest.acceptance
    assert rule is not None
    assert answers.labels == plain.labels
    assert np.array_equal(answers.probabilities.argmax(1), plain.probabilities.argmax(1))
    assert answers.probabilities == pytest.approx(metrics.tempered(plain.probabilities, rule.temperature), abs=1e-6)
    before, after = (metrics.expected_calibration_error(images.labels, each.probabilities) for each in (plain, answers))
    assert after < before / 2


def test_as_many_are_accepted_as_stated_and_what_is_foreign_is_not(ruled: Path) -> None:
    classifier = load(ruled)
    accepted = classifier.predict(coloured(2000, seed=2).images[:]).accepted
    assert accepted is not None
    assert accepted.dtype == np.bool_
    assert metrics.exact_interval(int(accepted.sum()), 2000, 0.999)[0] < STATED + 0.03
    assert accepted.mean() > STATED - 0.05
    for foreign in (noise(100).images[:], coloured(100, seed=3, brightness=200).images[:]):
        refused = classifier.predict(foreign).accepted
        assert refused is not None
        assert not refused.any()


def test_a_bundle_without_a_rule_says_nothing_of_it() -> None:
    prediction = load(STORED).predict(noise(2).images[:])
    assert prediction.accepted is None
    assert np.array_equal(prediction.probabilities, load(STORED).raw_probabilities(noise(2).images[:]))


def test_what_parity_compares_is_the_model_s_own_answer(ruled: Path) -> None:
    golden = bundles.read(ruled).golden()
    assert load(ruled).predict_each(golden.images) == pytest.approx(golden.probabilities, abs=1e-4)
    assert np.abs(load(ruled).predict(golden.images).probabilities - golden.probabilities).max() > 0.01


def test_answers_do_not_depend_on_the_batch(ruled: Path) -> None:
    classifier, images = load(ruled), coloured(70, seed=5).images[:]
    together, alone = classifier.predict(images), [classifier.predict(images[i : i + 1]) for i in range(70)]
    assert together.accepted is not None
    assert [bool(each) for each in together.accepted] == [
        each.accepted[0] for each in alone if each.accepted is not None
    ]


def rewritten(folder: Path, **arrays: Any) -> None:
    """Write other numbers into the file of validation answers, and seal it again."""
    with np.load(folder / "validation.npz") as stored:
        content = {name: stored[name] for name in stored.files} | arrays
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in content.items() if array is not None})
    (folder / "validation.npz").write_bytes(buffer.getvalue())
    sha256 = sha256_bytes(buffer.getvalue())
    reseal(folder, lambda raw: raw["validation"].update(sha256=sha256))


FEATURES = np.zeros((300, 26), np.float16)
DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"features": None}, "features"),
    "another number": ({"features": FEATURES[:200]}, "200×26 float16; wanted 300×26"),
    "fewer features": ({"features": FEATURES[:, :9]}, "300×9 float16; wanted 300×26"),
    "text": ({"features": np.full((300, 26), "x")}, "'features': "),
    "not finite": ({"features": FEATURES * np.float16(np.nan)}, "not finite"),
    "confidences missing": ({"confidence": np.zeros(3, np.float32)}, "'confidence': 3 float32; wanted 300"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_numbers_that_cannot_be_are_refused(ruled_copy: Path, damage: str) -> None:
    arrays, message = DAMAGE[damage]
    rewritten(ruled_copy, **arrays)
    with pytest.raises(BundleCorrupt, match=message):
        load(ruled_copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["acceptance"].update(temperature=0),
        lambda raw: raw["acceptance"].update(min_confidence=1.5),
        lambda raw: raw["acceptance"].update(max_distance=-1),
        lambda raw: raw["acceptance"].update(coverage=1),
        lambda raw: raw["acceptance"].update(margin=1),
        lambda raw: raw.update(acceptance=None),
        lambda raw: raw.update(validation=None),
        lambda raw: raw["validation"].update(count=3),
    ],
)
def test_a_rule_that_cannot_be_is_refused(ruled_copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    reseal(ruled_copy, change)
    with pytest.raises(BundleCorrupt):
        load(ruled_copy)


def test_a_flipped_byte_of_it_is_found(ruled_copy: Path) -> None:
    content = bytearray((ruled_copy / "validation.npz").read_bytes())
    content[100] ^= 1
    (ruled_copy / "validation.npz").write_bytes(content)
    with pytest.raises(BundleCorrupt, match=r"validation\.npz: SHA-256"):
        bundles.read(ruled_copy).check()
