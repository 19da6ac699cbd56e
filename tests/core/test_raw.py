from __future__ import annotations

import logging
import math
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial

import pytest

from monkit_core import Count, RawVal, Scope, SeriesKey, Sum, faults
from tests.helpers import BOUND_S, by_field, figures, fresh_scope


class Largest:
    """An aggregation of one's own."""

    field = "largest"

    def __init__(self) -> None:
        self.value = -math.inf

    def observe(self, number: float) -> None:
        self.value = max(self.value, number)


class Broken:
    """An aggregation that raises in one of its two halves."""

    field = "broken"

    def __init__(self, *, read: bool) -> None:
        self._read = read

    @property
    def value(self) -> float:
        if self._read:
            raise ZeroDivisionError
        return 0.0

    def observe(self, number: float) -> None:
        if not self._read:
            raise ZeroDivisionError


def raw_of_this_test() -> SeriesKey:
    """A series whose faults the log has not met."""
    return SeriesKey(f"raw {uuid.uuid4()}")


def test_latest_number_is_published_whole() -> None:
    _, scope = fresh_scope()
    raw = scope.raw_val("load", host="a")
    assert raw.recent == 0.0
    for number in (1, 0.1 + 0.2):
        raw.observe(number)
    assert raw.recent == 0.1 + 0.2
    assert figures(scope.stats()) == [("load,host=a,scope=shop", "recent", 0.1 + 0.2)]


def test_aggregations_come_after_it_in_the_order_in_which_they_were_asked_for() -> None:
    raw = RawVal(SeriesKey("r"), Sum, Largest, Count)
    assert [stat.field for stat in raw.stats()] == ["recent", "sum", "largest", "count"]
    for number in (0.5, 4.25, -1.0):
        raw.observe(number)
    assert by_field(raw.stats()) == {"recent": -1.0, "sum": 3.75, "largest": 4.25, "count": 3.0}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308], ids=str)
def test_every_float_is_a_number(number: float) -> None:
    raw = RawVal(SeriesKey("r"), Count, Sum)
    raw.observe(number)
    read = by_field(raw.stats())
    assert read["count"] == 1.0
    for field in ("recent", "sum"):
        assert read[field] == number or math.isnan(read[field]) == math.isnan(number)


@pytest.mark.parametrize("number", [True, 3, Fraction(1, 2)], ids=repr)
def test_other_numbers_become_floats(number: float) -> None:
    raw = RawVal(SeriesKey("r"), Sum)
    raw.observe(number)
    assert [(type(stat.value), stat.value) for stat in raw.stats()] == [(float, float(number))] * 2


@pytest.mark.parametrize("value", ["5", b"5", None, 1j, 10**400, object(), [1]], ids=lambda value: repr(value)[:20])
def test_what_is_no_number_is_left_out_and_reported_once(value: object, caplog: pytest.LogCaptureFixture) -> None:
    raw = RawVal(raw_of_this_test(), Count, Sum)
    raw.observe(2.0)
    before = faults.count()
    with caplog.at_level(logging.WARNING, "monkit"):
        for _ in range(3):
            raw.observe(value)  # type: ignore[arg-type]
    assert by_field(raw.stats()) == {"recent": 2.0, "count": 1.0, "sum": 2.0}
    assert faults.count() == before + 3
    assert len(caplog.records) == 1


def test_aggregation_that_raises_is_reported_once_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    broken = [partial(Broken, read=False), partial(Broken, read=True)]  # its figure is a property, and may be
    raw = RawVal(raw_of_this_test(), broken[0], Count, broken[1], Sum)
    with caplog.at_level(logging.WARNING, "monkit"):
        for number in (1.0, 2.0):
            raw.observe(number)
            page = figures(raw.stats())
    assert [(field, value) for _, field, value in page] == [
        ("recent", 2.0), ("broken", 0.0), ("count", 2.0), ("sum", 3.0)
    ]  # fmt: skip
    assert len(caplog.records) == 2


def test_aggregations_of_the_first_declaration_stay() -> None:
    _, scope = fresh_scope()
    raw = scope.raw_val("r", Count)
    assert scope.raw_val("r") is scope.raw_val("r", Sum) is raw
    assert [stat.field for stat in raw.stats()] == ["recent", "count"]


def test_each_series_has_aggregations_of_its_own() -> None:
    _, scope = fresh_scope()
    for host, number in (("a", 1.0), ("b", 2.0)):
        scope.raw_val("r", Sum, host=host).observe(number)
    assert [value for _, field, value in figures(scope.stats()) if field == "sum"] == [1.0, 2.0]


@pytest.mark.parametrize("wrong", [Count(), 5, "sum"], ids=lambda value: type(value).__name__)
def test_aggregation_that_cannot_be_called_is_a_wrong_declaration_and_leaves_no_series(wrong: object) -> None:
    _, scope = fresh_scope()
    with pytest.raises(TypeError, match="not callable"):
        scope.raw_val("r", wrong)  # type: ignore[arg-type]
    assert list(scope.stats()) == []
    scope.raw_val("r", Count).observe(1)


def test_aggregation_is_made_outside_of_the_lock() -> None:
    """It is a user's code, and may wait for a thread that uses a metric itself."""
    _, scope = fresh_scope()

    def make() -> Count:
        other = threading.Thread(target=lambda: scope.counter("other").inc())
        other.start()
        other.join(BOUND_S)
        assert not other.is_alive()
        return Count()

    scope.raw_val("r", make)
    assert scope.counter("other").value == 1


def test_aggregation_that_uses_the_series_it_is_made_for_gets_it_once() -> None:
    _, scope = fresh_scope()

    def make() -> Count:
        scope.raw_val("r", Count).observe(1)
        return Count()

    scope.raw_val("r", make).observe(2)
    assert by_field(scope.stats()) == {"recent": 2.0, "count": 2.0}


def test_no_number_of_several_threads_is_lost() -> None:
    threads, numbers = 4, 5_000
    raw = RawVal(SeriesKey("r"), Count, Sum)
    together = threading.Barrier(threads)

    def observe() -> None:
        together.wait(BOUND_S)
        for _ in range(numbers):
            raw.observe(1)

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(observe) for _ in range(threads)]:
            future.result(BOUND_S)
    assert by_field(raw.stats()) == {"recent": 1.0, "count": threads * numbers, "sum": threads * numbers}


def test_raw_value_is_no_other_metric() -> None:
    scope: Scope = fresh_scope()[1]
    scope.counter("c")
    with pytest.raises(TypeError, match="is a Counter already; a RawVal needs another name"):
        scope.raw_val("c")
