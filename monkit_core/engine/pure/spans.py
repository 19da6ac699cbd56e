"""Spans, traces and what a call changes of a function, in plain Python.

What the engine relies on. Counts such as ``func.current += 1`` and inserts
into and removals from dictionaries with identity hashes are done without a
lock: under the interpreter lock a dictionary operation is atomic, and the
present interpreters (3.11 to 3.14, with the lock) never switch threads inside
an augmented assignment to a slot. The property tests over threads hold this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from monkit_core import ids, notes
from monkit_core.clock import NS_PER_S, monotonic_ns
from monkit_core.errors import MOST_ERROR_NAMES, OTHER_ERRORS
from monkit_core.locks import LOCK
from monkit_core.recent import LATENCY_CLASSES, RawRecord, RecentStore, class_bounds

if TYPE_CHECKING:
    from monkit_core.distribution import Distribution
    from monkit_core.func import Func
    from monkit_core.span import Live, SpanObserver

__all__ = ["CURRENT", "MUTED", "FuncCore", "LiveCore", "Span", "Trace", "raw_record"]


class LiveCore:
    """What calls read and change of a registry: the spans that run now, and who watches.

    Attributes:
        trace_callbacks: called with every new trace.
        recent: where finished trees are kept; ``None`` if no records are made.
        buffered: how many records the running traces hold.
    """

    __slots__ = ("_orphans", "_roots", "buffered", "recent", "trace_callbacks")

    def __init__(self) -> None:
        self._roots: dict[Span, None] = {}
        self._orphans: dict[Span, None] = {}
        self.trace_callbacks: tuple[Callable[[Trace], object], ...] = ()
        self.recent: RecentStore | None = None
        self.buffered = 0

    @property
    def roots(self) -> tuple[Span, ...]:
        """Running spans without a parent in this process, in the order they started."""
        return tuple(self._roots.copy())

    @property
    def orphans(self) -> tuple[Span, ...]:
        """Running spans whose parent has ended."""
        return tuple(self._orphans.copy())

    def forget(self, span: Span) -> None:
        """Take *span*, which nobody is left to finish, off the live list and out of the counts."""
        if not span.finish_ns:  # else its thread was ending it when the fork came, and had counted that
            span.finish_ns = monotonic_ns()  # so that a finaliser which still ends it does nothing
            span.func.current -= 1
            trace = span.trace
            trace.span_count -= 1
            if trace.span_count == 0 and trace._records is not None:
                self.buffered -= len(trace._records)
                trace._records = None
        self._roots.pop(span, None)
        self._orphans.pop(span, None)
        if span.parent is not None and span.parent._children is not None:
            span.parent._children.pop(span, None)


class Edge:
    """How often one function called another."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


class FuncCore:
    """What calls change of a function.

    Attributes:
        live: of its registry.
        current: calls that run now.
        highwater: the most that ever ran at once.
        observers: who is to be told of its spans.
        success_times: distribution of nanoseconds; its count is the number of successes.
        failure_times: the same of errors and panics.
        panics: calls that ended by a panic.
    """

    __slots__ = (
        "_callers", "_class_due_ns", "_due_ns", "_error_due_ns", "_errors", "_pending", "_usual_from_ns",
        "_usual_to_ns", "current", "failure_times", "highwater", "live", "observers", "panics", "success_times",
    )  # fmt: skip

    def __init__(self, live: Live, success_times: Distribution, failure_times: Distribution) -> None:
        self.live = live
        self.success_times = success_times
        self.failure_times = failure_times
        self._pending = success_times._pending
        self.current = 0
        self.highwater = 0
        self.panics = 0
        self.observers: tuple[SpanObserver, ...] = ()
        self._errors: dict[str, int] = {}
        self._error_due_ns: dict[str, int] = {}
        self._callers: dict[Func | None, Edge] = {}
        self._class_due_ns = [0] * LATENCY_CLASSES  # when the next tree of each class may be kept
        # The same of the class that came last, and its bounds: most calls need not look further.
        self._due_ns = self._usual_from_ns = self._usual_to_ns = 0

    @property
    def callers(self) -> dict[Func | None, int]:
        """How many calls came from which function; ``None`` stands for outside."""
        return {caller: edge.calls for caller, edge in self._callers.copy().items()}

    @property
    def errors(self) -> dict[str, int]:
        """How many errors of each name, in the order of the names; the 65th and later names count as ``other``."""
        return dict(sorted(self._errors.copy().items()))

    def failed(self, name: str | None, duration_ns: int) -> None:
        """Count a failure: an error called *name*, or a panic if that is ``None``."""
        if name is None:
            self.panics += 1
        else:
            errors = self._errors
            if name not in errors:
                if len(errors) >= MOST_ERROR_NAMES:
                    name = OTHER_ERRORS
                errors.setdefault(name, 0)
            errors[name] += 1
        self.failure_times.observe(duration_ns)

    def class_is_due(self, latency: int, now_ns: int) -> bool:
        """Whether a tree of this latency class may be kept; the class becomes the usual one."""
        due_ns = self._class_due_ns[latency]
        low_ns, high_ns = class_bounds(latency)
        # A reader between two of these finds an empty range, or the wrong due time of a second at the most.
        self._usual_to_ns = 0
        self._due_ns = due_ns
        self._usual_from_ns = low_ns
        self._usual_to_ns = high_ns
        return now_ns >= due_ns

    def postpone(self, kind: int | str, due_ns: int) -> None:
        """Let the next tree of a latency class, or of an error, be kept at *due_ns* (monotonic) or later."""
        if isinstance(kind, int):
            self._class_due_ns[kind] = due_ns
            if class_bounds(kind)[0] == self._usual_from_ns:
                self._due_ns = due_ns
            return
        due = self._error_due_ns
        if kind not in due and len(due) >= MOST_ERROR_NAMES:
            del due[next(iter(due))]
        due[kind] = due_ns

    def reset_counts(self) -> None:
        """Forget callers, errors, panics and the highwater mark; calls that run now stay counted as running."""
        self.highwater = self.current
        self.panics = 0
        self._errors = {}
        self._callers = {}


class Trace:
    """The spans of one request, in this process.

    Args:
        live: of the registry that the trace belongs to.
        trace_id: 128 bits; drawn when not given.
    """

    __slots__ = ("_records", "_values", "announced", "id", "live", "observers", "records_dropped", "span_count")

    def __init__(self, live: Live, trace_id: int | None = None) -> None:
        self.live = live
        self.id = ids.trace_id() if trace_id is None else trace_id
        self.span_count = 0
        """How many of its spans run now."""
        self.announced = False
        """Whether trace observers were told of it."""
        self.observers: tuple[SpanObserver, ...] = ()
        self.records_dropped = 0
        """How many records of finished spans went because newer ones came."""
        self._records: deque[Span] | None = None
        self._values: dict[object, object] | None = None

    @property
    def records(self) -> tuple[RawRecord, ...]:
        """Of its finished spans, as long as it runs: the latest 1,000 at the most, in the order of their ends."""
        return tuple(map(raw_record, self._records.copy())) if self._records else ()

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
        return lambda: self.forget(observer)

    def forget(self, observer: SpanObserver) -> None:
        """No longer tell *observer* of spans."""
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
        thread_id: of the thread it started in, as `threading.get_ident` has it.
        start_ns: monotonic nanoseconds.
        finish_ns: the same clock, 0 while it runs.
        outer: what was the current span before, and will be again.
        args: recorded arguments as ``name=repr``.
        orphaned: the parent ended first.
        error_name: name of the error or panic it ended with.
        panicked: whether it was a panic.
        progressed: what `progress` was told last.
        annotations_dropped: how many notes there was no room for.
    """

    __slots__ = (
        "_annotations", "_children", "_id", "annotations_dropped", "args", "error_name", "finish_ns", "func",
        "orphaned", "outer", "panicked", "parent", "parent_id", "progressed", "start_ns", "thread_id", "trace",
    )  # fmt: skip

    # `start` fills them in: a constructor in Python would take longer than all of that.
    func: Func
    trace: Trace
    parent: Span | None
    parent_id: int | None
    thread_id: int
    start_ns: int
    finish_ns: int
    outer: Span | None
    args: tuple[str, ...]
    orphaned: bool
    error_name: str | None
    panicked: bool
    progressed: tuple[float, float | None] | None
    annotations_dropped: int
    _id: int
    _children: dict[Span, None] | None
    _annotations: list[tuple[str, str]] | None

    @property
    def id(self) -> int:
        """63 bits; drawn when somebody asks, as most spans come and go unseen."""
        if not self._id:
            drawn = ids.span_id()
            self._id = self._id or drawn
        return self._id

    @property
    def children(self) -> tuple[Span, ...]:
        """Its spans that run now, in the order they started."""
        return tuple(self._children.copy()) if self._children else ()

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
        notes.annotate(self, key, value)

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far long work has come: *done* of *total*, in any unit. ``/ps`` shows rate and remaining time.

        Never raises; what is no number, or not finite, is left out and reported once.
        """
        notes.progress(self, done, total)

    def __repr__(self) -> str:
        state = "finished" if self.finish_ns else "running"
        return f"<Span {self.id:016x} of {self.func.full_name}, {state}>"


def raw_record(span: Span) -> RawRecord:
    """What is kept of a finished span."""
    return (
        span.func, span.id, span.parent_id, span.start_ns, span.finish_ns, span.error_name, span.panicked,
        span.orphaned, span.args, span.annotations,
    )  # fmt: skip


CURRENT: ContextVar[Span | None] = ContextVar("monkit_span", default=None)

MUTED = Span()
"""Current where nothing is counted; never seen outside of the engine and `monkit_core.span`."""
MUTED.outer = None
MUTED.finish_ns = 1
