"""Temporal's history files, protobuf's JSON, as neutral events.

Files of any age and writer are meant: event types as
``EVENT_TYPE_TIMER_STARTED`` or ``TimerStarted``, keys in camelCase or snake_case.
"""

from __future__ import annotations

from typing import Any

from monkit_workflow import history
from monkit_workflow.foreign import Fields, read_each
from monkit_workflow.foreign_events import Table, attributes_at, common_table, make_event, timeout_kind
from monkit_workflow.history import Event, MarkerRecorded, OtherEvent
from monkit_workflow.temporal.markers import marker
from monkit_workflow.temporal.values import Protobuf

__all__ = ["read_events", "type_name", "workflow_id"]

_PROTOBUF = Protobuf()
_PREFIX = "EVENT_TYPE_"


def _update_id(fields: Fields) -> str:
    """The update's id; the protocol's instance has the same, and is there when the request is not."""
    return fields.text("acceptedRequest.meta.updateId") or fields.text("protocolInstanceId")


_TABLE: Table = {
    **common_table(_PROTOBUF),
    "ActivityTaskTimedOut": (
        history.ActivityTaskTimedOut,
        {
            "scheduled_id": lambda fields: fields.integer("scheduledEventId"),
            "started_id": lambda fields: fields.integer("startedEventId"),
            "timeout": lambda fields: timeout_kind(fields.at("failure"), "timeoutFailureInfo.timeoutType"),
            "details": lambda fields: _PROTOBUF.payloads(
                fields.at("failure.timeoutFailureInfo"), "lastHeartbeatDetails"
            ),
            "failure": lambda fields: _PROTOBUF.failure(fields.at("failure"), "cause"),
        },
    ),
    "WorkflowPropertiesModified": (
        history.WorkflowPropertiesModified,
        {
            "memo": lambda fields: _PROTOBUF.payload_map(fields, "upsertedMemo.fields"),
            "task_completed_id": lambda fields: fields.integer("workflowTaskCompletedEventId"),
        },
    ),
    "WorkflowExecutionUpdateAccepted": (
        history.WorkflowExecutionUpdateAccepted,
        {
            "update_id": _update_id,
            "name": lambda fields: fields.text("acceptedRequest.input.name"),
            "input": lambda fields: _PROTOBUF.payloads(fields, "acceptedRequest.input.args"),
            "header": lambda fields: _PROTOBUF.payload_map(fields, "acceptedRequest.input.header.fields"),
        },
    ),
    "WorkflowExecutionUpdateCompleted": (
        history.WorkflowExecutionUpdateCompleted,
        {
            "update_id": lambda fields: fields.text("meta.updateId"),
            "result": lambda fields: _PROTOBUF.payload(fields, "outcome.success"),
            "failure": lambda fields: _PROTOBUF.failure(fields, "outcome.failure"),
        },
    ),
}


def type_name(name: str) -> str:
    """*name* of an event type as ``TimerStarted``, however the file spells it."""
    if not name.startswith(_PREFIX):
        return name
    return "".join(part.capitalize() for part in name.removeprefix(_PREFIX).split("_"))


def read_events(raw_events: list[Any]) -> tuple[Event, ...]:
    """The events of a file's array of them.

    Raises:
        HistoryFormatError: one of them cannot be read.
    """
    return read_each(raw_events, _read)


def _read(fields: Fields) -> Event:
    name = type_name(fields.text("eventType"))
    if not name:
        raise fields.bad("eventType", None, 'the event\'s type, such as "EVENT_TYPE_TIMER_STARTED"')
    time_ns = _PROTOBUF.moment(fields, "eventTime")
    key = f"{name[0].lower()}{name[1:]}EventAttributes"
    if name == "MarkerRecorded":
        return MarkerRecorded(id=fields.integer("eventId"), time_ns=time_ns, **marker(attributes_at(fields, key)))
    if name not in _TABLE:
        return OtherEvent(id=fields.integer("eventId"), time_ns=time_ns, name=name)
    return make_event(fields, _TABLE[name], time_ns, key)


def workflow_id(raw_events: list[Any]) -> str:
    """The workflow's id, which the first event of newer files tells."""
    started = raw_events[0].get("workflowExecutionStartedEventAttributes")
    found = started.get("workflowId") if isinstance(started, dict) else None
    return found if isinstance(found, str) else ""
