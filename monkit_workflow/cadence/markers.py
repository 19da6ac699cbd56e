"""Markers of Cadence's clients in neutral form.

Go writes the fields of a marker one after the other into its details. Java puts
them, as a JSON object, into a header and has the value alone in the details; its
oldest files have the object in the details. Layouts follow
``internal_decision_state_machine.go`` and ``internal_event_handlers.go`` of the Go
client, ``MarkerHandler`` and ``LocalActivityMarkerData`` of the Java client.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from monkit_workflow.cadence.values import failure_of, first_payload, split
from monkit_workflow.foreign import Fields, blob_payload, is_json, json_value
from monkit_workflow.payload import Payload

__all__ = ["marker"]

_MUTABLE_HEADER = "MutableMarkerHeader"
_LOCAL_ACTIVITY_HEADER = "LocalActivityHeader"
_JAVA_TYPE = "ActivityType(name:"  # Thrift's text of the struct


def marker(attributes: Fields) -> dict[str, Any]:
    """The fields of a `MarkerRecorded`, all but those of every event."""
    name = attributes.text("markerName")
    read = _MARKERS.get(name)
    completed = {"task_completed_id": attributes.integer("decisionTaskCompletedEventId")}
    if read is not None:
        return {"name": name, **read(attributes), **completed}
    values = split(attributes.blob("details"))
    return {"name": name, "details": {"details": values} if values else {}, **completed}


def _header(attributes: Fields, name: str) -> Fields | None:
    """What a header says, a JSON object, if there is one."""
    if attributes.at("header.fields").raw.get(name) is None:
        return None
    said = json_value(blob_payload(attributes.blob(f"header.fields.{name}")))
    return attributes.alone(said, f"header.fields.{name}").at("")


def _said(attributes: Fields) -> list[Any]:
    """The values of the JSON documents in the details."""
    return [json_value(value) for value in split(attributes.blob("details"))]


def _wrong(attributes: Fields, expected: str) -> Exception:
    return attributes.bad("details", attributes.blob("details")[:40].decode(errors="replace"), expected)


def _java_marker(attributes: Fields) -> tuple[Fields, bytes] | None:
    """Id and count of a Java marker, and its value."""
    header = _header(attributes, _MUTABLE_HEADER)
    if header is not None:
        return header, attributes.blob("details")
    said = _said(attributes)
    if len(said) != 1 or not isinstance(said[0], dict):
        return None
    plain = attributes.alone(said[0], "details").at("")
    data = plain.get("data")
    if not isinstance(data, list):
        return plain, plain.blob("data")
    if not all(isinstance(byte, int) for byte in data):
        raise plain.bad("data", data, "an array of bytes")
    return plain, bytes(byte & 0xFF for byte in data)  # they are signed there


def _version(attributes: Fields) -> dict[str, Any]:
    java = _java_marker(attributes)
    if java is not None:
        key, version = java[0].text("id"), json_value(blob_payload(java[1]))
    else:
        said = _said(attributes)
        if len(said) < 2:
            raise _wrong(attributes, "the id of a change and its version")
        key, version = said[0], said[1]
    if not isinstance(key, str) or not isinstance(version, int) or isinstance(version, bool):
        raise _wrong(attributes, "the id of a change and its version")
    return {"key": key, "version": attributes.alone(version, "details").integer("")}


def _side_effect(attributes: Fields) -> dict[str, Any]:
    """Go's is a number and base64; Java's is the value alone."""
    said = _said(attributes)
    if len(said) == 2 and isinstance(said[0], int) and isinstance(said[1], str):
        value = attributes.alone(said[1], "details").blob("")
        return {"key": str(said[0]), "value": first_payload(value)}
    return {"value": first_payload(attributes.blob("details"))}


def _mutable_side_effect(attributes: Fields) -> dict[str, Any]:
    """Go does not say at which call the value changed; Java counts from the last marker of the same id."""
    java = _java_marker(attributes)
    if java is not None:
        key = java[0].text("id")
        count = attributes.scan.call(key, java[0].integer("accessCount"))
        return {"key": key, "count": count, "value": first_payload(java[1])}
    said = _said(attributes)
    if len(said) != 2 or not isinstance(said[0], str) or not isinstance(said[1], str):
        raise _wrong(attributes, "the id of a side effect and its value")
    return {"key": said[0], "value": _text_value(said[1])}


def _text_value(text: str) -> Payload | None:
    """A value that is kept as text: as it is, or in base64."""
    data = text.encode()
    if not is_json(data):
        try:
            decoded = base64.b64decode(data, validate=True)
        except ValueError:
            decoded = b""
        if is_json(decoded):
            return blob_payload(decoded)
    return first_payload(data)


def _local_activity(attributes: Fields) -> dict[str, Any]:
    header = _header(attributes, _LOCAL_ACTIVITY_HEADER)
    if header is not None:
        return _java_local_activity(header, attributes.blob("details"))
    said = _said(attributes)
    if len(said) != 1 or not isinstance(said[0], dict):
        raise _wrong(attributes, "the JSON object of a local activity")
    names = {name.lower(): value for name, value in said[0].items()}  # ActivityID in old files, activityId since
    data = attributes.alone(names, "details").at("")
    reason, result = data.text("errreason"), data.text("resultjson")
    return {
        "key": data.text("activityid"),
        "activity_type": data.text("activitytype"),
        "attempt": max(0, data.integer("attempt")) + 1,
        "value": _text_value(result) if result else None,
        "failure": failure_of(reason, data.text("errjson").encode()) if reason else None,
    }


def _java_local_activity(header: Fields, details: bytes) -> dict[str, Any]:
    reason, kind = header.text("errReason"), header.text("activityType")
    canceled = header.boolean("isCancelled")
    failure = failure_of("cadenceInternal:Canceled" if canceled else reason, details) if canceled or reason else None
    return {
        "key": header.text("activityId"),
        "activity_type": kind.removeprefix(_JAVA_TYPE).removesuffix(")") if kind.startswith(_JAVA_TYPE) else kind,
        "attempt": max(0, header.integer("attempt")) + 1,
        "value": None if failure else first_payload(details),
        "failure": failure,
    }


_MARKERS: dict[str, Callable[[Fields], dict[str, Any]]] = {
    "Version": _version,
    "SideEffect": _side_effect,
    "MutableSideEffect": _mutable_side_effect,
    "LocalActivity": _local_activity,
}
