"""Runs that are taken back to an earlier point, on every service."""

from __future__ import annotations

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import BadRequest, NotFound
from monkit_workflow.payload import Failure
from monkit_workflow.service import ResetRequest, Service
from tests.contract.player import HOUR, Player, activity, child, last, names, play, text, value


async def reset(p: Player, event_id: int, run_id: str = "", **options: object) -> str:
    given = {"request_id": "reset", "reason": "to mend it", **options}
    return await p.service.reset(ResetRequest(workflow_id="w", run_id=run_id, event_id=event_id, **given))  # type: ignore[arg-type]


def test_new_run_goes_on_from_an_earlier_task_and_the_open_one_is_over(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start(input=(value("7"),))
        await p.answer(activity("one"))
        await p.service.complete_activity((await p.attempt()).token, value("1"))
        task = await p.answer(activity("wrong"))
        answered = len(task.events) and task.events[-1].id + 1
        await p.signal("kept")
        second = await reset(p, answered)
        end = await p.service.wait_closed("w", first)
        assert isinstance(end, h.WorkflowExecutionTerminated)
        assert (end.reason, end.next_run_id) == ("to mend it", second)
        task = await p.task()
        assert task.run_id == second
        assert list(task.events)[: answered - 1] == (await p.history("w", first))[: answered - 1]
        assert names(task.events)[answered - 1 :] == [
            "WorkflowTaskFailed",
            "WorkflowExecutionSignaled",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
        ]
        assert last(task.events, h.WorkflowTaskFailed).failure.message == "to mend it"
        await p.reply(task, activity("right"))
        assert (await p.attempt()).activity_id == "right"

    play(service, scene)


def test_what_was_not_over_at_that_point_begins_anew(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity("a", schedule_to_close_ns=HOUR), c.StartTimer(timer_id="t", duration_ns=HOUR))
        await p.signal()
        task = await p.answer()
        old = await p.attempt()
        await reset(p, task.events[-1].id + 1)
        with pytest.raises(NotFound):
            await p.service.complete_activity(old.token, None)
        again = await p.attempt()
        assert (again.activity_id, again.attempt) == ("a", 1)
        await p.service.complete_activity(again.token, value('"again"'))
        events = (await p.task()).events
        assert text(last(events, h.ActivityTaskCompleted).result) == '"again"'

    play(service, scene)


def test_closed_run_is_reset_too_and_a_later_one_gives_way(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start()
        await p.answer(c.FailWorkflowExecution(failure=Failure(message="a fault")))
        later = await p.start()
        new = await reset(p, 4, first)
        end = await p.service.wait_closed("w", later)
        assert isinstance(end, h.WorkflowExecutionTerminated)
        assert isinstance(await p.service.wait_closed("w", first), h.WorkflowExecutionFailed)
        assert (await p.service.describe("w")).run_id == new

    play(service, scene)


def test_same_reset_is_done_once(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start()
        await p.answer()
        assert await reset(p, 4, first) == await reset(p, 4, first)
        assert await reset(p, 4, first, request_id="another") != (await p.service.describe("w", first)).run_id

    play(service, scene)


def test_signals_come_again_unless_they_shall_not(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start()
        await p.answer()
        await p.signal("one")
        await reset(p, 4, first, request_id="with")
        assert "WorkflowExecutionSignaled" in await p.kinds()
        await reset(p, 4, first, request_id="without", reapply_signals=False)
        assert "WorkflowExecutionSignaled" not in await p.kinds()

    play(service, scene)


@pytest.mark.parametrize("event_id", [0, 2, 5, 99])
def test_point_that_is_none_is_refused_with_those_that_are(service: Service, event_id: int) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.StartTimer(timer_id="t", duration_ns=HOUR))
        before = await p.kinds()
        with pytest.raises(BadRequest, match="end of a workflow task: 4"):
            await reset(p, event_id)
        assert await p.kinds() == before

    play(service, scene)


def test_run_is_not_taken_back_to_where_its_children_were_open(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start()
        await p.answer(child("its child"))
        task = await p.answer()
        with pytest.raises(BadRequest, match="'its child'"):
            await reset(p, task.events[-1].id + 1)
        description = await p.service.describe("w")
        assert (description.run_id, description.status) == (first, "running")
        await reset(p, 4)
        assert (await p.service.describe("its child")).status == "terminated"

    play(service, scene)


def test_child_that_is_reset_stays_the_same_child(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start("parent")
        await p.answer(child("w"))
        c2 = Player(p.service, "children")
        await c2.answer()
        await reset(p, 4)
        await c2.answer(c.CompleteWorkflowExecution(result=value("2")))
        while "ChildWorkflowExecutionCompleted" not in await p.kinds("parent"):
            await p.answer()
        assert "ChildWorkflowExecutionTerminated" not in await p.kinds("parent")

    play(service, scene)
