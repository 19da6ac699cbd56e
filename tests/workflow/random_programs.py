"""Random workflow programs: JSON that a workflow interprets, a strategy that draws them, and their mutations.

Every command carries a checksum of all that the program has noticed so far, so
that another order of effects shows in the very next command.
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from monkit_workflow import workflow
from monkit_workflow.commands import ScheduleActivityTask
from monkit_workflow.errors import ApplicationFailure, FailureError
from monkit_workflow.execution import Answer
from monkit_workflow.history import Event, WorkflowTaskCompleted, WorkflowTaskStarted
from monkit_workflow.history_file import read_history
from monkit_workflow.payload import Failure, Payloads
from monkit_workflow.runtime import current
from tests.workflow.simulated_service import Outcome, execution, payload

Step = list[Any]
HOW = ["try", "wait", "abandon"]
FAILING = "breaks"
LATE = "late"
TAKEN = "taken"

# Steps that become a command by themselves, with what a mutation may replace them by.
COMMANDS = {"activity", "start", "sleep", "child", "external", "side"}


def outcome(name: str, arguments: Payloads) -> Outcome:
    if name == FAILING:
        return Failure(message="it broke", type="Broken")
    if name == LATE:
        return Failure(kind="timeout", timeout="schedule_to_start")
    return payload([name, len(arguments)])


class Interpreter:
    """One run of a program."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.futures: dict[str, asyncio.Future[Any]] = {}
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(2)
        self.event = asyncio.Event()
        self.condition = asyncio.Condition()

    def note(self, *what: Any) -> None:
        self.seen.append(what)

    def sum(self) -> int:
        return zlib.crc32(json.dumps(self.seen).encode())

    async def block(self, steps: list[Step]) -> None:
        for name, *arguments in steps:
            await getattr(self, f"do_{name}")(*arguments)

    def activity(self, name: str, how: Any) -> asyncio.Future[Any]:
        return workflow.start_activity(name, self.sum(), start_to_close=timedelta(minutes=1), cancellation=how)

    async def outcome_of(self, name: str, awaitable: Any) -> None:
        try:
            self.note(name, await awaitable)
        except FailureError as failure:
            self.note(name, type(failure).__name__)
        except asyncio.CancelledError:
            self.note(name, "cancelled")
            raise

    # Commands.

    async def do_activity(self, name: str, how: str) -> None:
        await self.outcome_of(name, self.activity(name, how))

    async def do_must(self, name: str) -> None:
        self.note(await self.activity(name, "try"))

    async def do_local(self, name: str) -> None:
        runtime = current()
        command = ScheduleActivityTask(
            activity_id=runtime.next_id(), activity_type=name, input=(payload(self.sum()),), start_to_close_ns=1
        )
        await self.outcome_of(name, runtime.start_local_activity(command, Any).future)

    async def do_sleep(self, milliseconds: int) -> None:
        await workflow.sleep(timedelta(milliseconds=milliseconds))

    async def do_child(self, id: str, how: Any, ways: list[str]) -> None:
        try:
            options: workflow.ChildOptions = {"timeout": timedelta(hours=1), "cancellation": how}
            if id:
                options["id"] = id
            child = await workflow.start_child("child", self.sum(), **options)
        except FailureError as failure:
            self.note("child", type(failure).__name__)
            return
        if "signal" in ways:
            await self.outcome_of("signal", child.signal("hello", self.sum()))
        if "cancel" in ways:
            child.cancel()
        if "await" in ways:
            with suppress(asyncio.CancelledError) if "cancel" in ways else nullcontext():
                await self.outcome_of("child", child.result())

    async def do_external(self, id: str, cancel: bool) -> None:
        other = workflow.external(id)
        await self.outcome_of("external", other.cancel() if cancel else other.signal("hello", self.sum()))

    async def do_side(self) -> None:
        self.note("side", workflow.side_effect(lambda: SIDE()))

    async def do_mutable(self, key: str) -> None:
        self.note("mutable", workflow.mutable_side_effect(key, lambda: SIDE()))

    async def do_version(self, change: str) -> None:
        self.note("version", workflow.version(change, -1, 2))

    # Values, and what is between tasks.

    async def do_values(self) -> None:
        self.note(workflow.random().randrange(10**6), str(workflow.uuid4()), workflow.now().isoformat())

    async def do_start(self, slot: str, name: str, how: str) -> None:
        self.futures[slot] = self.activity(name, how)

    async def do_spawn(self, slot: str, steps: list[Step]) -> None:
        self.futures[slot] = asyncio.create_task(self.block(steps))

    async def do_await(self, slot: str) -> None:
        if (future := self.futures.get(slot)) is not None and future is not asyncio.current_task():
            with suppress(asyncio.CancelledError) if future.cancelled() else nullcontext():
                await self.outcome_of("await", future)

    async def do_cancel(self, slot: str) -> None:
        if (future := self.futures.get(slot)) is not None:
            self.note("cancel", future.cancel())

    async def do_receive(self, name: str, milliseconds: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(milliseconds / 1000 if milliseconds else None):
                self.note(name, await workflow.channel(name).receive())

    async def do_until(self, count: int, milliseconds: int) -> None:
        try:
            await workflow.wait_condition(
                lambda: len(self.seen) >= count, timeout=timedelta(milliseconds=milliseconds or 50)
            )
            self.note("until", count)
        except TimeoutError:
            self.note("until", "timed out")

    async def do_put(self) -> None:
        self.queue.put_nowait(self.sum())

    async def do_get(self) -> None:
        with suppress(TimeoutError):
            self.note("got", await asyncio.wait_for(self.queue.get(), 0.03))

    async def do_locked(self, steps: list[Step]) -> None:
        async with self.semaphore, self.lock:
            await self.block([step for step in steps if step[0] not in ("locked", "notified")])

    async def do_set(self) -> None:
        self.event.set()

    async def do_notified(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02), self.condition:
                await self.condition.wait()
                self.note("notified")

    async def do_notify(self) -> None:
        async with self.condition:
            self.condition.notify(1)

    # Structure.

    async def do_try(self, steps: list[Step], final: list[Step]) -> None:
        try:
            await self.block(steps)
        except Exception as error:
            self.note("caught", type(error).__name__)
        finally:
            self.note("finally")
            await self.block(final)

    async def do_shielded(self, steps: list[Step]) -> None:
        await workflow.shielded(self.block(steps))

    async def do_fail(self) -> None:
        raise ApplicationFailure("the program says so", type="Asked")

    async def do_gather(self, branches: list[list[Step]], swallow: bool) -> None:
        found = await asyncio.gather(*(self.branch(steps) for steps in branches), return_exceptions=swallow)
        self.note("gather", [str(item) for item in found])

    async def do_group(self, branches: list[list[Step]]) -> None:
        async with asyncio.TaskGroup() as group:
            for steps in branches:
                group.create_task(self.branch(steps))

    async def do_wait(self, branches: list[list[Step]], when: str) -> None:
        tasks = [asyncio.create_task(self.branch(steps)) for steps in branches]
        done, pending = await asyncio.wait(tasks, return_when=when)
        for task in done:
            self.note("done", str(task.exception()) if task.exception() else task.result())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def do_completed(self, branches: list[list[Step]]) -> None:
        async for found in workflow.as_completed([self.branch(steps) for steps in branches]):
            self.note("completed", found)

    async def branch(self, steps: list[Step]) -> int:
        await self.block(steps)
        return len(self.seen)

    async def do_timeout(self, milliseconds: int, steps: list[Step]) -> None:
        try:
            async with asyncio.timeout(milliseconds / 1000):
                await self.block(steps)
        except TimeoutError:
            self.note("timeout")

    async def do_wait_for(self, milliseconds: int, steps: list[Step]) -> None:
        try:
            self.note(await asyncio.wait_for(self.branch(steps), milliseconds / 1000))
        except TimeoutError:
            self.note("timeout")

    async def do_generate(self, steps: list[Step], leave: bool) -> None:
        async def numbers() -> AsyncIterator[int]:
            try:
                for number in range(3):
                    await self.block(steps)
                    yield number
            finally:
                self.note("generator", "ends")
                await self.block(steps[:1])

        async for number in numbers():
            self.note("number", number)
            if leave:
                break

    async def do_saga(self, steps: list[Step], name: str) -> None:
        async with workflow.Saga() as saga:
            saga.add(self.do_activity, name, "try")
            await self.block(steps)
            saga.add(self.do_activity, f"{name}-later", "try")

    async def do_again(self) -> None:
        workflow.continue_as_new(self.sum())


SIDE: Callable[[], int] = lambda: 0  # noqa: E731  # what is outside; a live run puts a counter here, a replay nothing


@workflow.define(name="program")
async def program(steps: list[Any]) -> list[Any]:
    interpreter = Interpreter()
    workflow.set_query_handler("seen", lambda: interpreter.seen)
    await interpreter.block(steps)
    return interpreter.seen


# How they are drawn.

names = st.sampled_from(["a", "b", FAILING, LATE])
how = st.sampled_from(HOW)
slots = st.sampled_from(["x", "y"])
short = st.integers(1, 40)
ids = st.sampled_from(["", "", "other", TAKEN])

leaves: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("activity"), names, how),
    st.tuples(st.just("activity"), names, how),
    st.tuples(st.just("must"), names),
    st.tuples(st.just("sleep"), st.integers(0, 40)),
    st.tuples(st.just("local"), names),
    st.tuples(
        st.just("child"), ids, how, st.lists(st.sampled_from(["signal", "cancel", "await"]), unique=True, max_size=3)
    ),
    st.tuples(st.just("external"), st.sampled_from(["other", TAKEN]), st.booleans()),
    st.tuples(st.just("mutable"), slots),
    st.tuples(st.just("version"), slots),
    st.tuples(st.just("start"), slots, names, how),
    st.tuples(st.sampled_from(["await", "cancel"]), slots),
    st.tuples(st.just("receive"), slots, st.integers(0, 20)),
    st.tuples(st.just("until"), st.integers(0, 12), st.integers(0, 20)),
    st.tuples(st.sampled_from(["side", "values", "put", "get", "set", "notified", "notify", "fail"])),
).map(list)


def _bigger(steps: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    blocks = st.lists(steps, min_size=1, max_size=3)
    branches = st.lists(blocks, min_size=1, max_size=4)
    return st.one_of(
        st.tuples(st.just("gather"), branches, st.booleans()),
        st.tuples(st.just("group"), branches),
        st.tuples(st.just("wait"), branches, st.sampled_from([asyncio.FIRST_COMPLETED, asyncio.ALL_COMPLETED])),
        st.tuples(st.just("completed"), branches),
        st.tuples(st.just("timeout"), short, blocks),
        st.tuples(st.just("wait_for"), short, blocks),
        st.tuples(st.just("try"), blocks, blocks),
        st.tuples(st.just("shielded"), blocks),
        st.tuples(st.just("spawn"), slots, blocks),
        st.tuples(st.just("locked"), blocks),
        st.tuples(st.just("generate"), blocks, st.booleans()),
        st.tuples(st.just("saga"), blocks, names),
    ).map(list)


steps = st.recursive(leaves, _bigger, max_leaves=12)
programs = st.lists(steps, min_size=1, max_size=6).flatmap(
    lambda drawn: st.sampled_from([drawn, drawn, drawn, [*drawn, ["again"]]])
)
"""Programs as JSON."""


def places(block: list[Any]) -> Iterator[tuple[list[Any], int]]:
    """Every step of a program that becomes a command, as the list that holds it and its place there."""
    for place, item in enumerate(block):
        if isinstance(item, list):
            if item and isinstance(item[0], str) and item[0] in COMMANDS:
                yield block, place
            yield from places(item)


# Replay in a process of its own.


def cuts(events: list[Event]) -> Iterator[int]:
    """Lengths of a history at which a task is open whose answer was taken, or would be if it were given."""
    for place, event in enumerate(events, 1):
        following = events[place] if place < len(events) else None
        if isinstance(event, WorkflowTaskStarted) and isinstance(following, WorkflowTaskCompleted | None):
            yield place


def shown(answer: Answer | None) -> str:
    """The commands of an answer as text."""
    return "" if answer is None else msgspec.json.encode(answer.commands).decode()


def main(files: list[str]) -> None:
    """Print the answer to each task of each history, but for those whose worker did not answer."""
    for file in files:
        events = list(read_history(file).events)
        for cut in cuts(events):
            run = execution(program)
            print(cut, shown(run.feed(events[:cut])))
            run.close()


if __name__ == "__main__":
    main(sys.argv[1:])
