"""The page ``/funcs/svg``: the call graph, chosen, laid out and drawn."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from monkit_core import Registry
from monkit_core.text import clip
from monkit_present.expression import nearest
from monkit_present.gather import func_rows, process_name
from monkit_present.graph.dot_program import DotFailed, find_dot, run_dot
from monkit_present.graph.dot_text import BadAnswer, read_plain, write_dot
from monkit_present.graph.geometry import Layout, Link, Size
from monkit_present.graph.layout import compose, drafts, lay_out
from monkit_present.graph.model import CallGraph, Node, call_graph
from monkit_present.graph.view import WEIGHTS, View, choose
from monkit_present.pages import Format, Page, PageRequest
from monkit_present.parameters import BadQuery, Choice, Parameter, Text, WholeNumber, quoted
from monkit_present.query import compiled
from monkit_present.render import graph_svg
from monkit_present.render.graph_svg import Graph, measure

__all__ = ["GRAPH", "GRAPH_PARAMETERS", "drawn", "view_of"]

GRAPH_PARAMETERS = (
    Parameter("nodes", WholeNumber(1, 300), "functions shown, the heaviest; a line says what was left out", default=80),
    Parameter(
        "focus",
        Text("expression (RE2)"),
        "only functions in whose full name it is found, with their callers and callees, and theirs in turn",
    ),
    Parameter("ignore", Text("expression (RE2)"), "leave out functions in whose full name it is found"),
    Parameter("by", Choice(tuple(WEIGHTS)), "what weighs: time, calls, or failures", default="time"),
    Parameter(
        "layout",
        Choice(("auto", "dot", "own")),
        "who lays it out: Graphviz, ourselves, or Graphviz where it is installed and comes to an end",
        default="auto",
    ),
)
"""What a picture of the call graph takes."""


def view_of(values: Mapping[str, Any], registry: Registry) -> View:
    """What the values of `GRAPH_PARAMETERS` choose to show.

    Raises:
        BadQuery: an expression cannot be used, or the one of ``focus`` matches nothing.
    """
    focus, ignore = (_matcher(name, values[name]) for name in ("focus", "ignore"))
    graph = call_graph(func_rows(registry))
    view = choose(graph, nodes=values["nodes"], by=values["by"], focus=focus, ignore=ignore)
    if focus is not None and not view.nodes:
        raise BadQuery(_no_match(values["focus"], graph))
    return view


def drawn(view: View, layout: str) -> tuple[Layout, str]:
    """Lay out a view. Takes up to some seconds, if Graphviz does; call it in a thread.

    Args:
        view: what is shown.
        layout: ``auto``, ``dot`` or ``own``.

    Returns:
        The layout, and who made it and why not the other, in words.
    """
    sizes, links = measure(view)
    program = find_dot() if layout != "own" else None
    if program is None:
        return lay_out(sizes, links), "Laid out without Graphviz: dot is not installed." if layout == "dot" else ""
    try:
        return _by_dot(program, sizes, links), "Laid out by Graphviz."
    except (DotFailed, BadAnswer) as problem:
        return lay_out(sizes, links), f"Laid out without Graphviz: {problem}."


def _by_dot(program: str, sizes: list[Size], links: list[Link]) -> Layout:
    found = drafts(len(sizes), links)
    parts = iter(read_plain(run_dot(program, write_dot(found, sizes)), found, sizes))
    return compose(sizes, links, lambda _: next(parts))


def _matcher(name: str, pattern: str | None) -> Callable[[Node], bool] | None:
    if pattern is None:
        return None
    found_in = compiled(pattern, name)
    return lambda node: found_in(node.row.full_name)


def _no_match(pattern: str, graph: CallGraph) -> str:
    close = nearest(pattern, dict.fromkeys(node.row.full_name for node in graph.nodes))
    end = "nearest: " + ", ".join(clip(name, 200) for name in close) if close else "see /funcs"
    return f"focus {quoted(pattern)} matches 0 of {len(graph.nodes)} functions; {end}"


def _draw(request: PageRequest) -> Graph:
    view = view_of(request.values, request.served.registry)
    layout, maker = drawn(view, request.values["layout"])
    return Graph(view, layout, maker, process_name(), os.getpid())


GRAPH: Page[Graph] = Page(
    "/funcs/svg",
    "the call graph, drawn",
    _draw,
    (
        Format(
            "",
            "image/svg+xml; charset=utf-8",
            lambda graph: [graph_svg.render(graph)],
            policy=graph_svg.CONTENT_SECURITY_POLICY,
        ),
    ),
    parameters=GRAPH_PARAMETERS,
    takes_long=True,
)
