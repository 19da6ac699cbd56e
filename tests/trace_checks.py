"""What holds of a trace in each exported format, whatever the spans are."""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monkit_core.formats.spans import SpanRow, TraceRows

_IDS = ("traceId", "spanId", "parentSpanId")


def whole(chunks: Iterable[str]) -> bytes:
    """The document, which UTF-8 has to hold."""
    return "".join(chunks).encode()


def ids(traces: Sequence[TraceRows]) -> set[tuple[str, str]]:
    return {(f"{trace.trace_id:032x}", f"{span.id:016x}") for trace in traces for span in trace.spans}


def check_perfetto(body: bytes, traces: Sequence[TraceRows]) -> dict[str, Any]:
    """The rules of the trace event format: fields, types, and that the calls of each track nest."""
    document: dict[str, Any] = json.loads(body)
    assert body.lstrip().startswith(b'{"')  # how Perfetto knows it
    tracks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    named = set()
    for event in document["traceEvents"]:
        assert isinstance(event["name"], str)
        assert all(isinstance(event[field], int) for field in ("pid", "tid"))
        if event["ph"] == "M":
            named.add((event["name"], event["tid"]))
            continue
        assert event["ph"] == "X"
        assert event["ts"] >= 0
        assert event["dur"] >= 0
        tracks[event["tid"]].append((round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000)))
        assert all(isinstance(value, str | bool) for value in event["args"].values())
    assert ("process_name", 0) in named
    assert all(("thread_name", tid) in named for tid in tracks)
    for calls in tracks.values():
        check_nesting(calls)
    found = [event for event in document["traceEvents"] if event["ph"] == "X"]
    assert len(found) == sum(len(trace.spans) for trace in traces)
    assert {(event["args"]["trace_id"], event["args"]["span_id"]) for event in found} == ids(traces)
    assert document["otherData"]["spans_dropped"] == str(sum(trace.dropped for trace in traces))
    return document


def check_nesting(calls: list[tuple[int, int]]) -> None:
    """Of any two, in nanoseconds, one is inside the other or they are apart."""
    opened: list[tuple[int, int]] = []
    for start, finish in sorted(calls, key=lambda call: (call[0], -call[1])):
        while opened and opened[-1][1] <= start:
            opened.pop()
        assert not opened or finish <= opened[-1][1], (opened[-1], start, finish)
        opened.append((start, finish))


def check_speedscope(body: bytes, traces: Sequence[TraceRows]) -> dict[str, Any]:
    """The rules of its file format: events of a profile in rising order, each closing what was opened last."""
    document: dict[str, Any] = json.loads(body)
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = document["shared"]["frames"]
    assert len({frame["name"] for frame in frames}) == len(frames)
    opened_in_all = 0
    for profile in document["profiles"]:
        assert (profile["type"], profile["unit"], profile["startValue"]) == ("evented", "nanoseconds", 0)
        opened: list[int] = []
        last = 0
        for event in profile["events"]:
            assert last <= event["at"] <= profile["endValue"]
            last = event["at"]
            if event["type"] == "O":
                assert 0 <= event["frame"] < len(frames)
                opened.append(event["frame"])
                opened_in_all += 1
            else:
                assert (event["type"], event["frame"]) == ("C", opened.pop())
        assert opened == []
    assert opened_in_all == sum(len(trace.spans) for trace in traces)
    dropped = sum(trace.dropped for trace in traces)
    assert (f"({dropped:,} spans dropped)" in document["name"]) == bool(dropped)
    return document


def check_otlp(body: bytes, traces: Sequence[TraceRows]) -> dict[str, dict[str, Any]]:
    """OpenTelemetry's own messages read it, once ids are in base64, which protobuf's JSON has them in."""
    document = json.loads(body)
    found: dict[str, dict[str, Any]] = {}
    rows = {(f"{trace.trace_id:032x}", f"{span.id:016x}"): span for trace in traces for span in trace.spans}
    seen = set()
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                key = (span["traceId"], span["spanId"])
                assert key not in seen
                seen.add(key)
                check_otlp_span(span, rows[key], traces[0].wall_offset_ns)
                assert scope["scope"]["name"] == attribute_values(span)["monkit.scope"]
                found[span["spanId"]] = span | {"attributes": attribute_values(span)}
    assert seen == ids(traces)
    message = json_format.Parse(json.dumps(_in_base64(document)), ExportTraceServiceRequest())
    parsed = [span for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans]
    assert {(span.trace_id.hex(), span.span_id.hex()) for span in parsed} == ids(traces)
    assert {attribute.key for attribute in message.resource_spans[0].resource.attributes} == {
        "service.name",
        "process.pid",
    }
    return found


def check_otlp_span(span: Mapping[str, Any], row: SpanRow, offset_ns: int) -> None:
    assert re.fullmatch("[0-9a-f]{32}", span["traceId"])
    assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
    assert span.get("parentSpanId") == (None if row.parent_id is None else f"{row.parent_id:016x}")
    start, end = span["startTimeUnixNano"], span["endTimeUnixNano"]
    assert isinstance(start, str)
    if offset_ns:  # known; each page has its own
        assert int(start) == row.start_ns + offset_ns
    assert int(end) - int(start) == max(row.duration_ns, 0)
    assert span["kind"] == 1
    assert span["status"].get("code") == (2 if row.failed else None)
    values = attribute_values(span)
    assert len(values) == len(span["attributes"])
    assert values.get("monkit.unfinished", False) == row.unfinished


def attribute_values(span: Mapping[str, Any]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def _in_base64(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in _IDS else _in_base64(item)
            for key, item in value.items()
        }
    return [_in_base64(item) for item in value] if isinstance(value, list) else value


def check_zipkin(body: bytes, traces: Sequence[TraceRows]) -> list[dict[str, Any]]:
    """The model of Zipkin's API, version 2: its fields, their types and patterns, and no others."""
    spans: list[dict[str, Any]] = json.loads(body)
    allowed = {"traceId", "id", "parentId", "name", "timestamp", "duration", "localEndpoint", "tags"}
    for span in spans:
        assert {"traceId", "id"} <= span.keys() <= allowed
        assert re.fullmatch("[a-f0-9]{16,32}", span["traceId"])
        assert re.fullmatch("[a-f0-9]{16}", span["id"])
        assert re.fullmatch("[a-f0-9]{16}", span.get("parentId", "0" * 16))
        assert all(type(span[field]) is int and span[field] >= 1 for field in ("timestamp", "duration"))
        assert isinstance(span["name"], str)
        assert span["localEndpoint"].keys() == {"serviceName"}
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in span["tags"].items())
    assert len(spans) == len(ids(traces))
    assert {(span["traceId"], span["id"]) for span in spans} == ids(traces)
    return spans


def check_text(body: bytes, traces: Sequence[TraceRows]) -> str:
    """A blank line and a head before each trace, a line a call with its notes, nothing that ends a line."""
    text = body.decode()
    notes = sum(len(span.tags) + len(span.annotations) for trace in traces for span in trace.spans)
    spans = sum(len(trace.spans) for trace in traces)
    lines = text.split("\n")
    assert len(lines) == 1 + len(traces) * 2 + spans + notes
    assert text == "" or (text[0], lines[-1]) == ("\n", "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", text)
    assert text.count(" more dropped\n") == sum(trace.dropped > 0 for trace in traces)
    return text
