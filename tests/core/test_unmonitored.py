"""Where nothing is counted, calls of every kind work as always and leave nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context

import pytest

from monkit_core import Scope, Span, current_span, unmonitored, without_span
from monkit_core.context import LogFilter
from monkit_core.propagation import inject
from tests.helpers import check_idle, fresh_scope


def figures(scope: Scope, name: str) -> tuple[int, int, int, dict[str, int], int, int]:
    func = scope.func(name)
    callers = sum(func.callers.values())
    return func.current, func.highwater, func.success_times.count, func.errors, func.panics, callers


NOTHING: tuple[int, int, int, dict[str, int], int, int] = (0, 0, 0, {}, 0, 0)


def functions(scope: Scope) -> dict[str, Callable[[], object]]:
    """Monitored code of every kind, all under the name "it"."""

    @scope.task("it")
    def function() -> int:
        assert current_span() is None
        return 1

    @scope.task("it")
    def failing() -> None:
        raise ValueError("x")

    @scope.task("it")
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return function()

    @scope.task("it")
    def generator() -> Iterator[int]:
        yield function()
        yield 2

    @scope.task("it")
    async def async_generator() -> AsyncIterator[int]:
        yield await coroutine()
        yield 2

    async def all_of() -> list[int]:
        return [item async for item in async_generator()]

    def fails() -> None:
        with pytest.raises(ValueError, match="x"):
            failing()

    def block() -> None:
        with scope.task("it") as outer, scope.task("it", args={"a": 1}) as inner:
            inner.annotate("key", "value")
            assert inner.annotations == (("key", "value"),)
            assert repr(inner).endswith("of shop.it, finished>")
            assert inner.trace.id
            assert inner.id != outer.id
            assert inner.duration_ns == 0

    def shared_block() -> None:
        shared = scope.task("it")
        with shared, shared, shared:
            pass

    def root() -> None:
        func = scope.func("it")
        with func.reset_trace(), func.remote_trace(7), func.remote_trace(7, 8) as span:
            assert span.trace.id == 8

    return {
        "function": function,
        "failing": fails,
        "coroutine": lambda: asyncio.run(coroutine()),
        "generator": lambda: list(generator()),
        "async generator": lambda: asyncio.run(all_of()),
        "block": block,
        "shared block": shared_block,
        "root": root,
    }


@pytest.mark.parametrize("kind", list(functions(fresh_scope()[1])))
def test_calls_work_and_leave_nothing(kind: str) -> None:
    registry, scope = fresh_scope()
    seen: list[Span] = []

    class Observer:
        def span_started(self, span: Span) -> None:
            seen.append(span)

        def span_finished(self, span: Span, error: BaseException | None) -> None:
            seen.append(span)

    registry.observe_spans(Observer())
    call = functions(scope)[kind]
    with unmonitored():
        call()
        assert current_span() is None
    assert figures(scope, "it") == NOTHING
    assert seen == []
    check_idle(registry)


def test_what_stands_around_goes_on_as_before() -> None:
    registry, scope = fresh_scope()
    with scope.task("outer") as outer:
        with unmonitored(), unmonitored(), without_span(), scope.task("inner"):
            assert current_span() is None
        assert current_span() is outer
        with scope.task("later"):
            pass
    assert figures(scope, "inner") == NOTHING
    assert figures(scope, "later")[2] == 1
    check_idle(registry)


def test_call_that_began_unseen_ends_unseen() -> None:
    registry, scope = fresh_scope()

    @scope.task
    async def waiting(event: asyncio.Event) -> None:
        await event.wait()
        with scope.task("after"):
            pass

    async def scene() -> None:
        event = asyncio.Event()
        context = copy_context()
        with unmonitored():
            hidden = copy_context()
        task = asyncio.create_task(waiting(event), context=hidden)
        seen = asyncio.create_task(waiting(event), context=context)
        await asyncio.sleep(0)
        event.set()
        await asyncio.gather(task, seen)

    asyncio.run(scene())
    assert scope.func("after").success_times.count == 1
    (func,) = [func for func in scope.funcs() if func.short_name.endswith("waiting")]
    assert (func.success_times.count, func.current) == (1, 0)
    check_idle(registry)


def test_nothing_is_said_of_a_span() -> None:
    _, scope = fresh_scope()
    headers: dict[str, str] = {}
    record = logging.makeLogRecord({})
    with scope.task("outer"), unmonitored():
        inject(headers)
        LogFilter().filter(record)
    assert headers == {}
    assert record.trace_id == "-"  # type: ignore[attr-defined]


def test_block_that_is_left_in_another_order_leaves_the_current_span_alone() -> None:
    _, scope = fresh_scope()
    quiet = unmonitored()
    quiet.__enter__()
    token = copy_context()
    quiet.__exit__(None, None, None)
    with scope.task("work") as span:
        late = unmonitored()
        token.run(late.__enter__)
        late.__exit__(None, None, None)
        assert current_span() is span
