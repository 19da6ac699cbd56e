"""Fields of foreign history files: a JSON object with the path that leads to it.

What the readers of Temporal's and Cadence's files share. Whatever is read from
a file is checked here, so that a wrong file is a `HistoryFormatError` which
names the event and the field, and never another exception. A field that is
missing or ``null`` has the default of its type, as in protobuf.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import msgspec

from monkit_workflow.errors import HistoryFormatError
from monkit_workflow.history import Event
from monkit_workflow.payload import Payload, json_payload

__all__ = ["BINARY", "Fields", "Scan", "blob_payload", "clamped", "describe", "is_json", "json_value", "read_each"]

BINARY = "binary/plain"
"""The encoding of a payload of bytes that say nothing of what they are."""

_LARGEST = 2**63 - 1
_WHITESPACE = b" \t\r\n"  # what JSON takes for it
_INTEGER = re.compile(r"-?[0-9]{1,19}")

T = TypeVar("T")


@dataclass(slots=True)
class Scan:
    """Where a reader is in its file, and what later events need of earlier ones."""

    index: int = 0
    event_id: int | None = None
    calls: dict[str, int] = field(default_factory=dict)
    """Number of the last recorded call of each mutable side effect."""
    scheduled: dict[str, int] = field(default_factory=dict)
    """Id of the event that scheduled each activity, by activity id."""

    def call(self, key: str, later: int) -> int:
        """Number of the call that came *later* calls after the last recorded one of *key*."""
        self.calls[key] = self.calls.get(key, 0) + max(1, later)
        return self.calls[key]


class Fields:
    """A JSON object of a history file.

    Keys are camelCase, with dots for objects in objects; the snake_case
    spelling of some dumps is found too.
    """

    __slots__ = ("path", "raw", "scan")

    def __init__(self, raw: dict[str, Any], scan: Scan, path: str = "") -> None:
        self.raw = raw
        self.scan = scan
        self.path = path

    def where(self, key: str) -> str:
        """The path of *key* from the event on; the empty key is the object itself."""
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def bad(self, key: str, found: object, expected: str) -> HistoryFormatError:
        """The error that says what stands at *key* and what should."""
        problem = f"found {describe(found)}, expected {expected}"
        return HistoryFormatError(problem, self.scan.index, self.scan.event_id, self.where(key))

    def get(self, key: str) -> Any:
        """The value at *key* as it is, ``None`` if there is none."""
        value: Any = self.raw
        for camel, snake in _parts(key):
            if value is None:
                return None
            if not isinstance(value, dict):
                raise self.bad(key, value, "an object above it")
            value = value[camel] if value.get(camel) is not None else value.get(snake)
        return value

    def at(self, key: str) -> Fields:
        """The object at *key*, an empty one if there is none."""
        value = self.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.bad(key, value, "an object")
        return Fields(value, self.scan, self.where(key))

    def text(self, key: str) -> str:
        """The string at *key*."""
        value = self.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.bad(key, value, "a string")
        return value

    def integer(self, key: str) -> int:
        """The integer of 64 bits at *key*, which may be written as a string, as protobuf does."""
        value = self.get(key)
        if value is None:
            return 0
        if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (isinstance(value, float) and value.is_integer()):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:
            raise self.bad(key, value, "an integer of 64 bits")
        return value

    def decimal(self, key: str) -> float:
        """The number at *key*."""
        value = self.get(key)
        if value is None:
            return 0.0
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > _LARGEST:
            raise self.bad(key, value, "a number")
        return float(value)

    def boolean(self, key: str) -> bool:
        """The truth value at *key*."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.bad(key, value, "true or false")
        return bool(value)

    def blob(self, key: str) -> bytes:
        """The bytes at *key*, which are base64 in JSON."""
        text = self.text(key)
        try:
            # Protobuf readers take the alphabet of URLs and missing padding as well.
            return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            raise self.bad(key, text, "base64") from None

    def enum(self, key: str, names: Mapping[str, T], prefix: str, default: T) -> T:
        """The value that *names* has for the name at *key*, read without *prefix*, case and underscores."""
        text = self.text(key)
        name = text.replace("_", "").lower().removeprefix(prefix)
        if name in ("", "unspecified"):
            return default
        if name not in names:
            raise self.bad(key, text, f"one of {', '.join(names)}")
        return names[name]

    def array(self, key: str) -> list[Any]:
        """The array at *key*."""
        value = self.get(key)
        if value is not None and not isinstance(value, list):
            raise self.bad(key, value, "an array")
        return value or []

    def texts(self, key: str) -> tuple[str, ...]:
        """The array of strings at *key*."""
        values = self.array(key)
        for value in values:
            if not isinstance(value, str):
                raise self.bad(key, value, "strings only")
        return tuple(values)

    def mapping(self, key: str, read: Callable[[Fields, str], T]) -> dict[str, T]:
        """What *read* makes of each value of the object at *key*, whose keys are names and taken as they are."""
        inner = self.at(key)
        return {name: read(inner.alone(value, name), "") for name, value in inner}

    def alone(self, value: Any, name: str) -> Fields:
        """*value*, which stands under *name* in here, as what the empty key leads to."""
        return Fields({"": value}, self.scan, self.where(name))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.raw.items())


@cache
def _parts(key: str) -> tuple[tuple[str, str], ...]:
    """Each part of a dotted key in camelCase and in snake_case; keys come from tables, never from files."""
    return tuple((part, re.sub("[A-Z]", lambda found: "_" + found[0].lower(), part)) for part in key.split("."))


def describe(value: object) -> str:
    """What *value* of a JSON document is, in few words however large it is."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "a huge integer"
    return str(value).lower() if isinstance(value, bool) else str(value)


def clamped(nanoseconds: int) -> int:
    """*nanoseconds* that are a duration: not negative, and of 64 bits; 292 years are as good as more."""
    return min(max(0, nanoseconds), _LARGEST)


def is_json(data: bytes) -> bool:
    """Whether *data* is one JSON document."""
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError):  # of msgspec and of bytes that are no UTF-8
        return False
    return True


def json_value(payload: Payload | None) -> Any:
    """What the JSON text in *payload* says; ``None`` if it holds something else."""
    return msgspec.json.decode(payload.json) if payload is not None and is_json(bytes(payload.json)) else None


def blob_payload(data: bytes, metadata: dict[str, str] | None = None) -> Payload:
    """The payload of *data*: JSON text if it is that, else bytes."""
    stripped = data.strip(_WHITESPACE)
    if not is_json(stripped):
        return Payload(binary=data, encoding=BINARY, metadata=metadata or {})
    return Payload(json=msgspec.Raw(stripped), metadata=metadata) if metadata else json_payload(stripped)


def read_each(raw_events: list[Any], read: Callable[[Fields], Event]) -> tuple[Event, ...]:
    """What *read* makes of each event of a file.

    Raises:
        HistoryFormatError: an event is no object, has no id, or *read* said so.
    """
    scan = Scan()
    events = []
    for index, raw in enumerate(raw_events):
        scan.index, scan.event_id = index, None
        if not isinstance(raw, dict):
            raise HistoryFormatError(f"found {describe(raw)}, expected an object", index)
        fields = Fields(raw, scan)
        scan.event_id = fields.integer("eventId")
        events.append(read(fields))
    return tuple(events)
