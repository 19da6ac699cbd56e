"""The table of functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from heapq import nlargest
from urllib.parse import quote

from monkit_core import Func
from monkit_present.pages import Blocks, PageRequest
from monkit_present.render import curves, figures
from monkit_present.views.frame import Macro, document, macro
from monkit_present.views.times import call_figures, spelled

__all__ = ["MOST_ROWS", "address", "blocks", "render"]

MOST_ROWS = 1_000
"""Functions that the table has at most: those with the most calls."""


def address(func: Func) -> str:
    """Where the page of a function is."""
    return f"/funcs/{quote(spelled(func), safe='')}"


def render(request: PageRequest) -> Iterator[str]:
    """The page."""
    return document(
        request,
        "functions.html",
        request.page("/funcs"),
        "Functions",
        summary=_summary(request),
        left_out=max(len(request.served.registry.funcs()) - MOST_ROWS, 0),
        most=MOST_ROWS,
        rows=_rows(request),
    )


def blocks(request: PageRequest) -> Blocks:
    """The parts that change."""
    return {"summary": _summary(request), **dict(_rows(request))}


def _summary(request: PageRequest) -> str:
    funcs = request.served.registry.funcs()
    scopes = len({func.scope_name for func in funcs})
    calls = sum(sum(func.callers.values()) for func in funcs)
    words = f"{figures.counted(len(funcs), 'function')} in {figures.counted(scopes, 'scope')}"
    return macro("functions_parts.html", "summary")(f"{words} · {figures.counted(calls, 'call')} since start")


def _rows(request: PageRequest) -> Iterator[tuple[str, str]]:
    """The ``id`` and the HTML of each row, the functions with the most calls first."""
    row = macro("functions_parts.html", "row")
    history, kept = request.served.history, request.served.kept
    for calls, func in _heaviest(request.served.registry.funcs()):
        name = f"f-{func.id:016x}"
        points = tuple(history.calls(func))
        made_of = (request.root, calls, func.current, func.success_times.count, func.failure_times.count, points)
        yield name, kept.value(name, made_of, partial(_row, row, request, func, points))


def _row(row: Macro, request: PageRequest, func: Func, points: tuple[int, ...]) -> str:
    found = call_figures(func)
    return row(
        request.root,
        address(func),
        func,
        found,
        request.served.history.rate(func),
        curves.curve(points),
        curves.columns(found.bins, (found.quantiles_ns[0], found.quantiles_ns[2])),
    )


def _heaviest(funcs: Iterable[Func]) -> list[tuple[int, Func]]:
    counted = [(sum(func.callers.values()), func) for func in funcs]
    return nlargest(MOST_ROWS, counted, key=lambda item: item[0])
