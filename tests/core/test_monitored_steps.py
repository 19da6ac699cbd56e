"""What a call of a monitored coroutine or generator function gives: to loops, callers and debuggers, what it was."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from monkit_core import current_span
from tests.helpers import BOUND_S, check_idle, fresh_scope
from tests.monitored import awaits, both, waits


async def adds(one: int, two: int = 2) -> int:
    await asyncio.sleep(0)
    return one + two


def counts(amount: int = 3) -> Generator[int, object, str]:
    yield from range(amount)
    return "end"


def outcome(work: Callable[[], object]) -> str:
    """What *work* returns or raises."""
    try:
        return repr(work())
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def same(call: Callable[..., Any], *moves: Callable[[Any], object], arguments: tuple[object, ...] = ()) -> list[str]:
    """What comes of each of *moves* with what a call gives, whether it is monitored or not."""
    plain, monitored = ([outcome(partial(move, steps)) for move in moves] for steps in [made() for made in both(call)])
    assert monitored == plain
    return monitored


def test_loops_run_gather_shield_and_time_out_monitored_coroutines() -> None:
    registry, scope = fresh_scope()
    monitored = scope.task(adds)

    async def main() -> None:
        assert await monitored(1) == 3
        assert await asyncio.create_task(monitored(2), name="own") == 4
        assert list(await asyncio.gather(monitored(3), monitored(4, two=5))) == [5, 9]
        assert await asyncio.wait_for(monitored(5), BOUND_S) == 7
        assert await asyncio.shield(monitored(6)) == 8
        assert await asyncio.ensure_future(monitored(7)) == 9
        async with asyncio.TaskGroup() as group:
            task = group.create_task(monitored(8))
        assert task.result() == 10
        threadsafe = asyncio.run_coroutine_threadsafe(monitored(9), asyncio.get_running_loop())
        assert await asyncio.wrap_future(threadsafe) == 11

    asyncio.run(main(), debug=True)
    assert asyncio.run(monitored(1)) == 3
    assert scope.func("adds").success_times.count == 10
    check_idle(registry)


def test_what_a_call_gives_is_of_every_kind_that_it_was_of() -> None:
    async def between() -> AsyncIterator[int]:
        yield 1

    kinds: list[Callable[[object], object]] = [
        inspect.iscoroutine, inspect.isawaitable, inspect.isgenerator, inspect.isasyncgen, asyncio.iscoroutine,
        asyncio.isfuture, lambda made: isinstance(made, Coroutine), lambda made: isinstance(made, Generator),
        lambda made: isinstance(made, Iterator), lambda made: isinstance(made, AsyncGenerator),
        lambda made: hasattr(made, "__iter__"), lambda made: hasattr(made, "__await__"), lambda made: made.__name__,  # type: ignore[attr-defined]
        lambda made: made.__qualname__, lambda made: weakref.ref(made)() is made,  # type: ignore[attr-defined]
    ]  # fmt: skip
    for call in (adds, counts, between, waits):
        plain, monitored = (made(1) if call in (adds, counts) else made() for made in both(call))
        assert [kind(monitored) for kind in kinds] == [kind(plain) for kind in kinds], call
        for made in (plain, monitored):
            if inspect.iscoroutine(made) or inspect.isgenerator(made):
                made.close()


def test_states_names_and_frames_can_be_looked_at() -> None:
    for call in both(counts):
        steps = call()
        assert inspect.getgeneratorstate(steps) == "GEN_CREATED"
        next(steps)
        assert inspect.getgeneratorstate(steps) == "GEN_SUSPENDED"
        assert (steps.gi_frame is not None, steps.gi_running, steps.gi_code.co_name in ("counts", "monitored")) == (
            True, False, True,
        )  # fmt: skip
        steps.__name__ = "renamed"
        assert steps.__name__ == "renamed"
        with pytest.raises(AttributeError):
            steps.own = 1
        steps.close()
        assert inspect.getgeneratorstate(steps) == "GEN_CLOSED"
        assert steps.gi_frame is None


def test_a_coroutine_that_is_never_awaited_warns_with_its_name() -> None:
    for call in both(adds):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(1)
            gc.collect()
        assert [str(warning.message) for warning in caught] == ["coroutine 'adds' was never awaited"]


def test_a_coroutine_cannot_be_awaited_twice() -> None:
    waiting = []

    def awaited(steps: Any) -> Any:
        async def waiter() -> object:
            return await steps

        waiting.append(waiter())
        return waiting[-1]

    assert same(awaits, lambda steps: awaited(steps).send(None), lambda steps: steps.send(1), *[
        lambda steps: awaited(steps).send(None),
        lambda steps: steps.send(None),
        lambda steps: steps.throw(KeyError("late")),
        lambda steps: steps.close(),
    ]) == [
        "'waiting'", "StopIteration: 1", "RuntimeError: cannot reuse already awaited coroutine",
        "RuntimeError: cannot reuse already awaited coroutine", "RuntimeError: cannot reuse already awaited coroutine",
        "None",
    ]  # fmt: skip
    assert same(awaits, lambda steps: awaited(steps).send(None), lambda steps: awaited(steps).send(None)) == [
        "'waiting'", "RuntimeError: coroutine is being awaited already"
    ]  # fmt: skip


def test_what_is_thrown_into_an_unstarted_one_comes_out_and_is_no_call() -> None:
    moves: list[Callable[[Any], object]] = [lambda steps: steps.throw(KeyError("x")), lambda steps: steps.close()]
    assert same(awaits, *moves) == same(counts, *moves) == ["KeyError: 'x'", "None"]
    assert same(counts, moves[0], lambda steps: next(steps)) == ["KeyError: 'x'", "StopIteration: "]
    _, scope = fresh_scope()
    with pytest.raises(KeyError):
        scope.task(counts)().throw(KeyError("x"))
    assert scope.func("counts").callers == {}


def test_what_is_no_exception_cannot_be_thrown_and_ends_nothing() -> None:
    registry, scope = fresh_scope()
    for call in (counts, scope.task(counts)):
        steps = call()
        for expected in (0, 1):
            with pytest.raises(TypeError, match="exceptions must be classes or instances deriving from BaseException"):
                steps.throw(1)  # type: ignore[call-overload]
            with pytest.raises(TypeError, match="instance exception may not have a separate value"):
                steps.throw(KeyError("x"), 1)  # type: ignore[call-overload]
            assert next(steps) == expected
        if call is not counts:
            assert scope.func("counts").current == 1
        assert list(steps) == [2]
    assert (scope.func("counts").success_times.count, scope.func("counts").errors) == (1, {})
    check_idle(registry)


def test_exceptions_are_thrown_in_every_spelling() -> None:
    def catches() -> Generator[str, None, None]:
        while True:
            try:
                yield "ready"
            except KeyError as error:
                yield f"{error.args} {error.__traceback__ is not None}"

    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    spellings: list[tuple[object, ...]] = [
        (KeyError,), (KeyError("x"),), (KeyError, "y"), (KeyError, KeyError("z")), (KeyError, None, caught.tb),
    ]  # fmt: skip
    moves: list[Callable[[Any], object]] = [next]
    for spelling in spellings:
        moves += [lambda steps, spelling=spelling: steps.throw(*spelling), next]  # type: ignore[misc]
    assert same(catches, *moves)[1::2] == [repr(f"{args} True") for args in ((), ("x",), ("y",), ("z",), ())]


def test_a_value_cannot_be_sent_before_the_first_step() -> None:
    message = "TypeError: can't send non-None value to a just-started"
    assert same(counts, lambda steps: steps.send(1), next) == [f"{message} generator", "0"]
    assert same(awaits, lambda steps: steps.send(1), lambda steps: steps.send(None)) == [
        f"{message} coroutine", "'waiting'"
    ]  # fmt: skip


def test_a_generator_that_runs_cannot_be_stepped_again() -> None:
    own: list[Iterator[str]] = []

    def steps() -> Generator[str, None, None]:
        yield outcome(lambda: next(own[-1]))

    for call in both(steps):
        own.append(call())
        assert list(own[-1]) == ["ValueError: generator already executing"]


def test_a_coroutine_that_runs_cannot_be_stepped_by_a_task() -> None:
    """The loop looks at the result of the step that was refused."""
    _, scope = fresh_scope()

    @scope.task
    async def steps() -> str:
        async def inside() -> str:
            task = asyncio.ensure_future(own)
            loop._run_once()  # type: ignore[attr-defined]  # the step of the task, from inside of the coroutine
            return f"{task.exception()!r}"

        return await inside()

    loop = asyncio.new_event_loop()
    own = steps()
    try:
        asyncio._set_running_loop(loop)
        with pytest.raises(StopIteration) as stop:
            own.send(None)
    finally:
        asyncio._set_running_loop(None)
        loop.close()
    assert stop.value.value == "ValueError('coroutine already executing')"


def test_a_close_that_is_ignored_raises_and_the_generator_goes_on() -> None:
    def stubborn() -> Generator[object, None, str]:
        with suppress(GeneratorExit):
            yield 1
        yield current_span()
        return "end"

    assert same(stubborn, next, lambda steps: steps.close(), next) == [
        "1", "RuntimeError: generator ignored GeneratorExit", "StopIteration: end"
    ]  # fmt: skip
    registry, scope = fresh_scope()
    steps = scope.task("stubborn")(stubborn)()
    next(steps)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        steps.close()
    assert scope.func("stubborn").current == 1
    assert list(steps) == []
    assert (scope.func("stubborn").success_times.count, scope.func("stubborn").errors) == (1, {})
    check_idle(registry)


def test_stop_iteration_inside_is_a_runtime_error() -> None:
    async def stops() -> None:
        raise StopIteration

    def stops_too() -> Iterator[int]:
        yield 1
        raise StopIteration

    assert same(stops, lambda steps: steps.send(None)) == ["RuntimeError: coroutine raised StopIteration"]
    assert same(stops_too, next, next) == ["1", "RuntimeError: generator raised StopIteration"]
    assert same(counts, next, lambda steps: steps.throw(StopIteration(7)), next) == [
        "0", "RuntimeError: generator raised StopIteration", "StopIteration: "
    ]  # fmt: skip


@pytest.mark.parametrize("value", [None, "x", (1, 2), KeyError("x"), StopIteration(3)], ids=repr)
def test_return_values_go_through_yield_from_and_await_as_they_are(value: object) -> None:
    def returns() -> Generator[int, None, object]:
        yield 1
        return value

    async def returns_too() -> object:
        await asyncio.sleep(0)
        return value

    for made in both(returns):

        def outer() -> Generator[int, None, object]:
            return (yield from made())  # noqa: B023

        steps = outer()
        assert next(steps) == 1
        with pytest.raises(StopIteration) as stop:
            next(steps)
        assert stop.value.value is value
        assert list(made()) == [1]
    for made in both(returns_too):
        assert asyncio.run(made()) is value
