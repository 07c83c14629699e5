"""Hold a result against a device's budget."""

from collections.abc import Iterator

from bctoolkit.bench.report import Check, Result, Verdict
from bctoolkit.recipes import Budget

__all__ = ["judge"]

MEGABYTE = 1e6
UNSTABLE = "unstable: sessions lie more than 10 % apart; measure again on a quieter machine"


def judge(result: Result, budget: Budget) -> Verdict:
    """Check every limit the budget sets. What could not be measured, or is unstable, does not pass."""
    checks = tuple(_checks(result, budget))
    return Verdict(all(check.passed for check in checks), checks)


def _checks(result: Result, budget: Budget) -> Iterator[Check]:
    latency, golden, labelled = result.latency_ms, result.parity.golden, result.parity.labelled
    unstable = "" if latency.stable else UNSTABLE
    drop_bound = None if labelled is None or labelled.accuracy_drop_ci95 is None else labelled.accuracy_drop_ci95[1]
    worst = None if labelled is None else labelled.worst_recall_drop
    at_most = (
        ("max_p50_ms", latency.ci95_p50[1], unstable),
        ("max_p99_ms", latency.p99, unstable),
        ("max_load_ms", result.load_ms, ""),
        ("max_first_ms", result.first_ms, ""),
        ("max_size_mb", result.size_bytes / MEGABYTE, ""),
        ("max_peak_rss_mb", result.peak_rss_bytes / MEGABYTE, ""),
        ("max_abs_diff", golden.max_abs_diff, ""),
        ("max_accuracy_drop", drop_bound, ""),
        ("max_recall_drop", worst, ""),
    )
    for name, observed, note in at_most:
        limit = getattr(budget, name)
        if limit is not None:
            yield _check(name, limit, observed, observed is not None and observed <= limit, note)
    at_least = (
        ("min_top1_agreement", golden.top1_agreement),
        ("min_accuracy", None if labelled is None else labelled.accuracy_ci95[0]),
    )
    for name, observed in at_least:
        limit = getattr(budget, name)
        if limit is not None:
            yield _check(name, limit, observed, observed is not None and observed >= limit, "")


def _check(name: str, limit: float, observed: float | None, holds: bool, note: str) -> Check:
    missing = _missing(name) if observed is None else note
    return Check(name, limit, observed, holds and not missing, missing)


def _missing(name: str) -> str:
    if name == "max_p99_ms":
        return "not measured: p99 needs at least 1,000 samples"
    return "not measured: give labelled images with --data, for a bundle that carries reference.npz"
