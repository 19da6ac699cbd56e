"""Generators: one span from the first step to the end, current only while their own code runs."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from monkit_core import Scope, Span, current_span
from tests.helpers import fresh_scope, in_fresh_context


def check_idle(scope: Scope) -> None:
    assert [func.current for func in scope.funcs()] == [0] * len(scope.funcs())
    assert scope._live.roots == ()
    assert scope._live.orphans == ()
    assert current_span() is None


def counting(scope: Scope) -> Generator[Span | None, str, str]:
    """A monitored generator that gives its current span three times."""

    @scope.task("count")
    def count() -> Generator[Span | None, str, str]:
        for _ in range(3):
            yield current_span()
        return "done"

    return count()


@in_fresh_context
def test_generator_is_its_own_current_span_inside_and_the_caller_s_between_the_steps() -> None:
    _, scope = fresh_scope()
    with scope.task("caller") as caller:
        for inside in counting(scope):
            assert inside is not None
            assert inside.func.short_name == "count"
            assert current_span() is caller
    check_idle(scope)
    assert scope.func("count").success_times.count == 1
    assert scope.func("count").callers == {scope.func("caller"): 1}


@in_fresh_context
def test_generator_has_one_span_from_its_first_step() -> None:
    _, scope = fresh_scope()
    steps = counting(scope)
    assert scope.func("count").current == 0
    first, second = next(steps), next(steps)
    assert first is second
    assert scope.func("count").current == 1
    steps.close()
    check_idle(scope)


@in_fresh_context
def test_what_is_called_between_two_steps_is_no_child_of_the_generator() -> None:
    _, scope = fresh_scope()
    steps = counting(scope)
    next(steps)
    with scope.task("between") as between:
        assert between.parent_id is None
        next(steps)
        assert current_span() is between
    steps.close()
    check_idle(scope)


@in_fresh_context
def test_closing_early_is_a_success_also_by_the_collector() -> None:
    _, scope = fresh_scope()
    steps = counting(scope)
    next(steps)
    steps.close()
    forgotten = counting(scope)
    next(forgotten)
    del forgotten
    gc.collect()
    func = scope.func("count")
    assert (func.success_times.count, func.errors) == (2, {})
    check_idle(scope)


def test_generator_that_was_never_started_is_no_call() -> None:
    _, scope = fresh_scope()
    counting(scope).close()
    assert scope.func("count").callers == {}


@in_fresh_context
def test_values_sent_results_and_exceptions_pass_through() -> None:
    _, scope = fresh_scope()

    @scope.task
    def echo() -> Generator[object, object, str]:
        got: object = None
        while got != "stop":
            try:
                got = yield got
            except KeyError as error:
                got = error
        return "result"

    steps = echo()
    assert next(steps) is None
    assert steps.send("a") == "a"
    problem = KeyError("b")
    assert steps.throw(problem) is problem
    with pytest.raises(StopIteration) as stop:
        steps.send("stop")
    assert stop.value.value == "result"
    check_idle(scope)


@in_fresh_context
def test_generator_that_raises_is_an_error_and_the_caller_s_span_is_back() -> None:
    _, scope = fresh_scope()

    @scope.task
    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("x")

    with scope.task("caller") as caller:
        with pytest.raises(ValueError, match="x"):
            list(fail())
        assert current_span() is caller
    assert scope.funcs()[1].errors == {"ValueError": 1}
    check_idle(scope)


@in_fresh_context
def test_block_left_open_across_a_step_stays_the_generator_s_own() -> None:
    _, scope = fresh_scope()

    @scope.task
    def steps() -> Iterator[Span | None]:
        with scope.task("block"):
            yield current_span()
            yield current_span()
        yield current_span()

    with scope.task("caller") as caller:
        names = []
        for inside in steps():
            assert current_span() is caller
            names.append(inside.func.short_name if inside else None)
    assert [str(name).rpartition(".")[2] for name in names] == ["block", "block", "steps"]
    check_idle(scope)


def test_generator_closed_in_another_context_leaves_that_one_alone() -> None:
    _, scope = fresh_scope()
    steps = counting(scope)
    contextvars.Context().run(next, steps)

    def close() -> Span | None:
        with scope.task("elsewhere") as elsewhere:
            steps.close()
            assert current_span() is elsewhere
        return current_span()

    assert contextvars.Context().run(close) is None
    check_idle(scope)


def test_generators_that_take_turns_do_not_become_each_other_s_children() -> None:
    _, scope = fresh_scope()
    for first, second in zip(counting(scope), counting(scope), strict=True):
        assert first is not second
        assert first is not None
        assert second is not None
        assert (first.parent_id, second.parent_id) == (None, None)
    check_idle(scope)


def ticking(scope: Scope) -> AsyncIterator[Span | None]:
    """A monitored async generator that gives its current span three times."""

    @scope.task("tick")
    async def tick() -> AsyncIterator[Span | None]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield current_span()

    return tick()


def test_async_generator_is_current_inside_and_the_caller_between_the_steps() -> None:
    _, scope = fresh_scope()

    async def main() -> None:
        async with scope.task("caller") as caller:
            async for inside in ticking(scope):
                assert inside is not None
                assert inside.func.short_name == "tick"
                assert current_span() is caller

    asyncio.run(main())
    check_idle(scope)
    assert scope.func("tick").success_times.count == 1


def test_async_generator_that_is_closed_or_forgotten_is_a_success() -> None:
    _, scope = fresh_scope()

    async def main() -> None:
        closed = ticking(scope)
        await anext(closed)
        await closed.aclose()  # type: ignore[attr-defined]
        forgotten = ticking(scope)
        await anext(forgotten)
        del forgotten
        gc.collect()
        while scope.func("tick").current:  # the loop closes it in a task of its own
            await asyncio.sleep(0)

    asyncio.run(main())
    assert (scope.func("tick").success_times.count, scope.func("tick").errors) == (2, {})
    check_idle(scope)


def test_async_generator_takes_what_is_sent_and_thrown() -> None:
    _, scope = fresh_scope()

    @scope.task
    async def echo() -> AsyncIterator[object]:
        got: object = None
        while True:
            try:
                got = yield got
            except KeyError as error:
                got = error

    async def main() -> None:
        steps = echo()
        assert await anext(steps) is None
        assert await steps.asend("a") == "a"  # type: ignore[attr-defined]
        problem = KeyError("b")
        assert await steps.athrow(problem) is problem  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="x"):
            await steps.athrow(ValueError("x"))  # type: ignore[attr-defined]

    asyncio.run(main())
    assert scope.funcs()[0].errors == {"ValueError": 1}
    check_idle(scope)


def test_task_cancelled_inside_an_async_generator_counts_as_canceled() -> None:
    _, scope = fresh_scope()

    async def main() -> None:
        reached = asyncio.Event()

        @scope.task("wait")
        async def wait() -> AsyncIterator[int]:
            yield 1
            reached.set()
            await asyncio.Event().wait()

        async def consume() -> None:
            async for _ in wait():
                pass

        task = asyncio.create_task(consume())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert scope.func("wait").errors == {"Canceled": 1}
    check_idle(scope)


def test_monitored_generators_are_still_known_as_such() -> None:
    _, scope = fresh_scope()

    @scope.task
    def steps() -> Iterator[int]:
        """Steps."""
        yield 1

    @scope.task
    async def ticks() -> AsyncIterator[int]:
        yield 1

    assert inspect.isgeneratorfunction(steps)
    assert inspect.isasyncgenfunction(ticks)
    assert (steps.__doc__, steps.__name__) == ("Steps.", "steps")


def test_arguments_of_a_generator_are_recorded_at_its_first_step() -> None:
    _, scope = fresh_scope()

    @scope.task(args=("n",))
    def steps(n: int) -> Iterator[Span | None]:
        yield current_span()

    (span,) = steps(7)
    assert span is not None
    assert span.args == ("n=7",)


def test_exception_thrown_into_a_generator_leaves_no_cycle() -> None:
    _, scope = fresh_scope()
    steps = counting(scope)
    next(steps)
    gc.collect()
    gc.disable()
    try:
        try:
            steps.throw(ValueError("x"))
        except ValueError as error:
            error.__traceback__ = None
        del steps
        assert [item for item in gc.get_objects() if isinstance(item, ValueError) and item.args == ("x",)] == []
    finally:
        gc.enable()
