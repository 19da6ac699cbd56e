"""Shapes: the kinds of call that are measured. Of each a plain function, a do-nothing wrapper and a loop.

The do-nothing wrapper is what any decorator in Python costs at the least: it
takes every argument and passes it on. It is the yardstick.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter_ns
from typing import Any

__all__ = ["ASYNC", "SHAPES", "SYNC", "Shape"]

Call = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of call.

    Attributes:
        name: ``sync, three arguments``.
        plain: the function that is called.
        idle: puts the do-nothing wrapper around a function.
        loop: calls a function so many times; returns nanoseconds.
        peers: other tools have a decorator for it: one for functions, one for coroutine functions, or none.
        arguments: names of the parameters.
    """

    name: str
    plain: Call
    idle: Callable[[Call], Call]
    loop: Callable[[Call, int], int]
    peers: str = ""
    arguments: tuple[str, ...] = ()


SYNC = "sync"
ASYNC = "async"


def _work() -> None: ...


def _work_of_three(a: object, b: object, c: object) -> None: ...


async def _async_work() -> None: ...


async def _async_work_of_three(a: object, b: object, c: object) -> None: ...


def _steps() -> Iterator[None]:
    yield
    yield
    yield


def _steps_of_three(a: object, b: object, c: object) -> Iterator[None]:
    yield
    yield
    yield


def _endless() -> Iterator[None]:
    while True:
        yield


async def _async_steps() -> AsyncIterator[None]:
    yield
    yield
    yield


async def _async_endless() -> AsyncIterator[None]:
    while True:
        yield


def _idle(function: Call) -> Call:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def _async_idle(function: Call) -> Call:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


def _idle_steps(function: Call) -> Call:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return (yield from function(*args, **kwargs))

    return wrapper


def _async_idle_steps(function: Call) -> Call:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        async for value in function(*args, **kwargs):
            yield value

    return wrapper


def _loop(call: Call, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        call()
    return perf_counter_ns() - begin


def _loop_of_three(call: Call, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        call(1, 2, c=3)
    return perf_counter_ns() - begin


def _async_loop(call: Call, count: int) -> int:
    async def run() -> int:
        begin = perf_counter_ns()
        for _ in repeat(None, count):
            await call()
        return perf_counter_ns() - begin

    return asyncio.run(run())


def _async_loop_of_three(call: Call, count: int) -> int:
    async def run() -> int:
        begin = perf_counter_ns()
        for _ in repeat(None, count):
            await call(1, 2, c=3)
        return perf_counter_ns() - begin

    return asyncio.run(run())


def _whole(call: Call, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        for _ in call():
            pass
    return perf_counter_ns() - begin


def _whole_of_three(call: Call, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        for _ in call(1, 2, c=3):
            pass
    return perf_counter_ns() - begin


def _step(call: Call, count: int) -> int:
    steps = call()
    next(steps)
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        next(steps)
    elapsed_ns = perf_counter_ns() - begin
    steps.close()
    return elapsed_ns


def _async_whole(call: Call, count: int) -> int:
    async def run() -> int:
        begin = perf_counter_ns()
        for _ in repeat(None, count):
            async for _ in call():
                pass
        return perf_counter_ns() - begin

    return asyncio.run(run())


def _async_step(call: Call, count: int) -> int:
    async def run() -> int:
        steps = call()
        await anext(steps)
        begin = perf_counter_ns()
        for _ in repeat(None, count):
            await anext(steps)
        elapsed_ns = perf_counter_ns() - begin
        await steps.aclose()
        return elapsed_ns

    return asyncio.run(run())


_THREE = ("a", "b", "c")

SHAPES = (
    Shape("sync", _work, _idle, _loop, SYNC),
    Shape("sync, three arguments", _work_of_three, _idle, _loop_of_three, SYNC, _THREE),
    Shape("async", _async_work, _async_idle, _async_loop, ASYNC),
    Shape("async, three arguments", _async_work_of_three, _async_idle, _async_loop_of_three, ASYNC, _THREE),
    Shape("generator of three steps", _steps, _idle_steps, _whole),
    Shape("generator of three steps, three arguments", _steps_of_three, _idle_steps, _whole_of_three, "", _THREE),
    Shape("generator step", _endless, _idle_steps, _step),
    Shape("async generator of three steps", _async_steps, _async_idle_steps, _async_whole),
    Shape("async generator step", _async_endless, _async_idle_steps, _async_step),
)
"""Every shape; where there are three arguments, one of them goes by keyword."""
