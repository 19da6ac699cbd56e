"""OTLP: a trace as OpenTelemetry's JSON over HTTP has it, one ``ExportTraceServiceRequest``.

As that says, ids are hexadecimal, 64-bit numbers are strings and enumerations
numbers. A scope of ours is an instrumentation scope of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monkit_core.formats.json_text import dumps
from monkit_core.formats.spans import SLICE, SpanRow, TraceRows, attributes

__all__ = ["chunks"]

_INTERNAL = 1
_ERROR = 2


def chunks(traces: Sequence[TraceRows]) -> Iterator[str]:
    """Write *traces*, of one process, as one JSON object. A span that is in two of them is written once.

    Yields:
        A piece for each span; empty ones while there is nothing to write yet.
    """
    groups: dict[str, list[tuple[TraceRows, SpanRow]]] = {}
    seen: set[tuple[int, int]] = set()
    for trace in traces:
        for number, span in enumerate(trace.spans):
            if number % SLICE == SLICE - 1:
                yield ""
            if (trace.trace_id, span.id) not in seen:
                seen.add((trace.trace_id, span.id))
                groups.setdefault(span.scope, []).append((trace, span))
    yield f'{{"resourceSpans":[{{"resource":{dumps(_resource(traces))},"scopeSpans":['
    before = ""
    for scope, members in groups.items():
        yield f'{before}{{"scope":{dumps({"name": scope})},"spans":['
        between = "\n"
        for trace, span in members:
            yield between + dumps(_span(trace, span))
            between = ",\n"
        yield "]}"
        before = ","
    yield "]}]}\n"


def _resource(traces: Sequence[TraceRows]) -> dict[str, Any]:
    first = traces[0] if traces else TraceRows(0, ())
    return {"attributes": [_attribute("service.name", first.process or "python"), _attribute("process.pid", first.pid)]}


def _attribute(key: str, value: str | int) -> dict[str, Any]:
    """A pair of theirs; ``bool`` is an ``int`` and comes first."""
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": value}}


def _span(trace: TraceRows, span: SpanRow) -> dict[str, Any]:
    start_ns = max(span.start_ns + trace.wall_offset_ns, 0)
    found = [_attribute(key, value) for key, value in attributes(span).items()]
    if trace.dropped and span is trace.spans[0]:
        found.append(_attribute("monkit.spans_dropped", trace.dropped))
    return {
        "traceId": f"{trace.trace_id:032x}",
        "spanId": f"{span.id:016x}",
        **({} if span.parent_id is None else {"parentSpanId": f"{span.parent_id:016x}"}),
        "name": span.full_name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + max(span.duration_ns, 0)),
        "attributes": found,
        "status": {"code": _ERROR, "message": span.error or span.error_name or ""} if span.failed else {},
    }
