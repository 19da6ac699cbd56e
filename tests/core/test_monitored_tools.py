"""What debuggers, profilers, tracebacks and `contextlib` make of monitored functions: what they make of others."""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import inspect
import pstats
import sys
import traceback
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from monkit_core import current_span, engine
from tests.helpers import check_idle, fresh_scope
from tests.monitored import awaits, both

native_only = pytest.mark.skipif(engine.name != "native", reason="a wrapper in Python has frames of its own")


async def adds(one: int, two: int = 2) -> int:
    await asyncio.sleep(0)
    return one + two


def counts() -> Iterator[int]:
    yield from range(3)


@native_only
def test_tracebacks_hold_no_frames_of_ours() -> None:
    def fails() -> None:
        raise KeyError("x")

    async def fails_later() -> None:
        await asyncio.sleep(0)
        fails()

    def fails_between() -> Iterator[int]:
        yield 1
        fails()

    def names(work: Callable[[], object]) -> list[str]:
        try:
            work()
        except KeyError as error:
            return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        raise AssertionError("nothing was raised")

    (plain, plain_later, plain_between), (ours, later, between) = zip(
        *map(both, (fails, fails_later, fails_between)), strict=True
    )
    assert names(lambda: ours()) == names(lambda: plain())
    assert names(lambda: list(between())) == names(lambda: list(plain_between()))
    assert names(lambda: asyncio.run(later())) == names(lambda: asyncio.run(plain_later()))
    for steps in (between(), plain_between()):
        next(steps)
        assert names(lambda: steps.throw(KeyError("y"))) == ["names", "<lambda>", "fails_between"]  # noqa: B023


@contextlib.contextmanager
def during(error: Exception) -> Iterator[None]:
    """While *error* is handled."""
    try:
        raise error
    except type(error):
        yield


def test_the_cause_and_context_of_exceptions_are_what_they_would_be() -> None:
    def fails() -> None:
        raise KeyError("x")

    for call in both(fails):
        first = ZeroDivisionError()
        with pytest.raises(KeyError) as caught, during(first):
            call()
        assert caught.value.__context__ is first
        assert first.__context__ is None
        assert caught.value.__cause__ is None
        assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("watch", ["trace", "profile", "cProfile"])
def test_tracing_and_profiling_change_nothing(watch: str) -> None:
    registry, scope = fresh_scope()
    function, coroutine, generator = scope.task("now")(current_span), scope.task(awaits), scope.task(counts)
    seen: set[str] = set()

    def tracer(frame: types.FrameType, event: str, argument: object) -> Any:
        seen.add(frame.f_code.co_name)
        return tracer

    def use() -> None:
        assert function() is not None
        steps = coroutine()
        assert steps.send(None) == "waiting"
        with pytest.raises(StopIteration):
            steps.send(1)
        assert list(generator()) == [0, 1, 2]

        async def main() -> object:
            return [await scope.task(adds)(1), await asyncio.create_task(scope.task(adds)(2))]

        assert asyncio.run(main()) == [3, 4]

    if watch == "cProfile":
        profile = cProfile.Profile()
        profile.enable()
        use()
        profile.disable()
        seen = {name for _, _, name in pstats.Stats(profile).stats}  # type: ignore[attr-defined]
    else:
        before = sys.gettrace(), sys.getprofile()
        (sys.settrace if watch == "trace" else sys.setprofile)(tracer)
        try:
            use()
        finally:
            sys.settrace(before[0])
            sys.setprofile(before[1])
    assert {"counts", "awaits", "adds"} <= seen
    check_idle(registry)


def test_debuggers_see_the_stack_of_a_task() -> None:
    async def main(call: Callable[..., Any]) -> list[str]:
        task = asyncio.create_task(call(1))
        await asyncio.sleep(0)
        names = [frame.f_code.co_name for frame in task.get_stack()]
        assert "adds" in repr(task)
        await task
        return names

    plain, monitored = (asyncio.run(main(call), debug=True) for call in both(adds))
    assert plain == ["adds"]
    assert monitored == ["adds"] if engine.name == "native" else ["monitored"]


def test_context_managers_are_made_of_monitored_generators() -> None:
    registry, scope = fresh_scope()

    @contextlib.contextmanager
    @scope.task
    def manager(swallow: bool) -> Iterator[str]:
        try:
            yield "inside"
        except KeyError:
            if not swallow:
                raise

    @contextlib.asynccontextmanager
    @scope.task
    async def asynchronous(swallow: bool) -> AsyncIterator[str]:
        try:
            yield "inside"
        except KeyError:
            if not swallow:
                raise

    async def main() -> None:
        async with asynchronous(True) as found:
            assert (found, current_span()) == ("inside", None)
            raise KeyError
        with pytest.raises(KeyError):
            async with asynchronous(False):
                raise KeyError

    with manager(True) as found:
        assert (found, current_span()) == ("inside", None)
        raise KeyError
    for problem in (KeyError("x"), StopIteration("y"), RuntimeError("z")):
        with pytest.raises(type(problem)) as caught, manager(False):
            raise problem
        assert caught.value is problem
    asyncio.run(main())
    check_idle(registry)


@pytest.mark.parametrize("above", [True, False], ids=["monitored below", "monitored above"])
def test_generators_that_types_coroutine_makes_awaitable_stay_so(above: bool) -> None:
    registry, scope = fresh_scope()

    def steps() -> Generator[str, str, str]:
        return (yield "step")

    made: Any = types.coroutine(scope.task(steps)) if above else scope.task(types.coroutine(steps))

    async def main() -> object:
        return await made()

    running = main()
    assert running.send(None) == "step"
    with pytest.raises(StopIteration) as stop:
        running.send("answer")
    assert stop.value.value == "answer"
    assert inspect.isawaitable(made())
    assert not inspect.isawaitable(scope.task(counts)())
    assert list(made()) == ["step"]
    check_idle(registry)
