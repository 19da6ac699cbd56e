"""Layers: which arcs close circles, and in which row each box stands."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Arc", "arrange", "find_back"]

Arc = tuple[int, int]
"""Tail and head, numbers of boxes."""


def find_back(count: int, arcs: Sequence[Arc]) -> set[int]:
    """Indices of arcs that lead back to a box on the way to their own; without them there is no circle.

    The search starts from boxes that nothing leads to, then from what is left,
    in order, and takes arcs in the order given, so what comes first leads down.

    Args:
        count: of boxes.
        arcs: without loops.
    """
    leaving: list[list[int]] = [[] for _ in range(count)]
    entered = [False] * count
    for index, (tail, head) in enumerate(arcs):
        leaving[tail].append(index)
        entered[head] = True
    back: set[int] = set()
    state = bytearray(count)  # 0 new, 1 on the way, 2 done
    for root in sorted(range(count), key=lambda box: entered[box]):
        if state[root]:
            continue
        state[root] = 1
        way = [(root, iter(leaving[root]))]
        while way:
            box, rest = way[-1]
            for index in rest:
                head = arcs[index][1]
                if state[head] == 1:
                    back.add(index)
                elif not state[head]:
                    state[head] = 1
                    way.append((head, iter(leaving[head])))
                    break
            else:
                state[box] = 2
                way.pop()
    return back


def arrange(widths: Sequence[float], arcs: Sequence[Arc], room: float) -> list[int]:
    """The layer of each box, so that every arc leads down by one layer or more.

    As high as it can be, but a layer that is full passes boxes on to the next;
    then down to its callees where that makes arcs shorter.

    Args:
        widths: of the boxes, with what has to be left free beside them.
        arcs: without circles.
        room: width of a layer; a single wider box has one of its own.
    """
    leaving: list[list[int]] = [[] for _ in widths]
    entering: list[list[int]] = [[] for _ in widths]
    for tail, head in arcs:
        leaving[tail].append(head)
        entering[head].append(tail)
    order = _sorted_down(leaving, entering)
    depths, heights = [0] * len(widths), [0] * len(widths)
    for box in order:
        depths[box] = max((depths[tail] + 1 for tail in entering[box]), default=0)
    for box in reversed(order):
        heights[box] = max((heights[head] + 1 for head in leaving[box]), default=0)
    order.sort(key=lambda box: (depths[box], -heights[box], box))
    layers, used = [0] * len(widths), [0.0] * (len(widths) + 1)
    for box in order:
        layer = max((layers[tail] + 1 for tail in entering[box]), default=0)
        while used[layer] and used[layer] + widths[box] > room:
            layer += 1
            if layer == len(used):
                used.append(0.0)
        layers[box] = layer
        used[layer] += widths[box]
    _pull_down(order, layers, used, widths, (leaving, entering), room)
    return _without_gaps(layers)


def _sorted_down(leaving: Sequence[Sequence[int]], entering: Sequence[Sequence[int]]) -> list[int]:
    """Boxes, tails before heads."""
    missing = [len(tails) for tails in entering]
    order = [box for box, count in enumerate(missing) if not count]
    for box in order:  # it grows
        for head in leaving[box]:
            missing[head] -= 1
            if not missing[head]:
                order.append(head)
    return order


def _pull_down(
    order: Sequence[int],
    layers: list[int],
    used: list[float],
    widths: Sequence[float],
    neighbours: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
    room: float,
) -> None:
    """Move a box that calls more than it is called by down to right above what it calls."""
    leaving, entering = neighbours
    for box in reversed(order):
        if len(leaving[box]) <= len(entering[box]):
            continue
        lowest = min(layers[head] for head in leaving[box]) - 1
        while lowest > layers[box] and used[lowest] and used[lowest] + widths[box] > room:
            lowest -= 1
        used[layers[box]] -= widths[box]
        used[lowest] += widths[box]
        layers[box] = lowest


def _without_gaps(layers: Sequence[int]) -> list[int]:
    numbers = {layer: number for number, layer in enumerate(sorted(set(layers)))}
    return [numbers[layer] for layer in layers]
