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
from threading import get_ident
from typing import TYPE_CHECKING, Any

from monkit_core.clock import monotonic_ns
from monkit_core.engine.pure.numbers import FOLD_AT, probe_stack
from monkit_core.engine.pure.spans import CURRENT, MUTED, Edge, Span, Trace, raw_record
from monkit_core.errors import error_name, is_panic, is_success
from monkit_core.recent import LEAST_RECORDS, MOST_BUFFERED, MOST_RECORDS, latency_class
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

_UP_TO_3_11 = sys.version_info < (3, 12)
"""There `set_variable` needs a copy of the context, but these calls are too frequent for that function."""

_current, _make_current = CURRENT.get, CURRENT.set  # bound once, as each use of a method makes an object

_FINISH_DEPTH = 4
"""How many calls deep `finish` and `start` are, with those to C where these count too."""

Recorder = Callable[[tuple[Any, ...], dict[str, Any]], tuple[str, ...]]
"""Turns the arguments of a call into the texts that its span keeps."""


def _nested(levels: int) -> tuple[Any, ...]:
    """An empty tuple within *levels* others."""
    return (_nested(levels - 1),) if levels else ()


_NESTED, _SAME_NESTED = _nested(_FINISH_DEPTH), _nested(_FINISH_DEPTH)
"""Up to 3.11 each level of a comparison counts as a call, so comparing these probes the stack at a small price."""


def start(func: Func, args: tuple[str, ...] = (), trace: Trace | None = None, parent_id: int | None = None) -> Span:
    """Start a span of *func* and make it current.

    Args:
        func: the function that is called.
        args: recorded arguments.
        trace: makes the span a root of this trace, whatever is current.
        parent_id: of its remote parent, with *trace*.
    """
    outer = _current()
    if outer is MUTED:
        return _unseen(func, args, trace)
    span = Span()
    span.func = func
    span.outer = outer
    span.args = args
    if trace is None and outer is not None:
        parent: Span | None = outer
        span.parent = outer
        span.parent_id = outer._id or outer.id
        trace = outer.trace
        caller: Func | None = outer.func
        siblings = outer._children
        if siblings is None:
            siblings = _first_children(outer)
    else:
        parent = caller = None
        span.parent = None
        span.parent_id = parent_id
        if trace is None:
            trace = Trace(func.live)
        siblings = trace.live._roots
    span.trace = trace
    try:
        edge = func._callers[caller]
    except KeyError:
        edge = func._callers.setdefault(caller, Edge())
    span._id = span.finish_ns = span.annotations_dropped = 0
    span.orphaned = span.panicked = False
    span.error_name = span.progressed = span._children = span._annotations = None
    span.thread_id = get_ident()
    span.start_ns = monotonic_ns()
    # Whether there is the stack that `finish` will need is found out now: with too little, nothing has begun yet.
    if _UP_TO_3_11:
        _NESTED == _SAME_NESTED  # noqa: B015 -- raises `RecursionError`
        kept = copy_context()
        _make_current(span)
        del kept
    else:
        probe_stack(_FINISH_DEPTH - 1)
        _make_current(span)
    # No call up to the next comment: nothing can raise while the span is half registered.
    func.current = current = func.current + 1
    if current > func.highwater:
        func.highwater = current
    edge.calls += 1
    trace.span_count += 1
    siblings[span] = None
    # Registered.
    if parent is None:
        if trace.live.trace_callbacks and not trace.announced:
            trace.announced = True
            trace.live.trace_started(trace)
    elif parent.finish_ns:
        _orphan(parent, span)
    if trace.observers is not func.observers:  # mostly both are the one empty tuple
        trace.live.span_started(span)
    return span


def _unseen(func: Func, args: tuple[str, ...], trace: Trace | None) -> Span:
    """What a call gets where nothing is counted: a span of its own that has ended already and is current nowhere."""
    span = Span()
    span.func = func
    span.trace = Trace(func.live) if trace is None else trace
    span.parent = span.outer = span.parent_id = None
    span.args = args
    span._id = span.annotations_dropped = 0
    span.orphaned = span.panicked = False
    span.error_name = span.progressed = span._children = span._annotations = None
    span.thread_id = get_ident()
    span.start_ns = span.finish_ns = monotonic_ns()
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
    span.finish_ns = now = monotonic_ns()
    spent = now - span.start_ns
    func = span.func
    trace = span.trace
    func.current -= 1
    trace.span_count -= 1
    if error is not None and _failed(span, error):
        func.failed(None if span.panicked else span.error_name, spent)
    else:
        error = None
        pending = func._pending
        pending.append(spent)
        if len(pending) >= FOLD_AT:
            func.success_times.fold_if_free()
    if span._children is not None:
        for child in tuple(span._children):
            _orphan(span, child)
    parent = span.parent
    siblings: Any = trace.live._roots if parent is None else parent._children
    try:
        del siblings[span]
    except KeyError:  # it outlives its parent
        trace.live._orphans.pop(span, None)
    outer = span.outer
    if _current() is not span or (outer is not None and outer.finish_ns):
        _restore(span)
    elif _UP_TO_3_11:
        kept = copy_context()
        _make_current(outer)
        del kept
    else:
        _make_current(outer)
    span.parent = None
    if error is None and func._usual_from_ns <= spent < func._usual_to_ns and now < func._due_ns:
        records = trace._records
        if records is None or not trace.span_count:
            if records is not None or trace.span_count:  # else the trace had only this span: nobody would see it
                _record(span)
        elif len(records) == MOST_RECORDS:  # its greatest length: the oldest goes by itself
            trace.records_dropped += 1
            records.append(span)
        else:
            _append(records, span, trace, trace.live)
    elif trace.live.recent is not None:
        _record(span)
    if trace.observers is not func.observers:
        trace.live.span_finished(span, error)


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


def _record(span: Span) -> None:
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
    if is_due and live.recent is not None:
        live.recent.bring(latency if kind is None else kind, trace, map(raw_record, reversed(records.copy())))
    if is_last:
        trace._records = None
        live.buffered -= len(records)


def _failed(span: Span, error: BaseException) -> bool:
    """Note with what *span* failed; false if ending by *error* is a success."""
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
    current = _current()
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
            result = call(*args, **kwargs) if kwargs else call(*args)  # most calls need no copy of an empty dictionary
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
            result = await (call(*args, **kwargs) if kwargs else call(*args))
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
        caller = _current()
        span = start(func) if record is None else start(func, record(args, kwargs))
        argument: Any = None
        try:
            steps = call(*args, **kwargs)
            value = next(steps)
            while True:
                inside = _current()
                set_variable(CURRENT, caller)
                resume: Callable[[Any], Any] = steps.send
                try:
                    argument = yield value
                except BaseException as error:
                    resume, argument = steps.throw, error
                caller = _current()
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
