from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

import pytest

from monkit_core import (
    Capture,
    Registry,
    Scope,
    Span,
    SpanCollector,
    collect_spans,
    current_span,
    find_span,
    watch_for_spans,
)
from monkit_core.engine import finish, start
from tests.helpers import BOUND_S, check_idle, fresh_scope, in_fresh_context


class Named:
    """Matches spans of one short name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, span: Span) -> bool:
        return span.func.short_name == self.name


def names(capture: Capture) -> list[str]:
    return [finished.span.func.short_name for finished in capture.spans]


def run_tree(scope: Scope) -> None:
    with scope.task("root"):
        with scope.task("a"), scope.task("a1"):
            pass
        with scope.task("b"):
            pass


def nothing_left(registry: Registry) -> None:
    assert registry.watcher_count == 0
    check_idle(registry)


def test_watcher_sees_what_starts_after_it_was_asked_for() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))
    assert registry.watcher_count == 1
    assert waiter.target is None
    assert waiter.so_far() == Capture((), 0)
    run_tree(scope)
    capture = waiter.result(0)
    assert names(capture) == ["root", "a", "a1", "b"]
    assert [finished.unfinished for finished in capture.spans] == [False] * 4
    assert [finished.finish_ns for finished in capture.spans] == [item.span.finish_ns for item in capture.spans]
    assert waiter.target is capture.spans[0].span
    nothing_left(registry)


def test_only_the_first_match_is_collected() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))
    run_tree(scope)
    run_tree(scope)
    assert len(waiter.result(0).spans) == 4
    nothing_left(registry)


def test_only_descendants_of_the_match_are_in() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))
    with scope.task("above"):
        with scope.task("before"):
            pass
        run_tree(scope)
        with scope.task("after"):
            pass
    assert names(waiter.result(0)) == ["root", "a", "a1", "b"]
    nothing_left(registry)


def test_match_within_a_trace_that_runs_already() -> None:
    registry, scope = fresh_scope()
    with scope.task("outer") as outer:
        waiter = watch_for_spans(registry, Named("root"))
        assert outer.trace.observers == ()
        run_tree(scope)
        assert names(waiter.result(0)) == ["root", "a", "a1", "b"]
    assert outer.trace.observers == ()
    nothing_left(registry)


def test_span_that_nests_in_itself_ends_with_the_outermost() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("rec"))
    with scope.task("rec"):
        with scope.task("rec"), scope.task("rec"):
            pass
        assert len(waiter.so_far().spans) == 3
        assert not waiter._future.done()
    assert names(waiter.result(0)) == ["rec"] * 3


def test_errors_and_panics_are_told_with_their_text() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))
    with scope.task("root"):
        for problem in (ValueError("out of tea"), TimeoutError(), KeyboardInterrupt()):
            with pytest.raises(type(problem)), scope.task("child"):
                raise problem
        with pytest.raises(SystemExit), scope.task("child"):
            raise SystemExit(0)
    found = [(finished.error, finished.panicked) for finished in waiter.result(0).spans]
    assert found == [
        (None, False),
        ("out of tea", False),
        ("Timeout", False),
        ("KeyboardInterrupt", True),
        (None, False),
    ]


@in_fresh_context
def test_unfinished_descendants_are_in_and_marked() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))
    root = start(scope.func("root"))
    outliving = start(scope.func("outliving"))
    with scope.task("finished below it"):
        pass
    grandchild = start(scope.func("grandchild"))
    finish(root)
    capture = waiter.result(0)
    assert names(capture) == ["root", "outliving", "finished below it", "grandchild"]
    assert [finished.unfinished for finished in capture.spans] == [False, True, False, True]
    assert [finished.finish_ns for finished in capture.spans if finished.unfinished] == [root.finish_ns] * 2
    assert registry.watcher_count == 0
    finish(grandchild)
    finish(outliving)
    assert capture.spans[1].unfinished, "the capture stays what it was"
    nothing_left(registry)


@in_fresh_context
def test_child_of_a_finished_descendant_is_in() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))
    with scope.task("root"):
        with scope.task("child"):
            later = contextvars.copy_context()
        late = later.run(start, scope.func("late"))
        later.run(finish, late)
    assert names(waiter.result(0)) == ["root", "child", "late"]
    assert late.orphaned
    nothing_left(registry)


def test_siblings_are_in_the_order_of_their_starts() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))

    async def child(name: str, go: asyncio.Event, then: asyncio.Event) -> None:
        with scope.task(name):
            await go.wait()
            with scope.task(f"in {name}"):
                then.set()

    async def main() -> None:
        events = [asyncio.Event() for _ in range(4)]
        with scope.task("root"):
            tasks = [asyncio.create_task(child("abc"[i], events[i + 1], events[i])) for i in range(3)]
            await asyncio.sleep(0)
            events[3].set()  # c, b, a end in this order
            await asyncio.gather(*tasks)

    asyncio.run(main())
    assert names(waiter.result(0)) == ["root", "a", "in a", "b", "in b", "c", "in c"]


def test_spans_above_the_cap_are_counted_with_their_children() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"), max_spans=2)
    with scope.task("root"):
        with scope.task("kept"), scope.task("dropped"), scope.task("child of a dropped one"):
            pass
        for _ in range(3):
            with scope.task("dropped"):
                pass
    with scope.task("elsewhere"):
        pass
    capture = waiter.result(0)
    assert (names(capture), capture.dropped) == (["root", "kept"], 5)
    assert waiter._collector._left_out == set()
    nothing_left(registry)


def test_spans_of_another_trace_are_not_counted_as_dropped() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"), max_spans=1)
    with scope.task("other root") as other:
        context = contextvars.copy_context()
        with scope.func("root").reset_trace():
            context.run(lambda: scope.task("below the other").__enter__())
    capture = waiter.result(0)
    assert (names(capture), capture.dropped) == (["root"], 0)
    for _, span in list(registry.all_spans()):
        finish(span)
    assert other.finished


def test_remote_and_new_traces_within_the_match_are_not_descendants() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))
    with scope.task("root"), scope.func("fresh").reset_trace(), scope.task("below it"):
        pass
    assert names(waiter.result(0)) == ["root"]


def test_waiter_can_be_awaited() -> None:
    registry, scope = fresh_scope()

    async def work() -> None:
        await asyncio.sleep(0)
        run_tree(scope)

    async def main() -> Capture:
        waiter = watch_for_spans(registry, Named("root"))
        task = asyncio.create_task(work())
        capture = await waiter
        assert await waiter is capture
        await task
        return capture

    assert names(asyncio.run(main())) == ["root", "a", "a1", "b"]
    nothing_left(registry)


def test_awaiting_task_that_is_cancelled_takes_the_watcher_away() -> None:
    registry, _ = fresh_scope()

    async def wait() -> Capture:
        return await watch_for_spans(registry, Named("never"))

    async def main() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert registry.watcher_count == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert registry.watcher_count == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(), 0.001)
        assert registry.watcher_count == 0

    asyncio.run(main())


def test_result_blocks_until_another_thread_s_match_has_ended() -> None:
    registry, scope = fresh_scope()
    started, leave = threading.Event(), threading.Event()
    waiter = watch_for_spans(registry, Named("root"))

    def work() -> None:
        with scope.task("root"):
            started.set()
            leave.wait(BOUND_S)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        assert started.wait(BOUND_S)
        with pytest.raises(TimeoutError):
            waiter.result(0)
        assert registry.watcher_count == 1, "a time-out leaves the waiter watching"
        (so_far,) = waiter.so_far().spans
        assert so_far.unfinished
        assert so_far.finish_ns >= so_far.span.start_ns
        leave.set()
        assert names(waiter.result(BOUND_S)) == ["root"]
        future.result(BOUND_S)
    nothing_left(registry)


def test_cancelled_waiter_is_gone_at_once_also_within_a_match() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))
    with scope.task("root"):
        waiter.cancel()
        assert registry.watcher_count == 0
        waiter.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        waiter.result(0)
    nothing_left(registry)


def test_match_that_ends_while_the_waiter_is_cancelled_does_no_harm() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("root"))

    class Cancels:
        """Newer than the waiter, so told first."""

        def span_started(self, span: Span) -> None: ...
        def span_finished(self, span: Span, error: BaseException | None) -> None:
            waiter.cancel()

    stop = registry.observe_spans(Cancels())
    run_tree(scope)
    stop()
    with pytest.raises(concurrent.futures.CancelledError):
        waiter.result(0)
    nothing_left(registry)


def test_matcher_that_raises_fails_the_waiter_and_not_the_call() -> None:
    registry, scope = fresh_scope()

    def bad(span: Span) -> bool:
        raise ZeroDivisionError

    waiter = watch_for_spans(registry, bad)
    run_tree(scope)
    with pytest.raises(ZeroDivisionError):
        waiter.result(0)
    nothing_left(registry)


def test_two_hundred_waiters_leave_nothing() -> None:
    registry, scope = fresh_scope()
    waiters = [watch_for_spans(registry, Named("root")) for _ in range(200)]
    assert registry.watcher_count == 200
    for waiter in waiters[100:]:
        waiter.cancel()
    run_tree(scope)
    assert {len(waiter.result(0).spans) for waiter in waiters[:100]} == {4}
    nothing_left(registry)


def test_find_span_gives_the_first_running_match() -> None:
    registry, scope = fresh_scope()
    assert find_span(registry, Named("inner")) is None
    with scope.task("outer"), scope.task("inner") as first, scope.task("inner"):
        assert find_span(registry, Named("inner")) is first
        assert find_span(registry, Named("other")) is None


def test_collect_spans_returns_what_ran_below_the_current_span() -> None:
    registry, scope = fresh_scope()
    with scope.task("outer") as outer:
        with scope.task("before"):
            pass
        capture = collect_spans(lambda: run_tree(scope))
        assert outer.trace.observers == ()
        with scope.task("after"):
            pass
    assert names(capture) == ["root", "a", "a1", "b"]
    assert not any(finished.unfinished for finished in capture.spans)
    nothing_left(registry)


def test_collect_spans_awaits_what_is_awaitable() -> None:
    registry, scope = fresh_scope()

    async def work() -> None:
        await asyncio.sleep(0)
        run_tree(scope)

    async def main() -> None:
        with scope.task("outer") as outer:
            capture = await collect_spans(work)
            assert names(capture) == ["root", "a", "a1", "b"]
            assert outer.trace.observers == ()

            async def fails() -> None:
                raise KeyError

            with pytest.raises(KeyError):
                await collect_spans(fails)
            assert outer.trace.observers == ()
        awaitable = collect_spans(work)
        assert isinstance(awaitable, Awaitable)
        assert (await awaitable).spans == ()

    asyncio.run(main())
    nothing_left(registry)


def test_collect_spans_without_a_current_span_collects_nothing() -> None:
    _, scope = fresh_scope()
    assert current_span() is None
    assert collect_spans(lambda: run_tree(scope)) == Capture((), 0)


def test_what_the_work_raises_comes_out_of_collect_spans() -> None:
    registry, scope = fresh_scope()

    def fails() -> None:
        run_tree(scope)
        raise KeyError

    with scope.task("outer") as outer:
        with pytest.raises(KeyError):
            collect_spans(fails)
        assert outer.trace.observers == ()
    nothing_left(registry)


@in_fresh_context
def test_forced_collector_takes_what_runs_below_the_span() -> None:
    registry, scope = fresh_scope()
    captures: list[Capture] = []
    collector = SpanCollector(lambda span: False, captures.append)
    with scope.task("above"):
        root = start(scope.func("root"))
        running = start(scope.func("running"))
        below = start(scope.func("below"))
        stop = root.trace.observe_spans(collector)
        collector.force_start(root)
        collector.force_start(below)
        assert collector.target is root
        for span in (below, running):
            finish(span)
        with scope.task("later"):
            pass
        finish(root)
        with scope.task("after it is over"):
            pass
        stop()
    (capture,) = captures
    assert names(capture) == ["root", "running", "below", "later"]
    assert root.trace.observers == ()
    nothing_left(registry)


@in_fresh_context
def test_forced_collector_may_see_the_start_of_what_it_took_already() -> None:
    """The span starts in one thread while another forces the start: told twice, collected once."""
    _, scope = fresh_scope()
    collector = SpanCollector(lambda span: False)
    with scope.task("root") as root, scope.task("child") as child:
        collector.force_start(root)
        collector.span_started(child)
        assert names(collector.capture()) == ["root", "child"]
        collector.span_started(root)
        assert names(collector.capture()) == ["root", "child"]


def test_collector_without_a_callback_can_be_asked() -> None:
    registry, scope = fresh_scope()
    collector = SpanCollector(Named("root"))
    stop = registry.observe_spans(collector)
    run_tree(scope)
    run_tree(scope)
    stop()
    assert names(collector.capture()) == ["root", "a", "a1", "b"]
    nothing_left(registry)


def test_nothing_is_kept_of_traces_that_do_not_match() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, Named("never"))
    for _ in range(100):
        run_tree(scope)
    collector = waiter._collector
    assert not collector._parents
    assert not collector._finished
    assert not collector._left_out
    waiter.cancel()
    nothing_left(registry)
