from __future__ import annotations

import logging
import os
import re

import pytest

from monkit_core import Span, Trace, faults
from tests.helpers import Recorder, check_idle, fresh_scope, in_fresh_context


class Faulty(Recorder):
    """Raises when it is told what it should raise at."""

    def __init__(self, raises_at: str) -> None:
        super().__init__()
        self.raises_at = raises_at

    def span_started(self, span: Span) -> None:
        super().span_started(span)
        if self.raises_at == "start":
            raise ZeroDivisionError("observer")

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        super().span_finished(span, error)
        if self.raises_at == "finish":
            raise ZeroDivisionError("observer")


def faulty(raises_at: str) -> Faulty:
    """Each of a class of its own, so that each is another place in the log."""
    kind = type(f"Faulty{os.urandom(8).hex()}", (Faulty,), {})
    made: Faulty = kind(raises_at)
    return made


def test_observers_are_told_of_starts_and_finishes_newest_first() -> None:
    registry, scope = fresh_scope()
    log: list[str] = []
    registry.observe_spans(Recorder(log, "1"))
    registry.observe_spans(Recorder(log, "2"))
    with scope.task("outer") as outer:
        outer.trace.observe_spans(Recorder(log, "of trace "))
        with scope.task("inner"):
            pass
    assert log == [
        *("2+outer", "1+outer"),
        *("of trace +inner", "2+inner", "1+inner"),
        *("of trace -inner", "2-inner", "1-inner"),
        *("of trace -outer", "2-outer", "1-outer"),
    ]


def test_late_observer_sees_a_finish_without_a_start() -> None:
    registry, scope = fresh_scope()
    recorder = Recorder()
    with scope.task("outer") as outer:
        stop = outer.trace.observe_spans(recorder)
    assert recorder.log == ["-outer"]
    stop()
    stop()
    assert outer.trace.observers == ()
    with scope.task("another trace"):
        registry.observe_spans(recorder)
    assert recorder.log == ["-outer", "-another trace"]


def test_observer_that_left_is_told_no_more() -> None:
    registry, scope = fresh_scope()
    recorder = Recorder()
    stop = registry.observe_spans(recorder)
    assert registry.watcher_count == 1
    with scope.task("outer"):
        stop()
    assert recorder.log == ["+outer"]
    assert registry.watcher_count == 0


def test_observer_sees_the_span_as_it_is_then() -> None:
    registry, scope = fresh_scope()
    states: list[tuple[bool, bool]] = []

    class Looks(Recorder):
        def span_started(self, span: Span) -> None:
            states.append((span.finished, span in registry.live.roots))

        def span_finished(self, span: Span, error: BaseException | None) -> None:
            states.append((span.finished, span in registry.live.roots))

    registry.observe_spans(Looks())
    with scope.task("work", args={"a": 1}) as span:
        assert span.args == ("a=1",)
    assert states == [(False, True), (True, False)]


def test_new_traces_are_told_before_their_first_span() -> None:
    registry, scope = fresh_scope()
    log: list[object] = []

    class Watches(Recorder):
        def span_started(self, span: Span) -> None:
            log.append(span.func.short_name)

    def watch(trace: Trace) -> None:
        log.append("new")
        trace.observe_spans(Watches())

    stop = registry.observe_traces(watch)
    assert registry.watcher_count == 1
    with scope.task("outer") as outer, scope.task("inner"), scope.func("again").remote_trace(1, outer.trace):
        pass
    with scope.func("fresh").reset_trace():
        pass
    assert log == ["new", "outer", "inner", "again", "new", "fresh"]
    stop()
    assert registry.watcher_count == 0
    with scope.task("unseen"):
        pass
    assert len(log) == 6


@pytest.mark.parametrize("raises_at", ["start", "finish"])
@pytest.mark.parametrize("of_trace", [False, True])
def test_observer_that_raises_is_logged_once_counted_and_dropped(
    raises_at: str, of_trace: bool, caplog: pytest.LogCaptureFixture
) -> None:
    registry, scope = fresh_scope()
    bad, good = faulty(raises_at), Recorder()
    faults_before = faults.count()
    registry.observe_spans(good)
    with scope.task("outer") as outer:
        (outer.trace if of_trace else registry).observe_spans(bad)
        for _ in range(3):
            with scope.task("inner"):
                pass
    assert bad.log == (["+inner"] if raises_at == "start" else ["+inner", "-inner"])
    assert good.log.count("+inner") == good.log.count("-inner") == 3
    assert registry.watcher_count == 1
    assert outer.trace.observers == ()
    assert faults.count() == faults_before + 1
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("monkit", logging.WARNING)
    assert re.fullmatch(r"span observer Faulty\w+ failed: ZeroDivisionError\('observer'\) \(.*\)", record.message)
    assert record.exc_info is not None
    check_idle(registry)


def test_trace_callback_that_raises_is_dropped_and_the_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    registry, scope = fresh_scope()
    seen: list[Trace] = []

    def bad(trace: Trace) -> None:
        seen.append(trace)
        raise ZeroDivisionError

    registry.observe_traces(seen.append)
    registry.observe_traces(bad)
    for _ in range(2):
        with scope.task("work"):
            pass
    assert len(seen) == 3
    assert registry.watcher_count == 1
    assert [record.message.split(" failed:")[0] for record in caplog.records] == [f"trace observer {bad!r}"]


def test_further_failures_at_the_same_place_are_only_counted(caplog: pytest.LogCaptureFixture) -> None:
    registry, scope = fresh_scope()
    kind = type(f"Faulty{os.urandom(8).hex()}", (Faulty,), {})
    before = faults.count()
    for _ in range(3):
        registry.observe_spans(kind("start"))
        with scope.task("work"):
            pass
    assert len(caplog.records) == 1
    assert faults.count() == before + 3


def test_places_are_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(faults, "_counts", {})
    for number in range(3_000):
        faults.report(f"place {number}", "words")
    assert faults.count() == 3_000
    assert len(caplog.records) == 1_001
    assert caplog.records[-1].message == "other places failed: 'words' (further failures there are only counted)"


@in_fresh_context
def test_log_that_raises_itself_does_not_reach_the_measured_call() -> None:
    registry, scope = fresh_scope()

    def broken(record: logging.LogRecord) -> bool:
        raise ZeroDivisionError("filter")

    log = logging.getLogger("monkit")
    log.addFilter(broken)
    try:
        registry.observe_spans(faulty("start"))
        with scope.task("work"):
            pass
    finally:
        log.removeFilter(broken)
    assert scope.func("work").success_times.count == 1
    assert registry.watcher_count == 0
    check_idle(registry)
