"""Calls leave nothing behind, one kind at a time: also those that end in unusual ways."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import sys
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from monkit_core import Registry, Span, current_span, watch_for_spans
from monkit_core.engine import finish, start

registry = Registry()
mon = registry.scope("leaks")
ROUNDS = 2_000


class Methods:
    @mon.task
    def method(self) -> None:
        pass

    @mon.task
    @classmethod
    def of_class(cls) -> None:
        pass


class Interrupting:
    """An observer in which a signal handler raises."""

    def span_started(self, span: Span) -> None:
        pass

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        raise KeyboardInterrupt


@mon.task(args=("x", "rest", "key"))
def recorded(x: object, *rest: object, key: object = None) -> object:
    return x


@mon.task
def fails() -> None:
    raise KeyError


@mon.task
def steps() -> Generator[int, None, None]:
    try:
        yield 1
    except KeyError:
        yield 2


@mon.task
def stubborn() -> Generator[int, None, None]:
    with suppress(GeneratorExit):
        yield 1
    yield 2


@types.coroutine
def waits() -> Generator[int, None, None]:
    yield 1


@mon.task
async def awaits() -> None:
    await waits()


@mon.task
@types.coroutine
def awaitable_steps() -> Generator[int, None, None]:
    yield 1


@mon.task
async def steps_between() -> AsyncGenerator[int, None]:
    yield 1
    yield 2


def tried(call: Callable[..., object], *arguments: object) -> None:
    with suppress(BaseException):
        call(*arguments)


def begun(make: Callable[[], Any]) -> Any:
    """What a call gives, after its first step."""
    made = make()
    made.send(None)
    return made


def thrown(*problem: object, make: Callable[[], Any] = steps) -> None:
    made = begun(make)
    tried(made.throw, *problem)
    tried(made.close)
    tried(made.close)


def thrown_before_the_first_step() -> None:
    made = steps()
    tried(made.throw, KeyError)
    tried(next, made)


def entered_again() -> None:
    @mon.task("again")
    def again() -> Generator[int, None, None]:
        tried(next, own)
        yield 1

    own = again()
    list(own)


def awaited_twice() -> None:
    made = begun(awaits)
    for call, *arguments in ((made.__await__,), (made.send, None), (made.send, None), (made.throw, KeyError)):
        tried(call, *arguments)


async def awaits_steps() -> None:
    await awaitable_steps()


async def goes_through() -> None:
    with suppress(KeyError):
        async for _ in steps_between():
            raise KeyError


def orphaned() -> None:
    parent = start(mon.func("parent"))
    child = contextvars.copy_context().run(start, mon.func("child"))
    finish(parent)
    finish(child)
    finish(child)


def made_and_looked_at() -> None:
    def face(x: object = 1) -> object:
        return x

    monitored = mon.task("face")(face)
    monitored.__name__, monitored.__defaults__, monitored.__annotations__ = "x", (2,), {}
    repr((monitored(), monitored.__doc__, monitored.__get__(1), monitored.__code__))
    tried(monitored, 1, 2)
    tried(setattr, monitored, "__name__", 1)


def steps_looked_at() -> None:
    made: Any = steps()
    made.__name__ = "other"
    tried(setattr, made, "own", 1)
    tried(getattr, made, "own")
    repr((made, made.gi_frame))
    next(made)


def noted() -> None:
    with mon.func("remote").remote_trace(5, 7) as span:
        span.annotate("key", "value")
        span.progress(1, 2)


def watched() -> None:
    waiter = watch_for_spans(registry, lambda span: False)
    Methods().method()
    waiter.cancel()


def interrupted() -> None:
    stop = registry.observe_spans(Interrupting())
    tried(Methods().method)
    tried(fails)
    tried(begun(steps).close)
    tried(begun(awaits).send, None)
    tried(begun(steps).throw, ValueError)
    stop()


def in_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    made = work()
    with suppress(StopIteration):
        while True:
            made.send(None)


KINDS: dict[str, Callable[[], object]] = {
    "method": Methods().method,
    "class method": Methods.of_class,
    "recorded arguments": lambda: recorded(object(), 1, key=[1]),
    "arguments that do not fit": lambda: tried(Methods.of_class, 1),
    "error": lambda: tried(fails),
    "exception caught in a generator": lambda: thrown(KeyError),
    "exception not caught in a generator": lambda: thrown(ValueError("x")),
    "no exception": lambda: thrown(1),
    "close that is ignored": lambda: thrown(GeneratorExit, make=stubborn),
    "thrown before the first step": thrown_before_the_first_step,
    "entered again": entered_again,
    "left to its finaliser": lambda: begun(steps),
    "coroutine": lambda: in_loop(awaits),
    "coroutine closed": lambda: begun(awaits).close(),
    "coroutine cancelled": lambda: thrown(asyncio.CancelledError, make=awaits),
    "coroutine awaited twice": awaited_twice,
    "generator that is awaited": lambda: in_loop(awaits_steps),
    "async generator": lambda: in_loop(goes_through),
    "orphan": orphaned,
    "function made and looked at": made_and_looked_at,
    "steps looked at": steps_looked_at,
    "remote and noted": noted,
    "watched": watched,
    "interrupted": interrupted,
}  # fmt: skip
every_kind = pytest.mark.parametrize("kind", KINDS)


def repeat(kind: str, rounds: int) -> None:
    """Make calls; then nothing waits to be collected or worked in."""

    def run() -> None:
        call = KINDS[kind]
        for _ in range(rounds):
            call()
        assert current_span() is None

    contextvars.Context().run(run)
    assert list(registry.all_spans()) == []
    assert list(registry.stats())
    if registry.live.recent is not None:
        registry.live.recent.clear()
    gc.collect()


@every_kind
def test_calls_of_this_kind_leave_no_objects_and_no_memory_behind(kind: str) -> None:
    repeat(kind, ROUNDS)
    before = len(gc.get_objects()), sys.getallocatedblocks()
    repeat(kind, ROUNDS)
    objects, blocks = len(gc.get_objects()) - before[0], sys.getallocatedblocks() - before[1]
    assert objects < ROUNDS // 20
    assert blocks < ROUNDS // 10


@every_kind
def test_calls_of_this_kind_change_no_count_of_references(kind: str) -> None:
    def counts() -> list[int]:
        shared = (None, (), KeyError, StopIteration, recorded, steps, awaits, mon.func("steps"), Methods, type(steps()))
        return [sys.getrefcount(item) for item in shared]

    repeat(kind, 100)
    before = counts()
    repeat(kind, ROUNDS)
    for now, then in zip(counts(), before, strict=True):
        assert abs(now - then) < ROUNDS // 10


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident size is not told here")
@every_kind
def test_a_million_calls_of_this_kind_leave_the_resident_size_flat(kind: str) -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    repeat(kind, 20_000)
    before = resident_bytes()
    repeat(kind, 1_000_000)
    assert resident_bytes() - before < 8_000_000, "eight bytes a call would stay behind"


def test_watchers_that_come_and_go_leave_nothing() -> None:
    own = Registry()

    @own.scope("watched").task("work")
    def work() -> None: ...

    def watch(rounds: int) -> None:
        for _ in range(rounds):
            waiter = watch_for_spans(own, lambda span: False, funcs=lambda func: True)
            work()
            waiter.cancel()

    watch(200)
    gc.collect()
    before = len(gc.get_objects())
    watch(500)
    gc.collect()
    assert len(gc.get_objects()) - before < 200
    assert own.watcher_count == 0
    assert all(func.observers == () for func in own.funcs())
