"""Recent traces: which trees are kept, what is in them, and that everything about them is bounded."""

from __future__ import annotations

import contextvars
import threading

import pytest

from monkit_core import Func, Registry
from monkit_core.engine import finish, start
from monkit_core.locks import LOCK
from monkit_core.recent import (
    LATENCY_CLASSES,
    LEAST_RECORDS,
    MOST_BUFFERED,
    MOST_RECORDS,
    RawRecord,
    RecentStore,
    RecentTrace,
    class_bounds,
    latency_class,
)
from tests.helpers import BOUND_S, fresh_scope, in_fresh_context

US, S = 1_000, 1_000_000_000


def call(func: Func, took_ns: int, error: BaseException | None = None) -> None:
    """A call that took so long: it began before the test did."""
    span = start(func)
    span.start_ns -= took_ns
    finish(span, error)


def kinds(registry: Registry, func: Func | None = None) -> list[int | str]:
    return [trace.kind for trace in registry.recent_traces(func)]


def names(trace: RecentTrace) -> list[str]:
    return [record.func.short_name for record in trace.records]


@pytest.mark.parametrize("latency", range(LATENCY_CLASSES))
def test_classes_are_powers_of_ten_from_ten_microseconds(latency: int) -> None:
    low, high = class_bounds(latency)
    assert latency_class(low) == latency_class(high - 1) == latency
    assert class_bounds(1) == (10 * US, 100 * US)
    assert class_bounds(7)[0] == 10 * S


@in_fresh_context
def test_one_tree_of_each_class_and_of_each_error_is_kept_within_a_second() -> None:
    registry, scope = fresh_scope()
    func, other = scope.func("load"), scope.func("other")
    for _ in range(3):
        call(func, 20 * S)
        call(func, 30 * S)  # the same class
        call(func, 200 * US * 1_000)
        call(func, 20 * S, ValueError())
        call(func, 200 * US * 1_000, ValueError())  # the same error
        call(func, 20 * S, KeyError())
        call(other, 20 * S)
    assert kinds(registry, func) == [7, 5, "ValueError", "KeyError"]
    assert kinds(registry, other) == [7]


@in_fresh_context
def test_next_tree_of_a_class_is_kept_when_it_is_due_again() -> None:
    registry, scope = fresh_scope()
    func = scope.func("load")
    call(func, 20 * S)
    call(func, 20 * S, ValueError())
    func.postpone(7, 0)
    func.postpone("ValueError", 0)
    call(func, 20 * S)
    call(func, 20 * S, ValueError())
    assert kinds(registry) == [7, "ValueError", 7, "ValueError"]


def test_tree_has_parents_before_children_and_what_a_span_knows() -> None:
    registry, scope = fresh_scope()

    @scope.task("leaf", args=("number",))
    def leaf(number: int) -> None:
        if number == 2:
            raise ValueError

    with scope.task("root") as root:
        for number in range(3):
            with scope.task("branch") as branch:
                branch.annotate("number", number)
                try:
                    leaf(number)
                except ValueError:
                    branch.annotate("failed", "yes")
    (trace,) = registry.recent_traces(scope.func("root"))
    assert names(trace) == ["root", "branch", "leaf", "branch", "leaf", "branch", "leaf"]
    assert trace.trace_id == root.trace.id
    by_id = {record.id: record for record in trace.records}
    assert [by_id[record.parent_id].func.short_name for record in trace.records if record.parent_id in by_id] == [
        *["root", "branch"] * 3
    ]
    last_branch, last_leaf = trace.records[-2:]
    assert last_branch.annotations == (("number", "2"), ("failed", "yes"))
    assert (last_leaf.args, last_leaf.error_name, last_leaf.panicked) == (("number=2",), "ValueError", False)
    assert all(root.start_ns <= record.start_ns <= record.finish_ns <= root.finish_ns for record in trace.records)


@in_fresh_context
def test_orphan_that_ended_before_the_root_is_in_its_tree_and_a_later_one_is_not() -> None:
    registry, scope = fresh_scope()
    root, middle = start(scope.func("root")), start(scope.func("middle"))
    early = contextvars.copy_context().run(start, scope.func("early"))
    late = contextvars.copy_context().run(start, scope.func("late"))
    finish(middle)
    finish(early)
    finish(root)
    finish(late)
    (trace,) = registry.recent_traces(scope.func("root"))
    assert names(trace) == ["root", "middle", "early"]
    assert [record.orphaned for record in trace.records] == [False, False, True]


@in_fresh_context
def test_trees_are_kept_below_a_root_that_never_ends_and_old_records_go_and_are_counted() -> None:
    registry, scope = fresh_scope()
    root = start(scope.func("endless"))
    for _ in range(MOST_RECORDS + 5):
        call(scope.func("request"), 20 * S)
    assert kinds(registry) == [7]
    assert len(root.trace.records) == MOST_RECORDS
    assert root.trace.records_dropped == 5
    finish(root)
    assert root.trace.records == ()
    (trace,) = registry.recent_traces(scope.func("endless"))
    assert (len(trace.records), trace.dropped) == (MOST_RECORDS, 6)
    assert registry.live.buffered == 0


@in_fresh_context
def test_all_running_traces_together_are_bounded_but_each_keeps_a_few() -> None:
    registry, scope = fresh_scope()
    root = start(scope.func("root"))
    registry.live.buffered = MOST_BUFFERED
    for _ in range(LEAST_RECORDS + 10):
        call(scope.func("request"), 20 * S)
    assert len(root.trace.records) == LEAST_RECORDS
    assert root.trace.records_dropped == 10
    finish(root)


@in_fresh_context
def test_only_span_of_a_trace_leaves_nothing_when_nothing_is_due() -> None:
    registry, scope = fresh_scope()
    func = scope.func("leaf")
    call(func, 20 * S)
    span = start(func)
    span.start_ns -= 20 * S
    finish(span)
    assert (span.trace.records, registry.live.buffered, kinds(registry)) == ((), 0, [7])


def test_registry_without_recent_traces_keeps_none() -> None:
    registry = Registry(recent=False)
    scope = registry.scope("shop")
    with scope.task("outer") as span, scope.task("inner"):
        pass
    assert (registry.recent_traces(), span.trace.records, registry.live.buffered) == ([], (), 0)


@in_fresh_context
def test_call_does_not_wait_while_somebody_reads_and_the_next_tree_takes_the_place() -> None:
    registry, scope = fresh_scope()
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with LOCK:
            held.set()
            go_on.wait(BOUND_S)

    reader = threading.Thread(target=hold)
    func = scope.func("load")
    reader.start()
    assert held.wait(BOUND_S)
    call(func, 20 * S)
    go_on.set()
    reader.join(BOUND_S)
    assert kinds(registry) == []
    call(func, 20 * S)
    assert kinds(registry) == [7]


def store_of(func: Func, store: RecentStore, amount: int, first: int = 0, records: int = 1) -> list[int]:
    """Bring trees of several records; returns the ids of the roots that are kept."""
    with func.reset_trace() as span:
        pass
    for number in range(first, first + amount):
        root: RawRecord = (func, number + 1, None, 0, 10, None, False, False, (), ())
        below: list[RawRecord] = [
            (func, 1_000_000 + place, number + 1, 1, 2, None, False, False, ("x" * 100,), ())
            for place in range(records - 1)
        ]
        store.bring(number % 5, span.trace, [root, *below])
    return [trace.records[0].id for trace in store.traces()]


def test_store_is_bounded_in_trees_alike_ones_and_bytes_and_the_oldest_go_first() -> None:
    _, scope = fresh_scope()
    func = scope.func("load")
    assert store_of(func, RecentStore(most_trees=7), 30) == list(range(24, 31))
    assert store_of(func, RecentStore(most_alike=2), 30) == list(range(21, 31))
    assert store_of(func, RecentStore(most_bytes=10_000), 30, records=9) == [29, 30]


def test_store_looks_at_so_many_records_within_a_second_and_no_more() -> None:
    _, scope = fresh_scope()
    store = RecentStore()
    store_of(scope.func("load"), store, 30, records=1_000)
    assert len(store.traces()) == 20
    store.clear()
    assert store.traces() == []


@in_fresh_context
def test_runaway_recursion_is_recorded_as_far_as_there_is_stack_and_loses_nothing() -> None:
    registry, scope = fresh_scope()

    @scope.task("deep")
    def deep() -> None:
        deep()

    with pytest.raises(RecursionError):
        deep()
    func = scope.func("deep")
    assert func.current == registry.live.buffered == 0
    assert sum(func.errors.values()) == sum(func.callers.values())
