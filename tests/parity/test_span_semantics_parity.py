from __future__ import annotations

import contextvars
import re

import pytest

from monkit_core import Span, Trace, current_span, without_span
from monkit_core.engine import finish, start
from tests.helpers import Recorder, fresh_scope, in_fresh_context, vectors

RECORDED = vectors("span_semantics")


def names(spans: list[Span]) -> list[str]:
    return sorted(span.func.short_name for span in spans)


def test_child_has_its_parent() -> None:
    _, scope = fresh_scope()
    with scope.task("outer") as outer, scope.task("inner") as inner:
        assert (inner.parent is outer and inner.parent_id == outer.id) == RECORDED["child_has_parent"]
        assert (current_span() is inner) == RECORDED["span_from_ctx_still_found"]


def test_annotations_are_appended_also_after_the_end() -> None:
    _, scope = fresh_scope()
    with scope.task("noted") as span:
        span.annotate("k", 1)
        span.annotate("k", 2)
        recorded = RECORDED["annotations_append_not_replace"]
        assert [{"Name": key, "Value": value} for key, value in span.annotations] == recorded
    span.annotate("late", "note")
    assert len(span.annotations) == RECORDED["annotate_after_end_kept"]


def test_values_of_a_trace_are_seen_by_every_span_of_it() -> None:
    """In the original an observer sees values of the context; ours keeps them with the trace."""
    _, scope = fresh_scope()
    with scope.task("outer") as outer:
        outer.trace.set("key", "set")
        with scope.task("inner") as inner:
            assert inner.trace.get("key") == RECORDED["ctx_observer_value_visible"]


@in_fresh_context
def test_finishing_twice_does_nothing() -> None:
    """DIFFERS: an exit called twice made `current` -1 and counted two successes in the original."""
    _, scope = fresh_scope()
    func = scope.func("f")
    span = start(func)
    finish(span)
    finish(span)
    assert RECORDED["exit_called_twice"] == {"current": -1, "success": 2}
    assert (func.current, func.success_times.count) == (0, 1)


def test_call_without_a_context_is_a_root() -> None:
    """The original takes a nil context; ours an empty one, or a hidden span."""
    registry, scope = fresh_scope()
    recorded = RECORDED["nil_ctx"]

    def call() -> None:
        with scope.task("root") as span:
            assert len(registry.root_spans()) == recorded["root_while_running"]
            assert (current_span() is span) == recorded["ctx_set_after"]

    contextvars.Context().run(call)
    with scope.task("outer"), without_span():
        assert (current_span() is None) == RECORDED["reset_context_span_is_nil"]


def test_declaration_that_cannot_be_monitored_is_refused() -> None:
    _, scope = fresh_scope()
    assert RECORDED["non_task_panic"] == "Func() called on a non-Task function"
    with pytest.raises(TypeError, match=re.escape("mon.task takes a function, found")):
        scope.task(type("NoTask", (), {}))


def test_trace_observers_are_told_of_new_traces_until_they_are_taken_away() -> None:
    registry, scope = fresh_scope()
    recorded = RECORDED["observe_traces"]
    func = scope.func("f")
    seen: list[Trace] = []
    cancel = registry.observe_traces(seen.append)

    def call_all() -> None:
        with scope.task("root"), scope.task("child"):
            pass
        with func.remote_trace(1, 2):
            pass
        with func.reset_trace():
            pass

    call_all()
    assert len(seen) == recorded["seen_for_new_root,child,remote,reset"]
    cancel()
    call_all()
    assert len(seen) == recorded["after_cancel"]


@in_fresh_context
def test_span_observers_are_told_newest_first_and_may_leave_between() -> None:
    _, scope = fresh_scope()
    log: list[str] = []
    trace = Trace(scope.func("root").live)
    cancel = trace.observe_spans(Recorder(log, "o1"))
    trace.observe_spans(Recorder(log, "o2"))
    with scope.func("root").remote_trace(None, trace):
        child = scope.task("child")
        child.__enter__()
        cancel()
        problem = EOFError()
        child.__exit__(EOFError, problem, None)
    translated = [
        re.sub(r"(o\d)\+(\w+)$", r"\1.start:\2", re.sub(r"(o\d)-(\w+)", r"\1.finish:\2", line)) for line in log
    ]
    recorded = [
        line.replace(" err=<nil> panicked=false", "").replace(" err=EOF panicked=false", " EOF")
        for line in RECORDED["observer_log (o1 registered first, cancelled before child ends)"]
    ]
    assert translated == recorded


@in_fresh_context
def test_orphans_are_the_original_s() -> None:
    registry, scope = fresh_scope()
    recorded = RECORDED["orphans"]
    parent = start(scope.func("P"))
    in_parent = contextvars.copy_context()
    child = start(scope.func("C"))
    grandchild = start(scope.func("G"))
    assert [child.orphaned, grandchild.orphaned] == recorded["child,grandchild orphaned before parent end"]
    finish(parent)
    assert [child.orphaned, grandchild.orphaned] == recorded["after parent end"]
    assert names(registry.root_spans()) == recorded["root_spans"]
    assert sorted(span.func.short_name for _, span in registry.all_spans()) == recorded["all_spans"]
    late = in_parent.run(start, scope.func("Late"))
    assert late.orphaned == recorded["late_child_orphaned"]
    assert (late.parent_id == parent.id) == recorded["late_child_keeps_parent_id"]
    assert names(registry.root_spans()) == recorded["roots_with_late"]
    for span in (late, grandchild, child):
        finish(span)
    assert len(list(registry.all_spans())) == recorded["all_after_end"]


def test_panic_is_counted_and_raised_again() -> None:
    """A panic of ours is a `BaseException` that is no `Exception` and no cancellation."""
    _, scope = fresh_scope()

    class Boom(BaseException):
        pass

    @scope.task
    def panics() -> None:
        raise Boom("boom")

    recorded = RECORDED["panic"]
    with pytest.raises(Boom, match=recorded["repanicked"]):
        panics()
    func = scope.func("test_panic_is_counted_and_raised_again.panics")
    assert func.errors == recorded["errors"]
    assert func.panics == recorded["panics"]
    assert func.failure_times.count == recorded["failure_count"]
    assert func.success_times.count == recorded["success"]


def test_recursion_makes_a_function_its_own_parent() -> None:
    _, scope = fresh_scope()

    @scope.task("rec")
    def rec(depth: int) -> None:
        if depth:
            rec(depth - 1)

    rec(3)
    func, recorded = scope.func("rec"), RECORDED["recursive"]
    assert (func.current, func.highwater) == (recorded["current"], recorded["highwater"])
    assert func.success_times.count == recorded["success"]
    assert (
        sorted("entry" if caller is None else caller.short_name for caller in func.callers)
        == (recorded["parents_sorted"])
    )


def test_remote_parents_are_the_original_s() -> None:
    registry, scope = fresh_scope()
    func = scope.func("remote")
    with scope.task("outer") as outer, func.remote_trace(123) as span:
        recorded = RECORDED["remote_nil_trace_inherits_ctx_trace"]
        assert span.parent_id == recorded["parent_id"]
        assert (span.trace is outer.trace) == recorded["same_trace"]
    recorded = RECORDED["remote_parent_0"]
    with func.remote_trace(0, 9) as span:
        assert span.parent_id == recorded["parent_id"]
        assert span.trace.id == recorded["trace_id"]
        assert len(registry.root_spans()) == recorded["root_spans_while_running"]
    assert ["entry" for caller in func.callers if caller is None] == RECORDED["remote_func_parents"]
    assert len(func.callers) == 1


def test_reset_trace_is_the_original_s() -> None:
    registry, scope = fresh_scope()
    recorded = RECORDED["reset_trace"]
    with scope.task("outer") as outer, scope.func("fresh").reset_trace() as span:
        assert (span.trace is not outer.trace) == recorded["new_trace"]
        assert (span.parent is not None) == recorded["has_parent"]
        assert len(outer.children) == recorded["outer_children"]
        assert len(registry.root_spans()) == recorded["roots"]


def test_span_count_of_a_trace_goes_back_to_zero() -> None:
    _, scope = fresh_scope()
    with scope.task("outer") as outer, scope.task("inner"):
        assert outer.trace.span_count == 2
    assert outer.trace.span_count == RECORDED["trace_spans_after"]


def test_task_has_the_name_it_was_given() -> None:
    _, scope = fresh_scope()
    assert scope.task(RECORDED["task_func_name"]).func.short_name == RECORDED["task_func_name"]


def test_text_of_a_span_says_what_it_is() -> None:
    """DIFFERS: ``context.Background.WithSpan()`` is what Go prints for a context."""
    _, scope = fresh_scope()
    assert "WithSpan" in RECORDED["span_string"]
    with scope.task("work") as span:
        assert repr(span) == f"<Span {span.id:016x} of shop.work, running>"
    assert repr(span).endswith(", finished>")


def test_every_recorded_case_is_compared() -> None:
    assert len(RECORDED) == 21
