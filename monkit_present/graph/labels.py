"""Labels: where the words on an arrow stand, so that they cover no box and no other words, and few other arrows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from monkit_present.graph.geometry import Box, Layout, Piece, Point, Route

__all__ = ["place_labels"]

_ALONG = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)  # parts of a curve, the best first
_CELL_PX = 16.0  # of the grid in which arrows are noticed
_BOX_CELL_PX = 64.0  # and of that for boxes

Cell = tuple[int, int]


def place_labels(layout: Layout, widths: Mapping[int, float], height: float) -> dict[int, Box]:
    """Find places for labels; one that finds none gets none.

    Args:
        layout: what is drawn.
        widths: of the labels, by the number of their link; the first ones choose first.
        height: of all of them.
    """
    crowd = _crowd(layout.routes)
    taken: dict[Cell, list[Box]] = {}
    for box in layout.boxes:
        _take(box, taken)
    found: dict[int, Box] = {}
    for number, width in widths.items():
        free = [
            place
            for place in _places(layout.routes[number], width, height)
            if place.x >= 0 and place.right <= layout.width and _is_free(place, taken)
        ]
        if free:
            found[number] = min(free, key=lambda place: len(_near(place, crowd) - {number}))
            _take(found[number], taken)
    return found


def _places(route: Route, width: float, height: float) -> Iterator[Box]:
    """Boxes along a way, the middles of its longest curves first."""
    starts = [route.start, *(piece[2] for piece in route.pieces)]
    bends = sorted(zip(starts, route.pieces, strict=False), key=lambda bend: -math.dist(bend[0], bend[1][2]))
    for part in _ALONG:
        for start, piece in bends:
            x, y = _on_curve(start, piece, part)
            yield Box(x - width / 2, y - height / 2, width, height)


def _on_curve(start: Point, piece: Piece, part: float) -> Point:
    rest = 1 - part
    a, b, c, d = rest**3, 3 * rest * rest * part, 3 * rest * part * part, part**3
    (x1, y1), (x2, y2), (x3, y3) = piece
    return a * start[0] + b * x1 + c * x2 + d * x3, a * start[1] + b * y1 + c * y2 + d * y3


def _crowd(routes: Sequence[Route]) -> dict[Cell, set[int]]:
    """Which ways come by each cell of a grid, to be looked at every few pixels."""
    found: dict[Cell, set[int]] = {}
    for number, route in enumerate(routes):
        start = route.start
        for piece in route.pieces:
            steps = int(math.dist(start, piece[2]) / _CELL_PX) + 1
            for step in range(steps):
                found.setdefault(_cell(_on_curve(start, piece, step / steps)), set()).add(number)
            start = piece[2]
    return found


def _near(place: Box, crowd: Mapping[Cell, set[int]]) -> set[int]:
    empty: set[int] = set()
    return empty.union(*(crowd.get(cell, empty) for cell in _cells(place, _CELL_PX)))


def _take(box: Box, taken: dict[Cell, list[Box]]) -> None:
    for cell in _cells(box, _BOX_CELL_PX):
        taken.setdefault(cell, []).append(box)


def _is_free(place: Box, taken: Mapping[Cell, list[Box]]) -> bool:
    return not any(place.overlaps(box) for cell in _cells(place, _BOX_CELL_PX) for box in taken.get(cell, ()))


def _cells(box: Box, size: float) -> Iterator[Cell]:
    """The cells of a grid that a box touches."""
    (left, top), (right, bottom) = _cell((box.x, box.y), size), _cell((box.right, box.bottom), size)
    return ((x, y) for x in range(left, right + 1) for y in range(top, bottom + 1))


def _cell(point: Point, size: float = _CELL_PX) -> Cell:
    return int(point[0] // size), int(point[1] // size)
