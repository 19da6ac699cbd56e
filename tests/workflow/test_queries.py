"""Queries read and leave no trace, and closing a run ends its code without effect."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import workflow
from monkit_workflow.errors import QueryFailed, WorkerError
from tests.workflow.scripted_run import ScriptedRun
from tests.workflow.simulated_service import CONVERTER, payload

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

FORBIDDEN: dict[str, Callable[[], Any]] = {
    "activity": lambda: workflow.start_activity("work", start_to_close=MINUTE),
    "no time-out": lambda: workflow.start_activity("work"),
    "task": lambda: asyncio.create_task(workflow.sleep(SECOND)),
    "timer": lambda: asyncio.get_running_loop().call_later(1, print),
    "future": lambda: asyncio.get_running_loop().create_future(),
    "random": lambda: workflow.random().random(),
    "uuid4": workflow.uuid4,
    "version": lambda: workflow.version("new", -1, 1),
    "side effect": lambda: workflow.side_effect(lambda: 1),
    "mutable side effect": lambda: workflow.mutable_side_effect("key", lambda: 1),
    "handler": lambda: workflow.set_query_handler("other", lambda: 1),
    "wait": lambda: workflow.wait_condition(lambda: False).send(None),
    "continue": workflow.continue_as_new,
    "raise": lambda: [][1],
    "encoding": object,
}


@workflow.define
class Asked:
    def __init__(self) -> None:
        self.state = "new"
        self.event = asyncio.Event()

    @workflow.run
    async def run(self) -> str:
        self.state = "running"
        waiting = asyncio.create_task(self.event.wait())
        await workflow.sleep(SECOND)
        await workflow.execute_activity("work", workflow.random().random(), start_to_close=MINUTE)
        waiting.cancel()
        self.state = "over"
        return self.state

    @workflow.query
    def tell(self) -> str:
        return self.state

    @workflow.query
    def misuse(self, what: str) -> Any:
        return FORBIDDEN[what]()

    @workflow.query
    def wake(self) -> None:
        self.event.set()


def test_query_is_answered_from_the_state_between_tasks_and_after_the_end() -> None:
    with ScriptedRun(Asked) as run:
        with pytest.raises(QueryFailed):
            run.execution.query("tell")  # nothing has begun
        run.task()
        assert run.execution.query("tell") == payload("running")
        run.fire().task()
        run.complete().task()
        assert run.execution.query("tell") == payload("over")
        assert run.replay().query("tell") == payload("over")


@pytest.mark.parametrize("replayed", [True, False])
@pytest.mark.parametrize("what", FORBIDDEN)
def test_query_that_does_more_than_read_fails_and_leaves_no_trace(what: str, replayed: bool) -> None:
    with ScriptedRun(Asked) as run:
        run.task()
        if replayed:
            run.execution.close()
            run.execution = run.replay()
        with pytest.raises(QueryFailed, match="the query 'misuse' failed"):
            run.execution.query("misuse", (payload(what),))
        run.fire().task()  # a rebuilt run, that was not asked, has to answer alike
        run.complete()
        assert run.task() == (c.CompleteWorkflowExecution(result=payload("over")),)


def test_query_that_wakes_code_makes_the_execution_useless() -> None:
    with ScriptedRun(Asked) as run:
        run.task()
        with pytest.raises(WorkerError, match="must change nothing"):
            run.execution.query("wake")


def test_unknown_query_names_those_there_are() -> None:
    with ScriptedRun(Asked) as run, pytest.raises(QueryFailed, match="it has: misuse, tell, wake"):
        run.execution.query("nothing")


def test_query_input_that_cannot_be_decoded_goes_back_to_the_caller() -> None:
    with ScriptedRun(Asked) as run:
        run.task()
        with pytest.raises(QueryFailed, match="ConversionError"):
            run.execution.query("misuse", (payload(1),))


def test_handler_that_is_set_takes_the_place_of_a_method() -> None:
    @workflow.define
    class Sets:
        @workflow.run
        async def run(self) -> None:
            workflow.set_query_handler("tell", lambda number: number + 1)
            await workflow.sleep(SECOND)

        @workflow.query
        def tell(self) -> int:
            return 0

    with ScriptedRun(Sets) as run:
        run.task()
        assert run.execution.query("tell", (payload(1),)) == payload(2)


def test_stack_query_shows_where_the_code_waits() -> None:
    with ScriptedRun(Asked) as run:
        run.task()
        shown = run.execution.query("__stack_trace")
        assert shown is not None
        text = CONVERTER.decode(shown, str)
        assert text.startswith("main:")
        assert "await workflow.sleep(SECOND)" in text
        assert "asyncio" not in text


# Closing.


def test_close_runs_clean_up_then_and_there_without_effect(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def numbers(name: str, waits: bool) -> AsyncIterator[int]:
        try:
            yield 1
            if waits:
                await workflow.sleep(SECOND)
        finally:
            await workflow.execute_activity("clean-up", start_to_close=MINUTE)
            ended.append(f"never reached by {name}")

    @asynccontextmanager
    async def manager() -> AsyncIterator[None]:
        try:
            yield
        finally:
            ended.append("manager")

    async def awaits_in_finally(name: str) -> None:
        try:
            async with manager():
                await workflow.sleep(SECOND)
        finally:
            ended.append(name)
            try:
                await workflow.execute_activity("clean-up", start_to_close=MINUTE)
            finally:
                ended.append(f"{name} again")

    async def iterates(waits: bool) -> None:
        try:
            async for _ in numbers("iterates", waits):
                if not waits:
                    await workflow.sleep(SECOND)
        finally:
            workflow.start_activity("clean-up", start_to_close=MINUTE).cancel()
            asyncio.create_task(awaits_in_finally("new")).add_done_callback(print)
            ended.append(f"iterates {waits}")

    async def compensate() -> None:
        ended.append("never compensated")

    @workflow.define
    async def messy() -> None:
        async with asyncio.TaskGroup() as group, workflow.Saga() as saga:
            saga.add(compensate)
            group.create_task(iterates(True))
            group.create_task(iterates(False))
            await workflow.shielded(awaits_in_finally("shielded"))

    run = ScriptedRun(messy)
    commands = run.task()
    assert len(commands) == 3
    ended.clear()
    run.execution.close()
    assert sorted(ended) == ["iterates False", "iterates True", "manager", "shielded", "shielded again"]
    before = list(ended)
    assert len(run.execution.runtime.commands) == 3  # those from before
    del run
    gc.collect()
    assert ended == before
    assert caplog.records == []


def test_close_after_a_fault_ends_what_never_began() -> None:
    @workflow.define
    class Never:
        @workflow.run
        async def run(self) -> None:
            await workflow.sleep(SECOND)

        @workflow.signal
        def fault(self) -> None:
            asyncio.create_task(workflow.shielded(self.later())).add_done_callback(print)
            raise KeyError("fault")

        @workflow.signal
        async def later(self) -> None:
            await workflow.sleep(SECOND)

    with ScriptedRun(Never) as run, pytest.raises(KeyError):
        run.signal("fault").signal("later").task()
    gc.collect()  # warnings are errors here


def test_code_that_refuses_to_end_is_left_after_a_while_and_never_freed() -> None:
    @workflow.define
    async def stubborn() -> None:
        while True:
            try:
                await workflow.sleep(SECOND)
            except BaseException:  # what a program should not do
                rounds.append(1)

    rounds: list[int] = []
    run = ScriptedRun(stubborn)
    run.task()
    rounds.clear()
    run.execution.close()
    assert len(rounds) == 1000
    del run
    gc.collect()  # freed, it would be closed, and catch that too, for ever
    assert len(rounds) == 1000
