"""Spans and traces: one timed call, the calls of one request, and who watches them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from monkit_core import faults
from monkit_core.engine import CURRENT, MUTED, LiveCore, Span, Trace
from monkit_core.locks import LOCK
from monkit_core.recent import RecentStore
from monkit_core.variables import set_variable

if TYPE_CHECKING:
    from monkit_core.func import Func

__all__ = [
    "CURRENT",
    "FuncFilter",
    "Live",
    "Span",
    "SpanObserver",
    "Trace",
    "TraceFilter",
    "current_span",
    "unmonitored",
    "without_span",
]

_MOST_TRACES = 1000
_lives: WeakSet[Live] = WeakSet()


class SpanObserver(Protocol):
    """Told when spans start and finish, in the thread where they do; must be quick and must not raise."""

    def span_started(self, span: Span) -> None:
        """*span* has just started; its parent, arguments and trace are set."""
        ...

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        """*span* has just finished; *error* is what it raised, if it failed."""
        ...


FuncFilter = Callable[["Func"], bool]
"""Which functions an observer wants to hear of; runs once for each."""

TraceFilter = Callable[[Trace], bool]
"""Which traces an observer wants to hear of; runs when each starts."""


class Live(LiveCore):
    """The spans of a registry that run now, and who watches it.

    A watcher that raises is dropped, unless it only ran out of stack in a deep recursion of the program.

    Args:
        recent: keep trees of finished spans, see `RecentStore`.
    """

    __slots__ = ("__weakref__", "_funcs", "observers")

    def __init__(self, recent: bool = True) -> None:
        super().__init__()
        self.observers: tuple[tuple[SpanObserver, FuncFilter | None], ...] = ()
        self._funcs: list[Func] = []
        if recent:
            self.recent = RecentStore()
        _lives.add(self)

    def add_func(self, func: Func) -> None:
        """Let those watch *func*, which is new, who want to."""
        with LOCK:
            self._funcs.append(func)
        for observer, wants in self.observers:
            self._attach(func, observer, wants)

    def observe_spans(
        self, observer: SpanObserver, funcs: FuncFilter | None = None, traces: TraceFilter | None = None
    ) -> Callable[[], None]:
        """Tell *observer* of spans, also of traces that run already; returns what ends that.

        Args:
            observer: is told.
            funcs: only of spans of functions that this accepts, known now or made later; calls of the others
                cost nothing then.
            traces: only of spans of traces that this accepts; *funcs* is not asked then.

        A function or trace for which a filter raises is not watched.
        """
        if traces is not None:
            return self._observe_traces_spans(observer, traces)
        with LOCK:
            self.observers = ((observer, funcs), *self.observers)
            known = self._funcs.copy()
        for func in known:
            self._attach(func, observer, funcs)
        return lambda: self._forget(observer)

    def _observe_traces_spans(self, observer: SpanObserver, wants: TraceFilter) -> Callable[[], None]:
        attached: deque[Callable[[], None]] = deque(maxlen=_MOST_TRACES)

        def attach(trace: Trace) -> None:
            if wants(trace):
                attached.append(trace.observe_spans(observer))

        def detach() -> None:
            stop()
            while attached:
                attached.pop()()

        stop = self.observe_traces(attach)
        for trace in {span.trace for span in (*self.roots, *self.orphans)}:
            if all(item is not observer for item in trace.observers):
                attach(trace)
        return detach

    def _attach(self, func: Func, observer: SpanObserver, wants: FuncFilter | None) -> None:
        try:
            wanted = wants is None or wants(func)
        except Exception as problem:  # a watcher's own code, of any kind
            faults.report(f"filter of span observer {type(observer).__qualname__}", problem)
            return
        if wanted:
            with LOCK:
                watching = {id(observer), *map(id, func.observers)}
                func.observers = tuple(item for item, _ in self.observers if id(item) in watching)

    def observe_traces(self, callback: Callable[[Trace], object]) -> Callable[[], None]:
        """Call *callback* with every new trace before its first span is told of."""
        with LOCK:
            self.trace_callbacks = (callback, *self.trace_callbacks)
        return lambda: self._forget(callback)

    def _forget(self, watcher: object) -> None:
        with LOCK:
            self.trace_callbacks = tuple(item for item in self.trace_callbacks if item is not watcher)
            if any(observer is watcher for observer, _ in self.observers):
                self.observers = tuple(item for item in self.observers if item[0] is not watcher)
                for func in self._funcs:
                    if func.observers:
                        func.observers = tuple(item for item in func.observers if item is not watcher)

    def trace_started(self, trace: Trace) -> None:
        """Tell of a new trace."""
        for callback in self.trace_callbacks:
            try:
                callback(trace)
            except RecursionError:
                pass  # hardly any stack is left for it, which is the program's doing: it misses this one
            except Exception as problem:  # a watcher's own code; it is dropped, the call goes on
                faults.report(f"trace observer {callback!r}", problem)
                self._forget(callback)

    def span_started(self, span: Span) -> None:
        """Tell the observers of the trace, then those of the registry, newest first, each once."""
        for observer in _observers(span):
            try:
                observer.span_started(span)
            except RecursionError:
                pass  # hardly any stack is left for it, which is the program's doing: it misses this one
            except Exception as problem:  # a watcher's own code; it is dropped, the call goes on
                self._drop(observer, span, problem)

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        """The same when a span finishes."""
        for observer in _observers(span):
            try:
                observer.span_finished(span, error)
            except RecursionError:
                pass  # hardly any stack is left for it, which is the program's doing: it misses this one
            except Exception as problem:  # a watcher's own code; it is dropped, the call goes on
                self._drop(observer, span, problem)

    def forget_all_but(self, kept: set[Span]) -> None:
        """Take spans off the live list that nobody is left to finish."""
        waiting = [*self.roots, *self.orphans]
        while waiting:
            span = waiting.pop()
            waiting.extend(span.children)
            if span not in kept:
                self.forget(span)

    def _drop(self, observer: SpanObserver, span: Span, problem: Exception) -> None:
        faults.report(f"span observer {type(observer).__qualname__}", problem)
        self._forget(observer)
        span.trace.forget(observer)


def _observers(span: Span) -> tuple[SpanObserver, ...]:
    of_trace, of_func = span.trace.observers, span.func.observers
    if not of_trace:
        return of_func
    return (*of_trace, *(observer for observer in of_func if all(observer is not other for other in of_trace)))


def current_span() -> Span | None:
    """The span that the calling code runs in, or ``None``."""
    span = CURRENT.get()
    return None if span is MUTED else span


class without_span(AbstractContextManager[None]):  # used like a function
    """Hide the current span for a block: what is called in it starts traces of its own."""

    def __init__(self) -> None:
        self._hidden: list[Span | None] = []

    def __enter__(self) -> None:
        hidden = CURRENT.get()
        self._hidden.append(hidden)
        if hidden is not MUTED:
            set_variable(CURRENT, None)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        hidden = self._hidden.pop()
        if CURRENT.get() is None:
            set_variable(CURRENT, hidden)


class unmonitored(AbstractContextManager[None]):  # used like a function
    """Count nothing in a block: calls of monitored functions in it leave no span and no figure.

    They get spans that nobody else sees, so that code which annotates them
    works. The block follows wherever the current span does.
    """

    def __init__(self) -> None:
        self._before: list[Span | None] = []

    def __enter__(self) -> None:
        self._before.append(CURRENT.get())
        set_variable(CURRENT, MUTED)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        before = self._before.pop()
        if CURRENT.get() is MUTED:
            set_variable(CURRENT, before)


def _after_fork() -> None:
    """In a child only the forking thread goes on, so only the spans around the fork still run."""
    kept: set[Span] = set()
    waiting = [CURRENT.get()]
    while waiting:
        span = waiting.pop()
        if span is not None and span not in kept:
            kept.add(span)
            waiting += [span.outer, span.parent]
    for live in list(_lives):
        live.forget_all_but(kept)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
