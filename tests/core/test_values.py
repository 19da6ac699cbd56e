from __future__ import annotations

import logging
import math
import os
import threading
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from monkit_core import BoolVal, DurationVal, FloatVal, IntVal, SeriesKey, faults
from monkit_core.locks import LOCK
from tests.helpers import BOUND_S, by_field, fresh_scope

Kind = type[IntVal] | type[FloatVal] | type[DurationVal]


class Raises:
    """Is no number, in its own way."""

    def __int__(self) -> int:
        raise ZeroDivisionError

    __float__ = __index__ = __int__


def test_fields_are_in_their_order_and_only_count_before_the_first_value() -> None:
    _, scope = fresh_scope()
    value = scope.int_val("res")
    assert [stat.field for stat in value.stats()] == ["count"]
    value.observe(4)
    assert [stat.field for stat in value.stats()] == [
        *("count", "sum", "min", "max", "rmin", "ravg", "r10", "r50", "r90", "r99", "rmax", "recent"),
        *("p50", "p90", "p99", "p999"),
    ]
    assert {stat.value for stat in value.stats()} == {1, 4}


def test_int_val_cuts_averages_and_floats_keep_them() -> None:
    ints, floats = IntVal(SeriesKey("i")), FloatVal(SeriesKey("f"))
    for number in (1, 2):
        ints.observe(number)
        floats.observe(number)
    assert by_field(ints.stats())["ravg"] == 1
    assert by_field(floats.stats())["ravg"] == 1.5
    assert (ints.quantile(0.5), floats.quantile(0.5)) == (1, 1.5)


@pytest.mark.parametrize(
    ("observed", "ns"),
    [
        (1.5, 1_500_000_000),
        (2, 2_000_000_000),
        (timedelta(milliseconds=250), 250_000_000),
        (timedelta(days=1, microseconds=1), 86_400_000_001_000),
        (timedelta(seconds=-1), -1_000_000_000),
        (0.25e-6, 250),
    ],
)
def test_duration_val_takes_seconds_or_a_timedelta(observed: float | timedelta, ns: int) -> None:
    value = DurationVal(SeriesKey("d"))
    value.observe(observed)
    assert value.distribution.summary().recent == ns
    assert by_field(value.stats())["recent"] == ns / 1e9


@pytest.mark.parametrize("number", [5, 5.0, 5.9, True, Decimal("5.5"), Fraction(11, 2)])
def test_numbers_of_any_kind_are_taken(number: Any) -> None:
    for kind in (IntVal, FloatVal, DurationVal):
        value = kind(SeriesKey("v"))
        value.observe(number)
        assert value.distribution.count == 1


BAD = [math.nan, math.inf, -math.inf, 10**400, "text", "12", b"12", None, [], Raises()]
TOO_LARGE_FOR_64_BITS = [(kind, value) for kind in (IntVal, DurationVal) for value in (2**70, -(2**70), 1e30)]


@pytest.mark.parametrize(
    ("kind", "bad"),
    [*((kind, bad) for kind in (IntVal, FloatVal, DurationVal) for bad in BAD), *TOO_LARGE_FOR_64_BITS],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_bad_value_is_left_out_and_reported_once(kind: Kind, bad: Any, caplog: pytest.LogCaptureFixture) -> None:
    key = SeriesKey(f"v{os.urandom(8).hex()}")  # a place of its own in the log
    value = kind(key)
    before = faults.count()
    value.observe(1)
    for _ in range(300):  # enough for a fold within `observe`
        value.observe(bad)
    value.observe(2)
    assert value.distribution.count == 2
    assert by_field(value.stats())["recent"] == 2
    assert faults.count() == before + 300
    (record,) = caplog.records
    assert record.message.startswith(f"observing {key} failed: ")


def test_largest_numbers_are_within_range() -> None:
    ints, floats = IntVal(SeriesKey("i")), FloatVal(SeriesKey("f"))
    for number in (2**63 - 1, -(2**63)):
        ints.observe(number)
    largest = math.nextafter(math.inf, 0)
    floats.observe(largest)
    assert by_field(ints.stats())["count"] == 2
    assert by_field(floats.stats())["max"] == largest
    assert all(math.isfinite(value) for value in by_field(floats.stats()).values())


def test_reset_forgets_all_observations() -> None:
    value = FloatVal(SeriesKey("f"))
    value.observe(3)
    value.reset()
    assert by_field(value.stats()) == {"count": 0}
    value.observe(-1)
    found = by_field(value.stats())
    assert (found["min"], found["max"], found["sum"]) == (-1, -1, -1)


def test_bool_val_counts_truth() -> None:
    value = BoolVal(SeriesKey("b"))
    for observed in (True, None, "text", 0, 1):
        value.observe(observed)
    assert by_field(value.stats()) == {"disposition": 1, "false": 2, "recent": 1, "true": 3}


def lock_is_free() -> bool:
    """Whether another thread could take the engine's lock now."""
    found: list[bool] = []

    def try_it() -> None:
        found.append(LOCK.acquire(blocking=False))
        if found[0]:
            LOCK.release()

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join(BOUND_S)
    return found == [True]


def test_no_code_of_a_user_runs_under_the_engine_s_lock() -> None:
    free: list[bool] = []

    class Number:
        def __float__(self) -> float:
            free.append(lock_is_free())
            return 1.0

    value = FloatVal(SeriesKey("f"))
    value.observe(Number())  # type: ignore[arg-type]
    assert value.distribution.count == 1
    assert free == [True]


def test_no_log_handler_runs_under_the_engine_s_lock(caplog: pytest.LogCaptureFixture) -> None:
    free: list[bool] = []

    def look(record: logging.LogRecord) -> bool:
        free.append(lock_is_free())
        return True

    caplog.handler.addFilter(look)
    value = IntVal(SeriesKey(f"v{os.urandom(8).hex()}"))
    value.observe(2**70)
    caplog.handler.removeFilter(look)
    assert value.distribution.count == 0
    assert free == [True]


def test_truth_that_cannot_be_told_is_left_out_and_never_raises() -> None:
    class Undecided:
        def __bool__(self) -> bool:
            raise ValueError("which of them")

    value = BoolVal(SeriesKey("b"))
    value.observe(Undecided())
    value.observe([1])
    assert [stat.value for stat in value.stats()] == [1.0, 0.0, 1.0, 1.0]
