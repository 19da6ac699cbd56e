"""The call graph in a page: the picture of ``/funcs/svg`` with a form, light on neighbours, and a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from markupsafe import Markup

from monkit_present.graph.model import Node
from monkit_present.graph.view import WEIGHTS, View
from monkit_present.graph_page import drawn, view_of
from monkit_present.pages import PageRequest
from monkit_present.parameters import BadQuery
from monkit_present.render import graph_svg
from monkit_present.render.graph_words import note, summary
from monkit_present.views.frame import document
from monkit_present.views.times import spelled_name

__all__ = ["render"]


@dataclass(frozen=True, slots=True)
class Row:
    """A function in the table: where its page is, its share of what weighs, and whom it calls."""

    node: Node
    path: str
    reroot: str
    share: float
    callees: str


def render(request: PageRequest) -> Iterator[str]:
    """The page. Takes as long as the layout does."""
    problem, view, layout, maker = "", None, None, ""
    try:
        view = view_of(request.values, request.served.registry)
        layout, maker = drawn(view, request.values["layout"])
    except BadQuery as found:
        problem = str(found)
    shown = view is not None and layout is not None and view.nodes
    return document(
        request,
        "graph.html",
        request.page("/graph"),
        "Call graph",
        values=request.values,
        weights={name: weight.words for name, weight in WEIGHTS.items()},
        problem=problem,
        summary=summary(view) if view is not None else "",
        note=note(view) if view is not None and _is_part(view) else "",
        maker=maker,
        width=layout.width if layout is not None else 0,
        height=layout.height if layout is not None else 0,
        picture=Markup("".join(graph_svg.picture(view, layout, lambda node: _address(request, node))))
        if shown and view is not None and layout is not None
        else "",
        rows=_rows(request, view) if view is not None else [],
    )


def _is_part(view: View) -> bool:
    return view.known > len(view.nodes) or view.known_edges > len(view.edges)


def _address(request: PageRequest, node: Node) -> str:
    return f"{request.root}/funcs/{quote(spelled_name(node.row.full_name, node.row.tags), safe='')}"


def _rows(request: PageRequest, view: View) -> list[Row]:
    callees: dict[int, list[str]] = {}
    for edge in view.edges:
        callees.setdefault(edge.caller, []).append(view.nodes[edge.callee].row.name)
    return [
        Row(
            node,
            _address(request, node),
            f"{request.root}/graph?{urlencode({'focus': f'^{re.escape(node.row.full_name)}$'}, quote_via=quote)}",
            view.shares[place],
            ", ".join(callees.get(place, ())),
        )
        for place, node in enumerate(view.nodes)
    ]
