"""Values as Temporal's history files write them: protobuf messages in JSON."""

from __future__ import annotations

import calendar
import re
from datetime import datetime

import msgspec

from monkit_workflow.foreign import BINARY, Fields, blob_payload, clamped
from monkit_workflow.foreign_events import timeout_kind
from monkit_workflow.history import IdReuse
from monkit_workflow.payload import JSON, Failure, Payload, Payloads, RetryPolicy, json_payload

__all__ = ["Protobuf"]

_NULL = "binary/null"
_ABSENT = json_payload(b"null")  # this very object stands for "no value", which other SDKs tell from a null
_DURATION = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,9}))?s")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class Protobuf:
    """The dialect of Temporal's files."""

    id_reuse: IdReuse = "allow"  # what the service takes it for

    def key(self, name: str) -> str:
        """*name*, for the table is written in Temporal's."""
        return name

    def duration(self, fields: Fields, name: str) -> int:
        """A duration as ``"1.5s"``, in nanoseconds."""
        value = fields.get(name)
        if value is None:
            return 0
        if isinstance(value, dict):
            return clamped(_seconds_and_nanos(fields.at(name)))
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise fields.bad(name, value, 'a duration such as "1.5s"')
        sign, seconds, fraction = found.groups()
        return 0 if sign else clamped(int(seconds) * 1_000_000_000 + _nanoseconds(fraction))

    def moment(self, fields: Fields, name: str) -> int:
        """A time as RFC 3339, in nanoseconds since the epoch; the year 1 is how Go writes none."""
        value = fields.get(name)
        if value is None:
            return 0
        if isinstance(value, dict):
            return clamped(_seconds_and_nanos(fields.at(name)))
        found = _TIME.fullmatch(value) if isinstance(value, str) else None
        try:
            if found is None:
                raise ValueError
            day, clock, fraction, zone = found.groups()
            moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
            seconds = calendar.timegm(moment.utctimetuple())
        except (ValueError, OverflowError):
            raise fields.bad(name, value, 'a time such as "2006-01-02T15:04:05.000000006Z"') from None
        return clamped(seconds * 1_000_000_000 + _nanoseconds(fraction))

    def attempt(self, fields: Fields) -> int:
        """The number of the attempt; it was 0 in old files."""
        return max(1, fields.integer("attempt"))

    def one(self, fields: Fields, key: str) -> Payload:
        """The message ``Payload`` at *key*, or the plain value that a file with shorthand has instead."""
        value = fields.get(key)
        if value is None:
            return _ABSENT
        if not isinstance(value, dict) or not ("data" in value or "metadata" in value):
            return json_payload(msgspec.json.encode(value))
        message = fields.at(key)
        metadata = message.mapping("metadata", lambda item, name: item.blob(name).decode(errors="replace"))
        encoding = metadata.pop("encoding", "")
        data = message.blob("data")
        if encoding == _NULL:
            return _ABSENT
        if encoding == JSON:
            return blob_payload(data, metadata)
        return Payload(binary=data, encoding=encoding or BINARY, metadata=metadata)

    def payloads(self, fields: Fields, key: str) -> Payloads:
        """The message ``Payloads`` at *key*, or the array of plain values that a file with shorthand has instead."""
        holder, inner = (fields, key) if isinstance(fields.get(key), list) else (fields.at(key), "payloads")
        return tuple(
            self.one(holder.alone(value, f"{inner}[{index}]"), "") for index, value in enumerate(holder.array(inner))
        )

    def first(self, values: Payloads) -> Payload | None:
        """The first of *values*; none of a function that returned nothing."""
        return values[0] if values and values[0] is not _ABSENT else None

    def payload(self, fields: Fields, key: str) -> Payload | None:
        """The first payload of the message ``Payloads`` at *key*."""
        return self.first(self.payloads(fields, key))

    def payload_map(self, fields: Fields, key: str) -> dict[str, Payload]:
        """Payloads by name; the object around their map is sometimes left out."""
        return fields.mapping(key, self.one)

    def failure(self, fields: Fields, name: str) -> Failure | None:
        """The message ``Failure`` at *name*, with its causes."""
        if fields.get(name) is None:
            return None
        message = fields.at(name)
        failure = Failure(
            message=message.text("message"), stack=message.text("stackTrace"), cause=self.failure(message, "cause")
        )
        for key, read in _INFOS.items():
            if message.get(key) is not None:
                return msgspec.structs.replace(failure, **read(self, message.at(key)))
        return failure

    def retry(self, fields: Fields) -> RetryPolicy | None:
        """The message ``RetryPolicy``; a coefficient of 0 is one that was not given."""
        if fields.get("retryPolicy") is None:
            return None
        policy = fields.at("retryPolicy")
        return RetryPolicy(
            initial_ns=self.duration(policy, "initialInterval"),
            coefficient=policy.decimal("backoffCoefficient") or 2.0,
            maximum_interval_ns=self.duration(policy, "maximumInterval"),
            attempts=policy.integer("maximumAttempts"),
            non_retryable=policy.texts("nonRetryableErrorTypes"),
        )


def _nanoseconds(fraction: str | None) -> int:
    return int((fraction or "0").ljust(9, "0"))


def _seconds_and_nanos(fields: Fields) -> int:
    """A duration or time in the form that JavaScript's dumps have."""
    return fields.integer("seconds") * 1_000_000_000 + fields.integer("nanos")


def _application(read: Protobuf, info: Fields) -> dict[str, object]:
    details = read.payloads(info, "details")
    return {"type": info.text("type"), "non_retryable": info.boolean("nonRetryable"), "details": details}


def _timeout(read: Protobuf, info: Fields) -> dict[str, object]:
    details = read.payloads(info, "lastHeartbeatDetails")
    return {"kind": "timeout", "timeout": timeout_kind(info, "timeoutType"), "details": details}


def _activity(read: Protobuf, info: Fields) -> dict[str, object]:
    return {"kind": "activity", "type": info.text("activityType.name"), "id": info.text("activityId")}


def _child(read: Protobuf, info: Fields) -> dict[str, object]:
    execution = info.at("workflowExecution")
    ids = {"id": execution.text("workflowId"), "run_id": execution.text("runId")}
    return {"kind": "child", "type": info.text("workflowType.name"), **ids}


_INFOS = {
    "applicationFailureInfo": _application,
    "timeoutFailureInfo": _timeout,
    "canceledFailureInfo": lambda read, info: {"kind": "canceled", "details": read.payloads(info, "details")},
    "terminatedFailureInfo": lambda read, info: {"kind": "terminated"},
    "serverFailureInfo": lambda read, info: {"kind": "server", "non_retryable": info.boolean("nonRetryable")},
    "activityFailureInfo": _activity,
    "childWorkflowExecutionFailureInfo": _child,
}
"""What each kind of failure adds to the message, by the key that says of which kind it is."""
