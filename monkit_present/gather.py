"""Gathering: rows out of a live registry. The only place where pages touch live objects."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath

from monkit_core import Capture, FinishedSpan, Registry, Span
from monkit_core.clock import NS_PER_S, monotonic_ns, wall_offset_ns
from monkit_core.formats.functions import func_rows
from monkit_core.text import clean
from monkit_present.rows import LiveRow, Progress, SpanRow, TraceRows

__all__ = ["func_rows", "live_rows", "process_name", "trace_rows"]


def process_name() -> str:
    """What the process is called: the program's file, or ``python``."""
    return clean(PurePath(sys.argv[0]).name if sys.argv and sys.argv[0] not in ("", "-c") else "python")


def live_rows(registry: Registry) -> list[LiveRow]:
    """The spans that run now, as trees: parents before children, siblings by start."""
    now = monotonic_ns()
    return [
        LiveRow(depth, span.trace.id, _span_row(span, max(span.finish_ns or now, span.start_ns), unfinished=True))
        for depth, span in registry.all_spans()
    ]


def trace_rows(capture: Capture) -> TraceRows:
    """What was captured, with the process it was captured in."""
    spans = tuple(_finished_row(finished) for finished in capture.spans)
    return TraceRows(
        trace_id=capture.spans[0].span.trace.id if capture.spans else 0,
        spans=spans,
        dropped=capture.dropped,
        wall_offset_ns=wall_offset_ns(),
        process=process_name(),
        pid=os.getpid(),
    )


def _finished_row(finished: FinishedSpan) -> SpanRow:
    span = finished.span
    if finished.unfinished:
        return _span_row(span, finished.finish_ns, unfinished=True)
    return _span_row(span, finished.finish_ns, unfinished=False, error=finished.error, panicked=finished.panicked)


def _span_row(
    span: Span, finish_ns: int, *, unfinished: bool, error: str | None = None, panicked: bool = False
) -> SpanRow:
    annotations = span.annotations
    if span.annotations_dropped:
        annotations = (*annotations, ("…", f"{span.annotations_dropped} more annotations were dropped"))
    return SpanRow(
        id=span.id,
        parent_id=span.parent_id,
        scope=span.func.scope_name,
        name=span.func.short_name,
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
    )


def _progress(span: Span, now_ns: int) -> Progress | None:
    if span.progressed is None:
        return None
    done, total = span.progressed
    elapsed_s = (now_ns - span.start_ns) / NS_PER_S
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    remaining_s = None if total is None or not rate > 0 else max(total - done, 0.0) / rate
    return Progress(done, total, rate, remaining_s)
