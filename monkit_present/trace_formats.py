"""The formats that finished traces are sent in: one as a picture too, several as rows and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from monkit_core.formats import otlp, perfetto, speedscope, trace_text, zipkin
from monkit_present.pages import JSON, Format
from monkit_present.render import json, trace_svg
from monkit_present.responses import PLAIN_TEXT
from monkit_present.rows import TraceRows

__all__ = ["SEVERAL_FORMATS", "TRACE_FORMATS"]

Chunks = Iterable[str | bytes]

SEVERAL_FORMATS: tuple[Format[Sequence[TraceRows]], ...] = (
    Format("text", PLAIN_TEXT, trace_text.chunks),
    Format("json", JSON, json.traces),
    Format("perfetto", JSON, perfetto.chunks, suffix=".perfetto.json"),
    Format("speedscope", JSON, speedscope.chunks, suffix=".speedscope.json"),
    Format("otlp", JSON, otlp.chunks, suffix=".otlp.json"),
    Format("zipkin", JSON, zipkin.chunks, suffix=".zipkin.json"),
)
"""Of any number of traces."""


def _of_one(render: Callable[[Sequence[TraceRows]], Chunks]) -> Callable[[TraceRows], Chunks]:
    return lambda rows: render((rows,))


TRACE_FORMATS: tuple[Format[TraceRows], ...] = (
    *(Format(item.name, item.media_type, _of_one(item.render), suffix=item.suffix) for item in SEVERAL_FORMATS),
    Format(
        "svg",
        "image/svg+xml; charset=utf-8",
        trace_svg.render_chunks,
        policy=trace_svg.CONTENT_SECURITY_POLICY,
    ),
)
"""Of one trace; the first is what a program gets that names none."""
