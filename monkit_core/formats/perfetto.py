"""Perfetto: a trace in the trace event format of Chrome, which ui.perfetto.dev and chrome://tracing open.

Each span is a complete event; calls that overlap are on tracks (threads) of
their own, see `tracks`, as async events would be a row each, without their
nesting. Times are microseconds since the first start: counted from 1970 a
float of that format would round them to a quarter of a microsecond, and calls
would no longer lie inside each other. ``otherData`` says when that was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monkit_core.formats.json_text import dumps
from monkit_core.formats.spans import SpanRow, TraceRows, attributes
from monkit_core.formats.tracks import place

__all__ = ["OPENING", "chunks"]

OPENING = '{"traceEvents":['
"""The first chunk of every document. White space may follow it, which Perfetto does not bear before it for long."""


def chunks(traces: Sequence[TraceRows]) -> Iterator[str]:
    """Write *traces*, of one process, as one JSON object.

    Args:
        traces: each gets tracks of its own.

    Yields:
        `OPENING`, then a piece for each track and span; empty ones while there is nothing to write yet.
    """
    yield OPENING
    pid = traces[0].pid or 1 if traces else 1
    process = traces[0].process if traces else ""
    first_ns = min((span.start_ns for trace in traces for span in trace.spans), default=0)
    yield "\n" + dumps(_named("process_name", pid, 0, name=process))
    tid = 0
    for number, trace in enumerate(traces, 1):
        for track in (yield from place(trace.spans)):
            tid += 1
            title = f"{trace.trace_id:032x}" if len(traces) == 1 else f"match {number}, {trace.trace_id:032x}"
            yield ",\n" + dumps(_named("thread_name", pid, tid, name=title))
            yield ",\n" + dumps(_named("thread_sort_index", pid, tid, sort_index=tid))
            for _, index in track:
                yield ",\n" + dumps(_event(trace, trace.spans[index], first_ns, pid, tid))
    yield f'\n],"displayTimeUnit":"ns","otherData":{dumps(_facts(traces, first_ns))}}}\n'


def _named(what: str, pid: int, tid: int, **args: object) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args}


def _event(trace: TraceRows, span: SpanRow, first_ns: int, pid: int, tid: int) -> dict[str, Any]:
    args: dict[str, Any] = {"span_id": f"{span.id:016x}", "trace_id": f"{trace.trace_id:032x}"}
    if span.parent_id is not None:
        args["parent_id"] = f"{span.parent_id:016x}"
    if span.failed:
        args["error"] = span.error
    return {
        "ph": "X",
        "name": span.full_name,
        "cat": span.scope,
        "ts": (span.start_ns - first_ns) / 1000,
        "dur": max(span.duration_ns, 0) / 1000,
        "pid": pid,
        "tid": tid,
        "args": {**args, **attributes(span)},
    }


def _facts(traces: Sequence[TraceRows], first_ns: int) -> dict[str, str]:
    """What is said of the whole; values are text, as the format wants it."""
    offset_ns = traces[0].wall_offset_ns if traces else 0
    return {
        "exporter": "monkit-py",
        "start_unix_ns": str(first_ns + offset_ns),
        "spans": str(sum(len(trace.spans) for trace in traces)),
        "spans_dropped": str(sum(trace.dropped for trace in traces)),
    }
