"""Markers of Temporal's SDKs in neutral form.

Each SDK has its own layout of what a marker holds: Go (and PHP, which runs on
it), Java, and the core that Python, TypeScript, .NET and Ruby share. Layouts
follow ``internal_command_state_machine.go`` of sdk-go, ``VersionMarkerUtils``,
``LocalActivityMarkerUtils`` and ``MutableSideEffectStateMachine`` of sdk-java and
``external_data.proto`` of sdk-core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from monkit_workflow.foreign import Fields, json_value
from monkit_workflow.payload import Payload, Payloads
from monkit_workflow.temporal.values import Protobuf

__all__ = ["marker"]

_PROTOBUF = Protobuf()


class _Details:
    """What a marker holds: lists of payloads by name."""

    def __init__(self, attributes: Fields) -> None:
        self.fields = attributes.at("details")
        self.payloads: dict[str, Payloads] = attributes.mapping("details", _PROTOBUF.payloads)

    def first(self, *names: str) -> Payload | None:
        """The first payload under the first of *names* that is there; none for a function that returned nothing."""
        for name in names:
            if self.payloads.get(name):
                return _PROTOBUF.first(self.payloads[name])
        return None

    def said(self, *names: str) -> Fields:
        """The JSON value of the first payload under one of *names*, as what the empty key leads to."""
        return self.fields.alone(json_value(self.first(*names)), names[0])

    def label(self, *names: str) -> str:
        """The string or number under one of *names*, as text."""
        said = self.said(*names)
        value = said.get("")
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else said.text("")

    def number(self, name: str) -> int:
        """The number under *name*."""
        return self.said(name).integer("")


def marker(attributes: Fields) -> dict[str, Any]:
    """The fields of a `MarkerRecorded`, all but those of every event."""
    name = attributes.text("markerName")
    details = _Details(attributes)
    failure = _PROTOBUF.failure(attributes, "failure")
    read = _MARKERS.get(name)
    found = read(details) if read else {"name": name, "details": details.payloads}
    completed = attributes.integer("workflowTaskCompletedEventId")
    return {**found, "failure": failure, "task_completed_id": completed}


def _version(details: _Details) -> dict[str, Any]:
    key = details.label("change-id", "changeId")
    if not key or details.first("version") is None:
        raise details.fields.bad("version", None, "the id of a change and its version")
    return {"name": "Version", "key": key, "version": details.number("version")}


def _patch(details: _Details) -> dict[str, Any]:
    """A patch of the core's, which is a change from no version to version 1."""
    key = details.said("patch-data").at("").text("id")
    old = details.payloads.get("patch_id")
    if not key and old:  # the bytes of the name, in the days before JSON
        said = json_value(old[0])
        key = said if isinstance(said, str) else bytes(old[0].data).decode(errors="replace")
    if not key:
        raise details.fields.bad("patch-data", None, "the id of a patch")
    return {"name": "Version", "key": key, "version": 1}


def _side_effect(details: _Details) -> dict[str, Any]:
    return {"name": "SideEffect", "key": details.label("side-effect-id"), "value": details.first("data")}


def _mutable_side_effect(details: _Details) -> dict[str, Any]:
    """Java counts the calls since the last marker that brought nothing new, Go all calls."""
    if "skipCount" in details.payloads:
        key = details.label("id")
        count: int | None = details.fields.scan.call(key, details.number("skipCount") + 1)
        return {"name": "MutableSideEffect", "key": key, "count": count, "value": details.first("data")}
    count = details.number("mutable-side-effect-call-counter") or None
    data = details.payloads.get("data", ())
    value = _nested(details.fields, data[1]) if len(data) > 1 else None
    return {"name": "MutableSideEffect", "key": details.label("data"), "count": count, "value": value}


def _nested(fields: Fields, payload: Payload) -> Payload | None:
    """The value that Go put into a list of payloads, and that as protobuf's JSON into a payload."""
    if payload.encoding != "json/protobuf":
        return payload
    try:
        message = msgspec.json.decode(payload.binary)
    except ValueError:
        raise fields.bad("data.payloads[1]", payload.binary[:40].decode(errors="replace"), "JSON") from None
    return _PROTOBUF.payload(fields.alone(message, "data.payloads[1]"), "")


def _local_activity(details: _Details) -> dict[str, Any]:
    """Go's and the core's data are one JSON object; Java has a detail for each field."""
    found: dict[str, Any] = {"name": "LocalActivity"}
    if "type" in details.payloads or "activityId" in details.payloads:
        attempt = details.said("meta").at("").integer("atpt")
        key, kind = details.label("activityId"), details.label("type")
        value = details.first("result", "data")
    else:
        data = details.said("data").at("")
        key = data.text("activityId") or data.text("ActivityID")
        kind = data.text("activityType") or data.text("ActivityType")
        attempt = data.integer("attempt") or data.integer("Attempt")
        value = details.first("result")
    return {**found, "key": key, "activity_type": kind, "attempt": max(1, attempt), "value": value}


_MARKERS: dict[str, Callable[[_Details], dict[str, Any]]] = {
    "Version": _version,
    "SideEffect": _side_effect,
    "MutableSideEffect": _mutable_side_effect,
    "LocalActivity": _local_activity,
    "core_patch": _patch,
    "core_local_activity": _local_activity,
}
