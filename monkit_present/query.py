"""Queries: from the values of the parameters of ``/trace/*`` to what is to be captured.

The texts of refusals are those of the original up to their second colon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monkit_core import Func, Registry, Span
from monkit_core.text import clean, clip
from monkit_present.expression import BadExpression, compile_expression, nearest
from monkit_present.parameters import BadQuery, Parameter, Seconds, Text, TraceId, Truth, WholeNumber, quoted

__all__ = ["CAPTURE_PARAMETERS", "MATCH_PARAMETERS", "CaptureQuery", "capture_query"]

_LOW_64_BITS = (1 << 64) - 1

_REGEX = Parameter("regex", Text("expression (RE2)"), "found anywhere in the full name of the function")
_TRACE_ID = Parameter("trace_id", TraceId(), "id of the trace; with regex= both must hold")
_PRESELECT = Parameter(
    "preselect",
    Truth(),
    "refuse at once an expression that no known function's name matches",
    default=True,
    beside="regex",
)
_MAX_SPANS = Parameter(
    "max_spans", WholeNumber(1, 100_000), "spans kept; those above are counted and dropped", default=10_000
)
_TIMEOUT = Parameter("timeout", Seconds(86_400.0), "longest wait", default=3600.0)

MATCH_PARAMETERS = (_REGEX, _TRACE_ID, _PRESELECT, _TIMEOUT)
"""What every wait for a match takes."""

CAPTURE_PARAMETERS = (_REGEX, _TRACE_ID, _PRESELECT, _MAX_SPANS, _TIMEOUT)
"""What a wait takes that collects the spans of its match."""


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


def capture_query(values: Mapping[str, Any], registry: Registry) -> CaptureQuery:
    """What the values of `CAPTURE_PARAMETERS` or `MATCH_PARAMETERS` ask for.

    Raises:
        BadQuery: they ask for nothing, or for what cannot be.
    """
    regex, trace_id = values["regex"], values["trace_id"]
    if not regex and not trace_id:
        raise BadQuery("at least one of 'regex' or 'trace_id' query parameters required")
    matchers = []
    words = []
    if regex:
        matchers.append(_by_name(regex, values["preselect"], registry))
        words.append(f"regex={regex}")
    if trace_id:
        matchers.insert(0, _by_trace(trace_id))
        words.append(f"trace_id={trace_id}")
    return CaptureQuery(
        matcher=matchers[0] if len(matchers) == 1 else lambda span: all(matcher(span) for matcher in matchers),
        words=clean(" ".join(words)),
        max_spans=values.get(_MAX_SPANS.name, _MAX_SPANS.default),
        timeout_s=values["timeout"],
    )


def _by_name(pattern: str, preselect: bool, registry: Registry) -> Callable[[Span], bool]:
    """A matcher that runs the expression once a function and keeps the answer."""
    try:
        found_in = compile_expression(pattern)
    except (BadExpression, UnicodeError) as problem:
        raise BadQuery(f"invalid regex {quoted(pattern)}: error parsing regexp: {clean(str(problem))}") from None
    answers: dict[Func, bool] = {}
    if preselect:
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
    wanted = int(digits, 16)
    if len(digits) == 32:
        return lambda span: span.trace.id == wanted
    return lambda span: span.trace.id & _LOW_64_BITS == wanted
