from __future__ import annotations

from typing import Any

import pytest

from monkit_core import DurationVal, IntVal, SeriesKey
from monkit_core.values import _Value
from tests.helpers import OURS_ONLY, check_figures, figures, same, vectors

INTS = vectors("dist_int")
DURATIONS = vectors("dist_duration")

# Cases in which the original's figures are those of wrapped integers or of 32-bit floats.
WRAPS = "sums wrap around at 64 bits in the original, ours do not"
BEYOND_32 = "a 64-bit integer turned into a 32-bit float and back overflows in the original"
REASONS = {
    "one_maxint64": BEYOND_32,
    "huge_pair": f"{BEYOND_32}; {WRAPS}",
    "sum_overflow": f"{BEYOND_32}; {WRAPS}",
    "max_duration": BEYOND_32,
}


def _id(case: dict[str, Any]) -> str:
    why = REASONS.get(case["name"])
    return str(case["name"]) + (f" DIFFERS: {why}" if why else "")


def _ints(case: dict[str, Any]) -> IntVal:
    value = IntVal(SeriesKey("d"))
    for each in case["in"] or ():
        value.observe(each)
    return value


def _durations(case: dict[str, Any]) -> DurationVal:
    value = DurationVal(SeriesKey("d"))
    for each in case["in_ns"] or ():
        value.distribution.observe(each)  # nanoseconds, what `observe` passes on
    return value


def close(ours: float, theirs: float) -> bool:
    """Within 1e-6, or one whole unit: a 32-bit figure just below a whole number is cut to the one below."""
    return same(ours, theirs) or abs(ours - theirs) <= 1


def check(value: _Value, case: dict[str, Any], unit: str) -> None:
    summary = value.distribution.summary()
    exact = (summary.count, summary.sum, summary.low, summary.high, summary.recent)
    assert exact == tuple(case[name] for name in ("count", f"sum{unit}", f"low{unit}", f"high{unit}", f"recent{unit}"))
    assert close(summary.full_average, case[f"full_average{unit}"])
    assert close(summary.reservoir_average, case[f"reservoir_average_unsorted{unit}"])
    for fraction, theirs in case[f"query{unit}"].items():
        assert close(value.quantile(float(fraction)), theirs), fraction


@pytest.mark.parametrize("case", [case for case in INTS["cases"] if case["name"] not in REASONS], ids=_id)
def test_int_distribution_is_the_original_s(case: dict[str, Any]) -> None:
    value = _ints(case)
    check(value, case, "")
    check_figures(figures(value.stats()), case["stats"])


@pytest.mark.parametrize("case", [case for case in DURATIONS["cases"] if case["name"] not in REASONS], ids=_id)
def test_duration_distribution_is_the_original_s(case: dict[str, Any]) -> None:
    value = _durations(case)
    check(value, case, "_ns")
    check_figures(figures(value.stats()), case["stats_seconds"])


@pytest.mark.parametrize("case", [case for case in INTS["cases"] if case["name"] in REASONS], ids=_id)
def test_int_distribution_beyond_the_original_s_range_is_exact(case: dict[str, Any]) -> None:
    value = _ints(case)
    summary = value.distribution.summary((0.0, 1.0))
    given = case["in"]
    assert (summary.count, summary.low, summary.high) == (case["count"], case["low"], case["high"])
    assert summary.recent == case["recent"]
    assert summary.sum == sum(given)
    assert summary.full_average == int(sum(given) / len(given))
    assert summary.quantiles == (min(given), max(given))
    assert [field for _, field, _ in figures(value.stats())][:12] == [stat["field"] for stat in case["stats"]]


@pytest.mark.parametrize("case", [case for case in DURATIONS["cases"] if case["name"] in REASONS], ids=_id)
def test_duration_beyond_the_original_s_range_is_exact(case: dict[str, Any]) -> None:
    value = _durations(case)
    summary = value.distribution.summary((0.0, 0.5, 1.0))
    (given,) = case["in_ns"]
    assert all(same(found, given, 1e-15) for found in (summary.sum, summary.low, summary.high, *summary.quantiles))
    assert [field for _, field, _ in figures(value.stats())][:12] == [stat["field"] for stat in case["stats_seconds"]]


@pytest.mark.parametrize("case", INTS["cases"], ids=lambda case: str(case["name"]))
def test_ours_appends_lifetime_quantiles_after_the_original_s_fields(case: dict[str, Any]) -> None:
    fields = [field for _, field, _ in figures(_ints(case).stats())]
    assert fields == [stat["field"] for stat in case["stats"]] + (list(OURS_ONLY) if case["count"] else [])


def test_reset_forgets_everything() -> None:
    """DIFFERS: after a reset the original still answers from the old reservoir (42); ours answers 0."""
    after = INTS["after_reset_of_42_7"]
    value = _ints({"in": [42, 7]})
    value.reset()
    summary = value.distribution.summary()
    assert (summary.full_average, summary.reservoir_average) == (after["full_average"], after["reservoir_average"])
    check_figures(figures(value.stats()), after["stats"])
    assert after["query_0_5_stale_reservoir_slot0"] == 42
    assert value.quantile(0.5) == 0
