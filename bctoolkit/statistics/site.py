"""Whether images look like those a bundle was validated on, before anybody believes what they are labelled."""

import numpy as np

from bctoolkit.documents import Document, Outcome
from bctoolkit.statistics.selective import Values
from bctoolkit.statistics.two_samples import Superiority, superiority

__all__ = ["FEWEST", "LIMIT", "SiteCheck", "check_site"]

FEWEST = 20
"""Images below which nothing is said."""

LIMIT = 0.7
"""Share of pairs, above which images look different. Another mix of the classes moves it as well: of the zoo model's
eight, erythroblasts alone give 0.71 with an interval that holds 0.7."""

DEVIATIONS = 3.2905
"""Of intervals of 99.9 %: images that lie exactly on the limit are called different by each of the two measures one in
2,000 times, so that both together raise at most one false alarm in 1,000."""


class SiteCheck(Document, frozen=True, kw_only=True):
    """Images against those of the bundle's validation part: two samples of how far off and how doubtful they are."""

    outcome: Outcome
    """`passed`: they look alike; `failed`: they look different; `undecided`: there are too few to say."""
    count: int
    """Images compared with the stored ones."""
    stored: int
    """Images of the validation part that the bundle knows."""
    limit: float = LIMIT
    """Share of pairs above which images look different, 0–1."""
    distance: Superiority | None = None
    """In how many pairs the new picture's look is further from the stored ones; interval of 99.9 %. None where there
    are fewer than 20 images."""
    doubt: Superiority | None = None
    """In how many pairs the model is less sure of the new picture."""


def check_site(stored: tuple[Values, Values], new: tuple[Values, Values]) -> SiteCheck:
    """Compare two samples of distances and confidences.

    A class's share does not count much here: each picture is held against the nearest stored ones, of its own class as
    a rule. A difference counts once it is large, whatever the number of images: the interval has to lie beyond a limit,
    not beyond equality.

    Args:
        stored: of the validation images, distances among themselves and confidences.
        new: the same of the new images.
    """
    count = len(new[0])
    if count < FEWEST:
        return SiteCheck(outcome=Outcome.UNDECIDED, count=count, stored=len(stored[0]))
    distance = superiority(stored[0], new[0], DEVIATIONS)
    doubt = superiority(-np.asarray(stored[1]), -np.asarray(new[1]), DEVIATIONS)
    return SiteCheck(
        outcome=_outcome(distance, doubt), count=count, stored=len(stored[0]), distance=distance, doubt=doubt
    )


def _outcome(*measured: Superiority) -> Outcome:
    if any(each.low > LIMIT for each in measured):
        return Outcome.FAILED
    return Outcome.PASSED if all(each.high <= LIMIT for each in measured) else Outcome.UNDECIDED
