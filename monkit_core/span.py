"""Spans and traces: one timed call, the calls of one request, and who watches them.

What the engine relies on. Counts such as ``func.current += 1`` and inserts
into and removals from dictionaries with identity hashes are done without a
lock: under the interpreter lock a dictionary operation is atomic, and the
present interpreters (3.11 to 3.14, with the lock) never switch threads inside
an augmented assignment to a slot. The property tests over threads hold this.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from monkit_core import faults, ids, masking
from monkit_core.clock import NS_PER_S, monotonic_ns
from monkit_core.locks import LOCK
from monkit_core.values import to_float

if TYPE_CHECKING:
    from monkit_core.func import Func

__all__ = ["CURRENT", "Live", "Span", "SpanObserver", "Trace", "current_span", "without_span"]

_MOST_ANNOTATIONS = 256
_lives: WeakSet[Live] = WeakSet()
_TEXT_LIMIT = 1000


class SpanObserver(Protocol):
    """Told when spans start and finish, in the thread where they do; must be quick and must not raise."""

    def span_started(self, span: Span) -> None:
        """*span* has just started; its parent, arguments and trace are set."""
        ...

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        """*span* has just finished; *error* is what it raised, if it failed."""
        ...


class Live:
    """The spans of a registry that run now, and who watches it.

    A watcher that raises is dropped, unless it only ran out of stack in a deep recursion of the program.
    """

    __slots__ = ("__weakref__", "observers", "orphans", "roots", "trace_callbacks")

    def __init__(self) -> None:
        _lives.add(self)
        self.roots: dict[Span, None] = {}
        self.orphans: dict[Span, None] = {}
        self.observers: tuple[SpanObserver, ...] = ()
        self.trace_callbacks: tuple[Callable[[Trace], object], ...] = ()

    def observe_spans(self, observer: SpanObserver) -> Callable[[], None]:
        """Tell *observer* of every span of every trace, also of those that run already."""
        with LOCK:
            self.observers = (observer, *self.observers)
        return lambda: self._forget(observer)

    def observe_traces(self, callback: Callable[[Trace], object]) -> Callable[[], None]:
        """Call *callback* with every new trace before its first span is told of."""
        with LOCK:
            self.trace_callbacks = (callback, *self.trace_callbacks)
        return lambda: self._forget(callback)

    def _forget(self, watcher: object) -> None:
        with LOCK:
            self.observers = tuple(item for item in self.observers if item is not watcher)
            self.trace_callbacks = tuple(item for item in self.trace_callbacks if item is not watcher)

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
        """Tell the observers of the trace, then those of the registry, newest first."""
        for observer in (*span.trace.observers, *self.observers):
            try:
                observer.span_started(span)
            except RecursionError:
                pass  # hardly any stack is left for it, which is the program's doing: it misses this one
            except Exception as problem:  # a watcher's own code; it is dropped, the call goes on
                self._drop(observer, span, problem)

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        """The same when a span finishes."""
        for observer in (*span.trace.observers, *self.observers):
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
            if span in kept:
                continue
            if not span.finish_ns:  # or its thread was ending it when the fork came, and had counted that
                span.finish_ns = monotonic_ns()  # so that a finaliser which still ends it does nothing
                span.func.current -= 1
                span.trace.span_count -= 1
            for running in (self.roots, self.orphans, span.parent.children if span.parent else {}):
                running.pop(span, None)

    def _drop(self, observer: SpanObserver, span: Span, problem: Exception) -> None:
        faults.report(f"span observer {type(observer).__qualname__}", problem)
        self._forget(observer)
        span.trace._forget(observer)


class Trace:
    """The spans of one request, in this process.

    Args:
        live: of the registry that the trace belongs to.
        trace_id: 128 bits; drawn when not given.
    """

    __slots__ = ("_values", "announced", "id", "live", "observers", "span_count")

    def __init__(self, live: Live, trace_id: int | None = None) -> None:
        self.live = live
        self.id = ids.trace_id() if trace_id is None else trace_id
        self.span_count = 0
        """How many of its spans run now."""
        self.announced = False
        """Whether trace observers were told of it."""
        self.observers: tuple[SpanObserver, ...] = ()
        self._values: dict[object, object] | None = None

    def get(self, key: object) -> object:
        """A value of the trace, such as ``sampled``; ``None`` if it was never set."""
        return self._values.get(key) if self._values else None

    def set(self, key: object, value: object) -> None:
        """Keep *value* with the trace, for every span of it to see."""
        with LOCK:
            if self._values is None:
                self._values = {}
            self._values[key] = value

    def observe_spans(self, observer: SpanObserver) -> Callable[[], None]:
        """Tell *observer* of spans of this trace from now on; returns what ends that.

        It may see a finish whose start it did not see.
        """
        with LOCK:
            self.observers = (observer, *self.observers)
        return lambda: self._forget(observer)

    def _forget(self, observer: SpanObserver) -> None:
        with LOCK:
            self.observers = tuple(item for item in self.observers if item is not observer)

    def __repr__(self) -> str:
        return f"<Trace {self.id:032x}, {self.span_count} running>"


class Span:
    """One call of a monitored function or block.

    Attributes:
        func: the function.
        trace: the trace it belongs to.
        parent: the span it was called from, while this one runs; ``None`` at a root.
        parent_id: 64 bits, ``None`` at the root of a trace; kept when the parent has ended.
        id: 63 bits.
        start_ns: monotonic nanoseconds.
        finish_ns: the same clock, 0 while it runs.
        outer: what was the current span before, and will be again.
        children: its spans that run now.
        args: recorded arguments as ``name=repr``.
        orphaned: the parent ended first.
        error_name: name of the error or panic it ended with.
        panicked: whether it was a panic.
        progressed: what `progress` was told last.
    """

    __slots__ = (
        "_annotations", "annotations_dropped", "args", "children", "error_name", "finish_ns", "func", "id",
        "orphaned", "outer", "panicked", "parent", "parent_id", "progressed", "start_ns", "trace",
    )  # fmt: skip

    def __init__(
        self,
        func: Func,
        trace: Trace,
        parent: Span | None,
        parent_id: int | None,
        outer: Span | None,
        args: tuple[str, ...],
    ) -> None:
        self.func = func
        self.trace = trace
        self.parent = parent
        self.parent_id = parent_id
        self.outer = outer
        self.args = args
        self.id = ids.span_id()
        self.finish_ns = 0
        self.orphaned = False
        self.panicked = False
        self.error_name: str | None = None
        self.children: dict[Span, None] = {}
        self._annotations: list[tuple[str, str]] | None = None
        self.annotations_dropped = 0
        self.progressed: tuple[float, float | None] | None = None
        self.start_ns = monotonic_ns()

    @property
    def annotations(self) -> tuple[tuple[str, str], ...]:
        """Pairs of key and value in the order they were made."""
        return tuple(self._annotations or ())

    @property
    def duration_ns(self) -> int:
        """Nanoseconds it took, or has run so far."""
        return (self.finish_ns or monotonic_ns()) - self.start_ns

    @property
    def duration(self) -> float:
        """Seconds it took, or has run so far."""
        return self.duration_ns / NS_PER_S

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.finish_ns != 0

    def annotate(self, key: str, value: object) -> None:
        """Append a note; also after the end. Values become text of at most 1,000 characters, secrets masked.

        A span keeps 256 notes and counts the rest.
        """
        name = masking.describe(key, _TEXT_LIMIT)
        note = (name, masking.describe(value, _TEXT_LIMIT, name))
        with LOCK:
            if self._annotations is None:
                self._annotations = []
            if len(self._annotations) < _MOST_ANNOTATIONS:
                self._annotations.append(note)
            else:
                self.annotations_dropped += 1

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far long work has come: *done* of *total*, in any unit. ``/ps`` shows rate and remaining time.

        Never raises; what is no number, or not finite, is left out and reported once.
        """
        try:
            progressed = (to_float(done), None if total is None else to_float(total))
            if not all(math.isfinite(number) for number in progressed if number is not None):
                raise ValueError(f"finite numbers were expected, found {progressed}")
            self.progressed = progressed
        except Exception as problem:  # a user's number, of any kind
            faults.report(f"progress of {self.func.full_name}", problem)

    def __repr__(self) -> str:
        state = "finished" if self.finish_ns else "running"
        return f"<Span {self.id:016x} of {self.func.full_name}, {state}>"


CURRENT: ContextVar[Span | None] = ContextVar("monkit_span", default=None)


def current_span() -> Span | None:
    """The span that the calling code runs in, or ``None``."""
    return CURRENT.get()


class without_span(AbstractContextManager[None]):  # used like a function
    """Hide the current span for a block: what is called in it starts traces of its own."""

    def __init__(self) -> None:
        self._hidden: list[Span | None] = []

    def __enter__(self) -> None:
        self._hidden.append(CURRENT.get())
        CURRENT.set(None)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        hidden = self._hidden.pop()
        if CURRENT.get() is None:
            CURRENT.set(hidden)


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
