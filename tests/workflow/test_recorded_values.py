"""Versions, side effects and local activities: what a run got from outside once it gets again in a replay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow import workflow
from monkit_workflow.commands import ScheduleActivityTask
from monkit_workflow.errors import ActivityFailure, Nondeterminism
from monkit_workflow.execution import Answer, Execution
from monkit_workflow.payload import Failure
from monkit_workflow.runtime import current
from tests.workflow.scripted_run import ScriptedRun, names
from tests.workflow.simulated_service import History, begin, execution, payload

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


async def act(name: str) -> Any:
    return await workflow.execute_activity(name, start_to_close=MINUTE)


def code(function: Callable[[], Awaitable[Any]]) -> Any:
    """A workflow of one name, whatever the function: the next deployment of the same workflow."""

    async def run() -> Any:
        return await function()

    return workflow.define(name="code")(run)


def history_of(old: Any) -> History:
    """The history of a run that did one task by the old code, and whose next task is open."""
    run = ScriptedRun(old)
    run.task()
    run.execution.close()
    if run.of(h.TimerStarted):
        run.fire()
    else:
        run.complete()
    run.service.start_task()
    return run.service


def fed(workflow: Any, history: History) -> tuple[Execution, Answer]:
    run = execution(workflow)
    try:
        answer = run.feed(history.events)
    finally:
        run.close()
    assert answer is not None
    return run, answer


# Versions.


async def before() -> None:
    await act("old")
    await workflow.sleep(SECOND)


async def choosing() -> str:
    await act("new" if workflow.patched("change") else "old")
    return f"{workflow.version('change', -1, 1)} {workflow.version('later', -1, 3)}"


def test_old_runs_go_by_the_default_and_remember_it_where_they_are_live() -> None:
    _, answer = fed(code(choosing), history_of(code(before)))
    assert answer.commands[-1] == c.CompleteWorkflowExecution(result=payload("-1 3"))


def test_new_runs_go_by_the_newest_and_record_it_once() -> None:
    with ScriptedRun(code(choosing)) as run:
        assert run.task()[0] == c.RecordMarker(name="Version", key="change", version=1)
        assert run.complete().task() == (
            c.RecordMarker(name="Version", key="later", version=3),
            c.CompleteWorkflowExecution(result=payload("1 3")),
        )
        assert run.replay().closing == c.CompleteWorkflowExecution(result=payload("1 3"))


def test_run_of_a_version_that_the_code_does_not_have_any_more_is_told_even_if_it_is_swallowed() -> None:
    async def too_new() -> None:
        try:
            workflow.version("change", 2, 3)
        except Exception:
            await act("new")

    with pytest.raises(Nondeterminism, match="version 1 of the change 'change'") as caught:
        fed(code(too_new), history_of(code(choosing)))
    assert caught.value.event_id == 5


def test_call_of_version_may_be_removed_when_all_runs_are_new() -> None:
    async def removed() -> str:
        await act("new")
        return "done"

    _, answer = fed(code(removed), history_of(code(choosing)))
    assert answer.commands == (c.CompleteWorkflowExecution(result=payload("done")),)


def test_two_changes_are_told_apart() -> None:
    async def one() -> None:
        await act("a" if workflow.patched("one") else "b")

    async def two() -> str:
        name = "a" if workflow.patched("one") else "b"
        if workflow.patched("two"):
            name = "c"
        await act(name)
        return name

    _, answer = fed(code(two), history_of(code(one)))
    assert answer.commands[-1] == c.CompleteWorkflowExecution(result=payload("a"))


def test_least_version_above_the_most_is_a_fault_of_the_code() -> None:
    async def wrong() -> None:
        workflow.version("change", 2, 1)

    with ScriptedRun(code(wrong)) as run, pytest.raises(ValueError, match="above the most"):
        run.task()


# Side effects.


def test_side_effect_is_taken_from_history() -> None:
    outside = [1, 2]

    async def looks() -> list[int]:
        first = workflow.side_effect(lambda: outside[0])
        await workflow.sleep(SECOND)
        return [first, workflow.side_effect(lambda: outside[1])]

    history = history_of(code(looks))
    outside[:] = [7, 8]
    _, answer = fed(code(looks), history)
    assert answer.commands[-1] == c.CompleteWorkflowExecution(result=payload([1, 8]))


def test_side_effect_that_history_lacks_is_told() -> None:
    async def sleeps() -> None:
        await workflow.sleep(SECOND)

    async def looks() -> None:
        workflow.side_effect(lambda: 1)
        await workflow.sleep(SECOND)

    with pytest.raises(Nondeterminism, match="no side effect"):
        fed(code(looks), history_of(code(sleeps)))


def test_mutable_side_effect_is_recorded_when_it_changes_and_looked_up_when_it_does_not() -> None:
    outside = [5]

    async def looks() -> list[int]:
        found = [workflow.mutable_side_effect("limit", lambda: outside[0]) for _ in range(2)]
        await workflow.sleep(SECOND)
        found += [workflow.mutable_side_effect("limit", lambda: outside[0]) for _ in range(2)]
        await workflow.sleep(SECOND)
        return found

    with ScriptedRun(code(looks)) as run:
        markers = [item for item in run.task() if isinstance(item, c.RecordMarker)]
        assert [(item.count, item.value) for item in markers] == [(1, payload(5))]
        outside[0] = 6
        markers = [item for item in run.fire().task() if isinstance(item, c.RecordMarker)]
        assert [(item.count, item.value) for item in markers] == [(3, payload(6))]
        outside[0] = 7
        assert run.fire().task() == (c.CompleteWorkflowExecution(result=payload([5, 5, 6, 6])),)


def test_mutable_side_effect_without_any_value_is_told() -> None:
    async def sleeps() -> None:
        await workflow.sleep(SECOND)

    async def looks() -> None:
        workflow.mutable_side_effect("limit", lambda: 1)
        await workflow.sleep(SECOND)

    with pytest.raises(Nondeterminism, match="no value of 'limit' yet"):
        fed(code(looks), history_of(code(sleeps)))


def test_random_values_and_time_are_those_of_the_run() -> None:
    async def draws() -> list[str]:
        values = [str(workflow.uuid4()), str(workflow.random().random()), workflow.now().isoformat()]
        await workflow.sleep(SECOND)
        return [*values, str(workflow.uuid4()), workflow.now().isoformat()]

    with ScriptedRun(code(draws)) as run:  # which compares it with rebuilt ones
        run.task()
        (command,) = run.fire().task()
        assert isinstance(command, c.CompleteWorkflowExecution)
        assert command.result is not None
        assert bytes(command.result.data).count(b"2023-11-14T22:13:20") == 2


# Local activities.


def local(name: str, id: str) -> asyncio.Future[Any]:
    command = ScheduleActivityTask(activity_id=id, activity_type=name)
    return current().start_local_activity(command, Any).future


async def two_locals() -> list[Any]:
    first, second = local("it", "1"), local("it", "2")
    done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    winner = "first" if first in done else "second"
    await act(winner)
    try:
        return [winner, await first, await second]
    except ActivityFailure as failure:
        return [winner, str(failure.__cause__)]


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_results_of_local_activities_of_one_type_come_back_in_the_order_of_their_ends(
    order: tuple[int, int], fails: bool
) -> None:
    with ScriptedRun(code(two_locals)) as run:
        answer = run.open()
        assert answer.commands == ()
        locals_ = answer.local_activities
        for place in order:
            failure = Failure(message="no") if fails else None
            answer = run.execution.end_local_activity(locals_[place], None if fails else payload(place), failure, 1)
        assert answer.local_activities == ()
        assert names(answer.commands) == ["it", ["first", "second"][order[0]], "it"]
        assert run.service.take(answer.commands)
        result = [["first", "second"][order[0]], *(["no"] if fails else [0, 1])]
        assert run.complete().task() == (c.CompleteWorkflowExecution(result=payload(result)),)


def test_local_activities_of_a_task_that_was_answered_without_them_end_in_the_next() -> None:
    history = begin(code(two_locals))
    history.start_task()
    history.complete_task()
    history.start_task()
    history.complete_task()
    for id in ("2", "1"):
        history.add(h.MarkerRecorded, name="LocalActivity", key=id, activity_type="it", value=payload(id))
        if id == "2":
            scheduled = history.add(h.ActivityTaskScheduled, activity_id="1", activity_type="second")
    history.add(h.ActivityTaskCompleted, scheduled_id=scheduled)
    history.start_task()
    _, answer = fed(code(two_locals), history)
    assert answer.commands == (c.CompleteWorkflowExecution(result=payload(["second", "1", "2"])),)


def test_result_of_a_local_activity_that_nobody_asked_for_is_told() -> None:
    history = begin(code(two_locals))
    history.start_task()
    history.complete_task()
    history.add(h.MarkerRecorded, name="LocalActivity", key="1", activity_type="other")
    history.start_task()
    with pytest.raises(Nondeterminism, match="MarkerRecorded 'other'"):
        fed(code(two_locals), history)


# What is said only once.


def test_logger_is_silent_while_replaying(caplog: pytest.LogCaptureFixture) -> None:
    @workflow.define
    async def logs() -> None:
        try:
            workflow.logger.warning("first")
            await workflow.sleep(SECOND)
            workflow.logger.warning("second")
            await workflow.sleep(SECOND)
        finally:
            workflow.logger.warning("clean-up")

    run = ScriptedRun(logs)
    with caplog.at_level(logging.WARNING):
        run.open()
        run.service.take((c.StartTimer(timer_id="1", duration_ns=10**9),))
        caplog.clear()
        run.fire().service.start_task()
        rebuilt = run.rebuilt()
        rebuilt.feed(run.service.events)
        rebuilt.close()
    assert [record.getMessage() for record in caplog.records] == ["second"]
    assert vars(caplog.records[0])["workflow_id"] == "w"
    run.execution.close()
