"""What each command of an accepted answer makes of a run. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.commands import Command
from monkit_workflow.history import Event
from monkit_workflow.sqlite import chains, lifecycle
from monkit_workflow.sqlite.attempts import end_activity
from monkit_workflow.sqlite.state import RunState, TimerKind, deadlines
from monkit_workflow.sqlite.transition import Transition

__all__ = ["decide"]


def decide(t: Transition, state: RunState, command: Command) -> None:
    """Write the event of a command, and what the service does for it."""
    _DECISIONS[type(command)](t, state, command)


def _activity(t: Transition, state: RunState, command: c.ScheduleActivityTask) -> None:
    event = t.append(state, h.ActivityTaskScheduled, task_completed_id=state.answer_id, **asdict(command))
    for kind, due_ns in deadlines(state.activities[event.id]).items():
        t.set_timer(state, kind, event.id, due_ns)
    t.change_task(state, event.id)


def _cancel_activity(t: Transition, state: RunState, command: c.RequestCancelActivityTask) -> None:
    scheduled_id = state.activity_ids[command.activity_id]
    activity = state.activities[scheduled_id]
    t.append(
        state,
        h.ActivityTaskCancelRequested,
        scheduled_id=scheduled_id,
        activity_id=command.activity_id,
        task_completed_id=state.answer_id,
    )
    if activity.phase == "started":
        t.change_task(state, scheduled_id)  # the next heartbeat tells
    elif activity.phase != "ended":
        end_activity(t, state, activity, h.ActivityTaskCanceled(id=0, time_ns=t.now_ns, scheduled_id=scheduled_id))


def _timer(t: Transition, state: RunState, command: c.StartTimer) -> None:
    event = t.append(
        state,
        h.TimerStarted,
        timer_id=command.timer_id,
        duration_ns=command.duration_ns,
        task_completed_id=state.answer_id,
    )
    t.set_timer(state, TimerKind.USER, event.id, state.timers[command.timer_id].due_ns)


def _cancel_timer(t: Transition, state: RunState, command: c.CancelTimer) -> None:
    timer = state.timers[command.timer_id]
    if timer.fired:  # the code has not seen it and never shall
        for seq, event in list(state.buffered.items()):
            if isinstance(event, h.TimerFired) and event.started_id == timer.started_id:
                t.withdraw(state, seq)
    else:
        t.drop_timer(state, TimerKind.USER, timer.started_id, timer.due_ns)
    t.append(
        state,
        h.TimerCanceled,
        timer_id=command.timer_id,
        started_id=timer.started_id,
        task_completed_id=state.answer_id,
    )


def _child(t: Transition, state: RunState, command: c.StartChildWorkflowExecution) -> None:
    event = t.append(
        state, h.StartChildWorkflowExecutionInitiated, task_completed_id=state.answer_id, **asdict(command)
    )
    lifecycle.start_child(t, state, event)


def _signal(t: Transition, state: RunState, command: c.SignalExternalWorkflowExecution) -> None:
    sent = t.append(
        state, h.SignalExternalWorkflowExecutionInitiated, task_completed_id=state.answer_id, **asdict(command)
    )
    names = {"initiated_id": sent.id, "workflow_id": sent.workflow_id, "run_id": sent.run_id}
    target = _target(t, state, command)
    outcome: Event
    if target is None:
        outcome = h.SignalExternalWorkflowExecutionFailed(id=0, time_ns=t.now_ns, **names)  # type: ignore[arg-type]
    elif target.length >= t.limits.history_events or target.bytes >= t.limits.history_bytes:
        outcome = h.SignalExternalWorkflowExecutionFailed(
            id=0,
            time_ns=t.now_ns,
            cause="resource_exhausted",
            **names,  # type: ignore[arg-type]
        )
    else:
        t.deliver(
            target,
            h.WorkflowExecutionSignaled(
                id=0, time_ns=t.now_ns, name=command.name, input=command.input, header=command.header
            ),
        )
        outcome = h.ExternalWorkflowExecutionSignaled(id=0, time_ns=t.now_ns, **names)  # type: ignore[arg-type]
    t.deliver(state, outcome)


def _cancel(t: Transition, state: RunState, command: c.RequestCancelExternalWorkflowExecution) -> None:
    sent = t.append(
        state, h.RequestCancelExternalWorkflowExecutionInitiated, task_completed_id=state.answer_id, **asdict(command)
    )
    names: dict[str, Any] = {"initiated_id": sent.id, "workflow_id": sent.workflow_id, "run_id": sent.run_id}
    target = _target(t, state, command)
    outcome: Event
    if target is None:
        outcome = h.RequestCancelExternalWorkflowExecutionFailed(id=0, time_ns=t.now_ns, **names)
    else:
        lifecycle.request_cancel(
            t,
            target,
            reason=command.reason,
            external_initiated_id=sent.id,
            external_workflow_id=state.workflow_id,
            external_run_id=state.run_id,
        )
        outcome = h.ExternalWorkflowExecutionCancelRequested(id=0, time_ns=t.now_ns, **names)
    t.deliver(state, outcome)


def _target(
    t: Transition,
    state: RunState,
    command: c.SignalExternalWorkflowExecution | c.RequestCancelExternalWorkflowExecution,
) -> RunState | None:
    """The open run that a command addresses."""
    if command.child_only:
        for child in state.children.values():
            initiated = child.initiated
            if initiated.workflow_id == command.workflow_id and command.run_id in ("", child.run_id):
                return lifecycle.current_run(t, child)
        return None
    key = t.runs.find(command.workflow_id, command.run_id)
    if key is None:
        return None
    target = t.runs.get(key)
    return target if target.open else None


def _marker(t: Transition, state: RunState, command: c.RecordMarker) -> None:
    t.append(state, h.MarkerRecorded, task_completed_id=state.answer_id, **asdict(command))


def _attributes(t: Transition, state: RunState, command: c.UpsertSearchAttributes) -> None:
    t.append(
        state,
        h.UpsertWorkflowSearchAttributes,
        attributes=command.attributes,
        task_completed_id=state.answer_id,
    )
    t.index(state, command.attributes)


def _memo(t: Transition, state: RunState, command: c.ModifyWorkflowProperties) -> None:
    t.append(state, h.WorkflowPropertiesModified, memo=command.memo, task_completed_id=state.answer_id)


def _accept_update(t: Transition, state: RunState, command: c.AcceptUpdate) -> None:
    t.append(state, h.WorkflowExecutionUpdateAccepted, **asdict(command))


def _reject_update(t: Transition, state: RunState, command: c.RejectUpdate) -> None:
    """Nothing of it is recorded."""


def _complete_update(t: Transition, state: RunState, command: c.CompleteUpdate) -> None:
    t.append(state, h.WorkflowExecutionUpdateCompleted, **asdict(command))


def _complete(t: Transition, state: RunState, command: c.CompleteWorkflowExecution) -> None:
    chains.complete(t, state, command.result)


def _fail(t: Transition, state: RunState, command: c.FailWorkflowExecution) -> None:
    chains.fail(t, state, command.failure)


def _canceled(t: Transition, state: RunState, command: c.CancelWorkflowExecution) -> None:
    lifecycle.close(t, state, h.WorkflowExecutionCanceled, details=command.details, task_completed_id=state.answer_id)


_DECISIONS: dict[type[Command], Callable[[Transition, RunState, Any], None]] = {
    c.ScheduleActivityTask: _activity,
    c.RequestCancelActivityTask: _cancel_activity,
    c.StartTimer: _timer,
    c.CancelTimer: _cancel_timer,
    c.StartChildWorkflowExecution: _child,
    c.SignalExternalWorkflowExecution: _signal,
    c.RequestCancelExternalWorkflowExecution: _cancel,
    c.RecordMarker: _marker,
    c.UpsertSearchAttributes: _attributes,
    c.ModifyWorkflowProperties: _memo,
    c.AcceptUpdate: _accept_update,
    c.RejectUpdate: _reject_update,
    c.CompleteUpdate: _complete_update,
    c.CompleteWorkflowExecution: _complete,
    c.FailWorkflowExecution: _fail,
    c.CancelWorkflowExecution: _canceled,
    c.ContinueAsNewWorkflowExecution: chains.continue_as_new,
}
