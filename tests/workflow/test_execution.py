"""Sentences of the design about one run: its order, what is confirmed and what is not taken."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow import workflow
from monkit_workflow.errors import (
    ActivityFailure,
    ApplicationFailure,
    ConversionError,
    MissingTimeout,
    Nondeterminism,
    WorkerError,
)
from monkit_workflow.execution import BEHAVIOUR
from tests.workflow.scripted_run import ScriptedRun, names
from tests.workflow.simulated_service import begin, execution, payload

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def act(name: str, **options: Any) -> asyncio.Future[Any]:
    return workflow.start_activity(name, start_to_close=MINUTE, **options)


def failure_of(commands: tuple[c.Command, ...]) -> Any:
    assert isinstance(commands[-1], c.FailWorkflowExecution)
    return commands[-1].failure


# Attempts, ids, and what is pending.


@workflow.define
async def two_steps() -> str:
    await act("one")
    await workflow.sleep(SECOND)
    return str(await act("two"))


def test_failed_and_timed_out_attempts_of_a_task_are_ignored_starts() -> None:
    history = begin(two_steps)
    for kind in (h.WorkflowTaskFailed, h.WorkflowTaskTimedOut):
        history.start_task()
        history.fail_task(kind)
    history.start_task()
    run = execution(two_steps)
    answer = run.feed(history.events)
    assert answer is not None
    assert names(answer.commands) == ["one"]
    assert run.runtime.loop.now_ns == history.events[-1].time_ns
    run.close()


def test_answer_that_was_not_taken_makes_the_execution_useless() -> None:
    with ScriptedRun(two_steps) as run:
        run.open()
        run.service.fail_task()
        with pytest.raises(WorkerError, match="rebuild"):
            run.execution.feed(run.service.events[-1:])


def test_empty_answer_that_was_not_taken_makes_the_execution_useless_too() -> None:
    with ScriptedRun(two_steps) as run:
        run.task()
        run.signal("nobody").open()
        run.service.fail_task(h.WorkflowTaskTimedOut)
        with pytest.raises(WorkerError, match="rebuild"):
            run.execution.feed(run.service.events[-1:])


def test_ids_are_adopted_from_history_and_not_given_again() -> None:
    history = begin(two_steps)
    history.start_task()
    history.complete_task()
    scheduled = history.add(h.ActivityTaskScheduled, activity_id="7", activity_type="package.one-fm")
    run = execution(two_steps)
    run.feed(history.events)
    assert run.runtime.machines[scheduled].id == "7"
    history.add(h.ActivityTaskCompleted, scheduled_id=scheduled)
    history.start_task()
    answer = run.feed(history.events[run.next_id - 1 :])
    assert answer is not None
    assert answer.commands == (c.StartTimer(timer_id="8", duration_ns=10**9),)
    run.close()


def test_next_task_needs_the_answer_of_the_one_before() -> None:
    history = begin(two_steps)
    history.start_task()
    run = execution(two_steps)
    run.feed(history.events)
    history.start_task()
    with pytest.raises(Nondeterminism, match="no answer of the task before"):
        run.feed(history.events[-2:])
    run.close()


def test_events_with_a_gap_are_refused() -> None:
    run = execution(two_steps)
    history = begin(two_steps)
    history.start_task()
    with pytest.raises(ValueError, match="event 2 came where 1 was expected"):
        run.feed(history.events[1:])
    run.close()


@pytest.mark.parametrize("keeps_pairs", [True, False])
def test_pairs_created_and_given_up_in_one_slice_may_be_in_history_or_not(keeps_pairs: bool) -> None:
    @workflow.define
    async def withdraws() -> None:
        future = act("given up")
        child = asyncio.ensure_future(workflow.start_child("child", id="c", timeout=MINUTE))
        await asyncio.sleep(0)
        for item in (future, child):
            item.cancel()
        async with asyncio.timeout(1):
            pass
        await act("kept")

    history = begin(withdraws)
    history.start_task()
    live = execution(withdraws)
    answer = live.feed(history.events)
    assert answer is not None
    assert names(answer.commands) == ["kept"]
    live.close()
    history.complete_task()
    if keeps_pairs:
        given_up = history.add(h.ActivityTaskScheduled, activity_id="1", activity_type="given up")
        child = history.add(h.StartChildWorkflowExecutionInitiated, workflow_id="c", workflow_type="child")
        history.add(h.ActivityTaskCancelRequested, scheduled_id=given_up)
        request = history.add(h.RequestCancelExternalWorkflowExecutionInitiated, workflow_id="c")
        timer = history.add(h.TimerStarted, timer_id="3", duration_ns=10**9)
        history.add(h.TimerCanceled, timer_id="3", started_id=timer)
    kept = history.add(h.ActivityTaskScheduled, activity_id="4", activity_type="kept")
    if keeps_pairs:
        history.add(h.ExternalWorkflowExecutionCancelRequested, initiated_id=request)
        history.add(h.ChildWorkflowExecutionStarted, initiated_id=child)
        history.add(h.ChildWorkflowExecutionCanceled, initiated_id=child)
        history.add(h.ActivityTaskCanceled, scheduled_id=given_up)
    history.add(h.ActivityTaskCompleted, scheduled_id=kept)
    history.start_task()
    replayed = execution(withdraws)
    answer = replayed.feed(history.events)
    assert answer is not None
    assert names(answer.commands) == ["CompleteWorkflowExecution"]
    assert replayed.runtime.machines == {}
    replayed.close()


# Order.


@workflow.define
class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        self.notes.append("main")
        await workflow.wait_condition(lambda: "stop" in self.notes)
        return self.notes

    @workflow.signal
    def note(self, text: str) -> None:
        self.notes.append(text)

    @workflow.signal
    async def slowly(self, text: str) -> None:
        self.notes.append(f"begin {text}")
        await act(text)
        self.notes.append(f"end {text}")

    @workflow.signal
    def fail(self) -> None:
        raise ApplicationFailure("handler")

    @workflow.signal
    def leave(self) -> None:
        workflow.continue_as_new()

    @workflow.signal
    async def fault(self) -> None:
        raise KeyError("handler")

    @workflow.update
    def change(self, text: str) -> int:
        if text == "bad":
            raise ApplicationFailure("not that", type="Bad")
        if text == "fault":
            raise KeyError(text)
        self.notes.append(text)
        return len(self.notes)

    @workflow.update
    async def later(self, text: str) -> str:
        return str(await act(text))


def test_signals_come_before_the_first_step_of_main_and_keep_their_order() -> None:
    with ScriptedRun(Notes) as run:
        run.signal("note", "1").signal("slowly", "2").signal("note", "3").task()
        run.complete().signal("note", "stop")
        result = ["1", "begin 2", "3", "main", "end 2", "stop"]
        assert run.task()[-1] == c.CompleteWorkflowExecution(result=payload(result))


def accepted(history: Any, *texts: str, name: str = "change") -> None:
    history.complete_task()
    for number, text in enumerate(texts):
        history.add(h.WorkflowExecutionUpdateAccepted, update_id=f"u{number}", name=name, input=(payload(text),))
        if name == "change":
            history.add(h.WorkflowExecutionUpdateCompleted, update_id=f"u{number}", result=payload(number))


def test_accepted_updates_come_before_the_first_step_of_main() -> None:
    history = begin(Notes)
    history.start_task()
    accepted(history, "1", "2")
    history.add(h.WorkflowExecutionSignaled, name="note", input=(payload("stop"),))
    history.start_task()
    run = execution(Notes)
    answer = run.feed(history.events)
    assert answer is not None
    assert answer.commands == (c.CompleteWorkflowExecution(result=payload(["1", "2", "main", "stop"])),)
    run.close()


def test_failure_of_an_update_is_its_callers_and_a_fault_fails_the_task() -> None:
    history = begin(Notes)
    history.start_task()
    accepted(history, "bad")
    run = execution(Notes)
    run.feed(history.events)
    assert run.closing is None
    run.close()
    history = begin(Notes)
    history.start_task()
    accepted(history, "fault")
    run = execution(Notes)
    with pytest.raises(KeyError):
        run.feed(history.events)
    run.close()


def test_update_without_handler_is_told() -> None:
    history = begin(Notes)
    history.start_task()
    accepted(history, "1", name="nobody")
    run = execution(Notes)
    with pytest.raises(Nondeterminism, match="no handler"):
        run.feed(history.events)
    run.close()


def test_async_update_completes_when_its_handler_returns() -> None:
    history = begin(Notes)
    history.start_task()
    accepted(history, "work", name="later")
    scheduled = history.add(h.ActivityTaskScheduled, activity_id="1", activity_type="work")
    history.add(h.ActivityTaskCompleted, scheduled_id=scheduled, result=payload("done"))
    history.start_task()
    run = execution(Notes)
    answer = run.feed(history.events)
    assert answer is not None
    assert answer.commands == (c.CompleteUpdate(update_id="u0", result=payload("done")),)
    run.close()


def test_signal_handler_that_fails_or_continues_ends_the_run() -> None:
    with ScriptedRun(Notes) as run:
        assert failure_of(run.signal("fail").signal("slowly", "never begun").task()).message == "handler"
    with ScriptedRun(Notes) as run:
        assert isinstance(run.signal("leave").task()[-1], c.ContinueAsNewWorkflowExecution)


def test_fault_of_a_signal_handler_fails_the_task() -> None:
    for name, kind in (("fault", KeyError), ("note", ConversionError)):
        with ScriptedRun(Notes) as run, pytest.raises(kind):
            run.signal(name).task()


def test_channel_keeps_signals_from_before_it_was_asked_for() -> None:
    @workflow.define
    async def receives() -> list[int]:
        await workflow.sleep(SECOND)
        numbers = workflow.channel("number", int)
        return [await numbers.receive(), len(numbers), numbers.receive_nowait(), await numbers.receive()]

    with ScriptedRun(receives) as run:
        run.signal("number", 1).task()
        run.signal("number", 2).fire().task()
        assert run.signal("number", 3).task() == (c.CompleteWorkflowExecution(result=payload([1, 1, 2, 3])),)


def test_conditions_wake_one_at_a_time_in_the_order_of_their_registration() -> None:
    @workflow.define
    async def waits() -> list[str]:
        tokens: list[int] = []
        woken: list[str] = []

        async def wait(name: str) -> None:
            await workflow.wait_condition(lambda: bool(tokens))
            tokens.pop()
            woken.append(name)

        waiting = [asyncio.create_task(wait(name)) for name in "abc"]
        await workflow.sleep(SECOND)
        tokens += [1, 2]
        await workflow.sleep(SECOND)
        woken.append("-")
        tokens += [3]
        await asyncio.gather(*waiting)
        return woken

    with ScriptedRun(waits) as run:
        run.task()
        run.fire().task()
        assert run.fire().task() == (c.CompleteWorkflowExecution(result=payload(["a", "b", "-", "c"])),)


@pytest.mark.parametrize("comes_true", [True, False])
def test_condition_with_a_time_out_raises_or_cancels_its_timer(comes_true: bool) -> None:
    @workflow.define
    async def waits() -> str:
        given = workflow.channel("given")
        try:
            await workflow.wait_condition(lambda: len(given) > 0, timeout=SECOND)
        except TimeoutError:
            return "late"
        await act("next")
        return "in time"

    with ScriptedRun(waits) as run:
        assert run.task() == (c.StartTimer(timer_id="1", duration_ns=10**9),)
        if comes_true:
            assert [type(item) for item in run.signal("given").task()] == [c.CancelTimer, c.ScheduleActivityTask]
        else:
            assert run.fire().task() == (c.CompleteWorkflowExecution(result=payload("late")),)


# What the worker is told.


def test_missing_time_out_fails_the_task_even_if_it_is_swallowed() -> None:
    @workflow.define
    async def swallows(child: bool) -> None:
        try:
            await (workflow.execute_child("child") if child else workflow.execute_activity("activity"))
        except Exception:
            await workflow.sleep(SECOND)

    for child in (True, False):
        with ScriptedRun(swallows, child) as run, pytest.raises(MissingTimeout):
            run.task()


def test_failed_activity_and_undecodable_result_are_raised_where_they_are_awaited() -> None:
    @workflow.define
    async def awaits() -> list[str]:
        found = []
        for _ in range(2):
            try:
                await act("work", returns=int)
            except (ActivityFailure, ConversionError) as error:
                found.append(type(error).__name__)
        return found

    with ScriptedRun(awaits) as run:
        run.task()
        scheduled = run.of(h.ActivityTaskScheduled)[-1]
        run.add(h.ActivityTaskTimedOut, scheduled_id=scheduled.id, timeout="heartbeat").task()
        result = payload(["ActivityFailure", "ConversionError"])
        assert run.complete("no number").task() == (c.CompleteWorkflowExecution(result=result),)


def test_run_keeps_the_rules_of_behaviour_that_it_began_with() -> None:
    for flag in (0, BEHAVIOUR):
        history = begin(two_steps)
        history.start_task()
        history.complete_task(flag)
        history.add(h.ActivityTaskScheduled, activity_id="1", activity_type="one")
        run = execution(two_steps)
        run.feed(history.events)
        assert run.behaviour == flag
        run.close()


@pytest.mark.parametrize("cached", [True, False])
def test_newer_rules_of_behaviour_are_refused_before_anything_else(cached: bool) -> None:
    history = begin(two_steps)
    history.start_task()
    run = execution(two_steps)
    if cached:
        run.feed(history.events)
    history.complete_task(BEHAVIOUR + 1)
    history.add(h.TimerStarted, timer_id="1", duration_ns=1)
    with pytest.raises(WorkerError, match="newer version of monkit-py"):
        run.feed(history.events[run.next_id - 1 :])
    run.close()


def test_nondeterminism_tells_event_history_code_and_advice() -> None:
    history = begin(two_steps)
    history.start_task()
    history.complete_task()
    history.add(h.TimerStarted, timer_id="1", duration_ns=2 * 10**9)
    run = execution(two_steps)
    with pytest.raises(Nondeterminism) as caught:
        run.feed(history.events)
    assert str(caught.value).startswith(
        "the workflow's code does not follow its history at event 5: "
        "history has TimerStarted of 2 s, the code asked for the activity 'one'. Deploy the code"
    )
    assert caught.value.event_id == 5
    run.close()


def test_end_of_what_was_never_asked_for_is_nondeterminism() -> None:
    history = begin(two_steps)
    history.add(h.TimerFired, timer_id="1", started_id=99)
    history.start_task()
    run = execution(two_steps)
    with pytest.raises(Nondeterminism, match="TimerFired, the code never asked"):
        run.feed(history.events)
    run.close()
