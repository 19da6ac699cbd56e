"""Calls that are known to match only when they end, and several matches: what is kept, bounded and forgotten."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from monkit_core import Capture, FinishedSpan, Registry, Scope, Span, matches
from monkit_core.engine import finish, start
from monkit_core.matches import MAX_CANDIDATES, MAX_KEPT, MAX_NESTED, MatchesWaiter, watch_for_matches
from tests.helpers import BOUND_S, check_idle, fresh_scope, in_fresh_context


def failed(call: FinishedSpan) -> bool:
    return call.error is not None


def any_call(span: Span) -> bool:
    return True


def of_root(span: Span) -> bool:
    return span.func.short_name == "root"


def names(capture: Capture) -> list[str]:
    return [found.span.func.short_name for found in capture.spans]


def run_root(scope: Scope, error: BaseException | None = None) -> None:
    with scope.task("root"), scope.task("child"), scope.task("grandchild"):
        if error is not None:
            raise error


def nothing_left(registry: Registry, waiter: MatchesWaiter) -> None:
    """Neither in the registry nor, but for what was found, in the waiter."""
    assert registry.watcher_count == 0
    assert waiter._candidates == {}
    check_idle(registry)


def test_calls_that_end_otherwise_are_passed_by_and_forgotten() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=failed)
    for _ in range(100):
        run_root(scope)
    assert (waiter.room, waiter._candidates, waiter.target) == (MAX_KEPT, {}, None)
    assert (waiter.went_by.calls, waiter.went_by.passed_over, waiter.part) == (100, 0, None)
    assert waiter.went_by.longest_ns > 0
    assert registry.watcher_count == 1
    with pytest.raises(ValueError, match="tea"):
        run_root(scope, ValueError("tea"))
    (capture,) = waiter.result(0)
    assert names(capture) == ["root", "child", "grandchild"]
    assert [found.error for found in capture.spans] == ["tea"] * 3
    nothing_left(registry, waiter)


def test_call_is_collected_from_its_start_though_only_its_function_is_watched() -> None:
    registry, scope = fresh_scope()
    func = scope.func("root")
    waiter = watch_for_matches(registry, of_root, accept=failed, funcs=lambda other: other is func)
    run_root(scope)
    with pytest.raises(ValueError, match="tea"):
        run_root(scope, ValueError("tea"))
    assert names(waiter.result(0)[0]) == ["root", "child", "grandchild"]
    nothing_left(registry, waiter)


def test_traces_can_be_asked_for_too() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, count=2, traces=lambda trace: trace.id == 7)
    run_root(scope)
    for _ in range(2):
        with scope.func("entry").remote_trace(None, 7):
            run_root(scope)
    assert [capture.spans[0].span.trace.id for capture in waiter.result(0)] == [7, 7]
    nothing_left(registry, waiter)


def test_of_nested_calls_that_match_the_innermost_comes_first() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, any_call, accept=failed, count=3)
    with pytest.raises(ValueError, match="tea"):
        run_root(scope, ValueError("tea"))
    assert [names(capture) for capture in waiter.result(0)] == [
        ["grandchild"],
        ["child", "grandchild"],
        ["root", "child", "grandchild"],
    ]
    nothing_left(registry, waiter)


def test_without_a_condition_on_the_end_a_call_below_a_match_belongs_to_it() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, any_call, count=3)
    for _ in range(3):
        run_root(scope)
    assert [names(capture) for capture in waiter.result(0)] == [["root", "child", "grandchild"]] * 3
    nothing_left(registry, waiter)


def test_annotations_made_until_the_end_count() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=lambda call: ("user", "bob") in call.span.annotations)
    for user in ("eve", "bob", "bob"):
        with scope.task("root") as span:
            span.annotate("user", user)
    assert waiter.result(0)[0].spans[0].span.annotations == (("user", "bob"),)
    nothing_left(registry, waiter)


@in_fresh_context
def test_calls_at_once_are_all_looked_at() -> None:
    """One at a time would miss most slow calls of a busy server."""
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=failed)
    contexts = [contextvars.Context() for _ in range(50)]
    spans = [context.run(start, scope.func("root")) for context in contexts]
    assert waiter.target is spans[0]
    for number, (context, span) in enumerate(zip(contexts, spans, strict=True)):
        context.run(finish, span, LookupError("this one") if number == 37 else None)
    assert waiter.result(0)[0].spans[0].span is spans[37]
    nothing_left(registry, waiter)


def test_spans_above_the_cap_of_a_match_are_counted() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=failed, max_spans=2)
    with pytest.raises(ValueError, match="tea"):
        run_root(scope, ValueError("tea"))
    (capture,) = waiter.result(0)
    assert (names(capture), capture.dropped) == (["root", "child"], 1)
    nothing_left(registry, waiter)


def test_spans_of_all_calls_that_may_match_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matches, "MAX_KEPT", 10)
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=failed)
    with scope.task("root"):
        for _ in range(20):
            with scope.task("child"):
                pass
        assert waiter.room == 0
        with scope.func("root").reset_trace():
            pass
        assert waiter.went_by.passed_over == 1
    assert waiter.room == 10
    waiter.cancel()
    nothing_left(registry, waiter)


@in_fresh_context
def test_calls_that_may_match_are_bounded_in_number() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=failed)
    contexts = [contextvars.Context() for _ in range(MAX_CANDIDATES + 5)]
    spans = [context.run(start, scope.func("root")) for context in contexts]
    assert (len(waiter._candidates), waiter.went_by.passed_over) == (MAX_CANDIDATES, 5)
    for context, span in zip(contexts, spans, strict=True):
        context.run(finish, span)
    assert waiter.room == MAX_KEPT
    waiter.cancel()
    nothing_left(registry, waiter)


def test_deep_recursion_has_few_watchers_and_the_outer_calls_are_whole() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=failed, count=MAX_NESTED)
    watchers: list[int] = []

    def dive(levels: int) -> None:
        with scope.task("root") as span:
            watchers.append(len(span.trace.observers))
            if levels == 1:
                raise ValueError("tea")
            dive(levels - 1)

    with pytest.raises(ValueError, match="tea"):
        dive(3 * MAX_NESTED)
    assert max(watchers) == MAX_NESTED
    captures = waiter.result(0)
    assert [len(capture.spans) for capture in captures] == [*range(2 * MAX_NESTED + 1, 3 * MAX_NESTED + 1)]
    nothing_left(registry, waiter)


@pytest.mark.parametrize("accept", [failed, None])
@in_fresh_context
def test_cancelled_wait_leaves_nothing_behind(accept: Callable[[FinishedSpan], bool] | None) -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=accept, count=2)
    span = start(scope.func("root"))
    assert waiter.target is span
    waiter.cancel()
    assert (span.trace.observers, registry.watcher_count, waiter._candidates) == ((), 0, {})
    with pytest.raises(concurrent.futures.CancelledError):
        waiter.result(0)
    finish(span, ValueError())
    check_idle(registry)


def test_wait_is_over_for_calls_that_still_run_when_it_has_enough() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, any_call, accept=failed)
    with scope.task("root"):
        with pytest.raises(LookupError), scope.task("child"):
            raise LookupError
        assert names(waiter.result(0)[0]) == ["child"]
        assert registry.watcher_count == 0
    nothing_left(registry, waiter)


@pytest.mark.parametrize("raising", ["matcher", "accept"])
def test_problem_of_the_one_who_waits_is_told_to_them_and_not_to_the_call(raising: str) -> None:
    def fail(thing: object) -> bool:
        raise ZeroDivisionError

    registry, scope = fresh_scope()
    waiter = watch_for_matches(
        registry, fail if raising == "matcher" else of_root, accept=fail if raising == "accept" else failed
    )
    run_root(scope)
    with pytest.raises(ZeroDivisionError):
        waiter.result(0)
    nothing_left(registry, waiter)


def test_it_can_be_awaited() -> None:
    registry, scope = fresh_scope()

    async def main() -> None:
        waiter = watch_for_matches(registry, of_root, count=2)
        task = asyncio.ensure_future(waiter)
        run_root(scope)
        await asyncio.sleep(0)
        assert not task.done()
        run_root(scope)
        assert len(await task) == 2
        nothing_left(registry, waiter)

    asyncio.run(main())


def test_many_threads_find_no_more_than_was_asked_for_and_leave_nothing() -> None:
    registry, scope = fresh_scope()
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait(BOUND_S)
        for turn in range(50):
            with suppress(ValueError):
                run_root(scope, ValueError("odd") if turn % 7 == number % 7 else None)

    waiter = watch_for_matches(registry, any_call, accept=failed, count=20)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    captures = waiter.result(0)
    assert len(captures) == 20
    assert all(found.error == "odd" for capture in captures for found in capture.spans)
    nothing_left(registry, waiter)


def test_condition_that_runs_out_of_stack_in_a_deep_program_misses_that_call() -> None:
    def deep(call: FinishedSpan) -> bool:
        if call.error is None:
            raise RecursionError
        return True

    registry, scope = fresh_scope()
    waiter = watch_for_matches(registry, of_root, accept=deep)
    run_root(scope)
    assert waiter.room == MAX_KEPT
    with pytest.raises(ValueError, match="tea"):
        run_root(scope, ValueError("tea"))
    assert len(waiter.result(0)) == 1
    nothing_left(registry, waiter)
