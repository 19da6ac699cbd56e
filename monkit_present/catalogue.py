"""The catalogue: the table of pages that a port has."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from monkit_core import engine
from monkit_core.clock import monotonic_ns, wall_offset_ns
from monkit_core.formats.functions import FuncRow
from monkit_core.series import Series, grouped
from monkit_present.gather import func_rows, live_rows, process_name
from monkit_present.marks import MARKED_FIELDS, make_mark, since
from monkit_present.pages import HTML, JSON, Action, Format, Page, PageRequest, Reply
from monkit_present.parameters import Choice, Parameter
from monkit_present.render import dot, index, json, openapi, text
from monkit_present.responses import PLAIN_TEXT, Problem
from monkit_present.rows import LiveRow
from monkit_present.sign_in import SIGN_IN, SIGN_OUT
from monkit_present.trace_pages import REMOTE, TRACE

__all__ = ["HEALTH", "PAGES"]


def _index(request: PageRequest) -> str:
    served = request.served
    return index.render(
        process=process_name(),
        pid=os.getpid(),
        functions=len(served.registry.funcs()),
        engine=engine.name,
        base=request.base,
        root=request.root,
        pages=served.pages,
    )


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


def _stats(request: PageRequest) -> Iterable[Series]:
    registry = request.served.registry
    if request.values["since"] is None:
        return registry.series()
    mark = request.served.marks.latest
    if mark is None:
        raise Problem(409, "no mark has been made; make one by POST /stats/mark")
    return grouped(since(registry.stats(), mark))


def _mark(request: PageRequest) -> Reply:
    served = request.served
    mark = make_mark(served.registry.stats(), monotonic_ns() + wall_offset_ns())
    served.marks.latest = mark
    dropped = {"dropped": mark.dropped} if mark.dropped else {}
    return Reply({"marked": mark.made_ns, "series": mark.series_count, **dropped})


INDEX: Page[str] = Page(
    "/", "the index", _index, (Format("", HTML, lambda page: [page], index.CONTENT_SECURITY_POLICY),), listed=False
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
)

STATS: Page[Iterable[Series]] = Page(
    "/stats",
    "every series",
    _stats,
    (
        Format("text", PLAIN_TEXT, text.series),
        Format("old", PLAIN_TEXT, text.series, listed=False),  # a spelling of the original that works on
        Format("json", JSON, json.series),
    ),
    parameters=(
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
            _mark,
            fields=(
                ("marked", "nanoseconds since 1970"),
                ("series", "how many series are in the mark"),
                ("dropped", "figures above the limit, which are not; left out if there are none"),
            ),
        ),
    ),
    runs_program=True,
    refuses=(409,),
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

PAGES = (INDEX, PS, FUNCS, STATS, REMOTE, TRACE, HEALTH, VERSION, OPENAPI, SIGN_IN, SIGN_OUT)
"""Every page, those with the longer path first where two begin alike."""
