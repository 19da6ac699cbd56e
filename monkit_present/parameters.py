"""Parameters: what a page takes, in tables that parsing, the documents and ``/openapi.json`` read.

A value comes as text in a query string or as JSON in the body of an action;
either way it is checked by the kind that its table names. Texts of refusals
are those of the original up to their second colon.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

from monkit_core.text import clean, clip

__all__ = [
    "BadQuery", "Choice", "Kind", "Parameter", "Seconds", "Text", "TraceId", "Truth", "WholeNumber", "quoted",
    "read_object", "read_query", "refused",
]  # fmt: skip

_MOST_FIELDS = 50
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,16}|[0-9a-fA-F]{32}")


class BadQuery(ValueError):
    """A query that cannot be answered; the message says what was found and what was expected."""


def quoted(text: str) -> str:
    """*text* in double quotes, short and on one line."""
    shown = clean(clip(text, 100)).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{shown}"'


class Kind(Protocol):
    """What values a parameter takes."""

    @property
    def takes(self) -> str:
        """The same in words."""
        ...

    @property
    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""
        ...

    def read(self, name: str, text: str) -> object:
        """The value that *text* of a query string stands for.

        Raises:
            BadQuery: it stands for none.
        """
        ...

    def accept(self, name: str, value: object) -> object:
        """The same of a value that came as JSON."""
        ...


def refused(name: str, found: object, expected: str) -> BadQuery:
    """What says that *found* is no value of the parameter *name*."""
    return BadQuery(f"invalid {name} {quoted(str(found))}: {expected}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise refused(name, value, "expected text")
    return value


@dataclass(frozen=True, slots=True)
class Text:
    """Text of a limited length; *what* says of which sort."""

    what: str
    longest: int = 1000

    @property
    def takes(self) -> str:
        """See `Kind`."""
        return f"{self.what}, at most {self.longest:,} characters"

    @property
    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "string", "maxLength": self.longest}

    def read(self, name: str, text: str) -> object:
        """See `Kind`."""
        if len(text) > self.longest:
            raise refused(name, text, f"{len(text):,} characters, at most {self.longest:,}")
        return text

    def accept(self, name: str, value: object) -> object:
        """See `Kind`."""
        return self.read(name, _text(name, value))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def takes(self) -> str:
        """See `Kind`."""
        return " or ".join(self.words)

    @property
    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "string", "enum": list(self.words)}

    def read(self, name: str, text: str) -> object:
        """See `Kind`."""
        if text not in self.words:
            raise refused(name, text, f"expected {self.takes}")
        return text

    def accept(self, name: str, value: object) -> object:
        """See `Kind`."""
        return self.read(name, _text(name, value))


@dataclass(frozen=True, slots=True)
class Truth:
    """True or false, in the spellings of the original."""

    @property
    def takes(self) -> str:
        """See `Kind`."""
        return "true or false"

    @property
    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "boolean"}

    def read(self, name: str, text: str) -> object:
        """See `Kind`."""
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise refused(name, text, f"expected {self.takes}")

    def accept(self, name: str, value: object) -> object:
        """See `Kind`."""
        if not isinstance(value, bool):
            raise refused(name, value, f"expected {self.takes}")
        return value


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A whole number between two bounds, both of them allowed."""

    least: int
    most: int

    @property
    def takes(self) -> str:
        """See `Kind`."""
        return f"{self.least:,} to {self.most:,}"

    @property
    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def read(self, name: str, text: str) -> object:
        """See `Kind`."""
        # Digits are counted first: making a number of very many takes time that grows with their square.
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None
        return self._within(name, text, number)

    def accept(self, name: str, value: object) -> object:
        """See `Kind`."""
        return self._within(name, value, value if isinstance(value, int) and not isinstance(value, bool) else None)

    def _within(self, name: str, found: object, number: int | None) -> int:
        if number is None or not self.least <= number <= self.most:
            raise refused(name, found, f"expected a whole number from {self.least} to {self.most}")
        return number


@dataclass(frozen=True, slots=True)
class Seconds:
    """Seconds, more than none and at most so many."""

    most: float

    @property
    def takes(self) -> str:
        """See `Kind`."""
        return f"seconds, above 0 and at most {self.most:,.0f}"

    @property
    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "number", "exclusiveMinimum": 0, "maximum": self.most}

    def read(self, name: str, text: str) -> object:
        """See `Kind`."""
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        return self._within(name, text, seconds)

    def accept(self, name: str, value: object) -> object:
        """See `Kind`."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return self._within(name, value, float(value) if number else math.nan)  # type: ignore[arg-type]

    def _within(self, name: str, found: object, seconds: float) -> float:
        if not 0 < seconds <= self.most:  # also true of NaN
            raise refused(name, found, f"expected seconds above 0, at most {self.most:.0f}")
        return seconds


@dataclass(frozen=True, slots=True)
class TraceId:
    """A trace id in hexadecimal digits; its value is that text, as its length says how much of an id it is."""

    @property
    def takes(self) -> str:
        """See `Kind`."""
        return "1 to 16 hex digits (the low 64 bits), or 32"

    @property
    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "string", "pattern": f"^({_TRACE_ID.pattern})$"}

    def read(self, name: str, text: str) -> object:
        """See `Kind`."""
        if _TRACE_ID.fullmatch(text) is None:
            raise BadQuery(f"{name} expected to be hex unsigned 64 bit number: {quoted(text)}")
        return text

    def accept(self, name: str, value: object) -> object:
        """See `Kind`."""
        return self.read(name, _text(name, value))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a page or of an action.

    Attributes:
        name: as it is written.
        kind: what it takes, with its bounds.
        words: what it does.
        default: the value that holds without it; ``None`` if there is none.
        required: it has to be given.
        beside: it is looked at only beside the parameter of this name.
        family: the word behind the last dot of its name stands for any; its value is a dictionary by that word.
    """

    name: str
    kind: Kind
    words: str
    default: object = None
    required: bool = False
    beside: str | None = None
    family: bool = False

    @property
    def prefix(self) -> str:
        """How the names of a family begin, with the dot."""
        return self.name.rpartition(".")[0] + "."

    @property
    def takes(self) -> str:
        """What it takes, in words."""
        return self.kind.takes

    @property
    def default_words(self) -> str:
        """The default as people read it, empty if there is none."""
        if self.default is None:
            return ""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return f"{self.default:,.0f}" if isinstance(self.default, int | float) else str(self.default)


def read_query(table: Iterable[Parameter], query_string: bytes) -> dict[str, Any]:
    """The value of every parameter of *table*; one without text takes its default.

    Raises:
        BadQuery: something in the query string cannot be used.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:  # also what bytes that are no UTF-8 raise
        raise BadQuery(f"the query string is not UTF-8 or has more than {_MOST_FIELDS} fields") from None
    known = {parameter.name: parameter for parameter in table}
    given: dict[str, str] = {}
    families = [parameter for parameter in known.values() if parameter.family]
    for name, text in pairs:
        if not any(name.startswith(family.prefix) and name != family.prefix for family in families):
            _check_known(name, known)
        if name in given:
            raise BadQuery(f"parameter {quoted(name)} given twice")
        given[name] = text
    given = {name: text for name, text in given.items() if text}
    values = _values(known, given, lambda parameter: parameter.kind.read(parameter.name, given[parameter.name]))
    for family in families:
        members = {name: text for name, text in given.items() if name.startswith(family.prefix)}
        values[family.name] = {
            name.removeprefix(family.prefix): family.kind.read(name, text) for name, text in members.items()
        }
    return values


def read_object(table: Iterable[Parameter], fields: Mapping[str, object]) -> dict[str, Any]:
    """The same out of a JSON object.

    Raises:
        BadQuery: something in it cannot be used.
    """
    known = {parameter.name: parameter for parameter in table}
    for name in fields:
        _check_known(name, known)
    return _values(known, fields, lambda parameter: parameter.kind.accept(parameter.name, fields[parameter.name]))


def _check_known(name: str, known: Mapping[str, Parameter]) -> None:
    if name not in known:
        names = f"known are {', '.join(sorted(known))}" if known else "none is taken here"
        raise BadQuery(f"unknown parameter {quoted(name)}: {names}")


def _values(known: Mapping[str, Parameter], given: Mapping[str, object], value_of: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        if parameter.required and name not in given:
            raise BadQuery(f"parameter {quoted(name)} is needed: {parameter.words}")
        looked_at = name in given and (parameter.beside is None or parameter.beside in given)
        values[name] = value_of(parameter) if looked_at else parameter.default
    return values
