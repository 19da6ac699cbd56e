"""Queries: from the values of the parameters of ``/trace/*`` to what is to be captured.

The texts of refusals are those of the original up to their second colon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monkit_core import Func, Registry, Span, Trace
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
        funcs: functions that it can be of; ``None`` is any. Calls of others then cost nothing while it is waited.
        traces: traces that it can be of; ``None`` is any.
        words: what was asked for, to be shown.
        max_spans: how many spans are kept.
        timeout_s: seconds.
    """

    matcher: Callable[[Span], bool]
    funcs: Callable[[Func], bool] | None
    traces: Callable[[Trace], bool] | None
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
    funcs = _by_name(regex, values["preselect"], registry) if regex else None
    traces = _by_id(trace_id) if trace_id else None
    words = [f"{name}={value}" for name, value in (("regex", regex), ("trace_id", trace_id)) if value]
    return CaptureQuery(
        matcher=lambda span: (traces is None or traces(span.trace)) and (funcs is None or funcs(span.func)),
        funcs=funcs,
        traces=traces,
        words=clean(" ".join(words)),
        max_spans=values.get(_MAX_SPANS.name, _MAX_SPANS.default),
        timeout_s=values["timeout"],
    )


def _by_name(pattern: str, preselect: bool, registry: Registry) -> Callable[[Func], bool]:
    """Whether the expression is found in the name of a function; it runs once for each."""
    try:
        found_in = compile_expression(pattern)
    except (BadExpression, UnicodeError) as problem:
        raise BadQuery(f"invalid regex {quoted(pattern)}: error parsing regexp: {clean(str(problem))}") from None
    answers: dict[Func, bool] = {}
    if preselect:
        answers = {func: found_in(func.full_name) for func in registry.funcs()}
        if not any(answers.values()):
            raise BadQuery(_no_match(pattern, [func.full_name for func in answers]))

    def matches(func: Func) -> bool:
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


def _by_id(digits: str) -> Callable[[Trace], bool]:
    wanted = int(digits, 16)
    if len(digits) == 32:
        return lambda trace: trace.id == wanted
    return lambda trace: trace.id & _LOW_64_BITS == wanted
