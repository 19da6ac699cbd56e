"""The transition tables: every entry is walked, and used by a history that drives a whole run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow import history as h
from monkit_workflow import machines as m
from monkit_workflow import workflow
from monkit_workflow.commands import ScheduleActivityTask
from monkit_workflow.errors import ActivityFailure, ChildAlreadyStarted, ChildFailure, FailureError, Nondeterminism
from monkit_workflow.payload import Failure
from monkit_workflow.runtime import current
from tests.workflow.simulated_service import CONVERTER, History, begin, execution, payload

MINUTE = timedelta(minutes=1)
TABLES = {
    "activity": m.ACTIVITY,
    "timer": m.TIMER,
    "child": m.CHILD,
    "request": m.REQUEST,
    "local": m.LOCAL_ACTIVITY,
}
KINDS: list[type[m.Machine]] = [
    m.ActivityMachine,
    m.TimerMachine,
    m.ChildMachine,
    m.RequestMachine,
    m.LocalActivityMachine,
]
INPUTS = [m.RECORDED, m.BEGUN, m.GIVEN_UP, m.CANCEL_RECORDED, m.ENDED]
STATES = [m.CREATED, m.WITHDRAWN, m.OPEN, m.STARTED, m.CANCELING, m.DONE]


@pytest.mark.parametrize("name", TABLES)
def test_every_step_moves_as_the_table_says_or_is_refused(name: str) -> None:
    table = TABLES[name]

    class Walked(m.Machine):
        pass

    Walked.table = table
    for state in table:
        for given in INPUTS:
            machine = Walked("it", "1", lambda _: None)
            machine.state = state
            if given in table[state]:
                machine.move(given)
                assert machine.state == table[state][given]
            else:
                with pytest.raises(ValueError, match=f"it 1 is {state}, which cannot be followed by {given!r}"):
                    machine.move(given)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached_and_every_one_leads_to_the_end(name: str) -> None:
    table = TABLES[name]
    assert set(table) <= set(STATES)
    assert {state for moves in table.values() for state in moves.values()} | {m.CREATED} == set(table)
    for state in table:
        seen, waiting = set(), [state]
        while waiting:
            at = waiting.pop()
            if at not in seen:
                seen.add(at)
                waiting.extend(table[at].values())
        assert m.DONE in seen
    assert table[m.DONE] == {}


def test_every_machine_has_one_of_the_tables() -> None:
    assert [kind.table for kind in KINDS] == list(TABLES.values())


# Histories that use every entry.


@workflow.define
async def driven(what: str, how: Any, gives_up: str) -> str:
    """Begin one thing, and give it up at once, or after the signal ``give up``, or never."""
    try:
        task = asyncio.ensure_future(DRIVEN[what](how))
        await asyncio.sleep(0)
        if gives_up == "at once":
            task.cancel()
        elif gives_up == "later":
            await workflow.channel("give up").receive()
            task.cancel()
        result = str(await task)
    except asyncio.CancelledError:
        result = "cancelled"
    except FailureError as failure:
        result = f"{type(failure).__name__} by {type(failure.__cause__).__name__}"
    await workflow.channel("stop").receive()
    return result


async def an_activity(how: Any) -> Any:
    return await workflow.execute_activity("it", start_to_close=MINUTE, cancellation=how)


async def a_timer(_: Any) -> None:
    await workflow.sleep(MINUTE)


async def a_child(how: Any) -> Any:
    return await workflow.execute_child("it", id="c", timeout=MINUTE, cancellation=how)


async def a_signal(_: Any) -> None:
    await workflow.external("other").signal("hello")


async def a_cancel(_: Any) -> None:
    await workflow.external("other").cancel()


async def a_local(_: Any) -> Any:
    command = ScheduleActivityTask(activity_id="l", activity_type="it")
    return await current().start_local_activity(command, Any).future


DRIVEN = {
    "activity": an_activity,
    "timer": a_timer,
    "child": a_child,
    "signal": a_signal,
    "cancel": a_cancel,
    "local": a_local,
}

A, T, C = "activity", "timer", "child"
REQUESTED = (h.RequestCancelExternalWorkflowExecutionInitiated, {"workflow_id": "c"})
ASKED = (h.ActivityTaskCancelRequested, {"scheduled_id": 5})
GAVE_UP = "give up"
"""Among events: the signal, and a workflow task whose answer gives up."""
Script = list[Any]
FAILURE = Failure(message="no", type="No")

SCRIPTS: dict[str, tuple[tuple[str, str, str], Script, str]] = {
    # what, how, when it is given up; the events after its command; the result.
    "activity returns": ((A, "try", ""), [h.ActivityTaskStarted, h.ActivityTaskCompleted], "None"),
    "activity fails": (
        (A, "try", ""),
        [h.ActivityTaskStarted, (h.ActivityTaskFailed, {"failure": FAILURE})],
        "ActivityFailure by ApplicationFailure",
    ),
    "activity is never begun": (
        (A, "try", ""),
        [(h.ActivityTaskTimedOut, {"timeout": "schedule_to_start", "failure": FAILURE})],
        "ActivityFailure by TimeoutFailure",
    ),
    "activity is cancelled by others": (
        (A, "try", ""),
        [h.ActivityTaskCanceled],
        "ActivityFailure by CancelledFailure",
    ),
    "activity is given up": (
        (A, "try", "later"),
        [GAVE_UP, ASKED, h.ActivityTaskStarted, h.ActivityTaskCanceled],
        "cancelled",
    ),
    "begun activity is given up": (
        (A, "try", "later"),
        [h.ActivityTaskStarted, GAVE_UP, ASKED, h.ActivityTaskCompleted],
        "cancelled",
    ),
    "activity agrees": ((A, "wait", "later"), [GAVE_UP, ASKED, h.ActivityTaskCanceled], "cancelled"),
    "activity is withdrawn": ((A, "try", "at once"), [ASKED, h.ActivityTaskCanceled], "cancelled"),
    "activity is abandoned": ((A, "abandon", "later"), [GAVE_UP, h.ActivityTaskCompleted], "cancelled"),
    "Cadence knows no such activity": (
        (A, "try", "later"),
        [GAVE_UP, (h.RequestCancelActivityTaskFailed, {"activity_id": "1"}), h.ActivityTaskCompleted],
        "cancelled",
    ),
    "timer fires": ((T, "", ""), [(h.TimerFired, {"timer_id": "1"})], "None"),
    "timer is given up": ((T, "", "later"), [GAVE_UP, (h.TimerCanceled, {"timer_id": "1"})], "cancelled"),
    "timer is withdrawn": ((T, "", "at once"), [(h.TimerCanceled, {"timer_id": "1"})], "cancelled"),
    "timer fires all the same": (
        (T, "", "later"),
        [GAVE_UP, (h.CancelTimerFailed, {"timer_id": "1"}), (h.TimerFired, {"timer_id": "1"})],
        "cancelled",
    ),
    "child returns": ((C, "try", ""), [h.ChildWorkflowExecutionStarted, h.ChildWorkflowExecutionCompleted], "None"),
    "child fails": (
        (C, "try", ""),
        [h.ChildWorkflowExecutionStarted, (h.ChildWorkflowExecutionFailed, {"failure": FAILURE})],
        "ChildFailure by ApplicationFailure",
    ),
    "child times out": (
        (C, "try", ""),
        [h.ChildWorkflowExecutionStarted, h.ChildWorkflowExecutionTimedOut],
        "ChildFailure by TimeoutFailure",
    ),
    "child is terminated": (
        (C, "try", ""),
        [h.ChildWorkflowExecutionStarted, h.ChildWorkflowExecutionTerminated],
        "ChildFailure by TerminatedFailure",
    ),
    "child is cancelled by others": (
        (C, "try", ""),
        [h.ChildWorkflowExecutionStarted, h.ChildWorkflowExecutionCanceled],
        "ChildFailure by CancelledFailure",
    ),
    "child's id is taken": ((C, "try", ""), [h.StartChildWorkflowExecutionFailed], "ChildAlreadyStarted by NoneType"),
    "child is given up": (
        (C, "try", "later"),
        [GAVE_UP, REQUESTED, h.ChildWorkflowExecutionStarted, h.ChildWorkflowExecutionCanceled],
        "cancelled",
    ),
    "running child is given up": (
        (C, "wait", "later"),
        [h.ChildWorkflowExecutionStarted, GAVE_UP, REQUESTED, h.ChildWorkflowExecutionCanceled],
        "cancelled",
    ),
    "child is withdrawn": (
        (C, "try", "at once"),
        [REQUESTED, h.ChildWorkflowExecutionStarted, h.ChildWorkflowExecutionCanceled],
        "cancelled",
    ),
    "signal is delivered": (("signal", "", ""), [h.ExternalWorkflowExecutionSignaled], "None"),
    "signal finds nobody": (
        ("signal", "", ""),
        [h.SignalExternalWorkflowExecutionFailed],
        "ApplicationFailure by NoneType",
    ),
    "request is delivered": (("cancel", "", ""), [h.ExternalWorkflowExecutionCancelRequested], "None"),
    "request finds nobody": (
        ("cancel", "", ""),
        [h.RequestCancelExternalWorkflowExecutionFailed],
        "ApplicationFailure by NoneType",
    ),
    "local activity returns": (("local", "", ""), [], "None"),
    "local activity is given up": (("local", "", "at once"), [], "cancelled"),
}
COMMAND_EVENTS: dict[str, tuple[type[h.Event], dict[str, Any]]] = {
    "activity": (h.ActivityTaskScheduled, {"activity_id": "1", "activity_type": "it"}),
    "timer": (h.TimerStarted, {"timer_id": "1", "duration_ns": 60 * 10**9}),
    "child": (h.StartChildWorkflowExecutionInitiated, {"workflow_id": "c", "workflow_type": "it"}),
    "signal": (h.SignalExternalWorkflowExecutionInitiated, {"workflow_id": "other", "name": "hello"}),
    "cancel": (h.RequestCancelExternalWorkflowExecutionInitiated, {"workflow_id": "other"}),
    "local": (h.MarkerRecorded, {"name": "LocalActivity", "key": "l", "activity_type": "it"}),
}


def scripted(name: str) -> History:
    """The history of a script, with an open task at its end."""
    (what, how, gives_up), script, _ = SCRIPTS[name]
    history = begin(driven, what, how, gives_up)
    history.start_task()
    history.complete_task()
    kind, fields = COMMAND_EVENTS[what]
    history.add(kind, **fields)
    for step in script:
        if step == GAVE_UP:
            history.add(h.WorkflowExecutionSignaled, name=GAVE_UP)
            history.start_task()
            history.complete_task()
        else:
            add(history, step)
    history.add(h.WorkflowExecutionSignaled, name="stop")
    history.start_task()
    return history


def add(history: History, step: Any) -> None:
    kind, fields = step if isinstance(step, tuple) else (step, {})
    if field := "started_id" if kind is h.TimerCanceled else m.ROUTES.get(kind):
        fields = {field: 5, **fields}
    history.add(kind, **fields)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, str, str]]:
    found: set[tuple[int, str, str]] = set()
    move = m.Machine.move

    def noted(self: m.Machine, given: str) -> None:
        before = self.state
        move(self, given)
        found.add((id(self.table), before, given))

    monkeypatch.setattr(m.Machine, "move", noted)
    return found


def outcome(name: str) -> Any:
    """What the code of a script learned."""
    run = execution(driven)
    answer = run.feed(scripted(name).events)
    run.close()
    assert answer is not None
    assert answer.closing is not None
    assert len(answer.commands) == 1
    return CONVERTER.decode(answer.closing.result, str)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SCRIPTS)
def test_history_drives_machine_to_what_the_code_learns(name: str) -> None:
    assert outcome(name) == SCRIPTS[name][2]


def test_histories_use_every_entry_of_every_table(used: set[tuple[int, str, str]]) -> None:
    for name in SCRIPTS:
        outcome(name)
    entries = {
        (name, state, given) for name, table in TABLES.items() for state, moves in table.items() for given in moves
    }
    names = {id(table): name for name, table in TABLES.items()}
    assert entries == {(names[table], state, given) for table, state, given in used}


def test_events_that_contradict_the_table_are_nondeterminism() -> None:
    history = begin(driven, "activity", "try", "")
    history.start_task()
    history.complete_task()
    history.add(COMMAND_EVENTS["activity"][0], **COMMAND_EVENTS["activity"][1])
    history.add(h.ActivityTaskStarted, scheduled_id=5)
    history.add(h.ActivityTaskStarted, scheduled_id=5)
    history.start_task()
    run = execution(driven)
    with pytest.raises(Nondeterminism, match="is started, which cannot be followed by 'begun'"):
        run.feed(history.events)
    run.close()


def test_failures_carry_names_and_ids() -> None:
    errors: list[Any] = []

    @workflow.define
    async def fails() -> None:
        for step in (an_activity, a_child, a_child):
            try:
                await step("try")
            except FailureError as error:
                errors.append(error)

    history = begin(fails)
    history.start_task()
    history.complete_task()
    history.add(h.ActivityTaskScheduled, activity_id="1", activity_type="it")
    history.add(h.ActivityTaskTimedOut, scheduled_id=5, timeout="heartbeat", details=(payload(3),))
    history.start_task()
    history.complete_task()
    child = history.add(h.StartChildWorkflowExecutionInitiated, workflow_id="c", workflow_type="it")
    history.add(h.ChildWorkflowExecutionStarted, initiated_id=child, run_id="r")
    history.add(h.ChildWorkflowExecutionFailed, initiated_id=child, failure=FAILURE)
    history.start_task()
    history.complete_task()
    child = history.add(h.StartChildWorkflowExecutionInitiated, workflow_id="c", workflow_type="it")
    history.add(h.StartChildWorkflowExecutionFailed, initiated_id=child)
    history.start_task()
    run = execution(fails)
    run.feed(history.events)
    run.close()
    activity, failed, taken = errors
    assert isinstance(activity, ActivityFailure)
    assert (activity.activity_type, activity.activity_id) == ("it", "1")
    assert (activity.__cause__.kind, activity.__cause__.details) == ("heartbeat", (3,))  # type: ignore[union-attr]
    assert isinstance(failed, ChildFailure)
    assert (failed.workflow_type, failed.workflow_id, failed.run_id) == ("it", "c", "r")
    assert isinstance(taken, ChildAlreadyStarted)
