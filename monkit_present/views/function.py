"""The page of one function."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nlargest
from urllib.parse import quote

from monkit_core import Func, Registry
from monkit_core.clock import wall_offset_ns
from monkit_core.recent import RecentTrace
from monkit_core.text import clip
from monkit_present.expression import nearest
from monkit_present.pages import Blocks, PageRequest
from monkit_present.parameters import quoted
from monkit_present.render import curves, flows
from monkit_present.render.latency import latency
from monkit_present.responses import Problem
from monkit_present.views.frame import document, macro
from monkit_present.views.functions import address
from monkit_present.views.kept_traces import KeptRow, kept_rows
from monkit_present.views.times import CallFigures, call_figures, spelled

__all__ = ["blocks", "find_func", "render"]

_MOST_NEIGHBOURS = 6
_ID = re.compile(r"[0-9a-f]{16}")


def find_func(registry: Registry, name: str) -> Func:
    """The function of this name, with its tags as pages spell them, or of this id in 16 hex digits.

    A name without tags stands for the one with the most calls where all of that name have tags.

    Raises:
        Problem: there is none.
    """
    funcs = registry.funcs()
    for func in funcs:
        if spelled(func) == name:
            return func
    if _ID.fullmatch(name):
        for func in funcs:
            if f"{func.id:016x}" == name:
                return func
    alike = [func for func in funcs if func.full_name == name]
    if alike:
        return max(alike, key=lambda func: sum(func.callers.values()))
    near = nearest(name, dict.fromkeys(func.full_name for func in funcs))
    nearest_words = f"; nearest: {', '.join(clip(other, 200) for other in near)}" if near else ""
    raise Problem(404, f"no function is called {quoted(name)}{nearest_words}")


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """An error by name, with its count and that as per cent of the most frequent one."""

    name: str
    kind: str
    count: int
    percent: float


def render(request: PageRequest) -> Iterator[str]:
    """The page.

    Raises:
        Problem: there is no such function.
    """
    func = find_func(request.served.registry, request.values["name"])
    return document(
        request,
        "function.html",
        request.page("/funcs/{name}"),
        func.short_name,
        path=address(func),
        func=func,
        regex=re.escape(func.full_name) + "$",
        base=request.base,
        kept=_part("kept", request.root, _kept(request, func)),
        graph=f"{request.root}/graph?focus={quote(re.escape(func.full_name), safe='')}",
        **blocks(request),
    )


def blocks(request: PageRequest) -> Blocks:
    """The parts that change; the table of kept calls does not, as its rows would move under the reader's eyes."""
    func = find_func(request.served.registry, request.values["name"])
    history = request.served.history
    found = call_figures(func)
    calls, failures = history.calls(func), history.failures(func)

    return {
        "figures": _part("key_figures", found, history.rate(func), curves.curve(calls), curves.curve(failures)),
        "latency": _part("latency", found, latency(found.ok_bins, found.bad_bins, found.quantiles_ns)),
        "flows": _part("flows", request.root, _flows(func, request.served.registry, found)),
        "errors": _part("errors", found, _errors(found)),
    }


def _part(name: str, *arguments: object) -> str:
    return macro("function_parts.html", name)(*arguments)


def _errors(found: CallFigures) -> list[ErrorRow]:
    rows = [(name, "can" if name == "Canceled" else "err", count) for name, count in found.errors]
    if found.panics:
        rows.append(("panics", "pan", found.panics))
    most = max((count for _, _, count in rows), default=1)
    return [ErrorRow(name, kind, count, 100 * count / most) for name, kind, count in rows]


def _kept(request: PageRequest, func: Func) -> list[KeptRow]:
    traces: list[RecentTrace] = request.served.registry.recent_traces(func)
    return kept_rows(reversed(traces), wall_offset_ns())


def _flows(func: Func, registry: Registry, found: CallFigures) -> flows.Flows | None:
    callers = [
        flows.Side("outside" if caller is None else caller.full_name, "" if caller is None else address(caller), count)
        for caller, count in func.callers.items()
    ]
    callees = [
        flows.Side(other.full_name, address(other), count)
        for other in registry.funcs()
        if (count := other.callers.get(func))
    ]
    return flows.flows(
        func.short_name,
        sum(func.callers.values()),
        nlargest(_MOST_NEIGHBOURS, callers, key=lambda side: side.count),
        nlargest(_MOST_NEIGHBOURS, callees, key=lambda side: side.count),
        more_callers=max(len(callers) - _MOST_NEIGHBOURS, 0),
        more_callees=max(len(callees) - _MOST_NEIGHBOURS, 0),
    )
