"""The worker as monitored code: ``workflow.<Type>`` and ``activity.<name>``, in the trace that a header names.

A run may last a year and live in no process. So its span is that of one live
slice of its code, and none is open between two slices. What only repeats, a
replay or a query, counts nothing, nor does what it calls.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Final

import monkit_core
from monkit_core.block import Block
from monkit_core.engine import MUTED, finish
from monkit_core.locks import LOCK
from monkit_core.propagation import extract, inject
from monkit_core.span import CURRENT, Span, Trace, current_span
from monkit_core.variables import set_variable
from monkit_workflow.activity import CompleteLater

__all__ = ["attempt", "forget_spans", "live_slice", "mute", "trace_header"]

_WORKFLOWS: Final = monkit_core.default_registry.scope("workflow")
_ACTIVITIES: Final = monkit_core.default_registry.scope("activity")
_FIELDS: Final = ("traceparent", "tracestate", "baggage")
_OWN: Final = "workflow.own"
"""Value of a trace that begins with a slice of a run that came without one."""
_MOST_TRACES: Final = 1000
_traces: OrderedDict[int, Trace] = OrderedDict()
"""Traces of this process that went into headers, so that what comes back joins them."""


def trace_header() -> dict[str, str]:
    """What a header says of the current span; nothing where there is none, or only that of a run without a trace.

    So what a workflow sends is the same each time, as long as nobody traces it.
    """
    span = current_span()
    if span is None or span.trace.get(_OWN):
        return {}
    trace = span.trace
    with LOCK:
        _traces[trace.id] = trace
        _traces.move_to_end(trace.id)
        if len(_traces) > _MOST_TRACES:
            _traces.popitem(last=False)
    header: dict[str, str] = {}
    inject(header)
    return header


def _received(func: monkit_core.Func, header: Mapping[str, Any]) -> Block:
    """A block of *func* that goes on with the trace which *header* names, or starts one."""
    fields = {key: value for key in _FIELDS if isinstance(value := header.get(key), str)}
    if not fields:
        return func.reset_trace()
    context = extract(fields)
    trace = None if context.trace_id is None else _traces.get(context.trace_id)
    return context.receive(func) if trace is None else func.remote_trace(context.parent_id, trace)


@contextmanager
def attempt(activity_type: str, header: Mapping[str, Any]) -> Iterator[None]:
    """The span of an attempt; that it is left open for somebody else is no failure."""
    later: CompleteLater | None = None
    with _received(_ACTIVITIES.func(activity_type), header):
        try:
            yield
        except CompleteLater as error:
            later = error
    if later is not None:
        raise later


# Inside of a run.


def mute() -> None:
    """Count nothing in the current context, and in those that are copied from it."""
    set_variable(CURRENT, MUTED)


@contextmanager
def live_slice(
    workflow_type: str, header: Mapping[str, Any], outcome: Callable[[], BaseException | None]
) -> Iterator[Callable[[], None]]:
    """The span of a slice in the current context, which is muted otherwise.

    Gives what has to be called in the context of each step of the code: there
    the slice becomes the parent of what it calls, unless a call of the code's
    own that goes on is that already. *outcome* says at the end with what the
    run failed, if it did.
    """
    set_variable(CURRENT, None)
    block = _received(_WORKFLOWS.func(workflow_type), header)
    span = block.__enter__()
    if span.parent_id is None:
        span.trace.set(_OWN, True)

    def enter_step() -> None:
        current = CURRENT.get()
        if current is not span and (current is None or current.finish_ns):
            set_variable(CURRENT, span)

    try:
        yield enter_step
    except BaseException as error:
        finish(span, error)
        raise
    else:
        finish(span, outcome())
    finally:
        mute()


def forget_spans(contexts: Iterable[Context]) -> None:
    """Calls of the code that go on in *contexts* end with the run's stay in memory, and were none."""
    for context in contexts:
        span: Span | None = context.get(CURRENT)
        while span is not None:
            if not span.finish_ns:
                span.trace.live.forget(span)
            span = span.outer
