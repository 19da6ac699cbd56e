"""The call graph as plain values: functions with their figures, and who calls whom how often.

Own time is an estimate. What is kept of a function is the time of all its
calls together and how many came from each caller, not how long those of one
caller took. So the calls of a function are taken to last equally long, whoever
made them; a caller's own time is its time less that of the calls it made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monkit_core.errors import CANCELED
from monkit_core.formats.functions import FuncRow

__all__ = ["CallGraph", "Edge", "Node", "call_graph"]


@dataclass(frozen=True, slots=True)
class Node:
    """A function.

    Attributes:
        row: what is known of it.
        calls: that began, those that run now among them.
        total_ns: nanoseconds of all its calls that have ended; of recursion those inside count again.
        own_ns: nanoseconds of that outside of monitored calls, an estimate; 0 where calls
            that it made took longer than itself, as those that run beside each other do.
        failures: calls that ended by an error or a panic, cancellations apart.
        cancellations: calls that were cancelled.
    """

    row: FuncRow
    calls: int
    total_ns: int
    own_ns: int
    failures: int
    cancellations: int

    @property
    def failing(self) -> bool:
        """Whether more than one in a hundred calls fail."""
        return self.failures * 100 > self.calls


@dataclass(frozen=True, slots=True)
class Edge:
    """Calls from one function to another or to itself.

    Attributes:
        caller: index of a node.
        callee: likewise.
        calls: how many.
    """

    caller: int
    callee: int
    calls: int


@dataclass(frozen=True, slots=True)
class CallGraph:
    """Functions, and the calls between them in no particular order."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def call_graph(rows: Iterable[FuncRow]) -> CallGraph:
    """The graph of all functions.

    A caller that is not among *rows*, as one of another registry, counts as outside.
    """
    rows = list(rows)
    places = {row.id: place for place, row in enumerate(rows)}
    edges = [
        Edge(places[parent], callee, calls)
        for callee, row in enumerate(rows)
        for parent, calls in zip(row.parent_ids, row.caller_calls, strict=True)
        if parent in places
    ]
    own_ns = _own_times(rows, edges)
    return CallGraph(tuple(map(_node, rows, own_ns)), tuple(edges))


def _node(row: FuncRow, own_ns: int) -> Node:
    cancellations = dict(row.errors).get(CANCELED, 0)
    return Node(
        row=row,
        calls=_calls(row),
        total_ns=_total_ns(row),
        own_ns=own_ns,
        failures=row.error_count + row.panics - cancellations,
        cancellations=cancellations,
    )


def _calls(row: FuncRow) -> int:
    return row.entry_calls + sum(row.caller_calls)


def _total_ns(row: FuncRow) -> int:
    return max(row.success_times.sum + row.failure_times.sum, 0)


def _own_times(rows: Sequence[FuncRow], edges: Iterable[Edge]) -> list[int]:
    """Nanoseconds of each function less those of the calls that it made."""
    totals = [_total_ns(row) for row in rows]
    own = list(totals)
    for edge in edges:
        calls = _calls(rows[edge.callee])
        if calls:  # none while the first one begins
            own[edge.caller] -= totals[edge.callee] * edge.calls // calls
    return [max(ns, 0) for ns in own]
