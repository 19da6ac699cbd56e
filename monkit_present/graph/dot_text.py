"""Graphviz as a layout: what it is asked, and what it answers.

It gets numbers only, no text of the program: boxes of a size, and arrows
between them. It answers with places and curves, which are drawn by our own
hand, so that nothing it writes ever reaches a browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monkit_present.graph.geometry import Box, Link, Part, Point, Route, Size
from monkit_present.graph.layout import Draft

__all__ = ["BadAnswer", "read_plain", "write_dot"]

_PX = 72.0  # an inch of Graphviz
_ARROW_PX = 10.0  # an arrow head of size 1
_HEAD = 'digraph { nodesep=0.3; ranksep=0.62; node [shape=box, fixedsize=true, label=""];'


class BadAnswer(Exception):
    """It answered something else than was asked for."""


def write_dot(found: Iterable[Draft], sizes: Sequence[Size]) -> str:
    """A graph in the DOT language for each draft."""
    return "".join(_graph(boxes, links, sizes) for boxes, links in found)


def _graph(boxes: Sequence[int], links: Mapping[int, Link], sizes: Sequence[Size]) -> str:
    lines = [_HEAD]
    lines += [f"{box} [width={sizes[box][0] / _PX:.4f}, height={sizes[box][1] / _PX:.4f}];" for box in boxes]
    lines += [f"{link.tail} -> {link.head} [arrowsize={link.tip / _ARROW_PX:.3f}];" for link in links.values()]
    return "\n".join([*lines, "}", ""])


def read_plain(text: str, found: Sequence[Draft], sizes: Sequence[Size]) -> list[Part]:
    """The answer in the format ``plain``: places and curves of each draft.

    Raises:
        BadAnswer: it does not hold just what was asked for.
    """
    lines = text.splitlines()
    parts: list[Part] = []
    try:
        for boxes, links in found:
            end = lines.index("stop")
            parts.append(_part(lines[:end], boxes, links, sizes))
            del lines[: end + 1]
    except (ValueError, IndexError, KeyError) as problem:
        raise BadAnswer(f"dot answered what cannot be read: {type(problem).__name__}") from None
    return parts


def _part(lines: Sequence[str], boxes: Sequence[int], links: Mapping[int, Link], sizes: Sequence[Size]) -> Part:
    """See https://graphviz.org/docs/outputs/plain/ for the lines: inches, y upwards, boxes by their middle."""
    numbers = {(link.tail, link.head): number for number, link in links.items()}
    placed: dict[int, Box] = {}
    routes: dict[int, Route] = {}
    for line in lines:
        word, *rest = line.split()
        if word == "node":
            box, (x, y) = int(rest[0]), _points(rest[1:3])[0]
            width, height = sizes[box]
            placed[box] = Box(x - width / 2, y - height / 2, width, height)
        elif word == "edge":
            number = numbers[int(rest[0]), int(rest[1])]
            routes[number] = _route(_points(rest[3 : 3 + 2 * int(rest[2])]), links[number])
    if placed.keys() != set(boxes) or routes.keys() != links.keys():
        raise BadAnswer("dot answered with other boxes or arrows than it was asked for")
    return Part(placed, routes, {})


def _points(words: Sequence[str]) -> list[Point]:
    numbers = [float(word) * _PX for word in words]
    if not all(abs(number) < 1e7 for number in numbers):  # also what is no number
        raise BadAnswer("dot answered with a place that is none")
    return [(x, -y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def _route(points: Sequence[Point], link: Link) -> Route:
    if len(points) < 4 or len(points) % 3 != 1:
        raise BadAnswer("dot answered with a curve that is none")
    pieces = tuple((points[i], points[i + 1], points[i + 2]) for i in range(1, len(points), 3))
    tip = _onwards(points, link.tip)
    return Route(points[0], pieces, tip, back=link.tail != link.head and tip[1] < points[0][1] - 1)


def _onwards(points: Sequence[Point], by: float) -> Point:
    """Where a curve leads to that goes on straight: its arrow head, which the answer leaves out."""
    x, y = points[-1]
    for other in reversed(points[:-1]):
        dx, dy = x - other[0], y - other[1]
        length = float((dx * dx + dy * dy) ** 0.5)
        if length > 0.01:
            return x + dx / length * by, y + dy / length * by
    return x, y + by
