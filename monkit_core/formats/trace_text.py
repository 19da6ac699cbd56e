"""A trace as text: a tree of calls, for eyes, ``grep`` and mail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from monkit_core.formats.figures import counted, duration
from monkit_core.formats.spans import SpanRow, TraceRows
from monkit_core.formats.text import one_line
from monkit_core.text import clean

__all__ = ["chunks"]

_INDENTED = 40
"""Levels that are shown by indentation; deeper ones say their number, else a deep trace grew with its square."""
_EPOCH = datetime(1970, 1, 1)  # UTC, left unsaid so that it is not printed as +00:00


def chunks(traces: Sequence[TraceRows]) -> Iterator[str]:
    """Write *traces*, a call a line with its notes below it, a blank line before each trace.

    What stands out is said in words: ``error Timeout: read timed out``, ``panic SystemExit: 3``, ``unfinished``,
    ``orphan``.

    Yields:
        A piece for each span.
    """
    for trace in traces:
        yield f"\n{_head(trace)}"
        depths: dict[int | None, int] = {}
        for span in trace.spans:
            depth = depths.get(span.parent_id, -1) + 1 if span.parent_id is not None else 0
            depths[span.id] = depth
            yield _call(span, depth)


def _head(trace: TraceRows) -> str:
    facts = [f"trace {trace.trace_id:032x}"]
    if trace.spans:
        start_ns = trace.spans[0].start_ns + trace.wall_offset_ns
        with suppress(OverflowError):  # no calendar holds it; the rest of the line still helps
            facts.append(f"{(_EPOCH + timedelta(microseconds=start_ns // 1000)).isoformat(' ', 'milliseconds')} UTC")
    facts += [_line(trace.process)] if trace.process else []
    facts += [f"pid {trace.pid}"] if trace.pid else []
    facts.append(counted(len(trace.spans), "span"))
    if trace.dropped:
        facts.append(f"{trace.dropped:,} more dropped")
    return ", ".join(facts) + "\n"


def _call(span: SpanRow, depth: int) -> str:
    indent = "  " * min(depth, _INDENTED) + (f"({depth}) " if depth > _INDENTED else "")
    marks = []
    if span.failed:
        kind = "panic" if span.panicked else "error"
        text = f": {span.error}" if span.error and span.error != span.error_name else ""
        marks.append(f"{kind} {span.error_name or ''}".rstrip() + text)
    marks += ["unfinished"] if span.unfinished else []
    marks += ["orphan"] if span.orphaned else []
    called = f"{span.full_name}({', '.join(span.args)})"
    lines = [f"{indent}{duration(max(span.duration_ns, 0))} {_line(', '.join([called, *marks]))}\n"]
    lines += [f"{indent}    {_line(key)}: {_line(value)}\n" for key, value in (*span.tags, *span.annotations)]
    return "".join(lines)


def _line(text: str) -> str:
    """*text* on one line; spans clean theirs where it enters, a row that was made by hand is clean here."""
    return one_line(clean(text))
