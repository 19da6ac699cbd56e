"""TaskGroup, gather, wait, timeouts and queues in 30 rebuilds each: one order, also in other processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monkit_workflow import workflow
from monkit_workflow.errors import ApplicationFailure, GuardError
from monkit_workflow.history import WorkflowExecutionStarted
from monkit_workflow.loop import WorkflowLoop
from tests.workflow.simulated_service import begin, execution

ROOT = Path(__file__).parents[2]
COUNT = 12
garbage: list[list[object]] = []
effects: list[str] = []


def effect(name: str) -> None:
    """A step that a replay must take in the same order: it is noted, and becomes a command."""
    effects.append(name)
    workflow.start_activity(name, start_to_close=timedelta(minutes=1))


async def branch(number: int, ready: asyncio.Event, fails: bool = False) -> int:
    garbage.append([object() for _ in range(len(garbage) % 7)])  # other addresses in every rebuild
    try:
        await ready.wait()
        if fails:
            raise ApplicationFailure("asked for")
        effect(f"step {number}")
        await asyncio.sleep(number % 3)
    finally:
        effect(f"end {number}")
    return number


async def together(make: Callable[[asyncio.Event], Awaitable[Any]]) -> None:
    """Begin what *make* gives, and let its branches go on once all of them wait."""
    ready = asyncio.Event()
    task = asyncio.ensure_future(make(ready))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ready.set()
    with suppress(Exception):
        effect(f"result {await task}")


async def task_group(ready: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(COUNT):
            group.create_task(branch(number, ready, fails=number == 5))


async def gather(ready: asyncio.Event) -> list[int]:
    return await asyncio.gather(*(branch(number, ready) for number in range(COUNT)))


async def gather_with_a_failure(ready: asyncio.Event) -> None:
    tasks = [asyncio.create_task(branch(number, ready, fails=number == 3)) for number in range(COUNT)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in set(tasks):
            task.cancel()


async def wait(ready: asyncio.Event, when: str) -> None:
    tasks = {asyncio.create_task(branch(number, ready)) for number in range(COUNT)}
    done, pending = await asyncio.wait(tasks, return_when=when)
    for task in done:
        effect(f"done {task.result()}")
    for waiting in pending:
        waiting.cancel()


async def wait_for_all(ready: asyncio.Event) -> None:
    await wait(ready, asyncio.ALL_COMPLETED)


async def wait_for_the_first(ready: asyncio.Event) -> None:
    await wait(ready, asyncio.FIRST_COMPLETED)


async def timeouts(_: asyncio.Event) -> None:
    async def bounded(number: int) -> None:
        try:
            async with asyncio.timeout(0 if number % 2 else 1):
                await asyncio.sleep(3600)
        except TimeoutError:
            effect(f"late {number}")

    await asyncio.gather(*(bounded(number) for number in range(COUNT)))


async def wait_for(ready: asyncio.Event) -> None:
    async def bounded(number: int) -> None:
        with suppress(TimeoutError):
            effect(f"in time {await asyncio.wait_for(branch(number, ready), number % 2)}")

    await asyncio.gather(*(bounded(number) for number in range(COUNT)))


async def queue(_: asyncio.Event) -> None:
    items: asyncio.Queue[int] = asyncio.Queue(2)

    async def consume(name: int) -> None:
        while (item := await items.get()) >= 0:
            effect(f"{name} got {item}")
            await asyncio.sleep(0)

    async def produce(first: int) -> None:
        for item in range(first, first + 3):
            await items.put(item)

    consumers = [asyncio.create_task(consume(name)) for name in range(4)]
    await asyncio.gather(*(produce(10 * number) for number in range(4)))
    for _consumer in consumers:
        await items.put(-1)
    await asyncio.wait(consumers)


async def locks(_: asyncio.Event) -> None:
    lock, semaphore, condition, event = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Condition(), asyncio.Event()

    async def contend(number: int) -> None:
        async with semaphore, lock:
            effect(f"locked {number}")
            await asyncio.sleep(0)
        async with condition:
            if number % 3:
                await condition.wait()
                effect(f"notified {number}")
            else:
                condition.notify_all()
        await event.wait()
        effect(f"event {number}")

    tasks = {asyncio.create_task(contend(number)) for number in range(COUNT)}
    await asyncio.sleep(0)
    event.set()
    await asyncio.wait(tasks)


async def as_completed(ready: asyncio.Event) -> None:
    async for number in workflow.as_completed([branch(number, ready) for number in range(COUNT)]):
        effect(f"completed {number}")


async def generators(ready: asyncio.Event) -> None:
    async def numbers(name: int) -> AsyncIterator[int]:
        try:
            for number in range(3):
                await ready.wait()
                yield number
        finally:
            effect(f"generator {name} ends")

    async def iterate(name: int) -> None:
        async for number in numbers(name):
            effect(f"{name} at {number}")
            if number == name % 3:
                break

    await asyncio.gather(*(iterate(name) for name in range(COUNT)))


WAYS: list[Callable[[asyncio.Event], Awaitable[Any]]] = [
    task_group,
    gather,
    gather_with_a_failure,
    wait_for_all,
    wait_for_the_first,
    timeouts,
    wait_for,
    queue,
    locks,
    as_completed,
    generators,
]


@workflow.define
async def ordered(name: str) -> None:
    await together(next(way for way in WAYS if way.__name__ == name))


def order(name: str) -> list[str]:
    """The effects of one rebuild, those of its clean-up at the end included, and then its commands."""
    effects.clear()
    history = begin(ordered, name)
    history.start_task()
    run = execution(ordered)
    answer = run.feed(history.events)
    assert answer is not None
    run.close()
    return [*effects, *map(repr, (getattr(item, "activity_type", item) for item in answer.commands))]


@pytest.mark.parametrize("name", [way.__name__ for way in WAYS])
def test_task_group_gather_wait_timeouts_and_queues_in_30_rebuilds_each_have_one_order(name: str) -> None:
    orders = [order(name) for _ in range(30)]
    assert len(orders[0]) >= COUNT
    assert all(found == orders[0] for found in orders)
    garbage.clear()


def main() -> None:
    """Print the order of everything."""
    for way in WAYS:
        print(*order(way.__name__), sep="; ")


def test_processes_of_other_hash_seeds_have_the_same_order() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", "from tests.workflow.test_loop_order import main; main()"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77", "random")
    }
    assert len(found) == 1
    assert found.pop().count("\n") == len(WAYS)


def test_runs_salt_the_hashes_of_their_tasks_so_that_the_set_of_all_tasks_stays_fast() -> None:
    def hashes(run_id: str) -> list[int]:
        history = begin(ordered, "gather")
        first = history.events[0]
        assert isinstance(first, WorkflowExecutionStarted)
        history.events[0] = WorkflowExecutionStarted(
            id=1, time_ns=first.time_ns, workflow_type="ordered", input=first.input, run_id=run_id
        )
        history.start_task()
        run = execution(ordered)
        run.feed(history.events)
        found = [hash(task) for task in run.runtime.loop.tasks()]
        run.close()
        return found

    assert hashes("a") == hashes("a")
    assert not set(hashes("a")) & set(hashes("b"))
    assert [item % 2**16 for item in hashes("a")] == [item % 2**16 for item in hashes("b")]


def test_threads_and_executors_are_refused_by_the_loop() -> None:
    loop = WorkflowLoop(None, print)  # type: ignore[abstract, arg-type]
    with pytest.raises(GuardError, match="activity"):
        loop.run_in_executor(None, print)
    with pytest.raises(GuardError, match="signal"):
        loop.call_soon_threadsafe(print)
    assert not loop.is_running()
    with loop.entered():
        assert loop.is_running()
    assert not loop.is_closed()
