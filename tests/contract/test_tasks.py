"""Workflow tasks: news while one is held, failures, pollers that go, on every service."""

from __future__ import annotations

import asyncio

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import NotFound, QueryFailed, Unavailable
from monkit_workflow.payload import Failure
from monkit_workflow.service import QueryRequest, Service
from tests.contract.player import HOUR, Player, activity, last, names, play, text, value


def test_signal_while_a_task_is_held_comes_after_its_events(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        task = await p.task()
        await p.signal("early")
        assert "WorkflowExecutionSignaled" not in await p.kinds()
        await p.reply(task, c.StartTimer(timer_id="t", duration_ns=HOUR))
        assert (await p.kinds())[2:] == [
            "WorkflowTaskStarted",
            "WorkflowTaskCompleted",
            "TimerStarted",
            "WorkflowExecutionSignaled",
            "WorkflowTaskScheduled",
        ]
        assert last((await p.task()).events, h.WorkflowExecutionSignaled).name == "early"

    play(service, scene)


def test_run_does_not_end_before_its_code_has_seen_every_signal(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        task = await p.task()
        await p.signal("late")
        await p.reply(task, c.CompleteWorkflowExecution())
        again = await p.task()
        assert [event.id for event in again.events] == list(range(1, 8))
        assert names(again.events[2:]) == [
            "WorkflowTaskStarted",
            "WorkflowTaskFailed",
            "WorkflowExecutionSignaled",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
        ]
        assert again.attempt == 1
        assert last(again.events, h.WorkflowTaskFailed).failure.type == "UnhandledEvents"
        await p.reply(again, c.CompleteWorkflowExecution())
        assert isinstance(await p.service.wait_closed("w"), h.WorkflowExecutionCompleted)

    play(service, scene)


def test_activity_that_ends_while_a_task_is_held_ends_once(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity())
        attempt = await p.attempt()
        await p.signal()
        task = await p.task()
        await p.service.complete_activity(attempt.token, value("1"))
        with pytest.raises(NotFound):
            await p.service.complete_activity(attempt.token, value("2"))
        await p.reply(task)
        completed = last((await p.task()).events, h.ActivityTaskCompleted)
        assert (completed.started_id, text(completed.result)) == (completed.id - 1, "1")

    play(service, scene)


def test_timer_that_fires_while_its_cancellation_is_on_the_way_never_fired(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.StartTimer(timer_id="t", duration_ns=1), c.StartTimer(timer_id="u", duration_ns=HOUR))
        task = await p.task()
        assert names(task.events)[-3] == "TimerFired"
        await p.reply(task, c.StartTimer(timer_id="v", duration_ns=HOUR))
        await p.signal()
        await p.answer(c.CancelTimer(timer_id="v"), c.CancelTimer(timer_id="u"), c.CompleteWorkflowExecution())
        assert (await p.kinds())[-3:] == ["TimerCanceled", "TimerCanceled", "WorkflowExecutionCompleted"]

    play(service, scene)


def test_failing_task_is_written_once_and_offered_to_a_new_worker_at_once(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        for number in (1, 2, 3):
            worker = Player(p.service, identity=f"worker {number}")
            task = await worker.task()
            assert task.attempt == number
            await p.service.fail_workflow_task(task.token, Failure(message=f"no {number}", type="Oops"))
        assert (await p.kinds()).count("WorkflowTaskFailed") == 1
        found = await p.service.describe("w")
        assert found.task_attempt == 4
        assert found.task_failure is not None
        assert found.task_failure.message == "no 3"
        await Player(p.service, identity="mended").answer(c.CompleteWorkflowExecution())
        assert (await p.kinds())[2:] == [
            "WorkflowTaskStarted",
            "WorkflowTaskFailed",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
            "WorkflowTaskCompleted",
            "WorkflowExecutionCompleted",
        ]

    play(service, scene)


def test_later_attempt_shows_the_events_that_its_completion_writes(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.service.fail_workflow_task((await p.task()).token, Failure(message="no"))
        await p.signal()
        task = await Player(p.service, identity="mended").answer()
        assert names(task.events)[-4:] == [
            "WorkflowTaskFailed",
            "WorkflowExecutionSignaled",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
        ]
        assert list(task.events) == (await p.history())[: len(task.events)]

    play(service, scene)


def test_task_that_nobody_answers_is_offered_again(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(task_timeout_ns=1_000_000)
        first = await p.task()
        second = await p.task()
        assert (second.attempt, names(second.events)[3]) == (2, "WorkflowTaskTimedOut")
        with pytest.raises(NotFound):
            await p.reply(first)

    play(service, scene)


def test_further_commands_after_a_closing_one_are_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.CompleteWorkflowExecution(), activity())
        assert last(await p.history(), h.WorkflowTaskFailed).failure.type == "BadCommand"

    play(service, scene)


@pytest.mark.parametrize(
    "commands",
    [
        (c.CancelTimer(timer_id="none"),),
        (c.RequestCancelActivityTask(activity_id="none"),),
        (c.StartTimer(timer_id="t", duration_ns=1), c.StartTimer(timer_id="t", duration_ns=1)),
        (c.StartTimer(timer_id="t", duration_ns=-1),),
        (c.AcceptUpdate(update_id="u"),),
    ],
    ids=lambda commands: type(commands[-1]).__name__,
)
def test_command_that_cannot_be_done_fails_the_task(service: Service, commands: tuple[c.Command, ...]) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(*commands)
        assert (await p.kinds())[2:] == ["WorkflowTaskStarted", "WorkflowTaskFailed"]

    play(service, scene)


def test_cancelled_poll_loses_no_task(service: Service) -> None:
    async def scene(p: Player) -> None:
        for _ in range(20):
            poll = asyncio.create_task(p.task())
            await asyncio.sleep(0)
            starting = asyncio.create_task(p.start(id_reuse="terminate"))
            await asyncio.sleep(0)
            poll.cancel()
            await starting
        assert (await p.task()).attempt == 1

    play(service, scene)


def test_pollers_are_served_in_the_order_they_came(service: Service) -> None:
    async def scene(p: Player) -> None:
        polls = [asyncio.create_task(p.task()) for _ in range(3)]
        await asyncio.sleep(0)
        for name in ("a", "b", "c"):
            await p.start(name)
        assert [(await poll).workflow_id for poll in polls] == ["a", "b", "c"]

    play(service, scene)


def test_stopped_worker_gets_none_and_others_go_on(service: Service) -> None:
    async def scene(p: Player) -> None:
        other = Player(p.service, identity="other")
        ours = asyncio.create_task(p.service.poll_workflow_task("q", p.identity))
        theirs = asyncio.create_task(other.task())
        activities = asyncio.create_task(p.service.poll_activity_task("q", p.identity))
        await asyncio.sleep(0)
        await p.service.stop_polling(p.identity)
        assert (await ours, await activities) == (None, None)
        await p.start()
        assert (await theirs).workflow_id == "w"

    play(service, scene)


def test_closing_ends_polls_with_none_and_other_waits_as_unavailable(service: Service) -> None:
    waits: list[asyncio.Task[object]] = []

    async def scene(p: Player) -> None:
        await p.start()
        await p.task()
        for wait in (
            p.service.poll_workflow_task("q", "w"),
            p.service.poll_activity_task("q", "w"),
            p.service.wait_closed("w"),
            p.service.query(QueryRequest(workflow_id="w", name="state")),
        ):
            waits.append(asyncio.create_task(wait))
        await p.service.describe("w")  # the waits came before it

    async def bounded() -> None:
        async with asyncio.timeout(30):
            async with service:
                await scene(Player(service))
            ends = await asyncio.gather(*waits, return_exceptions=True)
            assert ends[:2] == [None, None]
            assert [type(end) for end in ends[2:]] == [Unavailable, Unavailable]
            with pytest.raises(Unavailable):
                await service.describe("w")

    asyncio.run(bounded())


async def ask(p: Player, name: str = "state") -> str | None:
    return text(await p.service.query(QueryRequest(workflow_id="w", name=name, input=(value("1"),))))


def test_query_waits_for_the_last_task_and_leaves_no_trace(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        asking = asyncio.create_task(ask(p))
        task = await p.task()
        assert task.query is None
        await p.reply(task)
        before = await p.kinds()
        question = await p.task()
        assert question.query is not None
        assert (question.query.name, question.events, text(question.query.input[0])) == ("state", (), "1")
        await p.service.answer_query(question.token, value("2"))
        assert await asking == "2"
        assert await p.kinds() == before
        with pytest.raises(NotFound):
            await p.service.answer_query(question.token, value("3"))

    play(service, scene)


def test_closed_run_answers_queries(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.CompleteWorkflowExecution())
        asking = asyncio.create_task(ask(p))
        question = await p.task()
        await p.service.answer_query(question.token, None, Failure(message="there is no such query"))
        with pytest.raises(QueryFailed, match="there is no such query"):
            await asking
        with pytest.raises(NotFound):
            await p.service.query(QueryRequest(workflow_id="nobody", name="state"))

    play(service, scene)


def test_run_whose_task_fails_says_so_when_asked(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        asking = asyncio.create_task(ask(p))
        task = await p.task()
        await p.service.fail_workflow_task(task.token, Failure(message="broken", type="Oops"))
        with pytest.raises(QueryFailed, match="Oops: broken"):
            await asking
        with pytest.raises(QueryFailed, match="Oops: broken"):
            await ask(p)

    play(service, scene)


def test_cancelled_poll_loses_no_query(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        poll = asyncio.create_task(p.task())
        await asyncio.sleep(0)
        asking = asyncio.create_task(ask(p))
        await asyncio.sleep(0)
        poll.cancel()
        question = await p.task()
        await p.service.answer_query(question.token, value("2"))
        assert await asking == "2"

    play(service, scene)


def test_only_the_first_cancel_request_is_kept_while_a_task_is_held(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        task = await p.task()
        await p.service.cancel("w")
        await p.service.cancel("w")
        await p.reply(task)
        assert (await p.kinds()).count("WorkflowExecutionCancelRequested") == 1

    play(service, scene)


def test_token_of_nothing_is_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        for token in ("", "nonsense", "999:0:1", "1:2:3:4"):
            with pytest.raises(NotFound):
                await p.service.complete_workflow_task(token, [], 1)

    play(service, scene)


def test_extended_task_is_followed_by_the_next_one_of_the_same_worker(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        task = await p.task()
        await p.signal("meanwhile")
        following = await p.service.extend_workflow_task(task.token, [c.StartTimer(timer_id="t", duration_ns=HOUR)], 1)
        assert names(following.events)[-4:] == [
            "TimerStarted",
            "WorkflowExecutionSignaled",
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
        ]
        await p.reply(following, c.CompleteWorkflowExecution())
        assert (await p.service.describe("w")).status == "completed"
        with pytest.raises(NotFound):
            await p.service.extend_workflow_task(following.token, [], 1)

    play(service, scene)


def test_extension_that_is_refused_fails_the_task(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        task = await p.task()
        with pytest.raises(NotFound, match="could not be extended"):
            await p.service.extend_workflow_task(task.token, [activity(start_to_close_ns=0)], 1)
        failure = (await p.service.describe("w")).task_failure
        assert failure is not None
        assert failure.type == "MissingTimeout"

    play(service, scene)
