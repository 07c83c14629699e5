"""Quantiles of the beta, Student's and normal distributions, in plain Python: a device need not install SciPy."""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

__all__ = ["beta_quantile", "binomial_interval", "least", "normal_quantile", "root", "sign_test", "student_quantile"]

TINY, CLOSE = 1e-300, 1e-15
MOST_STEPS = 100_000
"""Of a continued fraction; it needs some square roots of its larger parameter."""
HALVINGS = 200


def normal_quantile(share: float) -> float:
    """The value that a standard normal lies below with probability `share`, 0 < share < 1 (Wichura 1988, AS 241)."""
    return NormalDist().inv_cdf(share)


@lru_cache(4096)
def student_quantile(share: float, freedom: float) -> float:
    """The value that Student's t with so many degrees of freedom lies below with probability `share`, 0 < share < 1.

    From the beta quantile of t² / (freedom + t²) (Abramowitz & Stegun 26.7.1).
    """
    tail = 2 * min(share, 1 - share)
    if tail == 1:
        return 0.0
    if tail < 0.5:
        rest = beta_quantile(tail, freedom / 2, 0.5)
        square = freedom * (1 - rest) / rest
    else:  # near the middle the part of t² itself is small, and loses no digits
        part = beta_quantile(1 - tail, 0.5, freedom / 2)
        square = freedom * part / (1 - part)
    return math.copysign(math.sqrt(square), share - 0.5)


@lru_cache(4096)
def beta_quantile(share: float, a: float, b: float) -> float:
    """The value that a beta-distributed one lies below with probability `share`, 0 < share < 1, to 15 digits."""
    low, high, value = 0.0, 1.0, a / (a + b)
    for _ in range(HALVINGS):
        excess = _beta_share(value, a, b) - share
        if excess > 0:
            high = value
        else:
            low = value
        step = excess / max(_beta_density(value, a, b), TINY)
        proposed = value - step
        if not low < proposed < high:  # Newton's step leaves what is known: halve it, near 0 on the scale of logarithms
            proposed = math.sqrt(low * high) if 0 < low < high / 4 else (low + high) / 2
        if abs(proposed - value) <= CLOSE * value or high - low <= CLOSE * low:
            return proposed
        value = proposed
    return value


def binomial_interval(successes: float, count: float, level: float) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper & Pearson 1934); an effective count need not be whole."""
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else beta_quantile(tail, float(successes), float(count - successes + 1))
    high = 1.0 if successes == count else beta_quantile(1 - tail, float(successes + 1), float(count - successes))
    return low, high


def sign_test(first: int, second: int) -> float:
    """Exact two-sided p of a fair coin's falling `first` times one way and `second` times the other."""
    count, fewer = first + second, min(first, second)
    if first == second:
        return 1.0
    return min(1.0, 2 * _beta_share(0.5, float(count - fewer), float(fewer + 1)))


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes its sign between two values, to the last bit, by halving; its signs there differ."""
    rising = function(low) < 0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if (function(middle) < 0) == rising:
            low = middle
        else:
            high = middle


def least(function: Callable[[float], float], low: float, high: float, width: float) -> float:
    """Where between two values a convex function is least, to so much, by golden sections (Kiefer 1953)."""
    share = (math.sqrt(5) - 1) / 2
    left, right = high - share * (high - low), low + share * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > width:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - share * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + share * (high - low)
            at_right = function(right)
    return (low + high) / 2


def _beta_density(value: float, a: float, b: float) -> float:
    if not 0 < value < 1:
        return 0.0
    return math.exp((a - 1) * math.log(value) + (b - 1) * math.log1p(-value) - _log_beta(a, b))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _beta_share(value: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if value <= 0 or value >= 1:
        return float(value >= 1)
    if value > (a + 1) / (a + b + 2):
        return 1 - _beta_share(1 - value, b, a)
    front = math.exp(a * math.log(value) + b * math.log1p(-value) - _log_beta(a, b)) / a
    return front / _continued_fraction(value, a, b)


def _continued_fraction(value: float, a: float, b: float) -> float:
    """1 + d₁/(1 + d₂/(1 + …)), by Lentz's method as Thompson & Barnett 1986 (J. Comput. Phys. 64:490) changed it."""
    result, upper, lower = 1.0, 1.0, 0.0
    for number in range(1, MOST_STEPS):
        half = number // 2
        if number % 2:
            term = -(a + half) * (a + b + half) * value / ((a + number - 1) * (a + number))
        else:
            term = half * (b - half) * value / ((a + number - 1) * (a + number))
        lower = 1 / (1 + term * lower or TINY)
        upper = 1 + term / upper or TINY
        result *= upper * lower
        if abs(upper * lower - 1) < CLOSE:
            break
    return result
