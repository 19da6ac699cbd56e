"""Rows: what a page knows of a span, a trace or a function, as plain values.

Pages take these rows and nothing else, so a renderer is a pure function: it
reads no clock, holds no lock and touches no live object. Those of spans and
traces are the core's, whose formats write them too.
"""

from __future__ import annotations

from dataclasses import dataclass

from monkit_core.formats.spans import Progress, SpanRow, TraceRows

__all__ = ["LiveRow", "Progress", "SpanRow", "TraceRows"]


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A span that runs now, with its depth below a root of the live list and the id of its trace (128 bits)."""

    depth: int
    trace_id: int
    span: SpanRow
