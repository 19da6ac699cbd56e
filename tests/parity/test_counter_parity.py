from __future__ import annotations

from typing import Any

import pytest

from monkit_core import Counter, SeriesKey
from tests.helpers import check_figures, figures, vectors

COUNTER = vectors("counter")
WRAP = 2**64


def _id(case: dict[str, Any]) -> str:
    return " ".join(f"{step['op']['op']}({step['op']['arg']})" for step in case["steps"])


def test_fresh_counter_is_the_original_s() -> None:
    counter = Counter(SeriesKey("c"))
    fresh = COUNTER["fresh"]
    assert (counter.value, counter.high, counter.low) == (fresh["current"], fresh["high"], fresh["low"])
    check_figures(figures(counter.stats()), fresh["stats"])


@pytest.mark.parametrize("case", COUNTER["cases"], ids=_id)
def test_counter_is_the_original_s(case: dict[str, Any]) -> None:
    """DIFFERS after inc(1) at the largest 64-bit integer: the original wraps around, ours counts on."""
    counter = Counter(SeriesKey("c"))
    for step in case["steps"]:
        operation, argument = step["op"]["op"], step["op"]["arg"]
        if operation == "reset":
            assert list(counter.reset()) == step["extra"]["reset_returns_val_low_high"]
        else:
            returned = getattr(counter, operation)(argument)
            if returned == 2**63:
                assert (counter.value, counter.high) == (step["op"]["ret"] + WRAP, step["current"] + WRAP)
                assert counter.low == step["high"]
                continue
            assert returned == step["op"]["ret"]
        assert (counter.value, counter.high, counter.low) == (step["current"], step["high"], step["low"])
        check_figures(figures(counter.stats()), step["stats"])
