"""The pages below ``/trace``: wait for the next match, then send its spans, or the id of its trace."""

from __future__ import annotations

from collections.abc import Iterable

from monkit_core import Capture, watch_for_spans
from monkit_present.gather import trace_rows
from monkit_present.pages import HTML, JSON, Ending, Format, Page, PageRequest, Wait
from monkit_present.parameters import Parameter, Text
from monkit_present.query import CAPTURE_PARAMETERS, MATCH_PARAMETERS, capture_query
from monkit_present.remote import MatchWaiter, Sampled, check_viz, viz_address
from monkit_present.render import json, redirect, trace_svg

__all__ = ["REMOTE", "TRACE"]

_LOW_63_BITS = (1 << 63) - 1
_TITLES = {"timeout": "Timed out", "closed": "The server was closed"}


def _said(ending: Ending) -> str:
    if ending.matched:
        return f"A call matched {ending.words} and still ran after {ending.waited_s:.0f} s."
    return f"No call matched {ending.words} in {ending.waited_s:.0f} s."


def _json_without(ending: Ending) -> bytes:
    return json.message(
        {
            ending.reason: True,
            "query": ending.words,
            "waited_s": round(ending.waited_s, 3),
            "matched": ending.matched,
        }
    )


def _svg_without(ending: Ending) -> str:
    return trace_svg.render_message(_TITLES[ending.reason], [_said(ending)])


def _html_without(ending: Ending) -> str:
    return redirect.without(_TITLES[ending.reason], _said(ending))


def _next_spans(request: PageRequest) -> Wait[Capture]:
    registry = request.served.registry
    query = capture_query(request.values, registry)
    return Wait(
        lambda: watch_for_spans(
            registry, query.matcher, max_spans=query.max_spans, funcs=query.funcs, traces=query.traces
        ),
        query.words,
        query.timeout_s,
    )


TRACE: Page[Capture] = Page(
    "/trace",
    "waits for the next match, then its spans",
    _next_spans,
    (
        Format(
            "svg",
            "image/svg+xml; charset=utf-8",
            lambda capture: trace_svg.render_chunks(trace_rows(capture)),
            policy=trace_svg.CONTENT_SECURITY_POLICY,
            without=_svg_without,
        ),
        Format("json", JSON, lambda capture: json.trace(trace_rows(capture)), without=_json_without),
    ),
    parameters=CAPTURE_PARAMETERS,
    waits=True,
    bare=False,
)


def _next_id(request: PageRequest) -> Wait[Sampled]:
    registry, viz = request.served.registry, request.values["viz"]
    query = capture_query(request.values, registry)
    if viz is not None:
        viz = check_viz(viz, request.served.viz_hosts)
    return Wait(lambda: MatchWaiter(registry, query, viz), query.words, query.timeout_s)


def _id_json(sampled: Sampled) -> Iterable[bytes]:
    fields = {"trace_id": sampled.trace_id & _LOW_63_BITS, "trace_id_hex": f"{sampled.trace_id:032x}"}
    return [json.message(fields)]


def _id_html(sampled: Sampled) -> Iterable[str]:
    return [redirect.redirect(viz_address(sampled.viz or "", sampled.trace_id), f"Trace {sampled.trace_id:032x}")]


REMOTE: Page[Sampled] = Page(
    "/trace/remote",
    "waits for the next match, marks its trace as sampled, then its id",
    _next_id,
    (
        Format("", JSON, _id_json, without=_json_without),
        Format("", HTML, _id_html, policy=redirect.CONTENT_SECURITY_POLICY, without=_html_without, beside="viz"),
    ),
    parameters=(
        *MATCH_PARAMETERS,
        Parameter(
            "viz",
            Text("address, its host one of viz_hosts="),
            "answer with a page that leads there: {trace_id} is filled in, or the id appended",
        ),
    ),
    waits=True,
)
