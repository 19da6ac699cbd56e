"""Speedscope: a trace as flame charts for speedscope.app, one an evented profile for each track.

Opening and closing events nest within a track whatever overlaps, see `tracks`.
Times are whole nanoseconds since the first start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monkit_core.formats.json_text import dumps
from monkit_core.formats.spans import SpanRow, TraceRows
from monkit_core.formats.tracks import Track, place

__all__ = ["SCHEMA", "chunks"]

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def chunks(traces: Sequence[TraceRows]) -> Iterator[str]:
    """Write *traces* as one JSON object.

    Args:
        traces: each gets profiles of its own, on a common axis of time.

    Yields:
        A piece for each profile and span; empty ones while there is nothing to write yet.
    """
    frames: dict[str, int] = {}
    yield f'{{"$schema":{dumps(SCHEMA)},"exporter":"monkit-py","name":{dumps(_name(traces))}'
    yield ',"activeProfileIndex":0,"profiles":['
    first_ns = min((span.start_ns for trace in traces for span in trace.spans), default=0)
    last_ns = max((max(span.start_ns, span.finish_ns) for trace in traces for span in trace.spans), default=0)
    before = "\n"
    for number, trace in enumerate(traces, 1):
        tracks = yield from place(trace.spans)
        for place_, track in enumerate(tracks, 1):
            title = f"{trace.spans[track[0][1]].full_name}, track {place_} of {len(tracks)}"
            if len(traces) > 1:
                title = f"match {number}: {title}"
            yield f'{before}{{"type":"evented","name":{dumps(title)},"unit":"nanoseconds","startValue":0'
            yield f',"endValue":{last_ns - first_ns},"events":['
            yield from _events(trace.spans, track, first_ns, frames)
            yield "]}"
            before = ",\n"
    yield '],"shared":{"frames":['
    before = "\n"
    for frame in frames:
        yield f'{before}{{"name":{dumps(frame)}}}'
        before = ",\n"
    yield "]}}\n"


def _events(spans: Sequence[SpanRow], track: Track, first_ns: int, frames: dict[str, int]) -> Iterator[str]:
    """The events of a track, one or more a piece; adds to *frames*, which are by name."""
    before = "\n"
    opened: list[tuple[int, int]] = []  # frame and finish
    for depth, index in track:
        span = spans[index]
        frame = frames.setdefault(_frame(span), len(frames))
        closing = ""
        while len(opened) > depth:
            closing += before + _event("C", *opened.pop())
            before = ",\n"
        yield closing + before + _event("O", frame, span.start_ns - first_ns)
        opened.append((frame, max(span.finish_ns, span.start_ns) - first_ns))
        before = ",\n"
    for frame, at in reversed(opened):
        yield before + _event("C", frame, at)


def _event(kind: str, frame: int, at: int) -> str:
    return f'{{"type":"{kind}","frame":{frame},"at":{at}}}'


def _frame(span: SpanRow) -> str:
    """The name of a call, with what stands out in words."""
    marks = [] if not span.failed else [f"{'panic' if span.panicked else 'error'} {span.error_name or ''}".rstrip()]
    marks += [name for name in ("unfinished", "orphaned") if getattr(span, name)]
    return f"{span.full_name} [{', '.join(marks)}]" if marks else span.full_name


def _name(traces: Sequence[TraceRows]) -> str:
    names = [f"{traces[0].process} " if traces[0].process else "", f"trace {traces[0].trace_id:032x}"] if traces else []
    more = f" and {len(traces) - 1} more" if len(traces) > 1 else ""
    dropped = sum(trace.dropped for trace in traces)
    return "".join(names) + more + (f" ({dropped:,} spans dropped)" if dropped else "")
