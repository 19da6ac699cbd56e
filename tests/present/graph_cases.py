"""Call graphs for tests: rows of functions out of a few words, and random boxes with arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from monkit_core.formats.functions import FuncRow, TimesRow
from monkit_present.graph.geometry import Link, Size
from monkit_present.graph.model import CallGraph, Node, call_graph

__all__ = ["SECOND", "boxes_and_links", "func", "graph_of", "node_named", "pile", "star"]

SECOND = 1_000_000_000
OUTSIDE = ""


def times(count: int, sum_ns: int) -> TimesRow:
    return TimesRow(count, sum_ns, 0, 0, 0, 0, 0, (0,) * 8)


def func(
    name: str,
    callers: Mapping[str, int],
    total_ns: int = 0,
    *,
    errors: Mapping[str, int] | None = None,
    panics: int = 0,
    names: Sequence[str] = (),
    tags: tuple[tuple[str, str], ...] = (),
) -> FuncRow:
    """A function of scope ``shop``; its id is its place in *names*, ``""`` among its callers is outside."""
    inside = {caller: calls for caller, calls in callers.items() if caller != OUTSIDE}
    failed = sum((errors or {}).values()) + panics
    calls = sum(callers.values())
    return FuncRow(
        id=names.index(name),
        scope="shop",
        name=name,
        tags=tags,
        parent_ids=tuple(names.index(caller) if caller in names else 10**9 for caller in inside),
        entry=OUTSIDE in callers,
        current=0,
        highwater=1,
        successes=calls - failed,
        errors=tuple((errors or {}).items()),
        panics=panics,
        success_times=times(calls - failed, total_ns),
        failure_times=times(failed, 0),
        caller_calls=tuple(inside.values()),
        entry_calls=callers.get(OUTSIDE, 0),
    )


def graph_of(functions: Mapping[str, tuple[Mapping[str, int], int]]) -> CallGraph:
    """A graph of names with their callers and total times."""
    names = list(functions)
    return call_graph([func(name, callers, total, names=names) for name, (callers, total) in functions.items()])


def node_named(graph: CallGraph, name: str) -> Node:
    (node,) = (node for node in graph.nodes if node.row.name == name)
    return node


def star(leaves: int) -> CallGraph:
    """One function that calls *leaves* others, of which the later ones take longer."""
    found: dict[str, tuple[Mapping[str, int], int]] = {"handle": ({OUTSIDE: 1}, 10 * leaves * leaves * SECOND)}
    found |= {f"leaf_{i:03}": ({"handle": i + 1}, (i + 1) * SECOND) for i in range(leaves)}
    return graph_of(found)


def pile(count: int) -> tuple[list[Size], list[Link]]:
    """A long chain with an arrow from every box to one far below: as many layers as boxes."""
    arrows = [Link(i, i + 1, 8) for i in range(count - 1)]
    return [(100, 40)] * count, [*arrows, *(Link(i, count - 1, 8) for i in range(count - 2))]


@st.composite
def boxes_and_links(draw: st.DrawFn, most: int = 40) -> tuple[list[Size], list[Link]]:
    """Boxes of any size, and arrows between any two of them: circles, loops, parts that do not hang together."""
    count = draw(st.integers(1, most))
    side = st.floats(30, 300)
    sizes = draw(st.lists(st.tuples(side, side), min_size=count, max_size=count))
    box = st.integers(0, count - 1)
    ends = draw(st.lists(st.tuples(box, box), unique=True, max_size=3 * count))
    return sizes, [Link(tail, head, draw(st.floats(6, 11))) for tail, head in ends]
