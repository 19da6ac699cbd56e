"""The pages of single traces: one call with everything that was called below it, and the last seconds."""

from __future__ import annotations

from collections.abc import Sequence

from monkit_present.gather import latest_rows
from monkit_present.pages import Page, View
from monkit_present.parameters import Parameter, Seconds, Text
from monkit_present.rows import TraceRows
from monkit_present.trace_formats import SEVERAL_FORMATS, TRACE_FORMATS
from monkit_present.views import trace

__all__ = ["KEPT", "LATEST"]


KEPT: Page[TraceRows] = Page(
    "/traces/{trace}",
    "one captured or kept trace, or what a call that runs has done so far",
    trace.find_rows,
    TRACE_FORMATS,
    variable=Parameter(
        "trace",
        Text(
            "id of the call at its root in 16 hex digits, or of the trace in 32: what runs or was kept last of it", 100
        ),
        "which one",
    ),
    view=View(trace.render),
    refuses=(404,),
)

LATEST: Page[Sequence[TraceRows]] = Page(
    "/trace/recent",
    "the finished spans of the last seconds that are still known, trace by trace",
    lambda request: latest_rows(request.served.registry, request.values["seconds"]),
    SEVERAL_FORMATS,
    parameters=(Parameter("seconds", Seconds(3600), "how far back", default=30.0),),
)
