"""What a check comes to, and which of several counts."""

from collections.abc import Iterable
from enum import StrEnum

__all__ = ["Outcome", "worst"]


class Outcome(StrEnum):
    """What a check comes to, the best first."""

    PASSED = "passed"
    UNDECIDED = "undecided"
    """Too little data to say either."""
    FAILED = "failed"

    @property
    def severity(self) -> int:
        """0 where it passed; the larger, the worse."""
        return list(Outcome).index(self)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """What several checks come to together: the worst of them; without checks, passed."""
    return max(outcomes, key=lambda outcome: outcome.severity, default=Outcome.PASSED)
