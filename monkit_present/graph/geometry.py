"""Geometry: what a layout is given, and what it answers. All lengths in pixels, y downwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Box", "Layout", "Link", "Part", "Point", "Route", "Size", "bounds", "moved"]

Point = tuple[float, float]
Size = tuple[float, float]
"""Width and height."""

Piece = tuple[Point, Point, Point]
"""A cubic curve from where the last one ended: two control points and its end."""


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow to be drawn.

    Attributes:
        tail: index of the box it comes from.
        head: index of the box it leads to; the same for a loop.
        tip: length of its arrow head.
    """

    tail: int
    head: int
    tip: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    def overlaps(self, other: Box) -> bool:
        """Whether they have a point inside in common."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


@dataclass(frozen=True, slots=True)
class Route:
    """The way of a link.

    Attributes:
        start: at its tail.
        pieces: curves, the last of which ends where the arrow head begins.
        tip: where the arrow head ends, at the box it leads to.
        back: it leads against the direction of the others, as it closes a circle.
    """

    start: Point
    pieces: tuple[Piece, ...]
    tip: Point
    back: bool = False

    @property
    def points(self) -> Iterator[Point]:
        """Every point; the curve stays in their bounds."""
        yield self.start
        for piece in self.pieces:
            yield from piece
        yield self.tip


@dataclass(frozen=True, slots=True)
class Part:
    """Boxes that hang together, and the links between them, by the index that each was given by.

    Attributes:
        boxes: placed.
        routes: of the links between them.
        levels: the layer of each box, counted from the top; empty where the layout has none.
    """

    boxes: dict[int, Box]
    routes: dict[int, Route]
    levels: dict[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole picture, from 0 to *width* and to *height*.

    Attributes:
        boxes: in the order they were given.
        routes: of the links, likewise.
        levels: see `Part`; of each part they begin at 0.
    """

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    levels: dict[int, int]
    width: float
    height: float


def bounds(part: Part) -> Box:
    """The rectangle that a part takes."""
    boxes = part.boxes.values()
    points = [point for route in part.routes.values() for point in route.points]
    xs = [box.x for box in boxes] + [box.right for box in boxes] + [x for x, _ in points]
    ys = [box.y for box in boxes] + [box.bottom for box in boxes] + [y for _, y in points]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def moved(part: Part, by: Point) -> Part:
    """The same part somewhere else."""

    def shift(point: Point) -> Point:
        return point[0] + by[0], point[1] + by[1]

    def shift_all(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
        return tuple((shift(a), shift(b), shift(c)) for a, b, c in pieces)

    return Part(
        {index: Box(*shift((box.x, box.y)), box.width, box.height) for index, box in part.boxes.items()},
        {
            index: Route(shift(route.start), shift_all(route.pieces), shift(route.tip), route.back)
            for index, route in part.routes.items()
        },
        part.levels,
    )
