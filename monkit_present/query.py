"""Queries: from the values of the parameters of ``/trace/*`` to what is to be captured.

The texts of refusals are those of the original up to their second colon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from monkit_core import FinishedSpan, Func, Registry, Span, Trace
from monkit_core.clock import NS_PER_S
from monkit_core.formats.text import go_duration
from monkit_core.text import clean, clip
from monkit_present.durations import Duration
from monkit_present.expression import BadExpression, compile_expression, nearest
from monkit_present.parameters import (
    BadQuery,
    Choice,
    Parameter,
    Seconds,
    Text,
    TraceId,
    Truth,
    WholeNumber,
    quoted,
)

__all__ = ["CAPTURE_PARAMETERS", "MATCH_PARAMETERS", "CaptureQuery", "capture_query", "compiled"]

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
_MIN_DURATION = Parameter("min_duration", Duration(86_400 * NS_PER_S), "only a call that took at least that long")
_ERRORS = Parameter("errors", Choice(("only",)), "only a call that ended by an error or a panic")
_TAG = Parameter(
    "tag.KEY",
    Text("text"),
    "only a call with the annotation KEY of this value, or whose function has such a tag; several mean and",
    family=True,
)
_COUNT = Parameter("count", WholeNumber(1, 100), "matches to wait for; a picture shows one", default=1)

MATCH_PARAMETERS = (_REGEX, _TRACE_ID, _PRESELECT, _TIMEOUT)
"""What every wait for a match takes."""

CAPTURE_PARAMETERS = (_REGEX, _TRACE_ID, _PRESELECT, _MIN_DURATION, _ERRORS, _TAG, _COUNT, _MAX_SPANS, _TIMEOUT)
"""What a wait takes that collects the spans of its match."""


@dataclass(frozen=True, slots=True)
class CaptureQuery:
    """What to wait for.

    Attributes:
        matcher: tells of a starting span whether it is the one.
        funcs: functions that it can be of; ``None`` is any. Calls of others then cost nothing while it is waited.
        traces: traces that it can be of; ``None`` is any.
        words: what was asked for, to be shown.
        max_spans: how many spans of each are kept.
        timeout_s: seconds.
        accept: tells of a call that has ended whether it is one; ``None`` is any.
        count: how many calls are waited for.
        trace_id: digits of the trace's id in small letters, ``None`` if it was not asked for.
    """

    matcher: Callable[[Span], bool]
    funcs: Callable[[Func], bool] | None
    traces: Callable[[Trace], bool] | None
    words: str
    max_spans: int
    timeout_s: float
    accept: Callable[[FinishedSpan], bool] | None = None
    count: int = 1
    trace_id: str | None = None


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
    shown = [("regex", regex), ("trace_id", trace_id), *_filters(values)]
    return CaptureQuery(
        matcher=lambda span: (traces is None or traces(span.trace)) and (funcs is None or funcs(span.func)),
        funcs=funcs,
        traces=traces,
        accept=_accept(values),
        trace_id=trace_id.lower() if trace_id else None,
        words=clean(" ".join(f"{name}={value}" for name, value in shown if value)),
        count=values.get(_COUNT.name, _COUNT.default),
        max_spans=values.get(_MAX_SPANS.name, _MAX_SPANS.default),
        timeout_s=values["timeout"],
    )


def compiled(pattern: str, name: str = "regex") -> Callable[[str], bool]:
    """Whether the expression that the parameter *name* gives is found in a text.

    Raises:
        BadQuery: it cannot be parsed.
    """
    try:
        return compile_expression(pattern)
    except (BadExpression, UnicodeError) as problem:
        raise BadQuery(f"invalid {name} {quoted(pattern)}: error parsing regexp: {clean(str(problem))}") from None


def _filters(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is asked of a call that has ended, as it is written."""
    if values.get(_MIN_DURATION.name):
        yield _MIN_DURATION.name, go_duration(values[_MIN_DURATION.name])
    if values.get(_ERRORS.name):
        yield _ERRORS.name, values[_ERRORS.name]
    for key, value in (values.get(_TAG.name) or {}).items():
        yield _TAG.prefix + key, value


def _accept(values: Mapping[str, Any]) -> Callable[[FinishedSpan], bool] | None:
    """Whether a call that has ended took long enough, failed, and has the annotations or tags."""
    least_ns, errors_only = values.get(_MIN_DURATION.name), values.get(_ERRORS.name) is not None
    wanted = set((values.get(_TAG.name) or {}).items())
    if least_ns is None and not errors_only and not wanted:
        return None

    def accept(call: FinishedSpan) -> bool:
        return (
            (least_ns is None or call.finish_ns - call.span.start_ns >= least_ns)
            and (not errors_only or call.panicked or call.error is not None)
            and wanted <= {*call.span.annotations, *call.span.func.tags}
        )

    return accept


def _by_name(pattern: str, preselect: bool, registry: Registry) -> Callable[[Func], bool]:
    """Whether the expression is found in the name of a function; it runs once for each."""
    found_in = compiled(pattern)
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
