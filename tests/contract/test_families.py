"""Timers, children, signals and cancellations between runs, on every service."""

from __future__ import annotations

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.commands import Command
from monkit_workflow.history import Event, ParentClose
from monkit_workflow.payload import Failure
from monkit_workflow.service import Service
from tests.contract.player import HOUR, Player, child, last, names, play, text, value


def test_timer_fires(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.StartTimer(timer_id="t", duration_ns=1_000_000))
        fired = last((await p.task()).events, h.TimerFired)
        assert (fired.timer_id, fired.started_id) == ("t", 5)

    play(service, scene)


def test_timer_id_is_free_after_its_timer(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.StartTimer(timer_id="t", duration_ns=0))
        await p.answer(c.StartTimer(timer_id="t", duration_ns=HOUR))
        await p.signal()
        await p.answer(c.CancelTimer(timer_id="t"), c.StartTimer(timer_id="t", duration_ns=0))
        assert last((await p.task()).events, h.TimerFired).timer_id == "t"

    play(service, scene)


def test_run_ends_when_its_time_is_over(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(timeout_ns=1_000_000)
        assert isinstance(await p.service.wait_closed("w"), h.WorkflowExecutionTimedOut)

    play(service, scene)


ENDS: list[tuple[Command, type[Event]]] = [
    (c.CompleteWorkflowExecution(result=value("1")), h.ChildWorkflowExecutionCompleted),
    (c.FailWorkflowExecution(failure=Failure(message="no")), h.ChildWorkflowExecutionFailed),
    (c.CancelWorkflowExecution(), h.ChildWorkflowExecutionCanceled),
]


@pytest.mark.parametrize(("command", "news"), ENDS, ids=lambda item: getattr(item, "__name__", ""))
def test_parent_is_told_how_its_child_ended(service: Service, command: Command, news: type[Event]) -> None:
    async def scene(p: Player) -> None:
        run_id = await p.start()
        await p.answer(child(input=(value("2"),)))
        task = await p.answer()
        started = last(task.events, h.ChildWorkflowExecutionStarted)
        assert (started.initiated_id, started.workflow_id) == (5, "child")
        young = await Player(p.service, "children").answer(command)
        first = young.events[0]
        assert isinstance(first, h.WorkflowExecutionStarted)
        assert (first.parent_workflow_id, first.parent_run_id, first.parent_initiated_id) == ("w", run_id, 5)
        assert text(first.input[0]) == "2"
        event = last((await p.task()).events, news)
        assert (event.initiated_id, event.started_id) == (5, started.id)  # type: ignore[attr-defined]

    play(service, scene)


def test_parent_is_told_of_a_terminated_and_of_a_timed_out_child(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child("a"), child("b", timeout_ns=1_000_000))
        await p.service.wait_closed("b")
        await p.service.terminate("a")
        kinds = await p.kinds()
        assert {"ChildWorkflowExecutionTerminated", "ChildWorkflowExecutionTimedOut"} <= set(kinds)
        assert (await p.service.describe("w")).pending_children == ()

    play(service, scene)


def test_child_that_continues_as_new_stays_the_same_child(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child())
        await p.answer()
        young = Player(p.service, "children")
        await young.answer(c.ContinueAsNewWorkflowExecution(workflow_type="Child"))
        assert (await p.service.describe("w")).pending_children == ("child",)
        await young.answer(c.CompleteWorkflowExecution(result=value("1")))
        completed = last((await p.task()).events, h.ChildWorkflowExecutionCompleted)
        assert text(completed.result) == "1"

    play(service, scene)


def test_child_whose_id_is_taken_is_not_started(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start("child")
        await Player(p.service).answer()
        await p.start()
        await p.answer(child())
        failed = last((await p.task()).events, h.StartChildWorkflowExecutionFailed)
        assert (failed.initiated_id, failed.cause) == (5, "already_started")
        assert (await p.service.describe("w")).pending_children == ()

    play(service, scene)


def test_child_without_timeout_fails_the_task(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child(timeout_ns=0))
        assert last(await p.history(), h.WorkflowTaskFailed).failure.type == "MissingTimeout"

    play(service, scene)


@pytest.mark.parametrize(
    ("policy", "status", "asked"),
    [("terminate", "terminated", False), ("cancel", "running", True), ("abandon", "running", False)],
)
def test_child_is_treated_as_agreed_when_its_parent_ends(
    service: Service, policy: ParentClose, status: str, asked: bool
) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child(parent_close=policy))
        await p.answer(c.CompleteWorkflowExecution())
        assert (await p.service.describe("child")).status == status
        assert ("WorkflowExecutionCancelRequested" in await p.kinds("child")) == asked

    play(service, scene)


def test_child_outlives_a_parent_that_continues_as_new(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child())
        await p.answer(c.ContinueAsNewWorkflowExecution(workflow_type="Play"))
        assert (await p.service.describe("child")).status == "running"

    play(service, scene)


def test_terminated_family_ends_as_a_whole(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child("young"))
        await Player(p.service, "children").answer(child("younger"))
        await p.service.terminate("w")
        for name in ("young", "younger"):
            assert (await p.service.describe(name)).status == "terminated"

    play(service, scene)


def test_signal_reaches_another_run_and_its_sender_is_told(service: Service) -> None:
    async def scene(p: Player) -> None:
        other = Player(p.service, "others")
        await other.start("other")
        await p.start()
        await p.answer(
            c.SignalExternalWorkflowExecution(workflow_id="other", name="hello", input=(value("1"),)),
            c.SignalExternalWorkflowExecution(workflow_id="nobody", name="hello"),
        )
        task = await p.task()
        assert last(task.events, h.ExternalWorkflowExecutionSignaled).initiated_id == 5
        failed = last(task.events, h.SignalExternalWorkflowExecutionFailed)
        assert (failed.initiated_id, failed.cause) == (6, "not_found")
        signal = last((await other.task()).events, h.WorkflowExecutionSignaled)
        assert (signal.name, text(signal.input[0])) == ("hello", "1")

    play(service, scene)


def test_signal_only_for_a_child_does_not_reach_others(service: Service) -> None:
    async def scene(p: Player) -> None:
        await Player(p.service, "others").start("other")
        await p.start()
        await p.answer(
            child(),
            c.SignalExternalWorkflowExecution(workflow_id="child", name="hello", child_only=True),
            c.SignalExternalWorkflowExecution(workflow_id="other", name="hello", child_only=True),
        )
        assert names((await p.task()).events)[-5:-2] == [
            "ChildWorkflowExecutionStarted",
            "ExternalWorkflowExecutionSignaled",
            "SignalExternalWorkflowExecutionFailed",
        ]
        assert "WorkflowExecutionSignaled" in await p.kinds("child")

    play(service, scene)


def test_run_that_signals_itself_hears_it(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(c.SignalExternalWorkflowExecution(workflow_id="w", name="self"))
        assert names((await p.task()).events)[1:4] == [
            "SignalExternalWorkflowExecutionInitiated",
            "WorkflowExecutionSignaled",
            "ExternalWorkflowExecutionSignaled",
        ]

    play(service, scene)


def test_cancel_request_reaches_another_run(service: Service) -> None:
    async def scene(p: Player) -> None:
        run_id = await p.start()
        await p.answer(
            child(),
            c.RequestCancelExternalWorkflowExecution(workflow_id="child", child_only=True, reason="enough"),
            c.RequestCancelExternalWorkflowExecution(workflow_id="nobody"),
        )
        task = await p.task()
        assert last(task.events, h.ExternalWorkflowExecutionCancelRequested).initiated_id == 6
        assert last(task.events, h.RequestCancelExternalWorkflowExecutionFailed).initiated_id == 7
        asked = last((await Player(p.service, "children").task()).events, h.WorkflowExecutionCancelRequested)
        assert (asked.reason, asked.external_workflow_id, asked.external_run_id) == ("enough", "w", run_id)

    play(service, scene)


def test_child_of_a_run_that_ends_in_the_same_answer_is_treated_as_agreed(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child("a"), child("b", parent_close="abandon"), c.CompleteWorkflowExecution())
        assert (await p.service.describe("a")).status == "terminated"
        assert (await p.service.describe("b")).status == "running"
        assert (await p.kinds())[-1] == "WorkflowExecutionCompleted"

    play(service, scene)


def test_run_is_not_its_own_child(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(child("w", id_reuse="terminate"))
        assert names((await p.task()).events)[2] == "StartChildWorkflowExecutionFailed"

    play(service, scene)


def test_child_that_takes_the_id_of_a_forebear_ends_its_own_line(service: Service) -> None:
    async def scene(p: Player) -> None:
        first = await p.start()
        await p.answer(child("middle"))
        await Player(p.service, "children").answer(child("w", id_reuse="terminate"), c.CompleteWorkflowExecution())
        assert (await p.service.describe("w", first)).status == "terminated"
        assert (await p.kinds("middle"))[-1] == "WorkflowExecutionTerminated"

    play(service, scene)
