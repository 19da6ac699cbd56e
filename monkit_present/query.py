"""Queries: from the query string of ``/trace/*`` to what is to be captured.

The texts of refusals are those of the original up to their second colon.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from monkit_core import Func, Registry, Span
from monkit_core.text import clean, clip
from monkit_present.expression import BadExpression, compile_expression, nearest

__all__ = ["PARAMETERS", "BadQuery", "CaptureQuery", "Parameter", "parse_capture_query"]

MAX_EXPRESSION = 1000
MAX_SPANS = 100_000
DEFAULT_SPANS = 10_000
MAX_TIMEOUT_S = 86_400.0
DEFAULT_TIMEOUT_S = 3600.0
_LOW_64_BITS = (1 << 64) - 1
_HEX = frozenset("0123456789abcdefABCDEF")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class BadQuery(ValueError):
    """A query that cannot be answered; the message says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a page: name, what it takes, what holds without it, and what it does."""

    name: str
    takes: str
    default: str
    words: str


PARAMETERS = (
    Parameter(
        "regex",
        f"expression (RE2), at most {MAX_EXPRESSION:,} characters",
        "",
        "found anywhere in the full name of the function",
    ),
    Parameter(
        "trace_id", "1 to 16 hex digits (the low 64 bits), or 32", "", "id of the trace; with regex= both must hold"
    ),
    Parameter(
        "preselect", "true or false", "true", "refuse at once an expression that no known function's name matches"
    ),
    Parameter(
        "max_spans", f"1 to {MAX_SPANS:,}", f"{DEFAULT_SPANS:,}", "spans kept; those above are counted and dropped"
    ),
    Parameter(
        "timeout", f"seconds, above 0 and at most {MAX_TIMEOUT_S:,.0f}", f"{DEFAULT_TIMEOUT_S:,.0f}", "longest wait"
    ),
)


@dataclass(frozen=True, slots=True)
class CaptureQuery:
    """What to wait for.

    Attributes:
        matcher: tells of a starting span whether it is the one.
        words: what was asked for, to be shown.
        max_spans: how many spans are kept.
        timeout_s: seconds.
    """

    matcher: Callable[[Span], bool]
    words: str
    max_spans: int
    timeout_s: float


def parse_capture_query(query_string: bytes, registry: Registry) -> CaptureQuery:
    """Check a query string.

    Raises:
        BadQuery: something in it cannot be used.
    """
    values = _split(query_string)
    regex, trace_id = values.get("regex", ""), values.get("trace_id", "")
    if not regex and not trace_id:
        raise BadQuery("at least one of 'regex' or 'trace_id' query parameters required")
    matchers = []
    words = []
    if regex:
        matchers.append(_by_name(regex, values.get("preselect", ""), registry))
        words.append(f"regex={regex}")
    if trace_id:
        matchers.insert(0, _by_trace(trace_id))
        words.append(f"trace_id={trace_id}")
    return CaptureQuery(
        matcher=matchers[0] if len(matchers) == 1 else lambda span: all(matcher(span) for matcher in matchers),
        words=clean(" ".join(words)),
        max_spans=_whole_number("max_spans", values.get("max_spans", ""), DEFAULT_SPANS, MAX_SPANS),
        timeout_s=_seconds("timeout", values.get("timeout", ""), DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S),
    )


def _split(query_string: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:  # also what bytes that are no UTF-8 raise
        raise BadQuery("the query string is not UTF-8 or has more than 50 fields") from None
    values: dict[str, str] = {}
    known = {parameter.name for parameter in PARAMETERS}
    for name, value in pairs:
        if name not in known:
            raise BadQuery(f"unknown parameter {_quote(name)}: known are {', '.join(sorted(known))}")
        if name in values:
            raise BadQuery(f"parameter {_quote(name)} given twice")
        values[name] = value
    return values


def _quote(text: str) -> str:
    """*text* in double quotes, short and on one line."""
    shown = clean(clip(text, 100)).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{shown}"'


def _by_name(pattern: str, preselect: str, registry: Registry) -> Callable[[Span], bool]:
    """A matcher that runs the expression once a function and keeps the answer."""
    wanted = _truth("preselect", preselect, default=True)
    if len(pattern) > MAX_EXPRESSION:
        raise BadQuery(f"invalid regex {_quote(pattern)}: {len(pattern):,} characters, at most {MAX_EXPRESSION:,}")
    try:
        found_in = compile_expression(pattern)
    except (BadExpression, UnicodeError) as problem:
        raise BadQuery(f"invalid regex {_quote(pattern)}: error parsing regexp: {clean(str(problem))}") from None
    answers: dict[Func, bool] = {}
    if wanted:
        answers = {func: found_in(func.full_name) for func in registry.funcs()}
        if not any(answers.values()):
            raise BadQuery(_no_match(pattern, [func.full_name for func in answers]))

    def matches(span: Span) -> bool:
        func = span.func
        answer = answers.get(func)
        if answer is None:
            answer = answers[func] = found_in(func.full_name)
        return answer

    return matches


def _no_match(pattern: str, names: list[str]) -> str:
    close = nearest(pattern, dict.fromkeys(names))
    if close:
        return "regex preselect matches 0 functions; nearest: " + ", ".join(clip(name, 200) for name in close)
    return f"regex preselect matches 0 functions; {len(names)} are known, see /funcs"


def _by_trace(digits: str) -> Callable[[Span], bool]:
    if not (1 <= len(digits) <= 16 or len(digits) == 32) or not _HEX.issuperset(digits):
        raise BadQuery(f"trace_id expected to be hex unsigned 64 bit number: {_quote(digits)}")
    wanted = int(digits, 16)
    if len(digits) == 32:
        return lambda span: span.trace.id == wanted
    return lambda span: span.trace.id & _LOW_64_BITS == wanted


def _truth(name: str, text: str, *, default: bool) -> bool:
    if not text:
        return default
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise BadQuery(f"invalid {name} {_quote(text)}: expected true or false")


def _whole_number(name: str, text: str, default: int, most: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or not 1 <= int(text) <= most:
        raise BadQuery(f"invalid {name} {_quote(text)}: expected a whole number from 1 to {most}")
    return int(text)


def _seconds(name: str, text: str, default: float, most: float) -> float:
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= most:  # also true of NaN
        raise BadQuery(f"invalid {name} {_quote(text)}: expected seconds above 0, at most {most:.0f}")
    return seconds
