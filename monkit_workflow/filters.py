"""The filter of a list: Temporal's comparisons, from text to a tree and to conditions on known fields.

Pure. `parse` knows the grammar and no field; `resolve` knows the fields, their
types and what may be compared with them. Whatever the text, nothing but
`monkit_workflow.errors.BadQuery` is raised.

Follows Temporal's documentation of list filters, without ORDER BY.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from monkit_workflow.errors import BadQuery
from monkit_workflow.search_attributes import LARGEST, parse_time_ns

__all__ = ["FIELDS", "And", "Condition", "Filter", "Not", "Or", "Value", "parse", "resolve"]

LENGTH: Final = 10_000
"""Characters of a filter at most."""

DEPTH: Final = 50
"""Parentheses and NOTs inside of each other at most."""

CONDITIONS: Final = 200
"""Comparisons at most."""


class Value(NamedTuple):
    """A value as it was written, and where."""

    value: str | int | float | bool
    position: int


class Condition(NamedTuple):
    """One comparison. What `resolve` returns has a type, and operands that compare with what is stored."""

    field: str
    operator: str
    operands: tuple[Any, ...]
    position: int
    type: str = ""


class Not(NamedTuple):
    """The contrary."""

    part: Filter


class And(NamedTuple):
    """All of its parts; without any it is true."""

    parts: tuple[Filter, ...]


class Or(NamedTuple):
    """One of its parts at least."""

    parts: tuple[Filter, ...]


Filter = Condition | Not | And | Or


# From text to a tree.

_TOKEN = re.compile(
    r"""
    \s*(?:
      (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<word>[^\W\d]\w*)
    | (?P<name>`[^`]+`)
    | (?P<mark><=|>=|!=|[=<>(),])
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset({"AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "STARTS_WITH", "TRUE", "FALSE"})
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


class _Token(NamedTuple):
    kind: str
    text: str
    position: int

    @property
    def shown(self) -> str:
        return f"{self.text:.60}" if self.text else "the end"


def parse(text: str) -> Filter:
    """The tree of a filter; of an empty one it is true.

    Raises:
        BadQuery: it cannot be read.
    """
    if len(text) > LENGTH:
        raise BadQuery(f"a filter has {LENGTH} characters at most, this one has {len(text)}", LENGTH + 1)
    parser = _Parser(_tokens(text))
    if parser.kind == "end":
        return And(())
    tree = parser.alternatives(0)
    if parser.kind != "end":
        raise parser.unexpected("AND, OR or the end")
    return tree


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while not tokens or tokens[-1].kind != "end":
        found = _TOKEN.match(text, place)
        if found is None:
            start = place + len(text[place:]) - len(text[place:].lstrip())
            unclosed = text[start] in "'\"`"
            raise BadQuery("a quote that is not closed" if unclosed else f"found {text[start]!r}", start + 1)
        kind = str(found.lastgroup)
        word, position = found[kind], found.start(kind) + 1
        if kind == "word" and word.upper() in _KEYWORDS:
            kind = "keyword"
        tokens.append(_Token(kind, word, position))
        place = found.end()
    return tokens


class _Parser:
    """Recursive descent, as deep as `DEPTH`."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = iter(tokens)
        self._token = next(self._tokens)
        self._conditions = 0

    @property
    def kind(self) -> str:
        """Kind of the token that is next."""
        return self._token.kind

    def unexpected(self, wanted: str) -> BadQuery:
        """The next token is not what was wanted."""
        return BadQuery(f"found {self._token.shown} where {wanted} was expected", self._token.position)

    def _next(self) -> _Token:
        token = self._token
        self._token = next(self._tokens, token)
        return token

    def _take(self, *texts: str) -> str:
        """The next token if it is a keyword or mark among *texts*, or nothing."""
        word = self._token.text.upper()
        if self.kind in ("keyword", "mark") and word in texts:
            self._next()
            return word
        return ""

    def _demand(self, text: str) -> None:
        if not self._take(text):
            raise self.unexpected(text)

    def alternatives(self, depth: int) -> Filter:
        """Parts with OR between them."""
        parts = [self._conjunction(depth)]
        while self._take("OR"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self, depth: int) -> Filter:
        parts = [self._part(depth)]
        while self._take("AND"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _part(self, depth: int) -> Filter:
        if depth > DEPTH:
            raise BadQuery(f"parentheses and NOTs are more than {DEPTH} deep", self._token.position)
        if self._take("NOT"):
            return Not(self._part(depth + 1))
        if self._take("("):
            tree = self.alternatives(depth + 1)
            self._demand(")")
            return tree
        return self._condition()

    def _condition(self) -> Condition:
        if self.kind not in ("word", "name"):
            raise self.unexpected("the name of a field")
        field = self._next()
        self._conditions += 1
        if self._conditions > CONDITIONS:
            raise BadQuery(f"there are more than {CONDITIONS} comparisons", field.position)
        operator, operands = self._comparison()
        return Condition(field.text.strip("`"), operator, operands, field.position)

    def _comparison(self) -> tuple[str, tuple[Value, ...]]:
        if operator := self._take(*_COMPARISONS):
            return operator, (self._value(),)
        if self._take("IS"):
            operator = "IS NOT NULL" if self._take("NOT") else "IS NULL"
            self._demand("NULL")
            return operator, ()
        no = "NOT " if self._take("NOT") else ""
        if self._take("IN"):
            return no + "IN", self._list()
        if self._take("BETWEEN"):
            low = self._value()
            self._demand("AND")
            return no + "BETWEEN", (low, self._value())
        if self._take("STARTS_WITH"):
            return no + "STARTS_WITH", (self._value(),)
        raise self.unexpected("IN, BETWEEN or STARTS_WITH" if no else "a comparison such as =, IN, BETWEEN or IS NULL")

    def _list(self) -> tuple[Value, ...]:
        self._demand("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._demand(")")
        return tuple(values)

    def _value(self) -> Value:
        token = self._token
        match token.kind:
            case "text":
                value: str | int | float | bool = _unquoted(token)
            case "number":
                value = _number(token.text)
            case "keyword" if token.text.upper() in ("TRUE", "FALSE"):
                value = token.text.upper() == "TRUE"
            case "word":
                raise self.unexpected("a value (text stands in quotes)")
            case _:
                raise self.unexpected("a value")
        self._next()
        return Value(value, token.position)


def _unquoted(token: _Token) -> str:
    quote = token.text[0]
    text = re.sub(
        rf"\\(.)|{quote}{quote}",
        lambda found: quote if found[1] is None else _ESCAPED.get(found[1], found[1]),
        token.text[1:-1],
        flags=re.DOTALL,
    )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadQuery("a text that is no Unicode", token.position) from None
    return text


def _number(text: str) -> int | float:
    if len(text) <= 20 and text.lstrip("+-").isdecimal() and abs(number := int(text)) <= LARGEST:
        return number
    return float(text)  # what 64 bits do not hold compares all the same


# From names to fields.

_STATUSES: Final = {
    "Running": "running",
    "Completed": "completed",
    "Failed": "failed",
    "Canceled": "canceled",
    "Terminated": "terminated",
    "ContinuedAsNew": "continued_as_new",
    "TimedOut": "timed_out",
}

FIELDS: Final[Mapping[str, str]] = {
    "WorkflowId": "Keyword",
    "RunId": "Keyword",
    "WorkflowType": "Keyword",
    "TaskQueue": "Keyword",
    "ExecutionStatus": "Status",
    "StartTime": "Datetime",
    "ExecutionTime": "Datetime",
    "CloseTime": "Datetime",
    "ExecutionDuration": "Duration",
    "HistoryLength": "Int",
    "HistorySizeBytes": "Int",
    "ParentWorkflowId": "Keyword",
    "ParentRunId": "Keyword",
}
"""What every run has, with the type; search attributes are fields too."""

_NULL = frozenset({"IS NULL", "IS NOT NULL"})
_EQUAL = frozenset({"=", "!=", "IN", "NOT IN"}) | _NULL
_ORDERED = _EQUAL | _COMPARISONS | {"BETWEEN", "NOT BETWEEN"}
_OPERATORS: Final[Mapping[str, frozenset[str]]] = {
    "Keyword": _ORDERED | {"STARTS_WITH", "NOT STARTS_WITH"},
    "KeywordList": _EQUAL,
    "Status": _EQUAL,
    "Bool": _EQUAL,
    "Int": _ORDERED,
    "Double": _ORDERED,
    "Datetime": _ORDERED,
    "Duration": _ORDERED,
}


def resolve(tree: Filter, attributes: Mapping[str, str]) -> Filter:
    """The tree with types and operands that compare with what is stored.

    Args:
        tree: what `parse` returned.
        attributes: the search attributes that are in use, with their types.

    Raises:
        BadQuery: a field is unknown, or compared with what it cannot be.
    """
    match tree:
        case Not(part):
            return Not(resolve(part, attributes))
        case And(parts):
            return And(tuple(resolve(part, attributes) for part in parts))
        case Or(parts):
            return Or(tuple(resolve(part, attributes) for part in parts))
        case Condition(field, operator, operands, position):
            kind = FIELDS.get(field) or attributes.get(field)
            if kind is None:
                raise BadQuery(_unknown(field, attributes), position)
            if operator not in _OPERATORS[kind]:
                wanted = ", ".join(sorted(_OPERATORS[kind]))
                raise BadQuery(f"{field} is a {kind}, which compares by {wanted} and not by {operator}", position)
            return tree._replace(type=kind, operands=tuple(_operand(field, kind, value) for value in operands))


def _unknown(field: str, attributes: Mapping[str, str]) -> str:
    known = ", ".join([*FIELDS, *sorted(attributes)])
    return f"there is no field {field!r:.80}, and no run has had such a search attribute; known are {known:.2000}"


def _operand(field: str, kind: str, given: Value) -> str | int | float:
    wanted, convert = _CONVERSIONS[kind]
    try:
        return convert(given.value)
    except (TypeError, ValueError) as problem:
        reason = f": {problem}" if isinstance(problem, ValueError) else ""
        found = f"{given.value!r:.80}{reason}"
        raise BadQuery(f"{field} compares with {wanted}, not with {found}", given.position) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _status(value: object) -> str:
    if not isinstance(value, str) or value not in _STATUSES:
        raise TypeError
    return _STATUSES[value]


def _numeric(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _truth(value: object) -> int:
    if not isinstance(value, bool):
        raise TypeError
    return int(value)


def _time_ns(value: object) -> int | float:
    return parse_time_ns(value) if isinstance(value, str) else _numeric(value)


_PART = r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ns|us|µs|μs|ms|s|m|h|d)"
_DURATION = re.compile(rf"([+-]?)((?:{_PART})+)")
_CLOCK = re.compile(r"([0-9]{1,9}):([0-5][0-9]):([0-5][0-9])")
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}


def _duration_ns(value: object) -> int | float:
    if not isinstance(value, str):
        return _numeric(value)
    if re.fullmatch("[+-]?[0-9]{1,18}", value):
        return int(value)
    if found := _CLOCK.fullmatch(value):
        hours, minutes, seconds = (int(part) for part in found.groups())
        return min(LARGEST, ((hours * 60 + minutes) * 60 + seconds) * _UNITS_NS["s"])
    found = _DURATION.fullmatch(value)
    if found is None or len(value) > 100:
        raise TypeError
    total = sum(Decimal(number) * _UNITS_NS[unit] for number, unit in re.findall(_PART, found[2]))
    return min(LARGEST, int(total)) * (-1 if found[1] == "-" else 1)


_CONVERSIONS: Final[Mapping[str, tuple[str, Callable[[object], str | int | float]]]] = {
    "Keyword": ("text in quotes", _text),
    "KeywordList": ("text in quotes", _text),
    "Status": (f"one of {', '.join(_STATUSES)} in quotes", _status),
    "Int": ("a number", _numeric),
    "Double": ("a number", _numeric),
    "Bool": ("true or false", _truth),
    "Datetime": ("a time in quotes or nanoseconds since the epoch", _time_ns),
    "Duration": ("a duration such as '1h30m', '01:30:00' or nanoseconds", _duration_ns),
}
"""What is wanted as an operand, in words, and what makes of it what is stored."""
