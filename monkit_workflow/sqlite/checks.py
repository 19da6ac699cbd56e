"""Whether the answer of a workflow task can be taken, before anything of it is written.

Pure: a refusal is a failure record that says what was found and what is wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from monkit_workflow import commands as c
from monkit_workflow.commands import CLOSING_COMMANDS, Command
from monkit_workflow.cron import check_cron
from monkit_workflow.payload import Failure, Payload, merge_payloads
from monkit_workflow.sqlite.attributes import Refusal, refuse_attributes, refuse_memo
from monkit_workflow.sqlite.sizes import record_over
from monkit_workflow.sqlite.state import RunState
from monkit_workflow.sqlite.transition import Limits

__all__ = ["refusal"]


class _Answer:
    """What would be pending after the commands so far."""

    def __init__(self, state: RunState, limits: Limits, types: Mapping[str, str]) -> None:
        self.limits = limits
        self.types = types
        self.new_types: dict[str, str] = {}
        self.attributes = state.attributes
        self.memo = state.memo
        self.activities = set(state.activity_ids)
        self.timers = set(state.timers)
        self.updates = dict(state.updates)
        self.proposed = state.task.proposed if state.task is not None else frozenset()
        self.counts = Counter(
            {c.ScheduleActivityTask: len(state.activities), c.StartChildWorkflowExecution: len(state.children)}
        )


def refusal(state: RunState, commands: list[Command], limits: Limits, types: Mapping[str, str]) -> Failure | None:
    """Why an answer cannot be taken, ``None`` if it can; *types* are those of the search attributes in use."""
    if not commands:
        return None
    answer = _Answer(state, limits, types)
    last = len(commands) - 1
    full = state.length >= limits.history_events or state.bytes >= limits.history_bytes
    for index, command in enumerate(commands):
        found = _check(answer, command, closing=isinstance(command, CLOSING_COMMANDS), last=index == last, full=full)
        if found is not None:
            kind, message = found
            return Failure(kind="server", type=kind, message=f"{type(command).__name__}: {message}")
    return None


def _check(answer: _Answer, command: Command, *, closing: bool, last: bool, full: bool) -> Refusal | None:
    kind = type(command)
    limits = answer.limits
    if closing and not last:
        return "BadCommand", "further commands follow the one that ends the run"
    if full and not closing:
        return "ResourceExhausted", (
            f"the history is at its limit of {limits.history_events} events or {limits.history_bytes} bytes: "
            "the run can only end; continue as new in time"
        )
    if size := record_over(command, limits.payload_bytes):
        return "ResourceExhausted", f"a payload has {size} bytes, more than {limits.payload_bytes}"
    if kind in _COUNTED:
        answer.counts[kind] += 1
        if answer.counts[kind] > limits.pending:
            return "ResourceExhausted", f"more than {limits.pending} {_COUNTED[kind]} would be pending"
    check = _CHECKS.get(kind)
    return check(answer, command) if check is not None else None


def _activity(answer: _Answer, command: c.ScheduleActivityTask) -> Refusal | None:
    if not command.start_to_close_ns and not command.schedule_to_close_ns:
        return "MissingTimeout", f"activity {command.activity_type!r} has neither start_to_close nor schedule_to_close"
    if not command.task_queue:
        return "BadCommand", f"activity {command.activity_type!r} has no task queue"
    if command.activity_id in answer.activities:
        return "BadCommand", f"activity id {command.activity_id!r} is taken by an activity that has not ended"
    answer.activities.add(command.activity_id)
    return None


def _cancel_activity(answer: _Answer, command: c.RequestCancelActivityTask) -> Refusal | None:
    if command.activity_id not in answer.activities:
        return "BadCommand", f"no activity {command.activity_id!r} is pending"
    return None


def _timer(answer: _Answer, command: c.StartTimer) -> Refusal | None:
    if command.timer_id in answer.timers:
        return "BadCommand", f"timer id {command.timer_id!r} is taken by a timer that has not ended"
    if command.duration_ns < 0:
        return "BadCommand", f"timer {command.timer_id!r} lasts {command.duration_ns} ns"
    answer.timers.add(command.timer_id)
    return None


def _cancel_timer(answer: _Answer, command: c.CancelTimer) -> Refusal | None:
    if command.timer_id not in answer.timers:
        return "BadCommand", f"no timer {command.timer_id!r} is pending"
    answer.timers.remove(command.timer_id)
    return None


def _child(answer: _Answer, command: c.StartChildWorkflowExecution) -> Refusal | None:
    if command.timeout_ns <= 0:
        return "MissingTimeout", f"child {command.workflow_id!r} has no execution timeout"
    if command.cron:
        try:
            check_cron(command.cron)
        except ValueError as problem:
            return "BadCommand", str(problem)
    return _notes(answer, command.memo, command.search_attributes)


def _continue(answer: _Answer, command: c.ContinueAsNewWorkflowExecution) -> Refusal | None:
    return _notes(answer, command.memo or {}, command.search_attributes or {})


def _notes(answer: _Answer, memo: Mapping[str, Payload], attributes: Mapping[str, Payload]) -> Refusal | None:
    return refuse_memo(memo, answer.limits) or _refuse(answer, attributes)


def _attributes(answer: _Answer, command: c.UpsertSearchAttributes) -> Refusal | None:
    known = answer.attributes
    answer.attributes = merge_payloads(known, command.attributes)
    return _refuse(answer, {**known, **command.attributes})


def _refuse(answer: _Answer, attributes: Mapping[str, Payload]) -> Refusal | None:
    return refuse_attributes(attributes, answer.types, answer.new_types, answer.limits)


def _memo(answer: _Answer, command: c.ModifyWorkflowProperties) -> Refusal | None:
    answer.memo = merge_payloads(answer.memo, command.memo)
    return refuse_memo(answer.memo, answer.limits)


def _accept(answer: _Answer, command: c.AcceptUpdate) -> Refusal | None:
    if command.update_id not in answer.proposed or command.update_id in answer.updates:
        return "BadCommand", f"there is no update {command.update_id!r} to be accepted"
    answer.updates[command.update_id] = 0
    return None


def _complete_update(answer: _Answer, command: c.CompleteUpdate) -> Refusal | None:
    if answer.updates.get(command.update_id) != 0:
        return "BadCommand", f"no update {command.update_id!r} is accepted and not completed"
    answer.updates[command.update_id] = 1
    return None


_COUNTED: dict[type[Command], str] = {
    c.ScheduleActivityTask: "activities",
    c.StartChildWorkflowExecution: "children",
    c.SignalExternalWorkflowExecution: "signals",
}

_CHECKS: dict[type[Command], Callable[[_Answer, Any], Refusal | None]] = {
    c.ScheduleActivityTask: _activity,
    c.RequestCancelActivityTask: _cancel_activity,
    c.StartTimer: _timer,
    c.CancelTimer: _cancel_timer,
    c.StartChildWorkflowExecution: _child,
    c.UpsertSearchAttributes: _attributes,
    c.ModifyWorkflowProperties: _memo,
    c.ContinueAsNewWorkflowExecution: _continue,
    c.AcceptUpdate: _accept,
    c.CompleteUpdate: _complete_update,
}
