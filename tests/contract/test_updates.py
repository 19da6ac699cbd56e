"""Updates: accepted, refused, answered, each once, on every service that has them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import AlreadyClosed, NotFound, UpdateRejected
from monkit_workflow.payload import Failure
from monkit_workflow.service import Service, UpdateOutcome, UpdateRequest
from tests.contract.player import Player, last, names, play, text, value


async def ask(p: Player, update_id: str = "u", **options: Any) -> asyncio.Task[UpdateOutcome | None]:
    """Send an update that goes on in the background."""
    request = UpdateRequest(workflow_id="w", update_id=update_id, **{"name": "change", **options})
    return asyncio.create_task(p.service.update(request))


def accept(update_id: str = "u") -> c.AcceptUpdate:
    return c.AcceptUpdate(update_id=update_id, name="change")


def complete(update_id: str = "u", result: str = "1") -> c.CompleteUpdate:
    return c.CompleteUpdate(update_id=update_id, result=value(result))


def test_update_is_accepted_and_answered_in_one_task(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = await ask(p, input=(value("5"),))
        task = await p.task()
        (update,) = task.updates
        assert (update.update_id, update.name, [text(item) for item in update.input]) == ("u", "change", ["5"])
        assert names(task.events)[-2:] == ["WorkflowTaskScheduled", "WorkflowTaskStarted"]
        await p.reply(task, accept(), complete())
        outcome = await asked
        assert outcome is not None
        assert text(outcome.result) == "1"
        assert (await p.kinds())[-5:] == [
            "WorkflowTaskScheduled",
            "WorkflowTaskStarted",
            "WorkflowTaskCompleted",
            "WorkflowExecutionUpdateAccepted",
            "WorkflowExecutionUpdateCompleted",
        ]

    play(service, scene)


def test_update_comes_with_the_first_task_of_a_run(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        asked = await ask(p)
        task = await p.task()
        while not task.updates:  # it was on its way when the task was handed out
            await p.reply(task)
            task = await p.task()
        await p.reply(task, accept(), complete())
        assert await asked is not None

    play(service, scene)


def test_refused_update_leaves_no_trace(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        before = await p.kinds()
        for number in range(3):
            asked = await ask(p, f"u{number}")
            task = await p.task()
            failure = Failure(type="TooLate", message="not any more")
            rejected = c.RejectUpdate(update_id=f"u{number}", failure=failure)
            assert await p.service.complete_workflow_task(task.token, [rejected], 1) is False
            with pytest.raises(UpdateRejected, match="not any more") as caught:
                await asked
            assert caught.value.failure == failure
        assert await p.kinds() == before
        await p.signal()
        task = await p.task()
        assert [event.id for event in task.events][-3:] == [len(before) + 1, len(before) + 2, len(before) + 3]

    play(service, scene)


def test_one_answer_may_refuse_one_update_and_take_another(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = [await ask(p, name) for name in ("bad", "good")]
        task = await p.task()
        while len(task.updates) < 2:
            await p.service.fail_workflow_task(task.token, Failure(message="not all are there"))
            task = await Player(p.service, identity="another").task()
        await p.reply(
            task, c.RejectUpdate(update_id="bad", failure=Failure(message="no")), accept("good"), complete("good")
        )
        bad, good = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(bad, UpdateRejected)
        assert isinstance(good, UpdateOutcome)
        assert last(await p.history(), h.WorkflowExecutionUpdateAccepted).update_id == "good"

    play(service, scene)


def test_same_update_runs_once_and_tells_all_who_ask(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        accepted = await ask(p, wait="accepted")
        asked = [await ask(p) for _ in range(2)]
        task = await p.task()
        assert len(task.updates) == 1
        await p.reply(task, accept())
        assert await accepted is None
        assert await (await ask(p, wait="accepted")) is None
        await p.signal()
        await p.answer(complete(result="7"))
        outcomes = [await one for one in asked]
        outcomes.append(await (await ask(p)))
        await p.service.terminate("w")
        outcomes.append(await (await ask(p)))
        assert [text(outcome.result) for outcome in outcomes if outcome] == ["7"] * 4
        assert (await p.kinds()).count("WorkflowExecutionUpdateAccepted") == 1

    play(service, scene)


def test_handler_that_fails_tells_its_caller(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = await ask(p)
        await p.answer(accept(), c.CompleteUpdate(update_id="u", failure=Failure(type="Broken")))
        outcome = await asked
        assert outcome is not None
        assert outcome.failure is not None
        assert outcome.failure.type == "Broken"

    play(service, scene)


@pytest.mark.parametrize("accepted", [True, False])
def test_update_of_a_run_that_ends_first_is_told(service: Service, accepted: bool) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = await ask(p)
        task = await p.task()
        if accepted:
            await p.reply(task, accept())
        await p.service.terminate("w")
        with pytest.raises(AlreadyClosed, match="ended before the update"):
            await asked
        with pytest.raises(AlreadyClosed):
            await (await ask(p, "other"))

    play(service, scene)


def test_update_for_nobody_is_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        with pytest.raises(NotFound):
            await (await ask(p))

    play(service, scene)


def test_update_that_a_failed_task_had_is_brought_again(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = await ask(p)
        task = await p.task()
        await p.service.fail_workflow_task(task.token, Failure(message="no"))
        assert (await p.kinds())[-3:] == ["WorkflowTaskScheduled", "WorkflowTaskStarted", "WorkflowTaskFailed"]
        other = Player(p.service, identity="mended")
        await other.answer(accept(), complete())
        assert await asked is not None

    play(service, scene)


def test_news_that_come_while_a_task_for_updates_waits_are_not_lost(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = await ask(p)
        task = await p.task()
        await p.signal("during")
        await p.service.complete_workflow_task(
            task.token, [c.RejectUpdate(update_id="u", failure=Failure(message="no"))], 1
        )
        with pytest.raises(UpdateRejected):
            await asked
        assert last((await p.task()).events, h.WorkflowExecutionSignaled).name == "during"

    play(service, scene)


def test_update_that_was_not_proposed_cannot_be_accepted_or_completed(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        for command in (accept("unknown"), complete("unknown")):
            task = await p.task()
            await p.reply(task, command)
            p = Player(p.service, identity=f"after {type(command).__name__}")
        description = await p.service.describe("w")
        assert description.task_failure is not None
        assert "no update 'unknown'" in description.task_failure.message

    play(service, scene)


def test_cancelled_caller_takes_its_update_back(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = await ask(p)
        await p.service.describe("w")  # it has arrived
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await p.signal()
        assert (await p.task()).updates == ()

    play(service, scene)
