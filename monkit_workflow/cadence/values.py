"""Values as Cadence's history files write them: Thrift structs in JSON.

Bytes are base64, durations whole seconds, and failures a reason with details,
where reasons that begin with ``cadenceInternal:`` are reserved.
"""

from __future__ import annotations

from typing import Any

import msgspec

from monkit_workflow.foreign import BINARY, Fields, blob_payload, clamped, is_json, json_value
from monkit_workflow.foreign_events import TIMEOUTS
from monkit_workflow.history import IdReuse
from monkit_workflow.payload import Failure, Payload, Payloads, RetryPolicy, json_payload

__all__ = ["Thrift", "failure_of", "first_payload", "split"]

_NAMES = {
    "namespace": "domain",
    "taskQueue.name": "taskList.name",
    "workflowTaskCompletedEventId": "decisionTaskCompletedEventId",
    "workflowExecutionExpirationTime": "expirationTimestamp",
}
_DURATIONS = {
    "workflowRunTimeout": "executionStartToCloseTimeoutSeconds",
    "workflowTaskTimeout": "taskStartToCloseTimeoutSeconds",
    "firstWorkflowTaskBackoff": "firstDecisionTaskBackoffSeconds",
    "backoffStartInterval": "backoffStartIntervalInSeconds",
}
_RESERVED = "cadenceInternal:"


class Thrift:
    """The dialect of Cadence's files."""

    id_reuse: IdReuse = "failed_only"  # what the service takes it for

    def key(self, name: str) -> str:
        """What Cadence calls *name*."""
        return _NAMES.get(name, name)

    def duration(self, fields: Fields, name: str) -> int:
        """Whole seconds, in nanoseconds."""
        return _seconds(fields, _DURATIONS.get(name, f"{name}Seconds"))

    def moment(self, fields: Fields, name: str) -> int:
        """Nanoseconds since the epoch, as they are."""
        return clamped(fields.integer(self.key(name)))

    def attempt(self, fields: Fields) -> int:
        """The number of the attempt; Cadence counts from 0."""
        return max(0, fields.integer("attempt")) + 1

    def payload(self, fields: Fields, key: str) -> Payload | None:
        """The one value in a blob."""
        return first_payload(fields.blob(key))

    def payloads(self, fields: Fields, key: str) -> Payloads:
        """The values in a blob."""
        return split(fields.blob(key))

    def payload_map(self, fields: Fields, key: str) -> dict[str, Payload]:
        """One blob by name."""
        return fields.mapping(key, lambda item, name: blob_payload(item.blob(name)))

    def failure(self, fields: Fields, name: str) -> Failure | None:
        """Reason and details, whose keys begin with *name* or, for what just failed, with nothing."""
        reason, details = fields.text(f"{name}Reason"), fields.blob(f"{name}Details")
        if name == "failure" and not reason:
            reason, details = fields.text("reason"), fields.blob("details")
        return failure_of(reason, details) if reason or details else None

    def retry(self, fields: Fields) -> RetryPolicy | None:
        """The retry policy, which may end by time as well as by attempts."""
        if fields.get("retryPolicy") is None:
            return None
        policy = fields.at("retryPolicy")
        return RetryPolicy(
            initial_ns=_seconds(policy, "initialIntervalInSeconds"),
            coefficient=policy.decimal("backoffCoefficient") or 2.0,
            maximum_interval_ns=_seconds(policy, "maximumIntervalInSeconds"),
            attempts=policy.integer("maximumAttempts"),
            expiration_ns=_seconds(policy, "expirationIntervalInSeconds"),
            non_retryable=policy.texts("nonRetriableErrorReasons"),
        )


def _seconds(fields: Fields, key: str) -> int:
    return clamped(fields.integer(key) * 1_000_000_000)


def split(blob: bytes) -> Payloads:
    """The values in *blob*, as which clients encode the arguments of a call.

    Go writes a JSON document and a newline for each. Java writes the one value,
    or an array of several without a newline; its array of one element can only
    be one value that is a list. A Java list of several elements cannot be told
    from several values and is taken for them. What is no JSON is one value.
    """
    if not blob:
        return ()
    if is_json(blob):
        if blob.startswith(b"[") and not blob.endswith(b"\n"):
            elements = msgspec.json.decode(blob, type=list[msgspec.Raw])
            if len(elements) > 1:
                return tuple(json_payload(bytes(element)) for element in elements)
        return (blob_payload(blob),)
    values = tuple(blob_payload(line) for line in blob.split(b"\n") if line.strip())
    if not values or any(value.encoding == BINARY for value in values):
        return (blob_payload(blob),)
    return values


def first_payload(blob: bytes) -> Payload | None:
    """The value in *blob*, which a function returned; a list stays one."""
    return blob_payload(blob) if is_json(blob) else next(iter(split(blob)), None)


def failure_of(reason: str, details: bytes) -> Failure:
    """The failure that Cadence tells as *reason* and *details*.

    The type of an error of the program is its reason, also if that is one of the
    reserved ``cadenceInternal:Generic`` and ``…:Panic``: retry policies name it so.
    """
    values = split(details)
    kind, _, timeout = reason.removeprefix(_RESERVED).partition(" ") if reason.startswith(_RESERVED) else ("", "", "")
    if kind == "Canceled":
        return Failure(kind="canceled", details=values)
    if kind == "Timeout":
        return Failure(kind="timeout", timeout=TIMEOUTS.get(timeout.replace("_", "").lower()), details=values)
    said = [json_value(value) for value in values]
    if kind in ("Generic", "Panic"):  # the message, and of a panic the stack
        texts = [value for value in said if isinstance(value, str)] or [details.decode(errors="replace")]
        return Failure(type=reason, message=texts[0], stack=texts[1] if len(texts) > 1 else "")
    return Failure(type=reason, message=_java_message(said[0]) if said else "", details=values)


def _java_message(thrown: Any) -> str:
    """The message of a Java exception, which its client puts into the details whole."""
    message = thrown.get("detailMessage") if isinstance(thrown, dict) else None
    return message if isinstance(message, str) else ""
