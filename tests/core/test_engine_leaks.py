"""Calls leave nothing behind: objects, references, memory. Of every kind, on whichever engine runs."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from pathlib import Path

import pytest

from monkit_core import Registry, Scope, collect_spans, watch_for_spans

Work = Callable[[int], None]


class Broken(Exception):
    """What failing calls raise."""


def functions(scope: Scope) -> Work:
    @scope.task(args=("number",))
    def inner(number: int, *, flag: bool = False) -> int:
        if flag:
            raise Broken
        return number

    @scope.task
    def outer(number: int) -> None:
        inner(number)
        with suppress(Broken):
            inner(number, flag=True)
        with scope.task("block", args={"number": number}) as span:
            span.annotate("number", number)

    def work(rounds: int) -> None:
        for number in range(rounds):
            outer(number)

    return work


def generators(scope: Scope) -> Work:
    @scope.task
    def numbers() -> Generator[int, int, int]:
        yield 1
        yield 2
        return 3

    def work(rounds: int) -> None:
        for _ in range(rounds):
            list(numbers())
            steps = numbers()
            next(steps)
            steps.close()
            steps = numbers()
            next(steps)
            with suppress(Broken):
                steps.throw(Broken)
            next(numbers())  # left to its finaliser

    return work


def coroutines(scope: Scope) -> Work:
    @scope.task
    async def inner(flag: bool) -> None:
        await asyncio.sleep(0)
        if flag:
            raise Broken

    @scope.task
    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    @scope.task
    async def outer() -> None:
        await asyncio.gather(inner(False), inner(True), return_exceptions=True)
        task = asyncio.create_task(inner(False))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        async for _ in numbers():
            pass

    def work(rounds: int) -> None:
        async def main() -> None:
            for _ in range(rounds):
                await outer()

        asyncio.run(main())

    return work


def traces(scope: Scope) -> Work:
    func = scope.func("remote")

    def work(rounds: int) -> None:
        for number in range(rounds):
            with func.remote_trace(1 << 63, number + 1) as span, func.reset_trace():
                span.trace.set("number", number)
            with scope.task("watched"):
                collect_spans(lambda: scope.task("below")(lambda: None)())

    return work


KINDS = (functions, generators, coroutines, traces)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_calls_leave_no_objects_behind(kind: Callable[[Scope], Work]) -> None:
    registry = Registry(recent=False)
    work = kind(registry.scope("leaks"))
    work(300)
    gc.collect()
    before = len(gc.get_objects()), sys.getallocatedblocks()
    work(2_000)
    gc.collect()
    objects, blocks = len(gc.get_objects()) - before[0], sys.getallocatedblocks() - before[1]
    assert objects < 100
    assert blocks < 1_000, "half a block a round would stay behind"
    assert list(registry.all_spans()) == []


def test_calls_change_no_reference_count_of_what_they_touch() -> None:
    registry = Registry()
    scope = registry.scope("leaks")
    argument = object()

    def called(value: object) -> object:
        return value

    monitored = scope.task("called", args=("value",))(called)
    func = scope.func("called")

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(item) for item in (argument, called, monitored, func, None, (), Broken)]

    def use() -> None:
        with scope.task("outer"):
            for _ in range(2_000):
                monitored(argument)

    use()
    before = counts()
    use()
    assert [abs(now - then) < 50 for now, then in zip(counts(), before, strict=True)] == [True] * 7


@pytest.mark.parametrize("recent", [True, False])
def test_watchers_that_come_and_go_leave_nothing(recent: bool) -> None:
    registry = Registry(recent=recent)
    scope = registry.scope("leaks")
    work = functions(scope)

    def watched(rounds: int) -> None:
        for _ in range(rounds):
            waiter = watch_for_spans(registry, lambda span: False, funcs=lambda func: True)
            work(1)
            waiter.cancel()

    watched(200)
    gc.collect()
    before = len(gc.get_objects())
    watched(500)
    gc.collect()
    assert len(gc.get_objects()) - before < 200
    assert registry.watcher_count == 0
    assert all(func.observers == () for func in registry.funcs())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident size is not told here")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_million_spans_leave_the_resident_size_flat(kind: Callable[[Scope], Work]) -> None:
    registry = Registry()
    work = kind(registry.scope("leaks"))
    work(10_000)
    gc.collect()
    before = resident_bytes()
    work(250_000)
    gc.collect()
    assert sum(func.success_times.count + func.failure_times.count for func in registry.funcs()) > 1_000_000
    assert resident_bytes() - before < 4_000_000, "four bytes a span would stay behind"
