"""The catalogue: the table of pages that a port has."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from monkit_core import Func, engine
from monkit_core.clock import wall_offset_ns
from monkit_core.formats.functions import FuncRow, func_row
from monkit_core.recent import RecentTrace
from monkit_core.series import Series
from monkit_present.gather import func_rows, live_rows
from monkit_present.graph_page import GRAPH, GRAPH_PARAMETERS
from monkit_present.kept_pages import KEPT, LATEST
from monkit_present.marks import MARKED_FIELDS
from monkit_present.metrics_page import METRICS
from monkit_present.pages import HTML, JSON, Action, Format, Page, PageRequest, View
from monkit_present.parameters import Choice, Parameter, Text
from monkit_present.query import CAPTURE_PARAMETERS
from monkit_present.render import dot, json, openapi, text
from monkit_present.render.assets import static_text
from monkit_present.responses import PLAIN_TEXT
from monkit_present.rows import LiveRow
from monkit_present.sign_in import SIGN_IN, SIGN_OUT
from monkit_present.stats_page import read_series, set_mark
from monkit_present.trace_pages import REMOTE, TRACE
from monkit_present.views import capture, function, functions, graph, help, overview, spans, stats, traces
from monkit_present.views.frame import VIEW_POLICY

__all__ = ["HEALTH", "PAGES"]


def _describe(request: PageRequest) -> bytes:
    served = request.served
    return openapi.render(
        served.pages,
        lambda path: not served.access.is_open(path),
        base=request.base,
        version=_version(),
        cookie=request.cookie,
    )


def _version() -> str:
    try:
        return version("monkit-py")
    except PackageNotFoundError:  # run from its sources
        return "0"


OVERVIEW: Page[PageRequest] = Page(
    "/",
    "how the process does; for programs a list of these pages",
    lambda request: request,
    (Format("", PLAIN_TEXT, help.render_text),),
    view=View(overview.render, overview.blocks),
)

CALL_GRAPH: Page[PageRequest] = Page(
    "/graph",
    "the call graph in a page",
    lambda request: request,
    (Format("", HTML, graph.render, VIEW_POLICY),),
    parameters=GRAPH_PARAMETERS,
    takes_long=True,
    view=View(graph.render),
)

HELP: Page[PageRequest] = Page(
    "/help",
    "every page and every parameter",
    lambda request: request,
    (Format("", HTML, help.render, VIEW_POLICY),),
)

PS: Page[list[LiveRow]] = Page(
    "/ps",
    "what runs now, as trees",
    lambda request: live_rows(request.served.registry),
    (
        Format("text", PLAIN_TEXT, text.ps),
        Format("dot", PLAIN_TEXT, lambda rows: [dot.ps(rows)]),
        Format("json", JSON, lambda rows: json.ps(rows, wall_offset_ns())),
    ),
    view=View(spans.render, spans.blocks),
)

FUNCS: Page[Iterable[FuncRow]] = Page(
    "/funcs",
    "every function: callers, counts, errors by name, times",
    lambda request: func_rows(request.served.registry),
    (
        Format("text", PLAIN_TEXT, text.funcs),
        Format("dot", PLAIN_TEXT, lambda rows: [dot.funcs(rows)]),
        Format("json", JSON, json.funcs),
    ),
    view=View(functions.render, functions.blocks),
)

FUNC: Page[Func] = Page(
    "/funcs/{name}",
    "one function",
    lambda request: function.find_func(request.served.registry, request.values["name"]),
    (
        Format("text", PLAIN_TEXT, lambda func: text.funcs([func_row(func)])),
        Format("json", JSON, lambda func: json.funcs([func_row(func)])),
    ),
    variable=Parameter(
        "name", Text("name of a function, with its tags as /funcs/text spells them, or its id", 2000), "which one"
    ),
    view=View(function.render, function.blocks),
    refuses=(404,),
)

STATS: Page[Iterable[Series]] = Page(
    "/stats",
    "every series",
    read_series,
    (
        Format("text", PLAIN_TEXT, text.series),
        Format("old", PLAIN_TEXT, text.series, listed=False),  # a spelling of the original that works on
        Format("json", JSON, json.series),
    ),
    parameters=(
        Parameter("regex", Text("an expression"), "only series in whose text, `measurement,tag=value`, it is found"),
        Parameter(
            "since",
            Choice(("mark",)),
            f"only {', '.join(sorted(MARKED_FIELDS))}, less what they were at the mark",
        ),
    ),
    actions=(
        Action(
            "mark",
            "remembers the totals of this moment, in place of an earlier mark",
            set_mark,
            fields=(
                ("marked", "nanoseconds since 1970"),
                ("series", "how many series are in the mark"),
                ("dropped", "figures above the limit, which are not; left out if there are none"),
            ),
        ),
    ),
    runs_program=True,
    refuses=(409,),
    view=View(stats.render, stats.blocks),
)

TRACES: Page[list[RecentTrace]] = Page(
    "/traces",
    "finished calls that are kept, by latency class and error",
    traces.find_traces,
    (
        Format("text", PLAIN_TEXT, traces.lines),
        Format("json", JSON, lambda found: json.lines(traces.fields(trace, wall_offset_ns()) for trace in found)),
    ),
    view=View(traces.render),
)

CAPTURE: Page[PageRequest] = Page(
    "/capture",
    "a form to wait for the next call, and what it brought",
    lambda request: request,
    (Format("", HTML, capture.render, VIEW_POLICY),),
    parameters=CAPTURE_PARAMETERS,
    view=View(capture.render, capture.blocks),
)

HEALTH: Page[None] = Page(
    "/health", "that the port answers", lambda request: None, (Format("", PLAIN_TEXT, lambda _: ["ok\n"]),)
)

VERSION: Page[dict[str, str]] = Page(
    "/version",
    "what runs: version, engine (native or pure), Python",
    lambda request: {
        "version": _version(),
        "engine": engine.name,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
    },
    (Format("", JSON, lambda fields: [json.message(fields)]),),
)

OPENAPI: Page[bytes] = Page(
    "/openapi.json",
    "these pages for programs, as OpenAPI 3.1",
    _describe,
    (Format("", JSON, lambda document: [document]),),
)


def _asset(name: str, media_type: str) -> Page[None]:
    return Page(
        f"/static/{name}", "a file that views are made with", lambda request: None,
        (Format("", media_type, lambda _: [static_text(name)]),), listed=False,
    )  # fmt: skip


ASSETS = (
    _asset("ui.css", "text/css; charset=utf-8"),
    _asset("ui.js", "text/javascript; charset=utf-8"),
    _asset("stats.js", "text/javascript; charset=utf-8"),
    _asset("graph.js", "text/javascript; charset=utf-8"),
    _asset("viewer.js", "text/javascript; charset=utf-8"),
    _asset("capture.js", "text/javascript; charset=utf-8"),
    _asset("icon.svg", "image/svg+xml; charset=utf-8"),
)

PAGES = (
    OVERVIEW,
    PS,
    GRAPH,
    FUNCS,
    FUNC,
    CALL_GRAPH,
    STATS,
    METRICS,
    LATEST,
    REMOTE,
    TRACE,
    TRACES,
    KEPT,
    CAPTURE,
    HEALTH,
    VERSION,
    OPENAPI,
    HELP,
    SIGN_IN,
    SIGN_OUT,
    *ASSETS,
)
"""Every page, those with the longer path first where two begin alike."""
