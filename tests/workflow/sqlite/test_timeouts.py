"""Each time-out, with a clock set by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import NotFound
from monkit_workflow.payload import Failure, RetryPolicy
from monkit_workflow.service import QueryRequest
from monkit_workflow.sqlite.answers import retry_delay_ns
from tests.contract.player import HOUR, SECOND, Player, activity, last, names, text, value
from tests.workflow.sqlite.stage import Stage, act

RETRY = RetryPolicy(initial_ns=SECOND, attempts=2)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_timer_fires_when_it_is_due_and_not_before(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start(timeout_ns=1000 * HOUR)
        await p.answer(c.StartTimer(timer_id="t", duration_ns=720 * HOUR))
        stage.clock.advance(720 * HOUR - 1)
        assert "TimerFired" not in await p.kinds()
        stage.clock.advance(1)
        assert last((await p.task()).events, h.TimerFired).timer_id == "t"

    act(stage, scene)


def test_timers_of_many_runs_fire_in_the_order_they_are_due(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        for number in (3, 1, 2):
            await p.start(f"w{number}", timeout_ns=100 * HOUR)
            await p.answer(c.StartTimer(timer_id="t", duration_ns=number * HOUR))
        stage.clock.advance(3 * HOUR)
        assert [(await p.task()).workflow_id for _ in range(3)] == ["w1", "w2", "w3"]

    act(stage, scene)


def test_run_times_out_with_all_that_it_waits_for(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start(timeout_ns=HOUR)
        await p.answer(activity(), c.StartTimer(timer_id="t", duration_ns=2 * HOUR))
        attempt = await p.attempt()
        stage.clock.advance(HOUR)
        assert isinstance(await p.service.wait_closed("w"), h.WorkflowExecutionTimedOut)
        with pytest.raises(NotFound):
            await p.service.complete_activity(attempt.token, None)

    act(stage, scene)
    assert Rows(stage).left() == {"tasks": 0, "timers": 0, "inbox": 0}


def test_time_of_a_run_begins_anew_when_it_continues_as_new(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start(timeout_ns=2 * HOUR)
        stage.clock.advance(HOUR)
        await p.answer(c.ContinueAsNewWorkflowExecution(workflow_type="Play"))
        stage.clock.advance(HOUR)
        assert (await p.service.describe("w")).status == "running"
        stage.clock.advance(HOUR)
        assert (await p.service.describe("w")).status == "timed_out"

    act(stage, scene)


def test_heartbeats_keep_an_attempt_alive_and_their_absence_ends_it(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(heartbeat_ns=10 * SECOND, retry=RETRY))
        attempt = await p.attempt()
        for number in range(5):
            stage.clock.advance(9 * SECOND)
            assert not await p.service.heartbeat(attempt.token, (value(str(number)),))
        stage.clock.advance(10 * SECOND)
        with pytest.raises(NotFound):
            await p.service.heartbeat(attempt.token)
        stage.clock.advance(SECOND)
        second = await p.attempt()
        assert (second.attempt, text(second.heartbeat_details[0])) == (2, "4")
        stage.clock.advance(10 * SECOND)
        task = await p.task()
        timed_out = last(task.events, h.ActivityTaskTimedOut)
        assert timed_out.timeout == "heartbeat"
        assert timed_out.failure is not None
        assert (timed_out.failure.type, timed_out.failure.timeout) == ("TimeoutFailure", "heartbeat")

    act(stage, scene)


def test_start_to_close_bounds_each_attempt(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(start_to_close_ns=10 * SECOND, retry=RETRY))
        await p.attempt()
        stage.clock.advance(10 * SECOND)
        assert (await p.service.describe("w")).pending_activities[0].attempt == 2
        stage.clock.advance(SECOND)
        await p.attempt()
        stage.clock.advance(10 * SECOND)
        assert last((await p.task()).events, h.ActivityTaskTimedOut).timeout == "start_to_close"

    act(stage, scene)


def test_time_out_is_not_retried_when_the_policy_names_it(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        policy = RetryPolicy(initial_ns=SECOND, non_retryable=("TimeoutFailure",))
        await p.answer(activity(start_to_close_ns=SECOND, retry=policy))
        await p.attempt()
        stage.clock.advance(SECOND)
        assert last((await p.task()).events, h.ActivityTaskStarted).attempt == 1

    act(stage, scene)


def test_schedule_to_close_covers_all_attempts_and_ends_the_running_one(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        policy = RetryPolicy(initial_ns=SECOND, coefficient=1.0)
        await p.answer(activity(start_to_close_ns=0, schedule_to_close_ns=10 * SECOND, retry=policy))
        await p.service.fail_activity((await p.attempt()).token, Failure(message="no"))
        stage.clock.advance(SECOND)
        attempt = await p.attempt()
        stage.clock.advance(9 * SECOND)
        timed_out = last((await p.task()).events, h.ActivityTaskTimedOut)
        assert timed_out.timeout == "schedule_to_close"
        assert timed_out.failure is not None
        assert timed_out.failure.message == "no"
        with pytest.raises(NotFound):
            await p.service.complete_activity(attempt.token, None)

    act(stage, scene)


def test_schedule_to_start_ends_only_when_nobody_takes_it(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(
            activity("taken", schedule_to_start_ns=SECOND),
            activity("left", schedule_to_start_ns=SECOND, task_queue="nobody"),
        )
        await p.attempt()
        stage.clock.advance(SECOND)
        timed_out = last((await p.task()).events, h.ActivityTaskTimedOut)
        assert (timed_out.timeout, timed_out.scheduled_id, timed_out.started_id) == ("schedule_to_start", 6, 0)
        assert [item.activity_id for item in (await p.service.describe("w")).pending_activities] == ["taken"]

    act(stage, scene)


def test_retries_wait_longer_each_time_up_to_the_interval(stage: Stage) -> None:
    policy = RetryPolicy(initial_ns=SECOND, coefficient=3.0, maximum_interval_ns=5 * SECOND)

    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(retry=policy))
        for wait_ns in (1 * SECOND, 3 * SECOND, 5 * SECOND, 5 * SECOND):
            await p.service.fail_activity((await p.attempt()).token, Failure(message="no"))
            stage.clock.advance(wait_ns - 1)
            assert (await p.service.describe("w")).pending_activities[0].state == "scheduled"
            assert Rows(stage).phase() == "backoff"
            stage.clock.advance(1)

    act(stage, scene)


def test_activity_in_backoff_is_cancelled_at_once(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(retry=RETRY))
        await p.service.fail_activity((await p.attempt()).token, Failure(message="no"))
        await p.signal()
        await p.answer(c.RequestCancelActivityTask(activity_id="a"))
        assert last((await p.task()).events, h.ActivityTaskCanceled).started_id == 0

    act(stage, scene)


def test_held_task_times_out_and_is_written_once(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start(task_timeout_ns=10 * SECOND)
        for number in (1, 2, 3):
            assert (await p.task()).attempt == number
            stage.clock.advance(10 * SECOND)
        assert (await p.kinds()).count("WorkflowTaskTimedOut") == 1

    act(stage, scene)


def test_failed_task_is_offered_to_the_same_worker_later_and_later(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        for attempt in (1, 2, 3):
            task = await p.task()
            assert task.attempt == attempt
            await p.service.fail_workflow_task(task.token, Failure(message="no"))
            stage.clock.advance(retry_delay_ns(attempt))

    act(stage, scene)
    assert [retry_delay_ns(attempt) // SECOND for attempt in (1, 2, 3, 6, 7, 10_000)] == [1, 2, 4, 32, 60, 60]


def test_timer_that_fires_while_a_task_is_held_can_still_be_cancelled(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.StartTimer(timer_id="t", duration_ns=SECOND))
        await p.signal()
        task = await p.task()
        stage.clock.advance(SECOND)
        await p.reply(task, c.CancelTimer(timer_id="t"))
        kinds = await p.kinds()
        assert kinds[-1] == "TimerCanceled"
        assert "TimerFired" not in kinds
        await p.signal()
        assert names((await p.task()).events)[-3:] == [
            "WorkflowExecutionSignaled",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
        ]

    act(stage, scene)


def test_query_that_a_worker_leaves_unanswered_is_asked_again(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start(task_timeout_ns=10 * SECOND)
        await p.answer()
        asking = asyncio.ensure_future(p.service.query(QueryRequest(workflow_id="w", name="state")))
        lost = await p.task()
        stage.clock.advance(10 * SECOND)
        again = await p.task()
        with pytest.raises(NotFound):
            await p.service.answer_query(lost.token, value("1"))
        await p.service.answer_query(again.token, value("2"))
        assert text(await asking) == "2"

    act(stage, scene)


def test_time_of_a_history_never_goes_back(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        stage.clock.advance(-HOUR)
        await p.answer()
        times = [event.time_ns for event in await p.history()]
        assert times == sorted(times)

    act(stage, scene)


class Rows:
    """What stands in the file of a stage."""

    def __init__(self, stage: Stage) -> None:
        self.connection = apsw.Connection(str(stage.path))

    def left(self) -> dict[str, int]:
        return {
            table: self.connection.execute(f"SELECT count(*) FROM {table}").get
            for table in ("tasks", "timers", "inbox")
        }

    def phase(self) -> object:
        return self.connection.execute("SELECT state FROM tasks WHERE event > 0").get


def test_attempt_that_was_left_open_times_out_and_is_tried_again(stage: Stage) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(start_to_close_ns=SECOND, retry=RETRY))
        await p.service.leave_open((await p.attempt()).token)
        stage.clock.advance(SECOND)
        (pending,) = (await p.service.describe("w")).pending_activities
        assert (pending.attempt, pending.last_failure is not None) == (2, True)
        stage.clock.advance(SECOND)
        assert (await p.attempt()).attempt == 2

    act(stage, scene)
