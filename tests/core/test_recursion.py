from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from monkit_core import Scope, Span, current_span, watch_for_spans
from tests.helpers import BOUND_S, Recorder, check_idle, fresh_scope, in_fresh_context

LIMITS = range(80, 161)


def test_recursion_makes_a_function_its_own_parent() -> None:
    registry, scope = fresh_scope()

    @scope.task("rec")
    def rec(depth: int) -> int:
        return rec(depth - 1) if depth else scope.func("rec").current

    assert rec(4) == 5
    func = scope.func("rec")
    assert (func.current, func.highwater) == (0, 5)
    assert func.callers == {None: 1, func: 4}
    check_idle(registry)


def test_mutual_recursion_of_coroutines_counts_both() -> None:
    registry, scope = fresh_scope()

    @scope.task("ping")
    async def ping(depth: int) -> None:
        if depth:
            await pong(depth - 1)

    @scope.task("pong")
    async def pong(depth: int) -> None:
        if depth:
            await ping(depth - 1)

    asyncio.run(ping(6))
    one, two = scope.func("ping"), scope.func("pong")
    assert (one.highwater, two.highwater) == (4, 3)
    assert one.callers == {None: 1, two: 3}
    assert two.callers == {one: 3}
    check_idle(registry)


def function(scope: Scope) -> Callable[[], object]:
    @scope.task("work")
    def work() -> None:
        work()

    return work


def recording_function(scope: Scope) -> Callable[[], object]:
    @scope.task("work", args=("items",))
    def work(items: list[object]) -> None:
        work([*items, "x"])

    return lambda: work([])


def coroutine(scope: Scope) -> Callable[[], object]:
    @scope.task("work")
    async def work() -> None:
        await work()

    return lambda: work().send(None)


def block(scope: Scope) -> Callable[[], object]:
    shared = scope.task("work")

    def work() -> None:
        with shared:
            work()

    return work


def swallowing(scope: Scope) -> Callable[[], object]:
    """Catches the error near the limit and calls on: successes end there too."""

    @scope.task("work")
    def work(depth: int) -> None:
        if depth:
            try:
                work(depth - 1)
            except RecursionError:
                work(0)

    return lambda: work(1_000)


def own_traces(scope: Scope) -> Callable[[], object]:
    fresh = scope.func("work").reset_trace()

    def work() -> None:
        with fresh:
            work()

    return work


Kind = Callable[[Scope], Callable[[], object]]
KINDS: list[Kind] = [function, recording_function, coroutine, block, own_traces]


def run_away(call: Callable[[], object], limit: int) -> None:
    """Call it with *limit* frames of stack, as seen from outside of pytest."""
    before = sys.getrecursionlimit()
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    try:
        sys.setrecursionlimit(depth + limit)
        call()
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("kind", KINDS)
@in_fresh_context
def test_runaway_recursion_raises_and_leaves_nothing_at_any_limit(
    kind: Callable[[Scope], Callable[[], object]],
) -> None:
    for limit in LIMITS:
        registry, scope = fresh_scope()
        call = kind(scope)
        for _ in range(3):
            with pytest.raises(RecursionError):
                run_away(call, limit)
            assert current_span() is None, limit
            assert scope.func("work").current == 0, limit
            assert list(registry.all_spans()) == [], limit
        func = scope.func("work")
        assert set(func.errors) == {"RecursionError"}
        assert func.panics == 0
        check_idle(registry)


@in_fresh_context
def test_recursion_error_that_is_caught_leaves_nothing() -> None:
    for limit in LIMITS:
        registry, scope = fresh_scope()
        call = swallowing(scope)
        for _ in range(20):  # folds the distributions near the limit, too
            with contextlib.suppress(RecursionError):
                run_away(call, limit)
            assert current_span() is None, limit
            check_idle(registry)


@pytest.mark.parametrize(("argument", "other"), [((), None), (None, ())])
@in_fresh_context
def test_calls_near_the_limit_either_do_not_start_or_end_as_they_would_elsewhere(argument: Any, other: Any) -> None:
    ended = 0

    def work() -> None:
        """Calls as deep as it can first: that is where functions and kinds of calls are new."""
        nonlocal ended
        try:  # noqa: SIM105 - `suppress` takes more stack than what is tested
            work()
        except RecursionError:
            pass
        try:
            size(argument)  # takes no stack, so the end of the call may be the first to find too little
        except RecursionError:
            return
        except TypeError:
            pass
        ended += 1

    for limit in LIMITS:
        registry, scope = fresh_scope()
        size = scope.task("size")(len)
        func = scope.func("size")
        ended = 0
        with scope.task("outer") as outer:
            with contextlib.suppress(TypeError):
                size(other)  # what the starts of all calls share is made here
            assert outer.id
            run_away(work, limit)
        assert ended > limit // 2
        assert sum(func.callers.values()) == 1 + ended + func.errors.get("RecursionError", 0), limit
        assert func.success_times.count + func.failure_times.count == sum(func.callers.values()), limit
        assert set(func.errors) <= {"TypeError", "RecursionError"}, limit
        assert registry.live.buffered == 0, limit
        check_idle(registry)


def deep(levels: int) -> bool:
    """Needs some stack."""
    return deep(levels - 1) if levels else True


class Deep(Recorder):
    """An observer that needs more stack than the engine itself."""

    def span_started(self, span: Span) -> None:
        deep(8)
        super().span_started(span)

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        deep(8)
        super().span_finished(span, error)


@pytest.mark.parametrize("kind", KINDS)
@in_fresh_context
def test_runaway_recursion_that_is_watched_leaves_nothing_and_drops_nobody(kind: Kind) -> None:
    for limit in LIMITS:
        registry, scope = fresh_scope()
        call = kind(scope)
        recorder = Deep()
        registry.observe_spans(recorder)
        registry.observe_traces(lambda trace: trace.set("seen", deep(8)))
        waiter = watch_for_spans(registry, lambda span: deep(8) and span.func.short_name == "ends well")
        with pytest.raises(RecursionError):
            run_away(call, limit)
        assert current_span() is None, limit
        check_idle(registry)
        assert registry.watcher_count == 3, limit
        with scope.task("ends well"):
            pass
        assert [span.span.func.short_name for span in waiter.result(BOUND_S).spans] == ["ends well"]
        assert recorder.log[-2:] == ["+ends well", "-ends well"]
