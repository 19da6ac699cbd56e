"""Layouts: a whole picture out of parts that do not hang together, by our own hand or by Graphviz."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from monkit_present.graph.geometry import Layout, Link, Part, Size, bounds, moved
from monkit_present.graph.layered import lay_out_part

__all__ = ["Draft", "compose", "drafts", "lay_out"]

_BETWEEN_PX = 30.0
_LEAST_WIDTH_PX = 1000.0
_SHAPE = 1.8  # width by height that parts are packed into

Draft = tuple[Sequence[int], Mapping[int, Link]]
"""Boxes that hang together, by their numbers, and the links between them, by theirs."""


def lay_out(sizes: Sequence[Size], links: Sequence[Link]) -> Layout:
    """Put boxes and links into a picture by our own layout.

    Args:
        sizes: of the boxes; those that come first are rather put on top and to the left.
        links: between them; those that come first rather lead down.
    """
    by_number = dict(enumerate(sizes))
    return compose(sizes, links, lambda draft: lay_out_part(draft[0], by_number, draft[1]))


def compose(sizes: Sequence[Size], links: Sequence[Link], make: Callable[[Draft], Part]) -> Layout:
    """Make every part, and pack them in rows, the larger ones first."""
    parts = [make(draft) for draft in drafts(len(sizes), links)]
    boxes, routes, levels = {}, {}, {}
    right = bottom = 0.0
    for part in _packed(parts):
        boxes.update(part.boxes)
        routes.update(part.routes)
        levels.update(part.levels)
        frame = bounds(part)
        right, bottom = max(right, frame.right), max(bottom, frame.bottom)
    return Layout(
        tuple(boxes[index] for index in range(len(sizes))),
        tuple(routes[index] for index in range(len(links))),
        levels,
        right,
        bottom,
    )


def drafts(count: int, links: Sequence[Link]) -> list[Draft]:
    """Boxes that hang together, the most first, then by their first box.

    Args:
        count: of boxes.
        links: between them.
    """
    roots = list(range(count))

    def root(box: int) -> int:
        while roots[box] != box:
            roots[box] = box = roots[roots[box]]
        return box

    for link in links:
        one, other = sorted((root(link.tail), root(link.head)))
        roots[other] = one
    members: dict[int, list[int]] = {}
    for box in range(count):
        members.setdefault(root(box), []).append(box)
    between: dict[int, dict[int, Link]] = {box: {} for box in members}
    for index, link in enumerate(links):
        between[root(link.tail)][index] = link
    found: list[Draft] = [(boxes, between[first]) for first, boxes in members.items()]
    found.sort(key=lambda draft: (-len(draft[0]), draft[0][0]))
    return found


def _packed(parts: Sequence[Part]) -> Iterator[Part]:
    """Parts side by side in rows that are no wider than the widest of them, or than suits all."""
    frames = [bounds(part) for part in parts]
    area = sum((frame.width + _BETWEEN_PX) * (frame.height + _BETWEEN_PX) for frame in frames)
    room = max([_LEAST_WIDTH_PX, math.sqrt(area * _SHAPE), *(frame.width for frame in frames)])
    x = y = tallest = 0.0
    for part, frame in zip(parts, frames, strict=True):
        if x and x + frame.width > room:
            x, y, tallest = 0.0, y + tallest + _BETWEEN_PX, 0.0
        yield moved(part, (x - frame.x, y - frame.y))
        x += frame.width + _BETWEEN_PX
        tallest = max(tallest, frame.height)
