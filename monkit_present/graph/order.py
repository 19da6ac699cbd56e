"""Order: in which sequence the boxes of a layer stand, so that few arcs cross.

An arc over several layers is cut into steps from each to the next by vertices
that stand for no box. Then layers are put in order by the mean place of their
neighbours, down and up in turn, and neighbours exchanged where that helps.
Everything starts from the order given and nothing is random, so equal graphs
give equal pictures.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from monkit_present.graph.layers import Arc

__all__ = ["Rows", "expand", "sort_rows"]

_SWEEPS = 16
_PATIENCE = 4  # sweeps without an improvement
_JOINTS = 3_000  # in all; the longest arcs go without, straight down behind the boxes
_SWITCHES = 2_000  # vertices up to which neighbours are exchanged


@dataclass(slots=True)
class Rows:
    """Vertices in layers: boxes by their number, then the joints of long arcs.

    Attributes:
        rows: of each layer, from the left.
        above: neighbours of each vertex in the layer above.
        below: likewise.
        boxes: how many vertices are boxes.
        chains: of each arc, the vertices that it passes, with its ends; only these where it has no joints.
    """

    rows: list[list[int]]
    above: list[list[int]]
    below: list[list[int]]
    boxes: int
    chains: list[list[int]]


def expand(layers: Sequence[int], arcs: Sequence[Arc]) -> Rows:
    """Cut arcs into steps; rows are in the order in which a walk down from the top comes by.

    Args:
        layers: of each box.
        arcs: each leads down.
    """
    through = _with_joints(layers, arcs)
    above: list[list[int]] = [[] for _ in layers]
    below: list[list[int]] = [[] for _ in layers]
    chains = []
    levels = list(layers)
    for index, (tail, head) in enumerate(arcs):
        if index not in through:
            chains.append([tail, head])
            continue
        chain = [tail]
        for level in range(layers[tail] + 1, layers[head]):
            chain.append(len(levels))
            levels.append(level)
            above.append([])
            below.append([])
        chain.append(head)
        for upper, lower in pairwise(chain):
            below[upper].append(lower)
            above[lower].append(upper)
        chains.append(chain)
    lengths = {chain[1]: len(chain) for chain in chains if chain[1] >= len(layers)}
    for box in range(len(layers)):
        below[box] = _long_ones_amid(below[box], lengths)
    rows: list[list[int]] = [[] for _ in range(max(layers, default=0) + 1)]
    for vertex in _walk(levels, below):
        rows[levels[vertex]].append(vertex)
    return Rows(rows, above, below, len(layers), chains)


def _with_joints(layers: Sequence[int], arcs: Sequence[Arc]) -> set[int]:
    """Indices of the arcs that get joints, the short ones first, as far as they reach."""
    spans = [layers[head] - layers[tail] for tail, head in arcs]
    found, left = set(), _JOINTS
    for index in sorted(range(len(arcs)), key=spans.__getitem__):
        left -= spans[index] - 1
        if left < 0:
            break
        found.add(index)
    return found


def _long_ones_amid(vertices: Sequence[int], lengths: Mapping[int, int]) -> list[int]:
    """Vertices below a box with the first joints of its longest arcs in the middle, which then cross no short one."""
    if lengths.keys().isdisjoint(vertices):
        return list(vertices)
    ranked = sorted(vertices, key=lambda vertex: lengths.get(vertex, 0))
    return ranked[::2] + ranked[1::2][::-1]


def _walk(levels: Sequence[int], below: Sequence[Sequence[int]]) -> list[int]:
    """Every vertex, each when a walk down, begun at the uppermost ones, first comes to it."""
    seen = [False] * len(levels)
    found = []
    for root in sorted(range(len(levels)), key=lambda vertex: levels[vertex]):
        waiting = [root]
        while waiting:
            vertex = waiting.pop()
            if not seen[vertex]:
                seen[vertex] = True
                found.append(vertex)
                waiting.extend(reversed(below[vertex]))
    return found


def sort_rows(graph: Rows) -> None:
    """Put every row into an order with few crossings."""
    places = [0.0] * len(graph.above)
    for row in graph.rows:
        _number(row, places)
    best, fewest, idle = [list(row) for row in graph.rows], _crossings(graph, places), 0
    exchanges = len(places) <= _SWITCHES
    for sweep in range(_SWEEPS):
        if not fewest or idle == _PATIENCE:
            break
        down = sweep % 2 == 0
        for row in graph.rows[1:] if down else graph.rows[-2::-1]:
            _sort_row(row, graph.above if down else graph.below, places)
        if exchanges:
            for row in graph.rows:
                _exchange(row, graph, places)
        count = _crossings(graph, places)
        idle += 1
        if count < fewest:
            best, fewest, idle = [list(row) for row in graph.rows], count, 0
    graph.rows = best


def _number(row: Sequence[int], places: list[float]) -> None:
    for place, vertex in enumerate(row):
        places[vertex] = place


def _sort_row(row: list[int], neighbours: Sequence[Sequence[int]], places: list[float]) -> None:
    """Sort by the mean place of the neighbours; a vertex without any keeps to the one on its left."""
    keys: dict[int, float] = {}
    last = -1.0
    for vertex in row:
        near = neighbours[vertex]
        if near:
            last = sum([places[other] for other in near]) / len(near)
        keys[vertex] = last
    row.sort(key=keys.__getitem__)
    _number(row, places)


def _exchange(row: list[int], graph: Rows, places: list[float]) -> None:
    """Exchange two that stand side by side where their arcs then cross less often."""
    for place in range(len(row) - 1):
        left, right = row[place], row[place + 1]
        gain = 0
        for neighbours in (graph.above, graph.below):
            ours, theirs = neighbours[left], neighbours[right]
            if ours and theirs:
                before = sorted([places[other] for other in ours])
                after = sorted([places[other] for other in theirs])
                gain += _inversions(before, after) - _inversions(after, before)
        if gain > 0:
            row[place], row[place + 1] = right, left
            places[left], places[right] = place + 1, place


def _inversions(left: Sequence[float], right: Sequence[float]) -> int:
    """How often arcs cross that lead to places *left* and *right* from two that stand in this order; both sorted."""
    return sum([bisect(right, place) - right.count(place) for place in left])


def _crossings(graph: Rows, places: Sequence[float]) -> int:
    """How many pairs of steps cross."""
    count = 0
    for row in graph.rows[:-1]:
        seen: list[float] = []
        for vertex in row:
            ends = [places[other] for other in graph.below[vertex]]
            count += sum([len(seen) - bisect(seen, end) for end in ends])
            for end in ends:
                insort(seen, end)
    return count
