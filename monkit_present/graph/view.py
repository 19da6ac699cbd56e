"""A view of the call graph: which functions and edges of it are shown, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from monkit_present.graph.model import CallGraph, Edge, Node

__all__ = ["WEIGHTS", "View", "Weight", "choose"]

_EDGES_A_NODE = 3  # more cannot be followed by eye

Matches = Callable[[Node], bool]


@dataclass(frozen=True, slots=True)
class Weight:
    """What makes a function weigh.

    Attributes:
        words: what areas and tints show.
        rank: the heavier, the sooner it is kept.
        part: its part of the sum over all functions, which its area shows.
    """

    words: str
    rank: Callable[[Node], int]
    part: Callable[[Node], int]


WEIGHTS: Mapping[str, Weight] = {
    # Kept by the whole time: with a function that takes long its callers are kept, which have little of their own.
    "time": Weight("own time (estimate)", lambda node: node.total_ns, lambda node: node.own_ns),
    "count": Weight("calls", lambda node: node.calls, lambda node: node.calls),
    "errors": Weight("failures", lambda node: node.failures, lambda node: node.failures),
}
"""By the word that chooses it."""


@dataclass(frozen=True, slots=True)
class View:
    """What is shown.

    Attributes:
        nodes: by time, the longest first.
        edges: between them, by calls, the most first; their ends are indices of *nodes*.
        shares: of each node, of the sum over all functions: 0 to 1.
        by: a word of `WEIGHTS`.
        known: how many functions there are.
        known_edges: how many edges.
        ignored: functions that were to be ignored.
        unrelated: functions that have to do with none in focus.
        light: functions left out as the lightest, the heaviest of them first.
        light_share: of these together, 0 to 1.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    shares: tuple[float, ...]
    by: str
    known: int
    known_edges: int
    ignored: int
    unrelated: int
    light: tuple[Node, ...]
    light_share: float


def choose(
    graph: CallGraph, *, nodes: int, by: str, focus: Matches | None = None, ignore: Matches | None = None
) -> View:
    """Choose what is shown.

    First goes what is to be ignored, then what neither leads to a function in
    focus nor is led to by one, then the lightest. Functions in focus go last of
    all. Of the edges between the rest the heaviest are kept, three a function,
    and to each function its heaviest.

    Args:
        graph: all of it.
        nodes: most functions.
        by: what weighs, a word of `WEIGHTS`.
        focus: only these, their callers and callees, and so on.
        ignore: not these.
    """
    everything = range(len(graph.nodes))
    here = {place for place in everything if ignore is None or not ignore(graph.nodes[place])}
    ignored = len(graph.nodes) - len(here)
    centre: set[int] = set()
    if focus is not None:
        centre = {place for place in here if focus(graph.nodes[place])}
        here = _related(graph.edges, centre, here)
    weight = WEIGHTS[by]
    ranked = sorted(here, key=lambda place: (place not in centre, *_heaviest_first(graph.nodes[place], weight)))
    kept, light = ranked[:nodes], ranked[nodes:]
    kept.sort(key=lambda place: _heaviest_first(graph.nodes[place], WEIGHTS["time"]))
    whole = sum(map(weight.part, graph.nodes)) or 1
    shares = [weight.part(node) / whole for node in graph.nodes]
    return View(
        nodes=tuple(graph.nodes[place] for place in kept),
        edges=_edges_between(graph.edges, kept),
        shares=tuple(shares[place] for place in kept),
        by=by,
        known=len(graph.nodes),
        known_edges=len(graph.edges),
        ignored=ignored,
        unrelated=len(graph.nodes) - ignored - len(here),
        light=tuple(graph.nodes[place] for place in light),
        light_share=sum(shares[place] for place in light),
    )


def _heaviest_first(node: Node, weight: Weight) -> tuple[int, int, str, tuple[tuple[str, str], ...]]:
    return -weight.rank(node), -node.total_ns, node.row.full_name, node.row.tags


def _related(edges: Iterable[Edge], centre: set[int], here: set[int]) -> set[int]:
    """Those of *here* that lead to one of *centre* by any number of calls, or are led to."""
    callees: dict[int, list[int]] = {}
    callers: dict[int, list[int]] = {}
    for edge in edges:
        if edge.caller in here and edge.callee in here:
            callees.setdefault(edge.caller, []).append(edge.callee)
            callers.setdefault(edge.callee, []).append(edge.caller)
    return _reached(centre, callees) | _reached(centre, callers)


def _reached(centre: set[int], neighbours: Mapping[int, Sequence[int]]) -> set[int]:
    found, waiting = set(centre), list(centre)
    while waiting:
        for place in neighbours.get(waiting.pop(), ()):
            if place not in found:
                found.add(place)
                waiting.append(place)
    return found


def _edges_between(edges: Iterable[Edge], kept: Sequence[int]) -> tuple[Edge, ...]:
    """The heaviest edges between the functions that are kept, with their ends counted anew."""
    places = {place: new for new, place in enumerate(kept)}
    between = [
        Edge(places[edge.caller], places[edge.callee], edge.calls)
        for edge in edges
        if edge.caller in places and edge.callee in places
    ]
    between.sort(key=lambda edge: (-edge.calls, edge.caller, edge.callee))
    most = _EDGES_A_NODE * len(kept)
    found, reached = between[:most], {edge.callee for edge in between[:most]}
    for edge in between[most:]:
        if edge.callee not in reached:
            reached.add(edge.callee)
            found.append(edge)
    return tuple(found)
