"""Values as they travel and as they are kept: payloads, failures and retry policies.

Nothing here knows Python values beyond bytes: `monkit_workflow.converter` turns
one into the other. Durations are integers of nanoseconds, 0 where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Raw, Struct

__all__ = [
    "JSON",
    "NULL",
    "Failure",
    "FailureKind",
    "Payload",
    "Payloads",
    "RetryPolicy",
    "TimeoutKind",
    "is_null",
    "json_payload",
    "merge_payloads",
]

JSON = "json/plain"
"""The encoding of a payload whose bytes are JSON text."""

TimeoutKind = Literal["schedule_to_start", "start_to_close", "schedule_to_close", "heartbeat"]
FailureKind = Literal["application", "timeout", "canceled", "terminated", "activity", "child", "server"]


class Payload(Struct, frozen=True, omit_defaults=True):
    """One encoded value.

    JSON text stands in ``json`` as it is, so that a history file can be read
    by people; everything else is in ``binary``, base64 in JSON.
    """

    json: Raw = Raw()
    binary: bytes = b""
    encoding: str = JSON
    metadata: dict[str, str] = {}

    @classmethod
    def of(cls, data: bytes, encoding: str = JSON, metadata: dict[str, str] | None = None) -> Payload:
        """The payload that holds *data*, which is JSON text if *encoding* says so."""
        if encoding == JSON:
            return cls(json=Raw(data), metadata=metadata or {})
        return cls(binary=data, encoding=encoding, metadata=metadata or {})

    @property
    def data(self) -> memoryview | bytes:
        """The encoded bytes, whatever the encoding."""
        return memoryview(self.json) if self.encoding == JSON else self.binary


Payloads = tuple[Payload, ...]


def json_payload(text: bytes) -> Payload:
    """The payload that holds *text*, which the caller knows to be valid JSON."""
    return Payload(json=Raw(text))


NULL = Payload(encoding="binary/null")
"""In a change of a memo or of search attributes: what removes an entry, as in Temporal."""


def is_null(payload: Payload) -> bool:
    """Whether a payload removes an entry."""
    return payload.encoding == NULL.encoding


def merge_payloads(known: Mapping[str, Payload], changes: Mapping[str, Payload]) -> dict[str, Payload]:
    """A memo or search attributes after *changes*."""
    return {name: payload for name, payload in {**known, **changes}.items() if not is_null(payload)}


class Failure(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How something ended that did not end well, as it is recorded in history."""

    kind: FailureKind = "application"
    message: str = ""
    type: str = ""
    """Name of the error's class (``application``), of the activity or of the child's workflow type."""
    id: str = ""
    """Activity id or the child's workflow id."""
    run_id: str = ""
    timeout: TimeoutKind | None = None
    details: Payloads = ()
    non_retryable: bool = False
    stack: str = ""
    encoded: Payload | None = None
    """Message and stack, where codecs have taken them in; see `monkit_workflow.coded_service`."""
    cause: Failure | None = None


class RetryPolicy(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """When a failed attempt is followed by another. 0 or empty means no bound."""

    initial_ns: int
    coefficient: float = 2.0
    maximum_interval_ns: int = 0
    attempts: int = 0
    expiration_ns: int = 0
    non_retryable: tuple[str, ...] = ()
