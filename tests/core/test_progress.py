"""Progress of long work, as spans keep it and as ``/ps`` shows it."""

from __future__ import annotations

import json
import logging
import math
import uuid
from fractions import Fraction
from typing import Any

import pytest

from monkit_core import Registry, Scope, Span, faults
from monkit_core.clock import NS_PER_S
from monkit_present.gather import live_rows
from monkit_present.render import json as json_page
from monkit_present.render import text as text_page
from tests.helpers import fresh_scope, in_fresh_context


def running(done: float, total: float | None = None, *, seconds: float = 10.0) -> Registry:
    """A registry with one span that runs for so long and has come so far."""
    registry, scope = fresh_scope()
    span = scope.task("import").__enter__()
    span.progress(done, total)
    set_age(span, seconds)
    return registry


def set_age(span: Span, seconds: float) -> None:
    """Let the span be looked at just as it ends after so long, which stops its clock."""
    span.finish_ns = span.start_ns + int(seconds * NS_PER_S)


def line(registry: Registry) -> str:
    """The line of progress of the only span."""
    (found,) = [line for line in text_of(registry).splitlines() if "progress" in line]
    return found


def text_of(registry: Registry) -> str:
    return "".join(text_page.ps(live_rows(registry)))


def item(registry: Registry) -> dict[str, Any]:
    """The JSON of the only span, its progress."""
    (found,) = json.loads(b"".join(json_page.ps(live_rows(registry), 0)))
    progress: dict[str, Any] = found["progress"]
    return progress


def scope_of_this_test() -> Scope:
    """A scope whose faults the log has not met."""
    return fresh_scope(f"progress {uuid.uuid4()}")[1]


@in_fresh_context
def test_page_shows_how_far_how_fast_and_how_long_it_still_takes() -> None:
    registry = running(30, 120)
    assert line(registry) == "  progress: 30 of 120, 3/s, 30s left"
    assert item(registry) == {"done": 30.0, "total": 120.0, "rate": 3.0, "remaining_s": 30.0}


@in_fresh_context
def test_without_a_total_nobody_can_tell_how_long() -> None:
    registry = running(25)
    assert line(registry) == "  progress: 25, 2.5/s"
    assert item(registry) == {"done": 25.0, "total": None, "rate": 2.5, "remaining_s": None}


@in_fresh_context
def test_nothing_done_yet_is_shown_without_a_remaining_time() -> None:
    registry = running(0, 10)
    assert line(registry) == "  progress: 0 of 10, 0/s"
    assert item(registry) == {"done": 0.0, "total": 10.0, "rate": 0.0, "remaining_s": None}


@in_fresh_context
def test_work_that_goes_backwards_has_no_remaining_time() -> None:
    registry = running(-20, 10)
    assert line(registry) == "  progress: -20 of 10, -2/s"
    assert item(registry)["remaining_s"] is None


@pytest.mark.parametrize("done", [10, 12])
@in_fresh_context
def test_all_or_more_than_all_leaves_no_time(done: float) -> None:
    registry = running(done, 10)
    assert line(registry) == f"  progress: {done} of 10, {done / 10:g}/s, 0s left"
    assert item(registry)["remaining_s"] == 0.0


@pytest.mark.parametrize(("done", "shown"), [(0, "0 of 0, 0/s"), (5, "5 of 0, 0.5/s, 0s left")])
@in_fresh_context
def test_total_of_zero_is_a_total(done: float, shown: str) -> None:
    assert line(running(done, 0)) == f"  progress: {shown}"


@pytest.mark.parametrize("seconds", [0.0, 1e9])
@pytest.mark.parametrize("done", [0.0, 5e-324, 1e308, -1e308])
@pytest.mark.parametrize("total", [None, 0.0, 5e-324, 1e308, -1e308])
@in_fresh_context
def test_no_number_and_no_age_breaks_a_page(done: float, total: float | None, seconds: float) -> None:
    registry = running(done, total, seconds=seconds)
    assert line(registry).startswith(f"  progress: {done:g}")
    assert item(registry)["done"] == done


@pytest.mark.parametrize(
    ("done", "total", "shown"),
    [
        (1_234_567, 9_007_199_254_740_991, "1234567 of 9007199254740991, 123457/s, "),
        (-1_234_567, None, "-1234567, -123457/s"),
        (999_999.5, 1_000_001, "1000000 of 1000001, 100000/s, "),
        (99_999.5, 100_000.25, "99999.5 of 100000, 10000/s, "),
        (0.125, 1e16, "0.125 of 1e+16, 0.0125/s, "),
    ],
)
@in_fresh_context
def test_whole_numbers_are_shown_whole_however_large(done: float, total: float | None, shown: str) -> None:
    assert line(running(done, total)).startswith(f"  progress: {shown}")


@in_fresh_context
def test_long_time_that_is_left_is_shown_in_whole_seconds() -> None:
    assert line(running(1, 1_000_000)) == "  progress: 1 of 1000000, 0.1/s, 9999990s left"


@in_fresh_context
def test_span_that_has_taken_no_time_has_no_rate() -> None:
    registry = running(1, 2, seconds=0)
    assert line(registry) == "  progress: 1 of 2, 0/s"
    assert item(registry) == {"done": 1.0, "total": 2.0, "rate": 0.0, "remaining_s": None}


@in_fresh_context
def test_running_span_is_as_old_as_it_is() -> None:
    registry, scope = fresh_scope()
    with scope.task("import") as span:
        span.progress(1_000, 1_000)
        span.start_ns -= 10 * NS_PER_S
        assert 0 < item(registry)["rate"] <= 100


def test_last_word_counts_and_any_number_will_do() -> None:
    _, scope = fresh_scope()
    with scope.task("import") as span:
        assert span.progressed is None
        for done, total in ((1, 2), (True, Fraction(5, 2)), (3, None)):
            span.progress(done, total)  # type: ignore[arg-type]
            assert span.progressed == (float(done), None if total is None else float(total))


@in_fresh_context
def test_span_that_says_nothing_has_no_line_and_no_field() -> None:
    registry, scope = fresh_scope()
    with scope.task("import"):
        assert "progress" not in text_of(registry)
        (found,) = json.loads(b"".join(json_page.ps(live_rows(registry), 0)))
        assert "progress" not in found


@in_fresh_context
def test_progress_stands_below_its_own_span_and_above_its_notes() -> None:
    registry, scope = fresh_scope()
    with scope.task("outer") as outer, scope.task("inner") as inner:
        for span, done in ((outer, 1), (inner, 2)):
            span.progress(done)
            span.annotate("note", done)
        lines = [line.split(",")[0] if "progress" in line else line for line in text_of(registry).splitlines()]
    assert lines[1:3] == ["  progress: 1", "  note: 1"]
    assert lines[4:6] == ["   progress: 2", "   note: 2"]


class Broken:
    def __float__(self) -> float:
        raise ZeroDivisionError


BAD = [None, "5", b"5", 1j, object(), Broken(), 10**400, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: type(bad).__name__ if bad != bad else repr(bad)[:10])
def test_what_is_no_finite_number_is_left_out_and_reported_once(bad: Any, caplog: pytest.LogCaptureFixture) -> None:
    scope = scope_of_this_test()
    before = faults.count()
    with caplog.at_level(logging.WARNING, "monkit"), scope.task("import") as span:
        span.progress(1, 2)
        for _ in range(2):
            span.progress(bad, 5)
        if bad is not None:
            span.progress(3, bad)
        assert span.progressed == (1.0, 2.0)
    assert faults.count() == before + (2 if bad is None else 3)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"progress of {scope.name}.import failed: ")


def test_progress_may_be_said_after_the_end() -> None:
    _, scope = fresh_scope()
    with scope.task("import") as span:
        pass
    span.progress(1, 1)
    assert span.progressed == (1.0, 1.0)
