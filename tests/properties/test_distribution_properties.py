from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_core import Distribution, IntVal, SeriesKey
from monkit_core.engine.figures import work_out
from tests.helpers import by_field

# Differences of larger numbers do not fit into a float.
FLOATS = st.floats(-1e300, 1e300)
IN_HISTOGRAM = st.floats(-(2.0**63), 2.0**63).filter(lambda value: value == 0 or abs(value) >= 2.0**-63)
INTS = st.integers(-(2**63), 2**63 - 1)
FRACTIONS = st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=5).map(sorted)
LIFETIME = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
RESERVOIR = {"rmin": 0.0, "r10": 0.1, "r50": 0.5, "r90": 0.9, "r99": 0.99, "rmax": 1.0}


def made_of(values: list[float]) -> Distribution:
    distribution = Distribution(integral=False)
    for value in values:
        distribution.observe(value)
    return distribution


def interpolated(values: list[float], fraction: float) -> float:
    """The quantile by its definition: linear between the two nearest ranks."""
    kept = sorted(values)
    position = min(max(fraction, 0.0), 1.0) * (len(kept) - 1)
    below, above = kept[math.floor(position)], kept[math.ceil(position)]
    return below + (position - math.floor(position)) * (above - below)


@given(st.lists(FLOATS, min_size=1, max_size=64), FRACTIONS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_quantiles_are_exact_up_to_64_values(values: list[float], fractions: list[float]) -> None:
    summary = made_of(values).summary(fractions)
    tolerance = max(map(abs, values)) * 1e-9
    for fraction, found in zip(fractions, summary.quantiles, strict=True):
        assert found == pytest.approx(interpolated(values, fraction), rel=1e-9, abs=tolerance)
    assert (summary.count, summary.low, summary.high) == (len(values), min(values), max(values))
    assert summary.recent == values[-1]
    assert summary.sum == pytest.approx(math.fsum(values), rel=1e-9, abs=tolerance * len(values))


@given(st.lists(FLOATS, min_size=1, max_size=400), FRACTIONS)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_quantiles_lie_between_low_and_high_and_rise(values: list[float], fractions: list[float]) -> None:
    distribution = made_of(values)
    found = distribution.summary(fractions).quantiles
    slack = max(map(abs, values)) * 1e-12
    assert all(one <= two + slack for one, two in pairwise(found))
    assert all(min(values) - slack <= quantile <= max(values) + slack for quantile in found)
    fields = dict(distribution.fields())
    for names in (RESERVOIR, LIFETIME):
        figures = [fields[name] for name in names]
        assert all(one <= two + slack for one, two in pairwise(figures))
        assert all(fields["min"] - slack <= figure <= fields["max"] + slack for figure in figures)


def nearest_rank(values: list[float], fraction: float) -> float:
    return sorted(values)[math.floor(fraction * (len(values) - 1))]


@given(
    st.lists(st.floats(-(2.0**63), 2.0**63).filter(lambda x: x == 0 or abs(x) >= 2.0**-63), min_size=1, max_size=400)
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_lifetime_quantiles_are_within_a_64th_of_the_nearest_rank(values: list[float]) -> None:
    fields = dict(made_of(values).fields())
    for name, fraction in LIFETIME.items():
        true = nearest_rank(values, fraction)
        assert abs(fields[name] - true) <= abs(true) / 64 * (1 + 1e-9)


@given(st.lists(INTS, min_size=1, max_size=100))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_integers_are_whole_and_exact_in_sum_low_and_high(values: list[int]) -> None:
    value = IntVal(SeriesKey("v"))
    for each in values:
        value.observe(each)
    summary = value.distribution.summary((0.1, 0.5, 0.9))
    assert (summary.sum, summary.low, summary.high) == (sum(values), min(values), max(values))
    assert all(type(quantile) is int for quantile in summary.quantiles)
    fields = by_field(value.stats())
    assert next(iter(fields)) == "count"
    assert fields["count"] == len(values)
    for name, fraction in LIFETIME.items():
        true = nearest_rank([float(each) for each in values], fraction)
        assert abs(fields[name] - true) <= abs(true) / 64 * (1 + 1e-9) + 1


@given(st.lists(st.one_of(FLOATS, st.just(None)), max_size=600), st.lists(st.integers(0, 600), max_size=4))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_reading_between_observations_changes_no_count_or_sum(values: list[float | None], reads: list[int]) -> None:
    """None stands for a reset."""
    distribution, kept = Distribution(integral=False), list[float]()
    for index, value in enumerate(values):
        if index in reads:
            assert distribution.count == len(kept)
            distribution.fields()
        if value is None:
            distribution.reset()
            kept.clear()
        else:
            distribution.observe(value)
            kept.append(value)
    summary = distribution.summary()
    assert summary.count == len(kept)
    assert summary.low == min(kept, default=0)
    assert summary.high == max(kept, default=0)
    assert summary.recent == (kept[-1] if kept else 0)


NEAR = st.sampled_from([0, 1, -1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**63 - 1, -(2**63)])
DURATIONS = st.integers(0, 10**11)


@given(
    st.sampled_from([INTS, NEAR, DURATIONS]).flatmap(lambda kind: st.lists(kind, min_size=1, max_size=90)),
    st.lists(st.floats(-0.5, 1.5), max_size=20),
    st.lists(st.floats(0, 1), max_size=20).map(sorted),
    st.sampled_from([None, 1.0, 1e9, 3.0]),
)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_figures_are_what_python_works_out_to_the_last_digit(
    values: list[int], fractions: list[float], lifetime: list[float], scale: float | None
) -> None:
    """The compiled engine works out most of them by itself."""
    distribution = Distribution(integral=True)
    for value in values:
        distribution.observe(value)
    found = distribution.figures(fractions, lifetime, scale)
    assert repr(found) == repr(work_out(distribution.look(lifetime), True, fractions, scale))


@pytest.mark.parametrize("values", [[], [1], [1, 2, 3]])
def test_fraction_that_is_no_number_is_refused_once_there_are_values_between(values: list[int]) -> None:
    distribution = Distribution(integral=True)
    for value in values:
        distribution.observe(value)
    if values:
        with pytest.raises(ValueError, match="NaN"):
            distribution.quantile(math.nan)
    else:
        assert distribution.quantile(math.nan) == 0


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-50, 50)), max_size=300))
def test_middles_of_bins_hold_every_value_within_a_64th(values: list[int]) -> None:
    distribution = Distribution(integral=True)
    for value in values:
        distribution.observe(value)
    bins = distribution.middles()
    assert [middle for middle, _ in bins] == sorted({middle for middle, _ in bins})
    expanded = [middle for middle, count in bins for _ in range(count)]
    assert len(expanded) == len(values)
    for middle, value in zip(expanded, sorted(values), strict=True):
        assert middle == pytest.approx(value, rel=1 / 63)
