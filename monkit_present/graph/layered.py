"""The layered layout: boxes in rows, callers above callees, arrows as smooth ways down.

Time grows with boxes and with the layers that arrows pass, not with their
product; nothing is random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from monkit_present.graph.geometry import Box, Link, Part, Piece, Point, Route, Size
from monkit_present.graph.layers import arrange, find_back
from monkit_present.graph.order import Rows, expand, sort_rows
from monkit_present.graph.place import place_rows

__all__ = ["LOOP_PX", "lay_out_part"]

LOOP_PX = 26.0
"""How far a loop reaches out to the right of its box."""

_BESIDE_BOX_PX = 20.0
_BESIDE_JOINT_PX = 14.0
_BUNDLED_PX = 6.0
_LEAST_GAP_PX = 46.0  # between two layers
_MOST_GAP_PX = 118.0
_STEEPNESS = 0.09  # height of a gap by the width of the widest step through it
_LEAN_PX = 8.0  # by which an arc that leans may leave its place in a layer
_BACK_PX = 16.0  # a way back beside a way down
_LEAST_ROOM_PX = 1400.0
_SHAPE = 1.6  # width by height that a large picture should have


def lay_out_part(numbers: Sequence[int], sizes: Mapping[int, Size], links: Mapping[int, Link]) -> Part:
    """Lay out boxes that hang together.

    Args:
        numbers: of the boxes; the first ones are rather put on top.
        sizes: of the boxes.
        links: between them.
    """
    local = {number: index for index, number in enumerate(numbers)}
    loops = {link.tail for link in links.values() if link.tail == link.head}
    plain = {index: link for index, link in links.items() if link.tail != link.head}
    arcs = [(local[link.tail], local[link.head]) for link in plain.values()]
    back = find_back(len(numbers), arcs)
    down = [arc[::-1] if index in back else arc for index, arc in enumerate(arcs)]
    left = [sizes[number][0] / 2 for number in numbers]
    right = [sizes[number][0] / 2 + (LOOP_PX if number in loops else 0) for number in numbers]
    heights = [sizes[number][1] for number in numbers]
    layers = arrange([a + b + _BESIDE_BOX_PX for a, b in zip(left, right, strict=True)], down, _room(sizes, numbers))
    rows = expand(layers, down)
    sort_rows(rows)
    joints = len(rows.above) - rows.boxes
    x = place_rows(rows, left + [0.0] * joints, right + [0.0] * joints, _distances(rows))
    bands = _bands(rows, x, heights)
    boxes = {
        number: Box(x[i] - left[i], bands[layers[i]].middle - heights[i] / 2, 2 * left[i], heights[i])
        for number, i in local.items()
    }
    router = _Router(rows, x, bands, layers, boxes, list(numbers))
    routes = {
        index: router.route(chain, link.tip, back=place in back)
        for place, ((index, link), chain) in enumerate(zip(plain.items(), rows.chains, strict=True))
    }
    routes |= {index: _loop(boxes[link.tail], link.tip) for index, link in links.items() if link.tail == link.head}
    return Part(boxes, routes, {number: layers[i] for number, i in local.items()})


def _distances(rows: Rows) -> Callable[[int, int], float]:
    """What is left free between two that stand side by side: little between ways from or to the same box."""
    ends = {joint: (chain[0], chain[-1]) for chain in rows.chains for joint in chain[1:-1]}

    def distance(one: int, other: int) -> float:
        if one < rows.boxes or other < rows.boxes:
            return _BESIDE_BOX_PX if max(one, other) < rows.boxes else _BESIDE_JOINT_PX
        (tail, head), (other_tail, other_head) = ends[one], ends[other]
        return _BUNDLED_PX if tail == other_tail or head == other_head else _BESIDE_JOINT_PX

    return distance


def _room(sizes: Mapping[int, Size], numbers: Sequence[int]) -> float:
    """How wide a layer may be."""
    area = sum((sizes[number][0] + _BESIDE_BOX_PX) * (sizes[number][1] + _LEAST_GAP_PX) for number in numbers)
    return max(_LEAST_ROOM_PX, math.sqrt(2 * area * _SHAPE))  # arrows take half


@dataclass(frozen=True, slots=True)
class _Band:
    """The part of the height that the boxes of a layer take."""

    top: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def _bands(rows: Rows, x: Sequence[float], heights: Sequence[float]) -> list[_Band]:
    """Of each layer, with more room between two where arrows go far to the side."""
    bands: list[_Band] = []
    top = 0.0
    for row in rows.rows:
        height = max((heights[vertex] for vertex in row if vertex < rows.boxes), default=0.0)
        bands.append(_Band(top, top + height))
        widest = max((abs(x[vertex] - x[other]) for vertex in row for other in rows.below[vertex]), default=0.0)
        top += height + min(_LEAST_GAP_PX + _STEEPNESS * widest, _MOST_GAP_PX)
    return bands


@dataclass(frozen=True, slots=True)
class _Router:
    """Turns the chain of an arc into a way; see `Rows` for what it holds."""

    rows: Rows
    x: Sequence[float]
    bands: Sequence[_Band]
    layers: Sequence[int]
    boxes: Mapping[int, Box]
    numbers: Sequence[int]

    def route(self, chain: Sequence[int], tip: float, *, back: bool) -> Route:
        """From the lower edge of the first box to the upper edge of the last, with no corner on the way."""
        upper, lower = (self.boxes[self.numbers[vertex]] for vertex in (chain[0], chain[-1]))
        aside = min(_BACK_PX, upper.width / 4, lower.width / 4) if back else 0.0
        level = self.layers[chain[0]]
        x = [self.x[chain[0]] + aside, *(self.x[vertex] for vertex in chain[1:-1]), self.x[chain[-1]] + aside]
        bands = [*self.bands[level : level + len(chain) - 1], self.bands[self.layers[chain[-1]]]]
        way = _Way((x[0], upper.bottom + (tip if back else 0.0)))
        way.line((x[0], max(bands[0].bottom, way.end[1])))
        for place in range(1, len(chain) - 1):
            slope, band = _slope(x, bands, place), bands[place]
            half = slope * (band.bottom - band.top) / 2
            way.bend((x[place] - half, band.top), slope)
            way.line((x[place] + half, band.bottom))
        end = lower.y - (0.0 if back else tip)
        way.bend((x[-1], min(bands[-1].top, end)), 0.0)
        way.line((x[-1], end))
        if back:
            return _turned(way.start, way.pieces, (x[0], upper.bottom))
        return Route(way.start, tuple(way.pieces), (x[-1], lower.y))


def _slope(x: Sequence[float], bands: Sequence[_Band], place: int) -> float:
    """How an arc leans where it passes a layer: like the gentler of the steps about it, upright at a turn."""
    before = (x[place] - x[place - 1]) / (bands[place].middle - bands[place - 1].middle)
    after = (x[place + 1] - x[place]) / (bands[place + 1].middle - bands[place].middle)
    if before * after <= 0:
        return 0.0
    gentler = min(before, after, key=abs)
    limit = _LEAN_PX / max((bands[place].bottom - bands[place].top) / 2, 1.0)
    return max(-limit, min(gentler, limit))


class _Way:
    """Curves one after the other.

    Attributes:
        start: of the first.
        end: of the last.
        pieces: so far.
    """

    def __init__(self, start: Point) -> None:
        self.start = self.end = start
        self.pieces: list[Piece] = []
        self._slope = 0.0

    def line(self, end: Point) -> None:
        """Go on straight; what is too short to be seen is added to what is there."""
        if end[1] - self.end[1] > 0.05:
            self.pieces.append((_between(self.end, end, 1 / 3), _between(self.end, end, 2 / 3), end))
        elif self.pieces:
            self.pieces[-1] = (*self.pieces[-1][:2], end)
        self.end = end

    def bend(self, end: Point, slope: float) -> None:
        """Go to *end*, leaning there by so many pixels to the right a pixel down."""
        half = (end[1] - self.end[1]) / 2
        middle = self.end[1] + half
        self.pieces.append(((self.end[0] + self._slope * half, middle), (end[0] - slope * half, middle), end))
        self.end, self._slope = end, slope


def _between(one: Point, other: Point, part: float) -> Point:
    return one[0] + (other[0] - one[0]) * part, one[1] + (other[1] - one[1]) * part


def _turned(start: Point, pieces: Sequence[Piece], tip: Point) -> Route:
    """The same way from its end to its start, for an arc that was turned round."""
    points = [start, *(point for piece in pieces for point in piece)][::-1]
    turned = tuple((points[i], points[i + 1], points[i + 2]) for i in range(1, len(points), 3))
    return Route(points[0], turned, tip, back=True)


def _loop(box: Box, tip: float) -> Route:
    """Out of the right edge of a box and back into it."""
    middle, reach = box.y + box.height / 2, min(box.height * 0.3, 14.0)
    out = box.right + LOOP_PX  # of the control points; the curve itself stays nearer
    start, end = (box.right, middle - reach), (box.right + tip, middle + reach)
    return Route(start, (((out, start[1] - 2), (out, end[1] + 2), end),), (box.right, end[1]))
