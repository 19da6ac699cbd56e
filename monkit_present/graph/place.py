"""Places: where the vertices of ordered rows stand from left to right.

Rows start close together about the middle. Then each in turn, down and up, is
put as near as it gets to where its neighbours draw it, which is the least sum
of squares that keeps order and distances: found in one go by pooling those
that would run into each other. Joints of long arcs draw each other the most,
so that long arcs become straight.

After the pool of adjacent violators of isotonic regression; the weights of the
three kinds of steps are those of E. R. Gansner and others, "A technique for
drawing directed graphs" (1993).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from monkit_present.graph.order import Rows

__all__ = ["place_rows"]

_SWEEPS = 24  # after which graphs of 80 boxes moved by less than a pixel
_LEAST_SWEEPS = 8
_MOVES = 60_000  # of vertices; above them there are fewer sweeps
_PULL = (1.0, 2.0, 8.0)  # of a step between boxes, to a joint, between joints
_IDLE = 0.01  # of a vertex without neighbours, to where it stands


def place_rows(
    graph: Rows, left: Sequence[float], right: Sequence[float], distance: Callable[[int, int], float]
) -> list[float]:
    """The place of each vertex.

    Args:
        graph: rows in their final order.
        left: how far each vertex reaches to the left of its place.
        right: likewise.
        distance: what is left free between two that stand side by side.
    """
    x = [0.0] * len(left)
    offsets = []
    for row in graph.rows:
        steps = [0.0]
        for one, other in pairwise(row):
            steps.append(steps[-1] + right[one] + left[other] + distance(one, other))
        offsets.append(steps)
        for vertex, step in zip(row, steps, strict=True):
            x[vertex] = step - steps[-1] / 2
    pulls = [_pulls(graph, vertex) for vertex in range(len(x))]
    turns = [
        (row, steps, [pulls[vertex][0] for vertex in row], [pulls[vertex][1] for vertex in row])
        for row, steps in zip(graph.rows, offsets, strict=True)
    ]
    for sweep in range(max(_LEAST_SWEEPS, min(_SWEEPS, _MOVES // max(len(x), 1)))):
        for row, steps, shares, weights in turns if sweep % 2 == 0 else reversed(turns):
            wanted = [sum([x[other] * share for other, share in each]) for each in shares]
            for vertex, place in zip(row, _nearest(wanted, weights, steps), strict=True):
                x[vertex] = place
    return x


def _pulls(graph: Rows, vertex: int) -> tuple[list[tuple[int, float]], float]:
    """What draws a vertex, each by its share, and how much all do together."""
    near = graph.above[vertex] + graph.below[vertex]
    if not near:
        return [(vertex, 1.0)], _IDLE
    pulls = [_PULL[(vertex >= graph.boxes) + (other >= graph.boxes)] for other in near]
    whole = sum(pulls)
    return [(other, pull / whole) for other, pull in zip(near, pulls, strict=True)], whole


def _nearest(wanted: Sequence[float], weights: Sequence[float], steps: Sequence[float]) -> Iterator[float]:
    """Places in order and far enough apart, nearest to those that are wanted.

    Args:
        wanted: of each.
        weights: how much each one's distance from there counts.
        steps: least distance of each from the first.
    """
    pools: list[tuple[float, float, int]] = []  # place of their first, less its step; weight; how many
    for place, weight, step in zip(wanted, weights, steps, strict=True):
        place, count = place - step, 1
        while pools and pools[-1][0] >= place:
            other, other_weight, members = pools.pop()
            place = (place * weight + other * other_weight) / (weight + other_weight)
            weight, count = weight + other_weight, count + members
        pools.append((place, weight, count))
    left = iter(steps)
    for place, _, count in pools:
        for _ in range(count):
            yield place + next(left)
