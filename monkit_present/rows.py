"""Rows: what a page knows of a span, a trace or a function, as plain values.

Pages take these rows and nothing else, so a renderer is a pure function: it
reads no clock, holds no lock and touches no live object.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a span has come.

    Attributes:
        done: so much, in a unit of the program.
        total: of so much, or ``None``.
        rate: done a second.
        remaining_s: seconds until all is done at that rate, ``None`` where nobody can tell.
    """

    done: float
    total: float | None
    rate: float
    remaining_s: float | None


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span.

    Attributes:
        id: 64 bits.
        parent_id: id of the parent, ``None`` at the root of a trace.
        scope: name of the scope, ``shop.orders``.
        name: short name of the function, ``Orders.create``.
        start_ns: nanoseconds of the monotonic clock.
        finish_ns: the same clock; of an unfinished span the moment of the look.
        unfinished: still running at that moment.
        orphaned: its parent ended before it.
        error_name: of an error or a panic (``Canceled`` is one), else ``None``.
        error: text of the exception, empty when there was none or it has no text.
        panicked: it ended by a ``BaseException`` that is no ``Exception``.
        args: recorded arguments, ``name=repr``.
        annotations: pairs of key and value in the order they were made.
        progress: of long work that says so.
    """

    id: int
    parent_id: int | None
    scope: str
    name: str
    start_ns: int
    finish_ns: int
    unfinished: bool = False
    orphaned: bool = False
    error_name: str | None = None
    error: str = ""
    panicked: bool = False
    args: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    progress: Progress | None = None

    @property
    def full_name(self) -> str:
        """Scope and name, joined by a dot."""
        return f"{self.scope}.{self.name}"

    @property
    def duration_ns(self) -> int:
        """Nanoseconds from start to finish, or so far."""
        return self.finish_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class TraceRows:
    """The spans of one capture.

    Attributes:
        trace_id: 128 bits.
        spans: parents before children, siblings by start; the first is the span
            that was asked for.
        dropped: spans that went by above the cap and are not here.
        wall_offset_ns: add it to a monotonic time to get nanoseconds since 1970.
        process: name of the process.
        pid: its number.
    """

    trace_id: int
    spans: tuple[SpanRow, ...]
    dropped: int = 0
    wall_offset_ns: int = 0
    process: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A span that runs now, with its depth below a root of the live list and the id of its trace (128 bits)."""

    depth: int
    trace_id: int
    span: SpanRow
