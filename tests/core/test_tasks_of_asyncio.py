from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from monkit_core import Func, Registry, Scope, Span, Trace, current_span, watch_for_spans
from monkit_core.engine import MUTED
from tests.helpers import BOUND_S, check_idle, fresh_scope, live_names


class Outcome(Exception):
    pass


def test_gathered_children_have_the_right_parents_and_marks() -> None:
    registry, scope = fresh_scope()
    spans: dict[int, Span] = {}

    @scope.task("child")
    async def child(number: int, go: asyncio.Event, outlive: asyncio.Event) -> int:
        span = current_span()
        assert span is not None
        spans[number] = span
        await (outlive if number == 98 else go).wait()
        with scope.task("grandchild") as below:
            assert below.parent is span
        assert current_span() is span
        if number == 7:
            raise Outcome
        return number

    async def main() -> None:
        go, outlive = asyncio.Event(), asyncio.Event()
        with scope.task("parent") as parent:
            tasks = [asyncio.create_task(child(number, go, outlive)) for number in range(100)]
            await asyncio.sleep(0)
            assert set(parent.children) == set(spans.values())
            assert scope.func("child").current == 100
            assert live_names(registry) == [(0, "parent"), *[(1, "child")] * 100]
            tasks[42].cancel()
            go.set()
            results = await asyncio.gather(*tasks[:98], tasks[99], return_exceptions=True)
            assert current_span() is parent
        assert [number for number, result in enumerate(results[:98]) if result != number] == [7, 42]
        assert spans[98].orphaned
        assert live_names(registry) == [(0, "child")]
        assert registry.root_spans() == [spans[98]]
        outlive.set()
        assert await tasks[98] == 98
        assert {span.parent_id for span in spans.values()} == {parent.id}
        assert {span.trace for span in spans.values()} == {parent.trace}

    asyncio.run(main())
    marks = {number: span.error_name for number, span in spans.items() if span.error_name}
    assert marks == {7: "Outcome", 42: "Canceled"}
    assert [number for number, span in spans.items() if span.orphaned] == [98]
    func = scope.func("child")
    assert (func.success_times.count, func.errors, func.highwater) == (98, {"Canceled": 1, "Outcome": 1}, 100)
    assert func.callers == {scope.func("parent"): 100}
    assert scope.func("grandchild").callers == {func: 99}
    check_idle(registry)


def test_task_group_ends_as_its_children_did() -> None:
    registry, scope = fresh_scope()

    @scope.task("child")
    async def child(number: int) -> None:
        if number == 3:
            raise Outcome
        await asyncio.Event().wait()

    @scope.task("parent")
    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(child(number))

    with pytest.raises(ExceptionGroup):
        asyncio.run(parent())
    assert scope.func("child").errors["Outcome"] == 1
    assert set(scope.func("child").errors) <= {"Outcome", "Canceled"}
    assert scope.func("parent").errors == {"Outcome": 1}
    check_idle(registry)


def alive(kind: type, scope: Scope) -> int:
    """How many spans or traces of *scope* the interpreter still holds."""
    gc.collect()
    found: list[Any] = [thing for thing in gc.get_objects() if type(thing) is kind]
    if kind is Span:
        found = [span for span in found if span is not MUTED and span.func.scope_name == scope.name]
    return len(found)


def test_chain_of_tasks_that_each_start_the_next_keeps_no_old_spans() -> None:
    registry, scope = fresh_scope("chain of tasks")
    alive_then: list[int] = []

    @scope.task("step")
    async def step(left: int, done: asyncio.Event) -> None:
        if left % 50 == 0:
            alive_then.append(alive(Span, scope))
        if left:
            following = asyncio.get_running_loop().create_task(step(left - 1, done))
            following.add_done_callback(lambda _: None)
        else:
            done.set()

    async def main() -> None:
        done = asyncio.Event()
        await step(300, done)
        await asyncio.wait_for(done.wait(), BOUND_S)

    asyncio.run(main())
    assert len(alive_then) == 7
    assert max(alive_then) <= 4
    assert scope.func("step").success_times.count == 301
    assert scope.func("step").callers == {None: 1, scope.func("step"): 300}
    check_idle(registry)


def test_loop_callbacks_that_each_schedule_the_next_keep_no_old_spans() -> None:
    registry, scope = fresh_scope("chain of callbacks")
    alive_then: list[int] = []

    def tick(left: int, done: asyncio.Event) -> None:
        with scope.task("tick"):
            if left % 50 == 0:
                alive_then.append(alive(Span, scope))
            if left:
                asyncio.get_running_loop().call_soon(tick, left - 1, done)
            else:
                done.set()

    async def main() -> None:
        done = asyncio.Event()
        tick(200, done)
        await asyncio.wait_for(done.wait(), BOUND_S)

    asyncio.run(main())
    assert max(alive_then) <= 4
    check_idle(registry)


def test_finished_traces_are_not_kept() -> None:
    registry, scope = fresh_scope("traces")
    waiter = watch_for_spans(registry, lambda span: False)
    before = alive(Trace, scope)
    for _ in range(500):
        with scope.task("root"), scope.task("child"):
            pass
    assert alive(Span, scope) == 0
    assert alive(Trace, scope) <= before
    waiter.cancel()


def test_tasks_of_many_loops_in_threads_share_a_registry() -> None:
    registry, scope = fresh_scope()
    threads, rounds = 4, 25
    together = threading.Barrier(threads)

    @scope.task("leaf")
    async def leaf(number: int) -> None:
        await asyncio.sleep(0)
        if number % 5 == 0:
            raise Outcome

    @scope.task("request")
    async def request() -> None:
        await asyncio.gather(*(leaf(number) for number in range(10)), return_exceptions=True)

    async def main() -> None:
        await asyncio.gather(*(request() for _ in range(rounds)))

    def run() -> None:
        together.wait(BOUND_S)
        asyncio.run(main())

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(run) for _ in range(threads)]:
            future.result(BOUND_S)
    requests = threads * rounds
    leaf_func: Func = scope.func("leaf")
    assert leaf_func.errors == {"Outcome": 2 * requests}
    assert leaf_func.success_times.count == 8 * requests
    assert scope.func("request").success_times.count == requests
    check_idle(registry)


def test_registries_do_not_see_each_other_s_spans() -> None:
    one, two = Registry(), Registry()
    with one.scope("s").task("of one") as outer, two.scope("s").task("of two") as inner:
        assert inner.parent is outer, "one context has one current span"
        assert live_names(one) == [(0, "of one"), (1, "of two")]
        assert live_names(two) == []
    check_idle(one)
    check_idle(two)
