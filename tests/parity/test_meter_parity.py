from __future__ import annotations

from collections.abc import Callable

import pytest

from monkit_core import DiffMeter, Meter, SeriesKey
from tests.helpers import figures, same, vectors

METER = vectors("meter")
CASES = {case["name"]: case["steps"] for case in METER["cases"]}
S = 10**9
TICK_S = METER["time_per_tick_s"]


class Clock:
    """A clock that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now_s: float = 0

    def __call__(self) -> int:
        return round(self.now_s * S)


class Driven:
    """A meter, its clock, and the recorded steps that it is compared with one by one."""

    def __init__(self, name_starts: str) -> None:
        self.clock = Clock()
        self.meter = Meter(SeriesKey("m"), self.clock)
        (self.steps,) = ([*steps] for name, steps in CASES.items() if name.startswith(name_starts))

    def at(self, seconds: float, do: Callable[[Meter], object] = lambda meter: None) -> None:
        self.clock.now_s = seconds
        do(self.meter)

    def agrees(self) -> None:
        """The next recorded step is what the meter says at that time."""
        step = self.steps.pop(0)
        self.clock.now_s = step["at_s"]
        assert same(self.meter.rate, step["rate"]), step
        assert self.meter.total == step["total"], step
        assert self.meter.total == step["stored_total"] + sum(step["slice_counts"]), "the recording agrees with itself"


def test_rate_within_the_first_slice_is_the_count_over_the_time() -> None:
    driven = Driven("mark within one tick")
    driven.agrees()
    driven.agrees()
    driven.at(0, lambda meter: meter.mark(4))
    driven.agrees()
    driven.agrees()
    driven.at(20, lambda meter: meter.mark(6))
    driven.agrees()
    assert not driven.steps


def test_window_holds_24_slices_and_what_leaves_it_stays_in_the_total() -> None:
    driven = Driven("mark k then tick at 600*k s, k=1..30")
    assert METER["ticks_to_keep"] == 24
    compared_at = [step["at_s"] for step in driven.steps]
    for k in range(1, 31):
        driven.at(TICK_S * k, lambda meter, k=k: meter.mark(k))  # type: ignore[misc]
        if TICK_S * k + 300 in compared_at:
            driven.agrees()
    assert not driven.steps


def test_idle_meter_keeps_its_slice_open() -> None:
    driven = Driven("tick with an empty newest slice does nothing")
    driven.at(0, lambda meter: meter.mark(10))
    driven.agrees()
    driven.at(2400, lambda meter: meter.mark(1))
    driven.at(2400.5)
    driven.agrees()
    assert not driven.steps


def test_totals_that_are_set_or_reset() -> None:
    driven = Driven("SetTotal(1000), Mark(5)")
    driven.at(0, lambda meter: meter.set_total(1000))
    driven.at(0, lambda meter: meter.mark(5))
    driven.agrees()
    driven.at(10, lambda meter: meter.mark(-2))
    driven.agrees()
    driven.at(10, lambda meter: meter.reset(50))
    driven.agrees()
    driven.at(20, lambda meter: meter.set_total(7))
    driven.at(20, lambda meter: meter.mark(1))
    driven.agrees()
    assert not driven.steps


def test_diff_meter_is_the_original_s() -> None:
    recorded = METER["diffmeter"]
    assert (recorded["m1"], recorded["m2"]) == ("Mark(10)", "Mark(4), SetTotal(100)")
    clock = Clock()
    one, two = Meter(SeriesKey("1"), clock), Meter(SeriesKey("2"), clock)
    one.mark(10)
    two.mark(4)
    two.set_total(100)
    clock.now_s = 10
    (_, field1, rate), (_, field2, total) = figures(DiffMeter(SeriesKey("d"), one, two).stats())
    assert [field1, field2] == recorded["fields_in_order"]
    assert same(rate, recorded["rate_at_10s"])
    assert total == recorded["total"]


def test_fields_of_a_meter_are_in_the_original_s_order() -> None:
    assert [field for _, field, _ in figures(Meter(SeriesKey("m")).stats())] == METER["meter_fields_in_order"]


def test_every_recorded_case_is_compared() -> None:
    assert len(CASES) == len(METER["cases"]) == 4


@pytest.mark.parametrize(("mark_s", "left_with_the_first"), [(599.5, 2), (600, 2), (600.5, 1)])
def test_mark_at_600_s_belongs_to_the_older_slice(mark_s: float, left_with_the_first: int) -> None:
    clock = Clock()
    meter = Meter(SeriesKey("m"), clock)
    meter.mark(1)
    clock.now_s = mark_s
    meter.mark(1)
    for slice_number in range(1, 25):
        clock.now_s = TICK_S * slice_number + 1
        meter.mark(1)
    assert meter.total == 26
    window_s = clock.now_s - TICK_S  # the first slice has left it
    assert same(meter.rate, (26 - left_with_the_first) / window_s)
