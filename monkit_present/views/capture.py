"""Capture: ask for the next call that matches, see the wait, and what it brought."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl

from monkit_core import Func
from monkit_core.clock import wall_offset_ns
from monkit_present.pages import Blocks, PageRequest
from monkit_present.parameters import BadQuery
from monkit_present.past_captures import Earlier
from monkit_present.query import capture_query
from monkit_present.render import figures
from monkit_present.trace_pages import TRACE
from monkit_present.views.frame import document, macro

__all__ = ["blocks", "render"]

_TAG = "tag."  # before the key of an annotation or tag


def render(request: PageRequest) -> Iterator[str]:
    """The page: a form, and the wait for what it asks if it asks for something."""
    given = dict(parse_qsl(request.query))
    problem = words = ""
    if given:
        try:
            words = capture_query(request.values, request.served.registry).words
        except BadQuery as found:
            problem = str(found)
    return document(
        request,
        "capture.html",
        request.page("/capture"),
        "Capture",
        tags=[(name.removeprefix(_TAG), value) for name, value in given.items() if name.startswith(_TAG)],
        given={parameter.name: given.get(parameter.name, "") for parameter in TRACE.parameters},
        defaults={parameter.name: parameter.default_words.replace(",", "") for parameter in TRACE.parameters},
        timeout_s=request.values["timeout"],
        formats=[item.name for item in TRACE.formats],
        words=words,
        earlier=[_past(earlier) for earlier in request.served.captures.all()],
        problem=problem,
        base=request.base,
        seen=blocks(request).get("seen", ""),
    )


@dataclass(frozen=True, slots=True)
class Past:
    """A capture of before: its page, when its call ended, what was asked for, and what came."""

    path: str
    at: str
    words: str
    func: Func
    spans: int
    took_ns: int


def _past(earlier: Earlier) -> Past:
    first = earlier.capture.spans[0]
    return Past(
        path=f"/traces/{first.span.id:016x}",
        at=figures.time_of_day(first.finish_ns + wall_offset_ns()),
        words=earlier.words,
        func=first.span.func,
        spans=len(earlier.capture.spans),
        took_ns=first.finish_ns - first.span.start_ns,
    )


def blocks(request: PageRequest) -> Blocks:
    """What went by meanwhile: the page takes from it what there was when the wait began."""
    try:
        funcs = capture_query(request.values, request.served.registry).funcs
    except BadQuery:
        return {}
    found = [func for func in request.served.registry.funcs() if funcs is not None and funcs(func)]
    calls, running = sum(sum(func.callers.values()) for func in found), sum(func.current for func in found)
    names = figures.counted(len(found), "function")
    return {"seen": macro("capture_parts.html", "seen")(names if found else "", calls, running)}
