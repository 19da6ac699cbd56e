"""Gathering: rows out of a live registry. The only place where pages touch live objects."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from pathlib import PurePath

from monkit_core import Capture, Registry
from monkit_core.clock import NS_PER_S, monotonic_ns, wall_offset_ns
from monkit_core.formats import spans
from monkit_core.formats.functions import func_rows
from monkit_core.formats.spans import capture_rows, record_row, rows_in_slices, span_row
from monkit_core.recent import RecentTrace, SpanRecord, parents_first, subtrees
from monkit_core.text import clean
from monkit_present.rows import LiveRow, TraceRows

__all__ = [
    "func_rows", "latest_rows", "live_rows", "process_name", "recent_rows", "running_rows", "trace_rows",
    "traces_in_slices",
]  # fmt: skip


def process_name() -> str:
    """What the process is called: the program's file, or ``python``."""
    return clean(PurePath(sys.argv[0]).name if sys.argv and sys.argv[0] not in ("", "-c") else "python")


def live_rows(registry: Registry) -> list[LiveRow]:
    """The spans that run now, as trees: parents before children, siblings by start."""
    now = monotonic_ns()
    return [
        LiveRow(depth, span.trace.id, span_row(span, max(span.finish_ns or now, span.start_ns), unfinished=True))
        for depth, span in registry.all_spans()
    ]


def trace_rows(capture: Capture) -> TraceRows:
    """What was captured, with the process it was captured in."""
    return capture_rows(capture, wall_offset_ns(), process_name(), os.getpid())


def traces_in_slices(captures: Sequence[Capture]) -> Generator[str, None, list[TraceRows]]:
    """The same of several, made slice by slice: an empty text now and then, and all of it at the end."""
    offset_ns, process, pid = wall_offset_ns(), process_name(), os.getpid()
    found = []
    for capture in captures:
        found.append((yield from rows_in_slices(capture, offset_ns, process, pid)))
    return found


def recent_rows(trace: RecentTrace) -> TraceRows:
    """What was kept of a call, with the process, which is this one. Texts of errors are not kept."""
    return spans.recent_rows(trace, wall_offset_ns(), process_name(), os.getpid())


def running_rows(registry: Registry, wanted: int, *, of_trace: bool) -> TraceRows | None:
    """What a call that runs now has done so far: it, what runs below it, and what has ended there and is still known.

    Args:
        registry: where it runs.
        wanted: id of the call, or of its trace: then it is the uppermost one.
        of_trace: which of the two.
    """
    now = monotonic_ns()
    live = [span for _, span in registry.all_spans()]
    root = next((span for span in live if (span.trace.id if of_trace else span.id) == wanted), None)
    if root is None:
        return None
    trace = root.trace
    # The running ones were looked at first: what ends meanwhile is in both, and its record counts.
    rows = {
        span.id: span_row(span, max(span.finish_ns or now, span.start_ns), unfinished=True)
        for span in live
        if span.trace is trace
    }
    rows.update((raw[1], record_row(SpanRecord(*raw))) for raw in trace.records)
    found = subtrees([rows.pop(root.id)], rows.values())
    return TraceRows(trace.id, tuple(found), trace.records_dropped, wall_offset_ns(), process_name(), os.getpid())


def latest_rows(registry: Registry, seconds: float) -> list[TraceRows]:
    """The finished spans of the last *seconds* that are still known, trace by trace, the oldest first.

    Known are those of kept traces, and the latest of traces that run now. A span whose parent is not known stands
    as a root.
    """
    earliest_ns = monotonic_ns() - int(seconds * NS_PER_S)
    found: dict[int, dict[int, SpanRecord]] = {}
    for tree in registry.recent_traces():
        found.setdefault(tree.trace_id, {}).update((record.id, record) for record in tree.records)
    for trace in {id(span.trace): span.trace for _, span in registry.all_spans()}.values():
        known = found.setdefault(trace.id, {})
        known.update((raw[1], SpanRecord(*raw)) for raw in trace.records)
    rows = []
    for trace_id, records in found.items():
        late = sorted((record for record in records.values() if record.finish_ns >= earliest_ns), key=_by_start)
        if late:
            tree = RecentTrace(late[0].func, trace_id, 0, tuple(parents_first(late)), 0)
            rows.append((late[0].start_ns, recent_rows(tree)))
    return [trace_rows for _, trace_rows in sorted(rows, key=lambda item: item[0])]


def _by_start(record: SpanRecord) -> tuple[int, int]:
    return record.start_ns, record.id
