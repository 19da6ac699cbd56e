"""The engine in plain Python: what happens when a monitored call starts and ends.

This is the specification. The order of steps matters near the recursion limit
and between threads: a span is registered only after every step that could
raise has been taken, and whoever removes a span from a live list is the one
who may move it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from monkit_core.clock import monotonic_ns
from monkit_core.engine.pure.spans import CURRENT, Span, Trace, raw_record
from monkit_core.errors import error_name, is_panic, is_success
from monkit_core.recent import LEAST_RECORDS, MOST_BUFFERED, MOST_RECORDS, RecentStore, latency_class
from monkit_core.variables import set_variable

if TYPE_CHECKING:
    from monkit_core.func import Func
    from monkit_core.span import Live

__all__ = [
    "Recorder",
    "finish",
    "monitor_coroutine",
    "monitor_function",
    "monitor_generator",
    "start",
]

_KEEPS_TABLE = sys.version_info < (3, 12)
"""See `set_variable`, which these calls are too frequent for."""

Recorder = Callable[[tuple[Any, ...], dict[str, Any]], tuple[str, ...]]
"""Turns the arguments of a call into the texts that its span keeps."""


def start(func: Func, args: tuple[str, ...] = (), *, trace: Trace | None = None, parent_id: int | None = None) -> Span:
    """Start a span of *func* and make it current.

    Args:
        func: the function that is called.
        args: recorded arguments.
        trace: makes the span a root of this trace, whatever is current.
        parent_id: of its remote parent, with *trace*.
    """
    outer = CURRENT.get()
    if trace is None and outer is not None:
        parent: Span | None = outer
        trace = outer.trace
        parent_id = outer._id or outer.id
        caller: Func | None = outer.func
    else:
        parent = caller = None
        if trace is None:
            trace = Trace(func.live)
    callers = func._callers
    if caller not in callers:
        callers.setdefault(caller, 0)
    siblings = trace.live._roots if parent is None else parent._children
    if siblings is None:
        siblings = _first_children(cast("Span", parent))
    span = Span(func, trace, parent, parent_id, outer, args)
    if _KEEPS_TABLE:
        kept = copy_context()
        CURRENT.set(span)
        del kept
    else:
        CURRENT.set(span)
    # No call up to the next comment: nothing can raise while the span is half registered.
    # (What `finish` needs of the stack, the lines above have just used.)
    func.current = current = func.current + 1
    if current > func.highwater:
        func.highwater = current
    callers[caller] += 1
    trace.span_count += 1
    siblings[span] = None
    # Registered.
    if parent is None:
        if trace.live.trace_callbacks and not trace.announced:
            trace.announced = True
            trace.live.trace_started(trace)
    elif parent.finish_ns:
        _orphan(parent, span)
    if trace.observers or func.observers:
        trace.live.span_started(span)
    return span


def _first_children(parent: Span) -> dict[Span, None]:
    """The dictionary of the children of *parent*, which has none yet."""
    made: dict[Span, None] = {}
    if parent._children is None:  # else another thread, or a finaliser, was faster
        parent._children = made
    return parent._children


def finish(span: Span, error: BaseException | None = None) -> None:
    """End *span*, which raised *error* or returned; a second time does nothing."""
    if span.finish_ns:
        return
    now = monotonic_ns()
    span.finish_ns = now
    func = span.func
    trace = span.trace
    live = trace.live
    parent = span.parent
    func.current -= 1
    trace.span_count -= 1
    if error is None or not _record_failure(span, error, now):
        error = None
        func.success_times.observe(now - span.start_ns)
    if span._children:
        for child in tuple(span._children):
            _orphan(span, child)
    if span.orphaned:
        live._orphans.pop(span, None)
    elif parent is None:
        live._roots.pop(span, None)
    elif parent._children is not None:
        parent._children.pop(span, None)
    outer = span.outer
    if CURRENT.get() is not span or (outer is not None and outer.finish_ns):
        _restore(span)
    elif _KEEPS_TABLE:
        kept = copy_context()
        CURRENT.set(outer)
        del kept
    else:
        CURRENT.set(outer)
    span.parent = None
    if live.recent is not None:
        records = trace._records
        is_usual = func._usual_from_ns <= now - span.start_ns < func._usual_to_ns
        if error is not None or not is_usual or now >= func._due_ns:
            _record(span, live.recent)
        elif records is not None and trace.span_count:
            _append(records, span, trace, live)
        elif records is not None or trace.span_count:  # else the only span of a trace that ends: nobody would see it
            _record(span, live.recent)
    if trace.observers or func.observers:
        live.span_finished(span, error)


def _append(records: deque[Span], span: Span, trace: Trace, live: Live) -> None:
    """Add a record; where there is no room, the oldest goes."""
    size = len(records)
    if size == MOST_RECORDS:  # its greatest length: the oldest goes by itself
        trace.records_dropped += 1
    elif size < LEAST_RECORDS or live.buffered < MOST_BUFFERED:
        live.buffered += 1
    else:
        records.popleft()
        trace.records_dropped += 1
    records.append(span)


def _record(span: Span, recent: RecentStore) -> None:
    """Leave a record in the trace; bring the tree below *span* to the store if it is time for one."""
    func, trace, kind = span.func, span.trace, span.error_name
    live = trace.live
    if kind is None:
        latency = latency_class(span.finish_ns - span.start_ns)
        is_due = func.class_is_due(latency, span.finish_ns)
    else:
        is_due = span.finish_ns >= func._error_due_ns.get(kind, 0)
    is_last = trace.span_count == 0
    records = trace._records
    if records is None:
        if is_last and not is_due:
            return  # nobody would ever see it
        records = deque(maxlen=MOST_RECORDS)
        if trace._records is None:  # else another thread, or a finaliser, was faster
            trace._records = records
    _append(records, span, trace, live)
    if is_due:
        recent.bring(latency if kind is None else kind, trace, map(raw_record, reversed(records.copy())))
    if is_last:
        trace._records = None
        live.buffered -= len(records)


def _record_failure(span: Span, error: BaseException, now: int) -> bool:
    """Count how *span* failed; false if ending by *error* is a success."""
    try:
        if is_success(error):
            return False
        name = error_name(error)
        panicked = is_panic(error)
    except RecursionError:  # hardly any stack is left, most likely the error is just that
        name = error.__class__.__name__
        panicked = False
    span.error_name = name
    span.panicked = panicked
    span.func.failed(None if panicked else name, now - span.start_ns)
    return True


def _orphan(parent: Span, child: Span) -> None:
    """Move *child*, which outlives *parent*, to the roots of the live list."""
    if parent._children is None or parent._children.pop(child, child) is child:
        return  # it ended, or another thread moves it
    child.orphaned = True
    orphans = child.trace.live._orphans
    orphans[child] = None
    if child.finish_ns:  # it ended meanwhile in another thread and did not find itself there
        orphans.pop(child, None)


def _restore(span: Span) -> None:
    """Make current again what was so before *span*, if *span* is current here."""
    current = CURRENT.get()
    while current is not None and current is not span and current.finish_ns:
        current = current.outer  # it ended in another context, where nobody could put this one right
    if current is span:
        set_variable(CURRENT, span.outer)
    else:
        # Blocks ended in another order than they began: let what stands inside restore past this one.
        while current is not None and current.outer is not span:
            current = current.outer
        if current is not None:
            current.outer = span.outer
    if span.outer is not None and span.outer.finish_ns:
        span.outer = None  # otherwise a chain of tasks that each start the next would keep every span alive


def monitor_function(func: Func, call: Callable[..., Any], record: Recorder | None) -> Callable[..., Any]:
    """A function that calls *call* in a span of *func*."""

    @functools.wraps(call)
    def monitored(*args: Any, **kwargs: Any) -> Any:
        span = start(func) if record is None else start(func, record(args, kwargs))
        try:
            result = call(*args, **kwargs)
        except BaseException as error:
            finish(span, error)
            raise
        finish(span)
        return result

    return monitored


def monitor_coroutine(
    func: Func, call: Callable[..., Coroutine[Any, Any, Any]], record: Recorder | None
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A coroutine function that awaits *call* in a span of *func*."""

    @functools.wraps(call)
    async def monitored(*args: Any, **kwargs: Any) -> Any:
        span = start(func) if record is None else start(func, record(args, kwargs))
        try:
            result = await call(*args, **kwargs)
        except BaseException as error:
            finish(span, error)
            raise
        finish(span)
        return result

    return monitored


def monitor_generator(
    func: Func, call: Callable[..., Generator[Any, Any, Any]], record: Recorder | None
) -> Callable[..., Generator[Any, Any, Any]]:
    """A generator function that runs *call* in one span of *func*, from the first step to the end.

    Between two steps the caller's current span is current, inside a step the
    generator's, whatever it left there.
    """

    @functools.wraps(call)
    def monitored(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        caller = CURRENT.get()
        span = start(func) if record is None else start(func, record(args, kwargs))
        argument: Any = None
        try:
            steps = call(*args, **kwargs)
            value = next(steps)
            while True:
                inside = CURRENT.get()
                set_variable(CURRENT, caller)
                resume: Callable[[Any], Any] = steps.send
                try:
                    argument = yield value
                except BaseException as error:
                    resume, argument = steps.throw, error
                caller = CURRENT.get()
                set_variable(CURRENT, inside)
                value = resume(argument)
        except StopIteration as stop:
            finish(span)
            return stop.value
        except BaseException as error:
            finish(span, error)
            raise
        finally:
            set_variable(CURRENT, caller)
            argument = None  # it may be the exception that holds this frame

    if getattr(getattr(call, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE:
        types.coroutine(monitored)  # as *call* is
    return monitored
