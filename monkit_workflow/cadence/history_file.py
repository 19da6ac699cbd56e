"""Cadence's history files, Thrift's JSON, as neutral events."""

from __future__ import annotations

from typing import Any

from monkit_workflow import history
from monkit_workflow.cadence.markers import marker
from monkit_workflow.cadence.values import Thrift
from monkit_workflow.foreign import Fields, clamped, read_each
from monkit_workflow.foreign_events import (
    Column,
    Table,
    attributes_at,
    common_table,
    make_event,
    scheduled_activity,
    timeout_kind,
)
from monkit_workflow.history import Event, MarkerRecorded, OtherEvent
from monkit_workflow.payload import Failure

__all__ = ["read_events"]

_THRIFT = Thrift()
_TASK, _OUR_TASK = "DecisionTask", "WorkflowTask"


def _completed(fields: Fields) -> int:
    return fields.integer("decisionTaskCompletedEventId")


def _task_failure(fields: Fields) -> Failure:
    """Why a decision task failed; its details are text here, no encoded values."""
    message = fields.blob("details").decode(errors="replace") or fields.text("reason")
    return Failure(type=fields.text("cause"), message=message)


_COMMON = common_table(_THRIFT)
_IDS: dict[str, Column] = {
    "scheduled_id": lambda fields: fields.integer("scheduledEventId"),
    "started_id": lambda fields: fields.integer("startedEventId"),
}
_TABLE: Table = {
    **_COMMON,
    "WorkflowTaskFailed": (history.WorkflowTaskFailed, {**_COMMON["WorkflowTaskFailed"][1], "failure": _task_failure}),
    "ActivityTaskTimedOut": (
        history.ActivityTaskTimedOut,
        {
            **_IDS,
            "timeout": lambda fields: timeout_kind(fields, "timeoutType"),
            "details": lambda fields: _THRIFT.payloads(fields, "details"),
            "failure": lambda fields: _THRIFT.failure(fields, "lastFailure"),
        },
    ),
    "ActivityTaskCancelRequested": (
        history.ActivityTaskCancelRequested,
        {
            "scheduled_id": scheduled_activity,
            "activity_id": lambda fields: fields.text("activityId"),
            "task_completed_id": _completed,
        },
    ),
    "RequestCancelActivityTaskFailed": (
        history.RequestCancelActivityTaskFailed,
        {
            "activity_id": lambda fields: fields.text("activityId"),
            "cause": lambda fields: fields.text("cause"),
            "task_completed_id": _completed,
        },
    ),
    "CancelTimerFailed": (
        history.CancelTimerFailed,
        {
            "timer_id": lambda fields: fields.text("timerId"),
            "cause": lambda fields: fields.text("cause"),
            "task_completed_id": _completed,
        },
    ),
}


def read_events(raw_events: list[Any]) -> tuple[Event, ...]:
    """The events of a file's array of them.

    Raises:
        HistoryFormatError: one of them cannot be read.
    """
    return read_each(raw_events, _read)


def _read(fields: Fields) -> Event:
    name = fields.text("eventType")
    if not name:
        raise fields.bad("eventType", None, 'the event\'s type, such as "TimerStarted"')
    time_ns = clamped(fields.integer("timestamp"))
    key = f"{name[0].lower()}{name[1:]}EventAttributes"
    if name == "MarkerRecorded":
        return MarkerRecorded(id=fields.integer("eventId"), time_ns=time_ns, **marker(attributes_at(fields, key)))
    name = _OUR_TASK + name.removeprefix(_TASK) if name.startswith(_TASK) else name
    if name not in _TABLE:
        return OtherEvent(id=fields.integer("eventId"), time_ns=time_ns, name=name)
    return make_event(fields, _TABLE[name], time_ns, key)
