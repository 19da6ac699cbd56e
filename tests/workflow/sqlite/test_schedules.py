"""Runs whose time has not come, with a clock set by hand and over restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import QueryFailed
from monkit_workflow.payload import Failure, RetryPolicy
from monkit_workflow.service import QueryRequest
from tests.contract.player import HOUR, SECOND, Player, text, value
from tests.workflow.sqlite.stage import Stage, act


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_schedule_goes_on_after_restarts_and_leaves_out_what_passed(stage: Stage) -> None:
    async def begin(p: Player) -> None:
        await p.start(cron="@every 1h", timeout_ns=10 * HOUR)

    async def once(p: Player) -> None:
        task = await p.task()
        await p.reply(task, c.CompleteWorkflowExecution(result=value(str(len(began)))))
        began.append(next(event for event in task.events if isinstance(event, h.WorkflowExecutionStarted)))

    began: list[h.WorkflowExecutionStarted] = []
    act(stage, begin)
    for hours in (1, 1, 3):
        stage.clock.advance(hours * HOUR)
        act(stage, once)
    assert [text(event.last_result) for event in began] == [None, "0", "1"]
    # The third waited for two hours after its time, so the one that was due meanwhile is left out.
    assert [event.time_ns - began[0].time_ns for event in began] == [0, HOUR, 2 * HOUR]


def test_run_has_its_whole_time_from_its_beginning_on(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        first = await p.start(cron="@every 5h", timeout_ns=HOUR)
        stage.clock.advance(5 * HOUR)
        await p.answer()
        stage.clock.advance(HOUR - 1)
        assert (await p.service.describe("w", first)).status == "running"
        stage.clock.advance(1)
        end = await p.service.wait_closed("w", first)
        assert isinstance(end, h.WorkflowExecutionTimedOut)
        following = (await p.history("w", end.next_run_id))[0]
        assert isinstance(following, h.WorkflowExecutionStarted)
        assert following.first_task_delay_ns == 4 * HOUR

    act(stage, scene)


def test_attempts_of_a_run_wait_longer_and_longer_until_they_expire(stage: Stage) -> None:
    retry = RetryPolicy(initial_ns=SECOND, coefficient=3.0, expiration_ns=10 * SECOND)

    async def scene(p: Player) -> None:
        run_id = await p.start(retry=retry)
        delays = []
        while run_id:
            await p.answer(c.FailWorkflowExecution(failure=Failure(type="Broken")))
            end = await p.service.wait_closed("w", run_id)
            assert isinstance(end, h.WorkflowExecutionFailed)
            run_id = end.next_run_id
            if run_id:
                began = (await p.history("w", run_id))[0]
                assert isinstance(began, h.WorkflowExecutionStarted)
                delays.append(began.first_task_delay_ns)
                stage.clock.advance(delays[-1])
        assert delays == [SECOND, 3 * SECOND]  # 9 s more would be too late

    act(stage, scene)


def test_run_that_has_not_begun_says_so_when_asked(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start(cron="@daily")
        with pytest.raises(QueryFailed, match="has not come"):
            await p.service.query(QueryRequest(workflow_id="w", name="state"))

    act(stage, scene)
