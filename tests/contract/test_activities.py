"""Activities: at most once, retried when a policy says so, cancelled, on every service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import NotFound
from monkit_workflow.payload import Failure, RetryPolicy
from monkit_workflow.service import ActivityIds, Service
from tests.contract.player import HOUR, SECOND, Player, activity, last, names, play, text, value

SOON = RetryPolicy(initial_ns=1_000_000, attempts=3)


def test_failed_activity_is_not_retried_without_a_policy(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity())
        attempt = await p.attempt()
        await p.service.fail_activity(attempt.token, Failure(message="no", type="Oops"))
        task = await p.task()
        failed = last(task.events, h.ActivityTaskFailed)
        assert (failed.failure.type, failed.started_id) == ("Oops", failed.id - 1)

    play(service, scene)


def test_attempts_follow_the_policy_and_count_from_one(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(retry=SOON))
        for number in (1, 2, 3):
            attempt = await p.attempt()
            assert attempt.attempt == number
            await p.service.fail_activity(attempt.token, Failure(message=f"no {number}"))
        task = await p.task()
        started = last(task.events, h.ActivityTaskStarted)
        assert started.attempt == 3
        assert started.last_failure is not None
        assert started.last_failure.message == "no 2"
        assert last(task.events, h.ActivityTaskFailed).failure.message == "no 3"

    play(service, scene)


@pytest.mark.parametrize(
    "failure",
    [Failure(type="Fatal"), Failure(type="Oops", non_retryable=True)],
    ids=["type of the policy", "failure of its own"],
)
def test_failure_that_is_not_retryable_ends_the_activity(service: Service, failure: Failure) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(retry=RetryPolicy(initial_ns=1, non_retryable=("Fatal",))))
        await p.service.fail_activity((await p.attempt()).token, failure)
        assert last((await p.task()).events, h.ActivityTaskStarted).attempt == 1

    play(service, scene)


def test_next_attempt_gets_the_details_of_the_last_heartbeat(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(retry=SOON, heartbeat_ns=HOUR))
        attempt = await p.attempt()
        assert attempt.heartbeat_details == ()
        assert not await p.service.heartbeat(attempt.token, (value("1"),))
        assert not await p.service.heartbeat(attempt.token, (value("2"),))
        await p.service.fail_activity(attempt.token, Failure(message="no"))
        assert [text(item) for item in (await p.attempt()).heartbeat_details] == ["2"]

    play(service, scene)


def test_attempt_ends_once(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(retry=SOON))
        first = await p.attempt()
        await p.service.fail_activity(first.token, Failure(message="no"))
        with pytest.raises(NotFound):
            await p.service.complete_activity(first.token, None)
        second = await p.attempt()
        await p.service.complete_activity(second.token, None)
        for end in (p.service.complete_activity(second.token, None), p.service.heartbeat(second.token)):
            with pytest.raises(NotFound):
                await end
        with pytest.raises(NotFound):
            await p.service.complete_activity("nonsense", None)

    play(service, scene)


def test_activity_that_has_not_begun_is_cancelled_at_once(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(task_queue="elsewhere"))
        await p.signal()
        await p.answer(c.RequestCancelActivityTask(activity_id="a"), c.StartTimer(timer_id="t", duration_ns=HOUR))
        task = await p.task()
        assert names(task.events[-5:]) == [
            "ActivityTaskCancelRequested",
            "TimerStarted",
            "ActivityTaskCanceled",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
        ]

    play(service, scene)


def test_running_activity_is_told_by_its_heartbeat_that_it_is_cancelled(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity())
        attempt = await p.attempt()
        await p.signal()
        await p.answer(c.RequestCancelActivityTask(activity_id="a"))
        assert await p.service.heartbeat(attempt.token)
        await p.service.cancel_activity(attempt.token, (value("1"),))
        canceled = last((await p.task()).events, h.ActivityTaskCanceled)
        assert canceled.started_id == canceled.id - 1
        assert text(canceled.details[0]) == "1"

    play(service, scene)


def test_activity_that_takes_too_long_times_out(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(start_to_close_ns=1_000_000))
        attempt = await p.attempt()
        timed_out = last((await p.task()).events, h.ActivityTaskTimedOut)
        assert (timed_out.timeout, timed_out.started_id) == ("start_to_close", timed_out.id - 1)
        with pytest.raises(NotFound):
            await p.service.complete_activity(attempt.token, None)

    play(service, scene)


def test_activity_that_nobody_takes_times_out(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(task_queue="nobody", schedule_to_start_ns=1_000_000, retry=SOON))
        timed_out = last((await p.task()).events, h.ActivityTaskTimedOut)
        assert (timed_out.timeout, timed_out.started_id) == ("schedule_to_start", 0)

    play(service, scene)


def test_cancelled_poll_loses_no_attempt(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        for _ in range(20):
            poll = asyncio.create_task(p.attempt())
            await asyncio.sleep(0)
            poll.cancel()
        await p.answer(activity())
        assert (await p.attempt()).attempt == 1

    play(service, scene)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"start_to_close_ns": 0}, "MissingTimeout"),
        ({"task_queue": ""}, "BadCommand"),
    ],
)
def test_wrong_activity_fails_the_task_and_nothing_is_lost(
    service: Service, options: dict[str, Any], expected: str
) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.StartTimer(timer_id="t", duration_ns=HOUR), activity(**options))
        assert (await p.kinds())[-1] == "WorkflowTaskFailed"
        assert last(await p.history(), h.WorkflowTaskFailed).failure.type == expected
        found = await p.service.describe("w")
        assert (found.status, found.task_attempt) == ("running", 2)
        again = await Player(p.service, identity="mended").answer(activity())
        assert again.attempt == 2
        assert (await p.attempt()).activity_id == "a"

    play(service, scene)


def test_activity_id_is_taken_until_its_activity_has_ended(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity("a"), activity("a"))
        assert "'a' is taken" in last(await p.history(), h.WorkflowTaskFailed).failure.message

    play(service, scene)


def test_retries_stop_when_the_next_would_pass_schedule_to_close(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(schedule_to_close_ns=HOUR, retry=RetryPolicy(initial_ns=2 * HOUR)))
        await p.service.fail_activity((await p.attempt()).token, Failure(message="no"))
        assert last((await p.task()).events, h.ActivityTaskFailed).failure.message == "no"

    play(service, scene)


def test_retries_stop_at_the_expiration_of_their_policy(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity(retry=RetryPolicy(initial_ns=2 * SECOND, expiration_ns=SECOND)))
        await p.service.fail_activity((await p.attempt()).token, Failure(message="no"))
        assert last((await p.task()).events, h.ActivityTaskFailed).failure.message == "no"

    play(service, scene)


def test_attempt_is_ended_by_the_ids_of_its_activity(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(*(activity(name, heartbeat_ns=HOUR) for name in ("done", "failed", "given up")))
        ids = {name: ActivityIds(workflow_id="w", activity_id=name) for name in ("done", "failed", "given up")}
        for _ in ids:
            await p.service.leave_open((await p.attempt()).token)
        await p.service.complete_activity(ids["done"], value("1"))
        await p.service.fail_activity(ids["failed"], Failure(type="Broken"))
        await p.answer(c.RequestCancelActivityTask(activity_id="given up"))
        assert await p.service.heartbeat(ids["given up"], (value("2"),))
        await p.service.cancel_activity(ids["given up"])
        assert names((await p.task()).events)[-4:-2] == ["ActivityTaskStarted", "ActivityTaskCanceled"]
        kinds = await p.kinds()
        assert {"ActivityTaskCompleted", "ActivityTaskFailed", "ActivityTaskCanceled"} <= set(kinds)
        with pytest.raises(NotFound, match="'done'"):
            await p.service.complete_activity(ids["done"], None)

    play(service, scene)


def test_ids_of_an_attempt_that_has_not_begun_are_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity("a"))
        for workflow_id, activity_id in (("w", "a"), ("w", "b"), ("v", "a")):
            with pytest.raises(NotFound):
                await p.service.complete_activity(ActivityIds(workflow_id=workflow_id, activity_id=activity_id), None)

    play(service, scene)
