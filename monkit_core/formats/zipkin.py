"""Zipkin: a trace in version 2 of its JSON, a list of spans.

Times are whole microseconds and at least one, as Zipkin takes 0 for "unknown".
Everything else of a span is a tag, since Zipkin's own annotations have times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monkit_core.formats.json_text import dumps
from monkit_core.formats.spans import SpanRow, TraceRows, attributes

__all__ = ["chunks"]


def chunks(traces: Sequence[TraceRows]) -> Iterator[str]:
    """Write *traces* as one JSON array, a span a line. A span that is in two of them is written once.

    Yields:
        A piece for each span.
    """
    before = "["
    seen: set[tuple[int, int]] = set()
    for trace in traces:
        for span in trace.spans:
            if (trace.trace_id, span.id) not in seen:
                seen.add((trace.trace_id, span.id))
                yield before + "\n" + dumps(_span(trace, span))
                before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _span(trace: TraceRows, span: SpanRow) -> dict[str, Any]:
    tags = {key: "true" if value is True else str(value) for key, value in attributes(span).items()}
    if span.failed:
        tags["error"] = span.error or span.error_name or "error"
    if trace.dropped and span is trace.spans[0]:
        tags["monkit.spans_dropped"] = str(trace.dropped)
    return {
        "traceId": f"{trace.trace_id:032x}",
        "id": f"{span.id:016x}",
        **({} if span.parent_id is None else {"parentId": f"{span.parent_id:016x}"}),
        "name": span.full_name,
        "timestamp": max((span.start_ns + trace.wall_offset_ns) // 1000, 1),
        "duration": max(span.duration_ns // 1000, 1),
        "localEndpoint": {"serviceName": trace.process or "python"},
        "tags": tags,
    }
