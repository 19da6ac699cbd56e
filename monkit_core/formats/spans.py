"""Spans as plain values: what formats write of a span and of a trace.

Formats take these rows and nothing else, so an encoder is a pure function: it
reads no clock, holds no lock and touches no live object.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from monkit_core.clock import NS_PER_S
from monkit_core.collect import Capture
from monkit_core.engine import Span
from monkit_core.recent import RecentTrace, SpanRecord

__all__ = [
    "SLICE", "Progress", "SpanRow", "TraceRows", "attributes", "capture_rows", "recent_rows", "record_row",
    "rows_in_slices", "span_row",
]  # fmt: skip

SLICE = 500
"""Spans that are worked through between two signs that others may have a turn: a few milliseconds."""


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
        tags: of the function.
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
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def full_name(self) -> str:
        """Scope and name, joined by a dot."""
        return f"{self.scope}.{self.name}"

    @property
    def duration_ns(self) -> int:
        """Nanoseconds from start to finish, or so far."""
        return self.finish_ns - self.start_ns

    @property
    def failed(self) -> bool:
        """Whether it ended by an error or a panic."""
        return self.panicked or self.error_name is not None


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


def span_row(
    span: Span, finish_ns: int, *, unfinished: bool, error: str | None = None, panicked: bool = False
) -> SpanRow:
    """A live or collected span as it is now.

    Args:
        span: the span.
        finish_ns: its finish, or the moment of the look if it is unfinished (monotonic).
        unfinished: it still ran then.
        error: text of what it raised, ``None`` if it did not fail.
        panicked: that was a panic.
    """
    func, annotations = span.func, span.annotations
    if span.annotations_dropped:
        annotations = (*annotations, ("…", f"{span.annotations_dropped} more annotations were dropped"))
    return SpanRow(
        id=span.id,
        parent_id=span.parent_id,
        scope=func.scope_name,
        name=func.short_name,
        start_ns=span.start_ns,
        finish_ns=finish_ns,
        unfinished=unfinished,
        orphaned=span.orphaned,
        error_name=None if error is None else span.error_name,
        error=error or "",
        panicked=panicked,
        args=span.args,
        annotations=annotations,
        progress=_progress(span, finish_ns),
        tags=func.tags,
    )


def _progress(span: Span, now_ns: int) -> Progress | None:
    if span.progressed is None:
        return None
    done, total = span.progressed
    elapsed_s = (now_ns - span.start_ns) / NS_PER_S
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    remaining_s = None if total is None or not rate > 0 else max(total - done, 0.0) / rate
    return Progress(done, total, rate, remaining_s)


def rows_in_slices(
    capture: Capture, wall_offset_ns: int, process: str = "", pid: int = 0
) -> Generator[str, None, TraceRows]:
    """The rows of a capture, made slice by slice: an empty text after each `SLICE` spans, and the rows at the end."""
    rows: list[SpanRow] = []
    for number, found in enumerate(capture.spans):
        if number % SLICE == SLICE - 1:
            yield ""
        error, panicked = (None, False) if found.unfinished else (found.error, found.panicked)
        rows.append(span_row(found.span, found.finish_ns, unfinished=found.unfinished, error=error, panicked=panicked))
    trace_id = capture.spans[0].span.trace.id if capture.spans else 0
    return TraceRows(trace_id, tuple(rows), capture.dropped, wall_offset_ns, process, pid)


def capture_rows(capture: Capture, wall_offset_ns: int, process: str = "", pid: int = 0) -> TraceRows:
    """The rows of a capture.

    Args:
        capture: what a waiter or collector gave.
        wall_offset_ns: see `TraceRows`; `monkit_core.clock.wall_offset_ns` gives that of now.
        process: name of the process.
        pid: its number.
    """
    making = rows_in_slices(capture, wall_offset_ns, process, pid)
    while True:
        try:
            next(making)
        except StopIteration as end:
            rows: TraceRows = end.value
            return rows


def recent_rows(tree: RecentTrace, wall_offset_ns: int, process: str = "", pid: int = 0) -> TraceRows:
    """The same of a recent trace, whose records have names of errors and no texts."""
    rows = tuple(map(record_row, tree.records))
    return TraceRows(tree.trace_id, rows, tree.dropped, wall_offset_ns, process, pid)


def record_row(record: SpanRecord) -> SpanRow:
    """A span of which only its record is left."""
    return SpanRow(
        id=record.id,
        parent_id=record.parent_id,
        scope=record.func.scope_name,
        name=record.func.short_name,
        start_ns=record.start_ns,
        finish_ns=record.finish_ns,
        orphaned=record.orphaned,
        error_name=record.error_name,
        panicked=record.panicked,
        args=record.args,
        annotations=record.annotations,
        tags=record.func.tags,
    )


def attributes(span: SpanRow) -> dict[str, str | bool]:
    """All that is known of a span beside its name, ids, times and the text of its error, under names of its own.

    ``monkit.scope`` and ``monkit.func``; where they hold ``error.type`` and ``monkit.panicked``,
    ``monkit.orphaned``, ``monkit.unfinished``; tags of the function as ``tag.…``, recorded arguments as
    ``arg.…``; annotations under their keys, which come back as ``key#2`` if they are taken.
    """
    found: dict[str, str | bool] = {"monkit.scope": span.scope, "monkit.func": span.name}
    if span.error_name is not None:
        found["error.type"] = span.error_name
    for name in ("panicked", "orphaned", "unfinished"):
        if getattr(span, name):
            found[f"monkit.{name}"] = True
    if span.tags or span.args or span.annotations:
        _add(found, ((f"tag.{key}", value) for key, value in span.tags))
        _add(found, _arguments(span.args))
        _add(found, span.annotations)
    return found


def _arguments(args: Iterable[str]) -> Iterator[tuple[str, str]]:
    for arg in args:
        name, _, value = arg.partition("=")
        yield f"arg.{name}", value


def _add(found: dict[str, str | bool], pairs: Iterable[tuple[str, str]]) -> None:
    """Add *pairs*, a number behind each key that is taken; 256 annotations may share one."""
    numbers: dict[str, int] = {}
    for key, value in pairs:
        free = key
        while free in found:
            numbers[key] = numbers.get(key, 1) + 1
            free = f"{key}#{numbers[key]}"
        found[free] = value
