"""Runs that follow on others: retries of a workflow, schedules, signals that start, on every service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import AlreadyStarted, BadRequest
from monkit_workflow.payload import Failure, RetryPolicy
from monkit_workflow.service import Service, SignalRequest, StartRequest
from tests.contract.player import HOUR, SECOND, Player, child, last, names, play, text, value

SOON = RetryPolicy(initial_ns=1_000_000, attempts=3)
FAILURE = Failure(type="Broken", message="so it is")


def began(events: list[h.Event]) -> h.WorkflowExecutionStarted:
    assert isinstance(events[0], h.WorkflowExecutionStarted)
    return events[0]


def test_failed_run_is_followed_by_the_next_attempt_of_its_policy(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start(input=(value("7"),), retry=SOON, memo={"m": value("1")})
        for attempt in (1, 2, 3):
            task = await p.task()
            start = began(list(task.events))
            assert (start.attempt, start.first_run_id, [text(item) for item in start.input]) == (attempt, first, ["7"])
            assert (start.last_failure is None) == (attempt == 1)
            await p.reply(task, c.FailWorkflowExecution(failure=FAILURE))
        end = await p.service.wait_closed("w")
        assert isinstance(end, h.WorkflowExecutionFailed)
        assert end.next_run_id == ""
        second = await p.service.wait_closed("w", first)
        assert isinstance(second, h.WorkflowExecutionFailed)
        assert began(await p.history("w", second.next_run_id)).continued_run_id == first

    play(service, scene)


@pytest.mark.parametrize(
    ("failure", "policy"),
    [
        (FAILURE, None),
        (Failure(type="Broken", non_retryable=True), SOON),
        (FAILURE, RetryPolicy(initial_ns=1, non_retryable=("Broken",))),
        (FAILURE, RetryPolicy(initial_ns=HOUR, expiration_ns=SECOND)),
    ],
    ids=["no policy", "not retryable", "type not retryable", "expired"],
)
def test_failed_run_is_the_last_where_its_policy_says_so(
    service: Service, failure: Failure, policy: RetryPolicy | None
) -> None:
    async def scene(p: Player) -> None:
        await p.start(retry=policy)
        await p.answer(c.FailWorkflowExecution(failure=failure))
        end = await p.service.wait_closed("w")
        assert isinstance(end, h.WorkflowExecutionFailed)
        assert end.next_run_id == ""

    play(service, scene)


def test_run_that_timed_out_is_tried_again(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start(retry=SOON, timeout_ns=1_000_000)
        end = await p.service.wait_closed("w", first)
        assert isinstance(end, h.WorkflowExecutionTimedOut)
        following = began(await p.history("w", end.next_run_id))
        assert following.attempt == 2
        assert following.last_failure is not None
        assert following.last_failure.kind == "timeout"

    play(service, scene)


@pytest.mark.parametrize("ends", ["cancel", "terminate", "complete"])
def test_retry_policy_is_for_failures_only(service: Service, ends: str) -> None:
    async def scene(p: Player) -> None:
        await p.start(retry=SOON)
        if ends == "terminate":
            await p.service.terminate("w")
        elif ends == "cancel":
            await p.service.cancel("w")
            await p.answer(c.CancelWorkflowExecution())
        else:
            await p.answer(c.CompleteWorkflowExecution())
        end: Any = await p.service.wait_closed("w")
        assert getattr(end, "next_run_id", "") == ""

    play(service, scene)


def test_schedule_hands_the_last_result_on(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start(cron="@every 1s")
        assert await p.kinds() == ["WorkflowExecutionStarted"]
        task = await p.task()
        assert began(list(task.events)).last_result is None
        await p.reply(task, c.CompleteWorkflowExecution(result=value('"one"')))
        end = await p.service.wait_closed("w", first)
        assert isinstance(end, h.WorkflowExecutionCompleted)
        start = began(await p.history("w", end.next_run_id))
        assert (text(start.last_result), start.cron, start.attempt) == ('"one"', "@every 1s", 1)
        assert 0 < start.first_task_delay_ns <= SECOND

    play(service, scene)


def test_schedule_that_makes_no_sense_is_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        with pytest.raises(BadRequest, match="five fields"):
            await p.start(cron="now and then")
        await p.start()
        await p.answer(child(cron="61 * * * *"))
        failed = last(await p.history(), h.WorkflowTaskFailed)
        assert (failed.failure.type, "Bad minute" in failed.failure.message) == ("BadCommand", True)

    play(service, scene)


def test_run_whose_time_has_not_come_is_cancelled_at_once(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(cron="@every 9h")
        await p.service.cancel("w")
        assert isinstance(await p.service.wait_closed("w"), h.WorkflowExecutionCanceled)

    play(service, scene)


def test_signals_before_the_time_of_a_run_wait_for_it(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(cron="@every 1s")
        await p.signal("early")
        assert await p.kinds() == ["WorkflowExecutionStarted", "WorkflowExecutionSignaled"]
        assert names((await p.task()).events)[1:] == [
            "WorkflowExecutionSignaled",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
        ]

    play(service, scene)


def test_parent_is_told_of_the_last_attempt_of_its_child_only(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child(retry=RetryPolicy(initial_ns=1, attempts=2)))
        c2 = Player(p.service, "children")
        await c2.answer(c.FailWorkflowExecution(failure=FAILURE))
        await c2.answer(c.CompleteWorkflowExecution(result=value("2")))
        await p.answer()
        while "ChildWorkflowExecutionCompleted" not in (kinds := await p.kinds()):
            await asyncio.sleep(0)
        assert "ChildWorkflowExecutionFailed" not in kinds

    play(service, scene)


def request(**options: Any) -> tuple[StartRequest, SignalRequest]:
    given: dict[str, Any] = {"workflow_type": "Play", "task_queue": "q", "timeout_ns": HOUR, **options}
    name = given.pop("name", "s")
    number = given.setdefault("request_id", name)
    return (
        StartRequest(workflow_id="w", **given),
        SignalRequest(workflow_id="w", name=name, request_id=f"signal-{number}"),
    )


def test_signal_starts_what_is_not_there_and_finds_what_is(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.service.signal_with_start(*request(name="one"))
        again = await p.service.signal_with_start(*request(name="one"))
        second = await p.service.signal_with_start(*request(name="two"))
        assert first == again == second
        assert await p.kinds() == [
            "WorkflowExecutionStarted",
            "WorkflowTaskScheduled",
            "WorkflowExecutionSignaled",
            "WorkflowExecutionSignaled",
        ]
        await p.answer(c.CompleteWorkflowExecution())
        with pytest.raises(AlreadyStarted):
            await p.service.signal_with_start(*request(name="three"))
        third = await p.service.signal_with_start(*request(name="four", id_reuse="allow"))
        assert third != first
        assert "WorkflowExecutionSignaled" in await p.kinds("w", third)

    play(service, scene)
