"""Figures relative to a baseline that was measured in the same rounds: they hold where absolute ones do not.

Other programs only ever add to a run's time, and mostly to some runs and not to others. So within a round the fastest
runs are compared (Chen & Revels 2016, arXiv:1608.04295): of the model those of slices side by side, so that a machine
that changes its pace cancels out too, and end to end, where slices hold few runs, those of the sessions. Over the
rounds, each of fresh processes, Student's interval is taken of the logarithms.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from bctoolkit.bench.analysis import statistics
from bctoolkit.bench.analysis.robustness import FLOAT
from bctoolkit.bench.documents.measurements import Ratio, Relative, Session
from bctoolkit.bench.documents.report import Result

__all__ = [
    "SESSION_FIGURES",
    "SessionFigure",
    "counterpart",
    "default_baseline",
    "end_to_end_is_stable",
    "paired_ratio",
    "round_ratios",
    "with_relatives",
]


class SessionFigure(NamedTuple):
    """A figure that each session's process measured anew, so that sessions give the interval of its ratio."""

    of_session: Callable[[Session], float | None]
    """None where the session did not measure it."""
    of_slices: Callable[[Session], tuple[float, ...]] = lambda session: ()
    """The same in each slice of the session, where it was measured in slices."""

    def measured(self, sessions: Sequence[Session]) -> bool:
        """Whether every session did."""
        return all(self.of_session(session) is not None for session in sessions)

    def value(self, session: Session) -> float:
        """Of the whole session.

        Raises:
            ValueError: it was not measured.
        """
        value = self.of_session(session)
        if value is None:
            raise ValueError("not measured")
        return value

    def level(self, session: Session) -> float:
        """The median over the slices, where there are some."""
        slices = self.of_slices(session)
        return float(np.median(slices)) if slices else self.value(session)


SESSION_FIGURES = {
    "latency": SessionFigure(
        lambda session: session.p50_ms, lambda session: session.slices_fastest_ms or session.slices_p50_ms
    ),
    "end_to_end": SessionFigure(lambda session: session.end_to_end_fastest_ms or session.end_to_end_p50_ms),
    "cold_start": SessionFigure(lambda session: session.load_ms + session.first_ms),
    "peak_rss": SessionFigure(lambda session: session.peak_rss_bytes / 1e6),
}
"""By the names of `Relative`."""


def default_baseline(results: Sequence[Result]) -> str | None:
    """The most precise bundle, of several the first; None where there is one bundle alone."""
    if len({result.bundle for result in results}) < 2:
        return None
    ranks = [FLOAT.index(each.quantization) if each.quantization in FLOAT else len(FLOAT) for each in results]
    return results[int(np.argmin(ranks))].bundle


def counterpart(result: Result, results: Sequence[Result], baseline: str) -> Result | None:
    """The baseline's result with as many threads, in the same engine and on the same provider if it ran there.

    None for its own results.
    """
    if result.bundle == baseline:
        return None
    alike = [each for each in results if each.bundle == baseline and each.threads == result.threads]
    return min(alike, key=lambda each: (each.engine != result.engine, each.provider != result.provider), default=None)


def end_to_end_is_stable(*results: Result) -> bool:
    """Whether no result's end-to-end latency is unstable; one that was not measured is not."""
    return all(result.end_to_end_ms is None or result.end_to_end_ms.stable for result in results)


def with_relatives(results: Sequence[Result], baseline: str | None) -> list[Result]:
    """The results with their figures relative to the bundle called `baseline`, whose own stay as they are."""
    pairs = [(each, None if baseline is None else counterpart(each, results, baseline)) for each in results]
    return [each if other is None else replace(each, relative=_relative(other, each)) for each, other in pairs]


def _relative(baseline: Result, result: Result) -> Relative:
    size = result.size_bytes / baseline.size_bytes
    sessions = (*baseline.sessions, *result.sessions)
    ratios = {
        name: _ratio(figure, baseline, result) for name, figure in SESSION_FIGURES.items() if figure.measured(sessions)
    }
    return Relative(
        baseline=baseline.bundle,
        size=Ratio(size, (size, size)),
        **ratios,
    )


def _ratio(figure: SessionFigure, baseline: Result, result: Result) -> Ratio:
    if len(result.sessions) < 2:
        return Ratio(round_ratios(figure, baseline.sessions, result.sessions)[0])
    found = paired_ratio(figure, baseline.sessions, result.sessions)
    return Ratio(found.value, (found.low, found.high))


def paired_ratio(figure: SessionFigure, old: Sequence[Session], new: Sequence[Session]) -> statistics.Ratio:
    """New / old over the sessions of the same rounds, at least two.

    Raises:
        ValueError: fewer than two rounds, or not as many of both.
    """
    ratios = round_ratios(figure, old, new)
    return statistics.ratio(np.ones(len(ratios)), ratios, paired=True)


def round_ratios(figure: SessionFigure, old: Sequence[Session], new: Sequence[Session]) -> list[float]:
    """New / old in each round; where there are slices, the median ratio of those side by side.

    Raises:
        ValueError: not as many rounds of both.
    """
    pairs = []
    for before, after in zip(old, new, strict=True):
        slices = list(zip(figure.of_slices(before), figure.of_slices(after), strict=False))  # the faster needs fewer
        pairs.append(np.array(slices or [(figure.value(before), figure.value(after))]))
    return [float(np.exp(np.median(np.log(pair[:, 1] / pair[:, 0])))) for pair in pairs]
