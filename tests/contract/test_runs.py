"""How runs begin, take news and end, on every service."""

from __future__ import annotations

import asyncio

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import AlreadyClosed, AlreadyStarted, MissingTimeout, NotFound, ResourceExhausted
from monkit_workflow.history import IdReuse
from monkit_workflow.payload import Failure, Payload
from monkit_workflow.search_attributes import encode_attributes
from monkit_workflow.service import Service
from tests.contract.player import HOUR, Player, activity, last, names, play, text, value


def test_run_goes_from_start_over_an_activity_to_its_end(service: Service) -> None:
    async def scene(p: Player) -> None:
        run_id = await p.start(input=(value("7"),), memo={"m": value("1")})
        first = await p.answer(activity(input=(value('"x"'),)))
        assert names(first.events) == ["WorkflowExecutionStarted", "WorkflowTaskScheduled", "WorkflowTaskStarted"]
        assert (first.run_id, first.attempt) == (run_id, 1)
        attempt = await p.attempt()
        assert (attempt.activity_type, attempt.attempt, [text(item) for item in attempt.input]) == ("work", 1, ['"x"'])
        await p.service.complete_activity(attempt.token, value("42"))
        await p.answer(c.CompleteWorkflowExecution(result=value('"done"')))
        end = await p.service.wait_closed("w")
        assert isinstance(end, h.WorkflowExecutionCompleted)
        assert text(end.result) == '"done"'
        history = await p.history()
        assert [event.id for event in history] == list(range(1, 12))
        assert names(history) == [
            "WorkflowExecutionStarted",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
            "WorkflowTaskCompleted",
            "ActivityTaskScheduled",
            "ActivityTaskStarted",
            "ActivityTaskCompleted",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
            "WorkflowTaskCompleted",
            "WorkflowExecutionCompleted",
        ]
        completed = last(history, h.ActivityTaskCompleted)
        assert (completed.scheduled_id, completed.started_id, text(completed.result)) == (5, 6, "42")

    play(service, scene)


def test_worker_that_answered_last_gets_only_what_is_new(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        await p.signal()
        task = await p.task()
        assert names(task.events) == [
            "WorkflowTaskCompleted",
            "WorkflowExecutionSignaled",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
        ]
        await p.reply(task)
        await p.signal()
        other = await Player(p.service, identity="other").task()
        assert [event.id for event in other.events] == list(range(1, 12))

    play(service, scene)


def test_events_of_a_task_are_those_that_history_has_after_it(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.signal()
        task = await p.answer(c.CompleteWorkflowExecution())
        assert list(task.events) == (await p.history())[: len(task.events)]

    play(service, scene)


def test_same_request_starts_once(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start(request_id="r")
        assert await p.start(request_id="r") == first
        with pytest.raises(AlreadyStarted) as error:
            await p.start(request_id="other")
        assert error.value.run_id == first

    play(service, scene)


@pytest.mark.parametrize(
    ("reuse", "end", "free"),
    [
        ("allow", "completed", True),
        ("allow", "failed", True),
        ("failed_only", "completed", False),
        ("failed_only", "failed", True),
        ("failed_only", "terminated", True),
        ("failed_only", "canceled", True),
        ("reject", "completed", False),
        ("reject", "failed", False),
        ("terminate", "completed", True),
        ("terminate", "terminated", True),
    ],
)
def test_id_of_a_closed_run_is_used_again_as_the_policy_says(
    service: Service, reuse: IdReuse, end: str, free: bool
) -> None:
    ends = {
        "completed": c.CompleteWorkflowExecution(),
        "failed": c.FailWorkflowExecution(failure=Failure(message="no")),
        "canceled": c.CancelWorkflowExecution(),
    }

    async def scene(p: Player) -> None:
        first = await p.start()
        if end == "terminated":
            await p.service.terminate("w")
        else:
            await p.answer(ends[end])
        assert (await p.service.describe("w")).status == end
        if free:
            assert await p.start(id_reuse=reuse) != first
            assert (await p.service.describe("w")).status == "running"
            assert (await p.service.describe("w", first)).status == end
        else:
            with pytest.raises(AlreadyStarted):
                await p.start(id_reuse=reuse)

    play(service, scene)


def test_policy_terminate_ends_the_running_one_first(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start()
        second = await p.start(id_reuse="terminate")
        assert isinstance(await p.service.wait_closed("w", first), h.WorkflowExecutionTerminated)
        assert (await p.service.describe("w")).run_id == second

    play(service, scene)


def test_run_without_timeout_is_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        with pytest.raises(MissingTimeout):
            await p.start(timeout_ns=0)
        with pytest.raises(NotFound):
            await p.service.describe("w")

    play(service, scene)


def test_signals_keep_their_order(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        for number in range(20):
            await p.signal(str(number))
        task = await p.task()
        assert [event.name for event in task.events if isinstance(event, h.WorkflowExecutionSignaled)] == [
            str(number) for number in range(20)
        ]

    play(service, scene)


def test_same_signal_request_is_delivered_once(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.signal(request_id="r")
        await p.signal(request_id="r")
        assert (await p.kinds()).count("WorkflowExecutionSignaled") == 1

    play(service, scene)


def test_what_is_sent_to_nobody_is_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        for ask in (
            lambda: p.signal(),
            lambda: p.service.cancel("w"),
            lambda: p.service.terminate("w"),
            lambda: p.service.describe("w"),
            lambda: p.service.history("w"),
            lambda: p.service.wait_closed("w"),
        ):
            with pytest.raises(NotFound):
                await ask()
        run_id = await p.start()
        with pytest.raises(NotFound):
            await p.signal(run_id="another")
        await p.service.terminate("w")
        for ask in (
            lambda: p.signal(),
            lambda: p.signal(run_id=run_id),
            lambda: p.service.cancel("w"),
            lambda: p.service.terminate("w"),
        ):
            with pytest.raises(AlreadyClosed):
                await ask()

    play(service, scene)


def test_only_the_first_cancel_request_is_an_event(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.service.cancel("w", reason="first")
        await p.service.cancel("w", reason="second")
        task = await p.answer(c.CancelWorkflowExecution(details=(value("1"),)))
        assert [event.reason for event in task.events if isinstance(event, h.WorkflowExecutionCancelRequested)] == [
            "first"
        ]
        end = await p.service.wait_closed("w")
        assert isinstance(end, h.WorkflowExecutionCanceled)

    play(service, scene)


def test_answer_of_a_terminated_run_is_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        task = await p.task()
        await p.service.terminate("w", reason="enough")
        with pytest.raises(NotFound):
            await p.reply(task, c.CompleteWorkflowExecution())
        end = await p.service.wait_closed("w")
        assert isinstance(end, h.WorkflowExecutionTerminated)
        assert end.reason == "enough"

    play(service, scene)


def test_waiting_for_the_end_ends_with_it(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        waiting = asyncio.create_task(p.service.wait_closed("w"))
        await p.answer(c.FailWorkflowExecution(failure=Failure(message="no")))
        end = await waiting
        assert isinstance(end, h.WorkflowExecutionFailed)
        assert end.failure.message == "no"

    play(service, scene)


def test_run_that_continues_as_new_is_followed_by_the_next(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start(memo={"m": value("1")}, timeout_ns=2 * HOUR)
        await p.answer(c.ContinueAsNewWorkflowExecution(workflow_type="Play", input=(value("2"),)))
        end = await p.service.wait_closed("w", first)
        assert isinstance(end, h.WorkflowExecutionContinuedAsNew)
        task = await p.answer(c.CompleteWorkflowExecution())
        started = task.events[0]
        assert isinstance(started, h.WorkflowExecutionStarted)
        assert task.run_id == end.new_run_id == (await p.service.describe("w")).run_id
        assert (started.continued_run_id, started.first_run_id) == (first, first)
        assert (started.timeout_ns, text(started.memo["m"]), text(started.input[0])) == (2 * HOUR, "1", "2")
        assert (await p.service.describe("w", first)).status == "continued_as_new"

    play(service, scene)


def test_large_payload_is_refused(service: Service) -> None:
    large = Payload(binary=b"x" * (2 * 1024 * 1024 + 1), encoding="binary/plain")

    async def scene(p: Player) -> None:
        with pytest.raises(ResourceExhausted):
            await p.start(input=(large,))
        await p.start()
        with pytest.raises(ResourceExhausted):
            await p.signal(input=(large,))
        await p.answer(activity(input=(large,)))
        assert "20971" in last(await p.history(), h.WorkflowTaskFailed).failure.message

    play(service, scene)


def test_body_that_does_not_fit_a_page_comes_back_whole(service: Service) -> None:
    data = bytes(range(256)) * 400

    async def scene(p: Player) -> None:
        await p.start(input=(Payload(binary=data, encoding="binary/plain"),))
        started = (await p.history())[0]
        assert isinstance(started, h.WorkflowExecutionStarted)
        assert bytes(started.input[0].data) == data

    play(service, scene)


def test_description_tells_what_is_pending(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(memo={"m": value("1")})
        await p.answer(activity("a"), activity("b", task_queue="elsewhere"))
        attempt = await p.attempt()
        await p.service.heartbeat(attempt.token, (value("5"),))
        found = await p.service.describe("w")
        pending = {item.activity_id: item for item in found.pending_activities}
        assert (pending["a"].state, pending["b"].state) == ("started", "scheduled")
        assert text(pending["a"].heartbeat_details[0]) == "5"
        assert (found.status, found.history_length, found.workflow_type) == ("running", 6, "Play")
        assert found.history_bytes > 0
        assert text(found.memo["m"]) == "1"

    play(service, scene)


def test_memo_and_search_attributes_change(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(memo={"m": value("1"), "n": value("2")})
        await p.answer(
            c.ModifyWorkflowProperties(memo={"m": value("3")}),
            c.UpsertSearchAttributes(attributes=encode_attributes({"city": "Ulm"})),
            c.RecordMarker(name="SideEffect", key="k", value=value("4")),
        )
        memo = (await p.service.describe("w")).memo
        assert {name: text(item) for name, item in memo.items()} == {"m": "3", "n": "2"}
        history = await p.history()
        assert text(last(history, h.UpsertWorkflowSearchAttributes).attributes["city"]) == '"Ulm"'
        assert text(last(history, h.MarkerRecorded).value) == "4"

    play(service, scene)
