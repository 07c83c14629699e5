"""The Pareto front."""

import numpy as np

__all__ = ["front"]


def front(costs: list[tuple[float, float, float]]) -> list[bool]:
    """Of each row of costs, whether no other row is at most as large in all and smaller in one (the Pareto front)."""
    table = np.array(costs, np.float64).reshape(len(costs), 3)
    return [not bool(((table <= row).all(1) & (table < row).any(1)).any()) for row in table]
