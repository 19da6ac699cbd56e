"""Whether the commands of a replay are those that history records, and what to say if they are not.

Compared are order, kind and name. Ids are adopted from history; inputs,
time-outs and results are not compared, but for the result that closes a run.
Markers of versions and of mutable side effects may come and go: their values
are found by key, so that removing a call of ``version`` breaks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from monkit_workflow.commands import (
    AcceptUpdate,
    CancelTimer,
    CancelWorkflowExecution,
    Command,
    CompleteUpdate,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    FailWorkflowExecution,
    ModifyWorkflowProperties,
    RecordMarker,
    RequestCancelActivityTask,
    RequestCancelExternalWorkflowExecution,
    ScheduleActivityTask,
    SignalExternalWorkflowExecution,
    StartChildWorkflowExecution,
    StartTimer,
    UpsertSearchAttributes,
)
from monkit_workflow.errors import Nondeterminism
from monkit_workflow.history import (
    COMMAND_EVENTS,
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    CancelTimerFailed,
    Event,
    MarkerRecorded,
    RequestCancelActivityTaskFailed,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionInitiated,
    TimerCanceled,
    TimerStarted,
    UpsertWorkflowSearchAttributes,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionFailed,
    WorkflowExecutionUpdateAccepted,
    WorkflowExecutionUpdateCompleted,
    WorkflowPropertiesModified,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
    short_type_name,
)
from monkit_workflow.machines import CANCEL_RECORDED, Machine
from monkit_workflow.payload import JSON, Payload

__all__ = ["Pending", "adopt", "answer_events", "match", "same_name"]

_CHANGE_VERSIONS = frozenset({"CadenceChangeVersion", "TemporalChangeVersion"})
_MOVABLE_MARKERS = frozenset({"Version", "MutableSideEffect"})

ADVICE: Final = (
    "Deploy the code that this run was started with; or keep the old way in the code and let "
    "workflow.version(...) or workflow.patched(...) choose the new one for new runs."
)


@dataclass(slots=True)
class Pending:
    """A command that history has not confirmed yet."""

    command: Command
    machine: Machine | None = None
    withdrawn: bool = False
    """Created and given up in the same slice, or the command that gives it up."""


# Whether an event confirms a command of the right kind; `adopted` has the event ids of this batch.
Adopted = Mapping[int, int]
Test = Callable[[Any, Any, Machine | None, Adopted], bool]


def same_name(history: str, code: str) -> bool:
    """Whether a type in history is the one that the code names, also with Go's package around it."""
    return history == code or short_type_name(history) == code


def _event_id(machine: Machine | None, adopted: Adopted) -> int:
    return 0 if machine is None else machine.event_id or adopted.get(id(machine), 0)


def _same_timer(event: TimerCanceled, _: CancelTimer, machine: Machine | None, adopted: Adopted) -> bool:
    return event.started_id == _event_id(machine, adopted)


def _same_activity(
    event: ActivityTaskCancelRequested, command: RequestCancelActivityTask, machine: Machine | None, adopted: Adopted
) -> bool:
    if event.scheduled_id:
        return event.scheduled_id == _event_id(machine, adopted)
    return machine is not None and event.activity_id in (machine.id, command.activity_id)  # Cadence


def _same_marker(event: MarkerRecorded, command: RecordMarker, machine: Machine | None, _: Adopted) -> bool:
    if event.name != command.name:
        return False
    return event.name != "LocalActivity" or same_name(event.activity_type, command.activity_type)


def _value(payload: Payload | None) -> Any:
    if payload is None:
        return None
    return msgspec.json.decode(payload.data) if payload.encoding == JSON else payload


def _same_result(event: WorkflowExecutionCompleted, command: CompleteWorkflowExecution, *_: object) -> bool:
    return event.result == command.result or _value(event.result) == _value(command.result)


def _always(*_: object) -> bool:
    return True


_MATCHES: Final[Mapping[type[Event], tuple[type[Command], Test]]] = {
    ActivityTaskScheduled: (ScheduleActivityTask, lambda e, c, *_: same_name(e.activity_type, c.activity_type)),
    ActivityTaskCancelRequested: (RequestCancelActivityTask, _same_activity),
    RequestCancelActivityTaskFailed: (RequestCancelActivityTask, _always),
    TimerStarted: (StartTimer, _always),
    TimerCanceled: (CancelTimer, _same_timer),
    CancelTimerFailed: (CancelTimer, _always),
    StartChildWorkflowExecutionInitiated: (
        StartChildWorkflowExecution,
        lambda e, c, *_: same_name(e.workflow_type, c.workflow_type),
    ),
    SignalExternalWorkflowExecutionInitiated: (
        SignalExternalWorkflowExecution,
        lambda e, c, *_: e.name == c.name and e.workflow_id == c.workflow_id,
    ),
    RequestCancelExternalWorkflowExecutionInitiated: (
        RequestCancelExternalWorkflowExecution,
        lambda e, c, *_: e.workflow_id == c.workflow_id,
    ),
    MarkerRecorded: (RecordMarker, _same_marker),
    UpsertWorkflowSearchAttributes: (UpsertSearchAttributes, _always),
    WorkflowPropertiesModified: (ModifyWorkflowProperties, _always),
    WorkflowExecutionUpdateAccepted: (AcceptUpdate, lambda e, c, *_: e.update_id == c.update_id),
    WorkflowExecutionUpdateCompleted: (CompleteUpdate, lambda e, c, *_: e.update_id == c.update_id),
    WorkflowExecutionCompleted: (CompleteWorkflowExecution, _same_result),
    WorkflowExecutionFailed: (FailWorkflowExecution, _always),
    WorkflowExecutionCanceled: (CancelWorkflowExecution, _always),
    WorkflowExecutionContinuedAsNew: (
        ContinueAsNewWorkflowExecution,
        lambda e, c, *_: same_name(e.workflow_type, c.workflow_type),
    ),
}


def answer_events(events: Sequence[Event], place: int) -> tuple[list[Event], list[Event], int]:
    """The events that an answer made, what else follows them, and where the next task's events begin.

    Among the former may stand what followed at once, such as the end of an
    activity that was cancelled before it began.
    """
    made: list[Event] = []
    after: list[Event] = []
    while place < len(events):
        kind = type(events[place])
        if kind is WorkflowTaskScheduled or kind is WorkflowTaskStarted:
            break
        (made if kind in COMMAND_EVENTS else after).append(events[place])
        place += 1
    return made, after, place


def match(pending: Sequence[Pending], batch: Sequence[Event], completed_id: int) -> list[tuple[Pending, Event]]:
    """Pair the commands of one workflow task with the events that its answer made.

    Pairs that were created and withdrawn in one slice are looked for with and
    without: both customs exist among SDKs.

    Raises:
        Nondeterminism: neither fits.
    """
    events = [event for place, event in enumerate(batch) if not _may_move(batch, place)]
    commands = [item for item in pending if not _may_move_command(item.command)]
    kept = _fit(commands, events)
    if kept is None and any(item.withdrawn for item in commands):
        commands = [item for item in commands if not item.withdrawn]
        kept = _fit(commands, events)
    if kept is None:
        raise _difference(commands, events, completed_id)
    return kept


def adopt(machine: Machine, event: Event) -> None:
    """Give the machine of a matched command the ids that history has."""
    match event:
        case ActivityTaskScheduled():
            machine.recorded(event.id, event.activity_id)
        case TimerStarted():
            machine.recorded(event.id, event.timer_id)
        case (
            StartChildWorkflowExecutionInitiated()
            | SignalExternalWorkflowExecutionInitiated()
            | RequestCancelExternalWorkflowExecutionInitiated()
        ):
            machine.recorded(event.id, event.workflow_id)
        case ActivityTaskCancelRequested() | TimerCanceled():
            machine.move(CANCEL_RECORDED)
        case _:
            pass  # Cadence's "there was nothing to cancel": its end is on the way


def _may_move(batch: Sequence[Event], place: int) -> bool:
    event = batch[place]
    if isinstance(event, MarkerRecorded):
        return event.name in _MOVABLE_MARKERS
    if isinstance(event, UpsertWorkflowSearchAttributes):
        return not event.attributes.keys() - _CHANGE_VERSIONS  # what other SDKs send beside a version
    return False


def _may_move_command(command: Command) -> bool:
    return isinstance(command, RecordMarker) and command.name in _MOVABLE_MARKERS


def _fits(item: Pending, event: Event, adopted: Adopted) -> bool:
    kind, test = _MATCHES[type(event)]
    return type(item.command) is kind and test(event, item.command, item.machine, adopted)


def _fit(commands: Sequence[Pending], events: Sequence[Event]) -> list[tuple[Pending, Event]] | None:
    if len(commands) != len(events):
        return None
    adopted: dict[int, int] = {}
    for item, event in zip(commands, events, strict=True):
        if not _fits(item, event, adopted):
            return None
        if item.machine is not None and not item.machine.event_id:
            adopted.setdefault(id(item.machine), event.id)
    return list(zip(commands, events, strict=True))


def _difference(commands: Sequence[Pending], events: Sequence[Event], completed_id: int) -> Nondeterminism:
    adopted: dict[int, int] = {}
    for item, event in zip(commands, events, strict=False):
        if not _fits(item, event, adopted):
            return Nondeterminism(event.id, show_event(event), show_command(item.command), ADVICE)
        if item.machine is not None and not item.machine.event_id:
            adopted.setdefault(id(item.machine), event.id)
    if len(commands) < len(events):
        event = events[len(commands)]
        return Nondeterminism(event.id, show_event(event), "asked for nothing more in this task", ADVICE)
    after = events[-1].id if events else completed_id
    return Nondeterminism(after, "nothing more of this task", show_command(commands[len(events)].command), ADVICE)


def show_event(event: Event) -> str:
    """*event* in words."""
    named = next(
        (text for field in ("activity_type", "workflow_type", "name") if (text := getattr(event, field, ""))), ""
    )
    shown = f"{type(event).__name__} {named!r}" if named else type(event).__name__
    if isinstance(event, TimerStarted):
        shown += f" of {event.duration_ns / 1e9:g} s"
    if isinstance(event, WorkflowExecutionCompleted):
        shown += f" with {_value(event.result)!r:.200}"
    return shown


def show_command(command: Command) -> str:
    """What the code did, in words."""
    match command:
        case ScheduleActivityTask():
            return f"asked for the activity {command.activity_type!r}"
        case RequestCancelActivityTask():
            return f"cancelled the activity with the id {command.activity_id!r}"
        case StartTimer():
            return f"asked for a timer of {command.duration_ns / 1e9:g} s"
        case CancelTimer():
            return f"cancelled the timer with the id {command.timer_id!r}"
        case StartChildWorkflowExecution():
            return f"asked for the child workflow {command.workflow_type!r}"
        case SignalExternalWorkflowExecution():
            return f"sent the signal {command.name!r} to {command.workflow_id!r}"
        case RequestCancelExternalWorkflowExecution():
            return f"asked {command.workflow_id!r} to cancel"
        case RecordMarker():
            return f"recorded a {command.name} {command.activity_type or command.key!r}"
        case UpsertSearchAttributes():
            return f"changed the search attributes {', '.join(command.attributes)}"
        case ModifyWorkflowProperties():
            return f"changed the memo's {', '.join(command.memo)}"
        case CompleteWorkflowExecution():
            return f"returned {_value(command.result)!r:.200}"
        case FailWorkflowExecution():
            return f"failed with {command.failure.type or command.failure.kind}: {command.failure.message:.200}"
        case ContinueAsNewWorkflowExecution():
            return f"continued as new {command.workflow_type!r}"
        case _:
            return f"gave the command {type(command).__name__}"
