"""Search attributes: values that runs can be found by, and the payloads that carry them.

They are JSON that says its type, as Temporal has it, and never go through a
converter or codec: the service has to read them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from monkit_workflow.info import moment
from monkit_workflow.payload import NULL, Payload, is_null

__all__ = [
    "LARGEST",
    "SearchValue",
    "Type",
    "decode_attributes",
    "encode_attributes",
    "parse_time_ns",
    "read_attribute",
]

SearchValue = str | list[str] | int | float | bool | datetime
"""What a search attribute may hold; a datetime has a time zone."""

Type = Literal["Keyword", "KeywordList", "Int", "Double", "Bool", "Datetime"]
"""Temporal's names of the types."""

TYPE: Final = "type"
"""Where a payload's metadata have the name."""

LARGEST: Final = 2**63 - 1
"""What 64 bits hold."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)


def encode_attributes(attributes: Mapping[str, SearchValue | None] | None) -> dict[str, Payload]:
    """The payloads of *attributes*; ``None`` and an empty list are ones that remove.

    Raises:
        TypeError: a value is of no type that a search attribute can have.
        ValueError: a number or time is out of range, or a time has no zone.
    """
    return {name: _encode(name, value) for name, value in (attributes or {}).items()}


def decode_attributes(attributes: Mapping[str, Payload]) -> dict[str, SearchValue]:
    """The values in payloads, without those that remove; times are in UTC, to the microsecond."""
    return {name: _decode(payload) for name, payload in attributes.items() if not is_null(payload)}


def read_attribute(payload: Payload) -> tuple[Type, list[str | int | float]]:
    """Type and values of a payload, as they compare: a time is nanoseconds since the epoch, a truth value 0 or 1.

    Raises:
        ValueError: it is no payload of a search attribute; the message says what is wrong.
    """
    kind = next((name for name in _JSON if name == payload.metadata.get(TYPE)), None)
    if kind is None:
        raise ValueError(f"its payload says the type {payload.metadata.get(TYPE)!r} and not one of {', '.join(_JSON)}")
    try:
        value: Any = msgspec.json.decode(payload.data, type=_JSON[kind])
    except (msgspec.MsgspecError, UnicodeError) as problem:
        raise ValueError(f"its payload is no {kind}: {problem}") from None
    if isinstance(value, list):
        return kind, list(dict.fromkeys(value))
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise ValueError(f"it is {value}, which needs more than 64 bits")
    return kind, [parse_time_ns(value) if kind == "Datetime" else value]


def parse_time_ns(text: str) -> int:
    """Nanoseconds since the epoch of a time in RFC 3339, at most those that 64 bits hold.

    Raises:
        ValueError: it is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r:.80} is no time such as 2026-01-31T12:00:00Z or 2026-01-31T14:00:00.5+02:00")
    *date, fraction, sign, hours, minutes = found.groups()
    local = datetime(*(int(part) for part in date), tzinfo=UTC)  # type: ignore[misc,arg-type]
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    seconds = (local - _EPOCH - (-offset if sign == "-" else offset)) // timedelta(seconds=1)
    time_ns = seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
    return max(-LARGEST, min(LARGEST, time_ns))


def _encode(name: str, value: SearchValue | None) -> Payload:
    if value is None or value == []:
        return NULL
    problem = f"search attribute {name!r} is {value!r:.80}"
    kind = _type_of(value)
    if kind is None:
        raise TypeError(f"{problem}; str, list of str, int, float, bool and datetime can be searched")
    if isinstance(value, datetime):
        value = _in_utc(problem, value)
    elif isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{problem}, which needs more than 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{problem}, which JSON cannot hold")
    return Payload(json=msgspec.Raw(msgspec.json.encode(value)), metadata={TYPE: kind})


def _in_utc(problem: str, value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError(f"{problem}, which has no time zone: give tzinfo=")
    if abs((value - _EPOCH) // timedelta(microseconds=1)) > LARGEST // 1000:
        raise ValueError(f"{problem}; times between 1678 and 2262 can be searched")
    return value.astimezone(UTC)


def _type_of(value: object) -> Type | None:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "KeywordList"
    return next((kind for python, kind in _TYPES if isinstance(value, python)), None)


def _decode(payload: Payload) -> SearchValue:
    if TYPE not in payload.metadata:  # Cadence's have none
        plain: SearchValue = msgspec.json.decode(payload.data)
        return plain
    kind, values = read_attribute(payload)
    match kind:
        case "Datetime":
            return moment(int(values[0]))
        case "KeywordList":
            return [str(value) for value in values]
        case _:
            return values[0]


_TYPES: Final[tuple[tuple[type, Type], ...]] = (
    (str, "Keyword"),
    (bool, "Bool"),  # before int, which it is too
    (int, "Int"),
    (float, "Double"),
    (datetime, "Datetime"),
)
_JSON: Final[dict[Type, Any]] = {
    "Keyword": str,
    "KeywordList": list[str],
    "Int": int,
    "Double": float,
    "Bool": bool,
    "Datetime": str,
}
