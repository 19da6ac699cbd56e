from __future__ import annotations

from typing import Any

import pytest

from monkit_core import Count, RawVal, SeriesKey, Sum
from tests.helpers import by_field, check_figures, figures, fresh_scope, number, same, vectors

RECORDED = vectors("rawval")
CASES: list[dict[str, Any]] = RECORDED["cases"]
CUT = {
    "1, 2, 3.9": "the original cuts each number to an integer before it adds it up",
    "0.5, 0.5, 0.5": "the same",
    "-1.9, -0.5": "the same",
    "1e+300": "the same, and the integer overflows",
}
"""Cases whose ``sum`` DIFFERS: ours is not cut."""


def _id(case: dict[str, Any]) -> str:
    numbers = ", ".join(f"{number(value):g}" for value in case["in"])
    return f"{numbers} DIFFERS in the sum: {CUT[numbers]}" if numbers in CUT else numbers or "none"


def observed(case: dict[str, Any], *aggregations: type[Count | Sum]) -> RawVal:
    """A raw value that has taken in the numbers of a case."""
    raw = RawVal(SeriesKey("r"), *aggregations)
    for value in case["in"]:
        raw.observe(number(value))
    return raw


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_latest_number_is_the_original_s(case: dict[str, Any]) -> None:
    raw = observed(case)
    assert same(raw.recent, case["get"])
    check_figures(figures(raw.stats()), case["plain"])


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_count_and_sum_are_the_original_s_but_for_the_cut(case: dict[str, Any]) -> None:
    ours = observed(case, Count, Sum)
    if "DIFFERS" not in _id(case):
        check_figures(figures(ours.stats()), case["count_sum"])
        return
    *kept, theirs = case["count_sum"]
    check_figures(figures(ours.stats())[:-1], kept)
    whole = by_field(ours.stats())["sum"]
    assert same(whole, sum(number(value) for value in case["in"]))
    assert not same(whole, theirs["val"])


def test_accessor_ignores_the_order_of_tags_and_other_aggregations_as_in_the_original() -> None:
    _, scope = fresh_scope()
    assert RECORDED["same_key_other_tag_order_other_aggregation_returns_same"]
    first = scope.raw_val("r", a=1, b=2)
    assert scope.raw_val("r", Count, tags={"b": 2, "a": 1}) is first
    assert [stat.field for stat in first.stats()] == ["recent"]


def test_every_recorded_case_is_compared() -> None:
    assert set(RECORDED) == {"cases", "same_key_other_tag_order_other_aggregation_returns_same"}
    assert {name for name in CUT if any(_id(case).startswith(name + " ") for case in CASES)} == set(CUT)
