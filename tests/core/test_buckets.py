"""Buckets: how many values are below a bound, the same of both engines."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monkit_core.distribution import Distribution
from monkit_core.engine.pure import DistributionCore as PureCore

BOUNDS = (-100.0, -1.0, 0.0, 0.001, 1.0, 2.0, 5.0, 63.0, 1000.0, 1e9)


def filled(values: list[float], *, integral: bool, scale: float = 1.0) -> Distribution:
    distribution = Distribution(integral=integral, scale=scale)
    for value in values:
        distribution.observe(value)
    return distribution


def test_small_whole_numbers_are_counted_exactly() -> None:
    distribution = filled([0, 1, 1, 2, 5, 63, 64], integral=True)
    assert distribution.buckets((0, 1, 2, 4, 5, 62, 63, 64)) == (7, 136, [1, 3, 4, 4, 5, 5, 6, 7])


def test_nothing_was_observed_and_nothing_is_below_any_bound() -> None:
    assert Distribution(integral=True).buckets((0, 1)) == (0, 0.0, [0, 0])
    assert Distribution(integral=False).buckets(()) == (0, 0.0, [])


def test_sum_that_may_fall_is_none() -> None:
    assert filled([-1, 5], integral=True).buckets((-1, 0)) == (2, None, [1, 1])


def test_durations_are_asked_for_in_seconds() -> None:
    distribution = filled([500, 2_000_000_000], integral=True, scale=1e9)
    assert distribution.buckets((1e-6, 1.0, 5.0)) == (2, 2.0000005, [1, 1, 2])
    assert distribution.in_seconds
    assert not Distribution(integral=True).in_seconds


@pytest.mark.parametrize("integral", [True, False])
@given(values=st.lists(st.integers(-(2**62), 2**62) | st.integers(-70, 70)), seed=st.integers(0, 9))
@example(values=[2**62, -(2**62), 0], seed=0)
def test_counts_rise_with_the_bound_and_are_off_by_a_bin_at_most(integral: bool, values: list[int], seed: int) -> None:
    numbers = [float(value) / (1 + seed) for value in values] if not integral else list(map(float, values))
    distribution = filled([int(n) for n in numbers] if integral else numbers, integral=integral)
    count, _, counts = distribution.buckets(BOUNDS)
    assert count == len(values)
    assert counts == sorted(counts)
    for bound, passed in zip(BOUNDS, counts, strict=True):
        slack = abs(bound) / 32 + 1e-18
        assert sum(n <= bound for n in numbers) <= passed + 1e-9
        assert passed <= sum(n <= bound + slack for n in numbers)


@pytest.mark.parametrize("integral", [True, False])
@given(
    values=st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 5e-324, -5e-324, 1e-30, -1e300]),
        max_size=40,
    )
)
def test_bins_are_those_of_the_specification(integral: bool, values: list[float]) -> None:
    numbers: list[float] = [int(math.fmod(value, 2**60)) for value in values] if integral else values
    specification = PureCore(integral)
    for number in numbers:
        specification.observe(number)
    assert filled(numbers, integral=integral).bins()[3] == specification.bins()[3]
    count, _, low, bins = specification.bins()
    assert (sum(hit for _, hit in bins), low) == (count, min(numbers, default=0))
    assert [edge for edge, _ in bins] == sorted(edge for edge, _ in bins)
