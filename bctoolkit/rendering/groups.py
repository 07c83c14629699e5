"""How an interval over groups is told."""

from bctoolkit.statistics.clustered import FEW_GROUPS

__all__ = ["over_groups"]


def over_groups(count: int | None) -> str:
    """What stands behind an interval: nothing, or over how many groups it is."""
    if count is None:
        return ""
    return f", over {count:,} groups" + ("; so few say little of others" if count < FEW_GROUPS else "")
