"""Quantiles and searches of our own, against scipy's."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bctoolkit.statistics.distributions import (
    beta_quantile,
    binomial_interval,
    least,
    normal_quantile,
    root,
    sign_test,
    student_quantile,
)

shares = st.floats(1e-6, 1 - 1e-6)
parameters = st.floats(0.5, 1e5)


@given(share=shares)
def test_normal_quantiles_are_scipys(share: float) -> None:
    assert normal_quantile(share) == pytest.approx(scipy_stats.norm.ppf(share), abs=1e-9)


@given(share=shares, a=parameters, b=parameters)
def test_beta_quantiles_are_scipys(share: float, a: float, b: float) -> None:
    assert beta_quantile(share, a, b) == pytest.approx(scipy_stats.beta.ppf(share, a, b), rel=1e-9, abs=1e-12)


@example(share=0.5, freedom=13.0)
@example(share=0.5000001, freedom=13.0)
@given(share=st.floats(0.001, 0.999), freedom=st.floats(1, 1e6))
def test_students_quantiles_are_scipys(share: float, freedom: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(scipy_stats.t.ppf(share, freedom), rel=1e-7, abs=1e-6)


@given(first=st.integers(0, 2000), second=st.integers(0, 2000))
def test_the_sign_test_is_scipys_binomial_one(first: int, second: int) -> None:
    theirs = 1.0 if first + second == 0 else scipy_stats.binomtest(first, first + second, 0.5).pvalue
    assert sign_test(first, second) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@given(count=st.integers(1, 100_000), share=st.floats(0, 1))
def test_a_binomial_interval_holds_what_was_observed(count: int, share: float) -> None:
    successes = round(share * count)
    low, high = binomial_interval(successes, count, 0.95)
    assert 0 <= low <= successes / count <= high <= 1


@given(where=st.floats(-10, 10), sign=st.sampled_from((-1, 1)))
def test_a_root_is_found_to_the_last_bit(where: float, sign: int) -> None:
    found = root(lambda x: sign * (x - where), -11, 11)
    assert math.isclose(found, where, rel_tol=1e-15, abs_tol=1e-300) or found in (
        math.nextafter(where, 12),
        math.nextafter(where, -12),
    )


@given(where=st.floats(-10, 10))
def test_the_least_value_of_a_parabola_is_its_vertex(where: float) -> None:
    assert least(lambda x: (x - where) ** 2, -10, 10, 1e-6) == pytest.approx(where, abs=2e-6)
