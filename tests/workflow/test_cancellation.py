"""Cancellation: requests to the run, activities and children that are given up, and clean-up that must happen."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow import workflow
from monkit_workflow.errors import ApplicationFailure
from monkit_workflow.payload import Failure
from tests.workflow.scripted_run import ScriptedRun, names
from tests.workflow.simulated_service import payload

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


async def act(name: str, **options: Any) -> Any:
    return await workflow.execute_activity(name, start_to_close=MINUTE, **options)


def kinds(commands: tuple[c.Command, ...]) -> list[type[c.Command]]:
    return [type(command) for command in commands]


def completed(value: object) -> tuple[c.Command, ...]:
    return (c.CompleteWorkflowExecution(result=payload(value)),)


@workflow.define
async def cleans_up() -> None:
    try:
        await act("work")
    finally:
        await act("clean up")


def test_run_that_was_asked_to_cancel_cleans_up_and_ends_cancelled() -> None:
    with ScriptedRun(cleans_up) as run:
        run.task()
        assert kinds(run.cancel().task()) == [c.RequestCancelActivityTask, c.ScheduleActivityTask]
        assert run.complete().task() == (c.CancelWorkflowExecution(),)


def test_only_the_first_request_acts() -> None:
    with ScriptedRun(cleans_up) as run:
        run.task()
        run.cancel().cancel().task()
        assert run.cancel().task() == ()
        assert run.complete().task() == (c.CancelWorkflowExecution(),)


def test_request_in_the_first_task_lets_main_take_its_first_step_and_clean_up() -> None:
    with ScriptedRun(cleans_up) as run:
        assert names(run.cancel().task()) == ["clean up"]
        assert run.complete().task() == (c.CancelWorkflowExecution(),)


def test_activity_that_ends_in_the_slice_of_the_request_is_not_asked_to_cancel() -> None:
    with ScriptedRun(cleans_up) as run:
        run.task()
        assert names(run.cancel().complete().task()) == ["clean up"]


def test_run_may_go_on_after_a_request() -> None:
    @workflow.define
    async def goes_on() -> str:
        try:
            await workflow.sleep(SECOND)
        except asyncio.CancelledError:
            return "no"
        return "yes"

    with ScriptedRun(goes_on) as run:
        run.task()
        assert run.cancel().task() == (c.CancelTimer(timer_id="1", started_id=5), *completed("no"))


@workflow.define
async def gives_up(how: Any) -> str:
    activity = workflow.start_activity("work", start_to_close=MINUTE, cancellation=how)
    await workflow.sleep(SECOND)
    activity.cancel()
    try:
        return f"returned {await activity}"
    except asyncio.CancelledError:
        return "cancelled"


def test_try_sends_the_request_and_ends_the_wait() -> None:
    with ScriptedRun(gives_up, "try") as run:
        run.task()
        assert kinds(run.fire().task()) == [c.RequestCancelActivityTask, c.CompleteWorkflowExecution]


def test_abandon_sends_nothing_and_ends_the_wait() -> None:
    with ScriptedRun(gives_up, "abandon") as run:
        run.task()
        assert run.fire().task() == completed("cancelled")


@pytest.mark.parametrize("agrees", [True, False])
def test_wait_sends_the_request_and_waits_for_what_comes(agrees: bool) -> None:
    with ScriptedRun(gives_up, "wait") as run:
        run.task()
        assert kinds(run.fire().task()) == [c.RequestCancelActivityTask]
        scheduled = run.of(h.ActivityTaskScheduled)[0].id
        if agrees:
            run.add(h.ActivityTaskCanceled, scheduled_id=scheduled)
        else:
            run.complete("all the same")
        assert run.task() == completed("cancelled" if agrees else "returned all the same")


def test_wait_for_an_activity_does_not_overrun() -> None:
    @workflow.define
    async def waits() -> str:
        try:
            return str(await asyncio.wait_for(act("work"), 1))
        except TimeoutError:
            return "late"

    with ScriptedRun(waits) as run:
        run.task()
        assert run.fire().task()[1:] == completed("late")


@workflow.define
async def parent(how: Any, when: str) -> str:
    try:
        async with asyncio.timeout(1):
            child = await workflow.start_child("child", id="c", timeout=MINUTE, cancellation=how)
            if when == "running":
                await child.result()
            child.cancel()
            await child
    except TimeoutError:
        return "late"
    except asyncio.CancelledError:
        return "cancelled"
    return "returned"


def initiated(run: ScriptedRun) -> int:
    return int(run.of(h.StartChildWorkflowExecutionInitiated)[0].id)


@pytest.mark.parametrize("begun", [True, False])
def test_child_is_given_up_by_try_wait_and_abandon(begun: bool) -> None:
    for how in ("try", "wait", "abandon"):
        with ScriptedRun(parent, how, "running") as run:
            run.task()
            if begun:
                run.add(h.ChildWorkflowExecutionStarted, initiated_id=initiated(run), run_id="r").task()
            commands = run.fire().task()
            told = [] if how == "abandon" else [c.RequestCancelExternalWorkflowExecution]
            assert kinds(commands)[: len(told)] == told
            if how != "wait":
                assert commands[len(told) :] == completed("late")
                continue
            assert len(commands) == 1
            if not begun:
                run.add(h.ChildWorkflowExecutionStarted, initiated_id=initiated(run), run_id="r")
            run.add(h.ChildWorkflowExecutionCanceled, initiated_id=initiated(run))
            assert run.task() == completed("late")


@pytest.mark.parametrize("found", [True, False])
def test_cancelled_child_is_told_once_and_may_have_ended_meanwhile(
    found: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedRun(parent, "try", "at once") as run:
        run.task()
        run.add(h.ChildWorkflowExecutionStarted, initiated_id=initiated(run), run_id="r")
        assert c.RequestCancelExternalWorkflowExecution(workflow_id="c", child_only=True) in run.task()
        request = run.of(h.RequestCancelExternalWorkflowExecutionInitiated)[0].id
        if found:
            run.add(h.ExternalWorkflowExecutionCancelRequested, initiated_id=request)
            run.add(h.ChildWorkflowExecutionCanceled, initiated_id=initiated(run))
        else:
            run.add(h.RequestCancelExternalWorkflowExecutionFailed, initiated_id=request)
            run.add(h.ChildWorkflowExecutionCompleted, initiated_id=initiated(run))
        assert run.task()[-1:] == completed("cancelled" if found else "returned")
    assert caplog.records == []


# Clean-up that must happen.


@workflow.define
async def shields() -> list[str]:
    found: list[str] = []

    async def both() -> None:
        for name in ("one", "two"):
            found.append(str(await act(name)))

    try:
        await workflow.shielded(both())
    except asyncio.CancelledError:
        found.append("cancelled")
    return found


@pytest.mark.parametrize("at_the_end", [True, False])
def test_shielded_code_ends_before_its_caller_learns_of_the_cancellation(at_the_end: bool) -> None:
    with ScriptedRun(shields) as run:
        run.task()
        if not at_the_end:
            run.cancel()
        run.complete(1).task()
        run.complete(2)
        if at_the_end:
            run.cancel()
        assert run.task() == completed(["1", "2", "cancelled"])


@workflow.define(failures=(KeyError,))
async def compensates(how: str) -> None:
    async with workflow.Saga() as saga:
        for name in ("first", "second", "third"):
            await act(name)
            saga.add(act, f"undo {name}")
        saga.add(cancelled) if how == "cancelled step" else None
        if how == "cancelled":
            await workflow.sleep(SECOND)
        elif how == "again":
            workflow.continue_as_new()
        elif how != "fine":
            raise KeyError(how)


async def cancelled() -> None:
    raise asyncio.CancelledError


def steps_taken(run: ScriptedRun) -> None:
    for _ in range(3):
        run.task()
        run.complete()


@pytest.mark.parametrize("how", ["fails", "cancelled", "cancelled step"])
def test_saga_undoes_in_reverse_order_and_cancellation_does_not_stop_it(how: str) -> None:
    with ScriptedRun(compensates, how) as run:
        steps_taken(run)
        if how == "cancelled":
            run.task()
            run.cancel()
        undone = []
        for _ in range(3):
            undone.append(names(run.task())[-1])
            run.cancel().complete()
        assert undone == ["undo third", "undo second", "undo first"]
        assert kinds(run.task()) == [c.CancelWorkflowExecution]


def test_saga_groups_its_error_with_those_of_compensations() -> None:
    with ScriptedRun(compensates, "fails") as run:
        steps_taken(run)
        for fails in (True, False, True):
            run.task()
            scheduled = run.of(h.ActivityTaskScheduled)[-1].id
            if fails:
                run.add(h.ActivityTaskFailed, scheduled_id=scheduled, failure=Failure(message="stuck", type="Stuck"))
            else:
                run.complete()
        (command,) = run.task()
        assert isinstance(command, c.FailWorkflowExecution)
        assert command.failure.type == "ExceptionGroup"
        assert "3 sub-exceptions" in command.failure.message


@pytest.mark.parametrize(
    ("how", "kind"), [("fine", c.CompleteWorkflowExecution), ("again", c.ContinueAsNewWorkflowExecution)]
)
def test_saga_undoes_nothing_when_its_block_does_not_fail(how: str, kind: type[c.Command]) -> None:
    with ScriptedRun(compensates, how) as run:
        steps_taken(run)
        assert kinds(run.task()) == [kind]


def test_failed_compensation_of_a_cancelled_run_fails_it() -> None:
    @workflow.define
    async def stuck() -> None:
        async with workflow.Saga() as saga:
            saga.add(broken)
            await workflow.sleep(SECOND)

    async def broken() -> None:
        raise ApplicationFailure("cannot be undone")

    with ScriptedRun(stuck) as run:
        run.task()
        assert kinds(run.cancel().task()) == [c.CancelTimer, c.FailWorkflowExecution]
