"""The call graph as one SVG that stands alone, and the same picture to be put into a page.

Style is constant, so that its hash can stand in the policy. Classes are those
of the pages: ``nd`` a function, ``ed`` and ``eh`` the way and the head of its
calls, ``el`` their number; ``data-n`` and ``data-e`` name them by function ids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from monkit_present.graph.geometry import Box, Layout, Link, Route, Size
from monkit_present.graph.labels import place_labels
from monkit_present.graph.model import Edge, Node
from monkit_present.graph.view import View
from monkit_present.render import figures
from monkit_present.render.assets import source_hash, static_text
from monkit_present.render.graph_words import edge_title, lines_of, node_title, note, summary, wrapped
from monkit_present.render.svg_text import LETTER_PX, columns, escape

__all__ = ["CONTENT_SECURITY_POLICY", "Graph", "measure", "picture", "render"]

_STYLE = static_text("graph.css")

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {source_hash(_STYLE)}; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'; sandbox"
)
"""The policy to serve a picture with: its own style, and nothing else."""

_AREA_PX2 = 950 * 100  # of a function that has all
_FULL_TINT = 0.09  # the share from which on the tint is full
_LETTER = LETTER_PX / 11  # width of a letter by its size
_LEAST_BOX: Size = (74.0, 36.0)
_THIN_PX, _THICK_PX = 0.8, 6.0
_SMALL_PX = 10.5
_LABELLED = 5  # one edge in so many, the heaviest
_LABEL_PX = 12.0
_MARK_PX = 13.0
_MARGIN = 20.0
_LEAST_WIDTH = 720
_BACK_DASHES = ' stroke-dasharray="6 3"'
_CROSS = "M-3.5 -3.5l7 7m0 -7l-7 7"
_STRUCK = "M-4.4 0a4.4 4.4 0 1 1 8.8 0a4.4 4.4 0 1 1 -8.8 0M-3.1 3.1l6.2 -6.2"

Address = Callable[[Node], str]


@dataclass(frozen=True, slots=True)
class Graph:
    """What is drawn.

    Attributes:
        view: functions and edges.
        layout: of boxes and links as `measure` gives them.
        maker: who laid it out, in words; empty if that needs no saying.
        process: name of the process.
        pid: its number.
    """

    view: View
    layout: Layout
    maker: str = ""
    process: str = ""
    pid: int = 0


def measure(view: View) -> tuple[list[Size], list[Link]]:
    """The boxes and links to lay out: what the functions and edges of *view* need."""
    sizes = [
        _size(lines_of(view, place), share, len(_marks_of(node)))
        for place, (node, share) in enumerate(zip(view.nodes, view.shares, strict=True))
    ]
    links = [
        Link(edge.caller, edge.callee, 6 + 0.7 * width) for edge, width in zip(view.edges, _widths(view), strict=True)
    ]
    return sizes, links


def _letters(share: float) -> float:
    """Size of the letters of a name, in pixels."""
    return min(11 + 30 * share, 17.5)


def _size(lines: Sequence[str], share: float, marks: int) -> Size:
    """Twice as wide as high, as far as the lines, and the marks to the right of the first, leave the choice."""
    size, area = _letters(share), _AREA_PX2 * share
    beside = max(2 * _MARK_PX * marks - 12, 0)
    text = max(
        columns(lines[0]) * size * _LETTER + beside, *(columns(line) * _SMALL_PX * _LETTER for line in lines[1:])
    )
    width = max(math.sqrt(2 * area), text + 24, _LEAST_BOX[0])
    return width, max(area / width, size * 1.1 + 13 * (len(lines) - 1) + 10.5, _LEAST_BOX[1])


def _widths(view: View) -> list[float]:
    most = max((edge.calls for edge in view.edges), default=1) or 1
    return [_THIN_PX + (_THICK_PX - _THIN_PX) * math.sqrt(edge.calls / most) for edge in view.edges]


def render(graph: Graph) -> str:
    """Draw a call graph that stands alone.

    Well-formed for any text in it.

    Returns:
        The SVG, without an XML declaration.
    """
    width = max(math.ceil(graph.layout.width + 2 * _MARGIN), _LEAST_WIDTH)
    room = int((width - 2 * _MARGIN) / LETTER_PX)
    named = f"Call graph of {graph.process}, pid {graph.pid}" if graph.process else "Call graph"
    lines = [*wrapped(summary(graph.view), room), *wrapped(note(graph.view), room)]
    lines += wrapped(graph.maker, room) if graph.maker else []
    top = 48 + 16 * len(lines)
    legend = _legend(graph)
    height = math.ceil(top + graph.layout.height) + 24 + 18 * _legend_rows(legend, width)
    title = escape(wrapped(named, int(room * 11 / 16))[0])
    head = [f'<text class="t" x="{_MARGIN:.0f}" y="30">{title}</text>\n']
    head += [
        f'<text class="m" x="{_MARGIN:.0f}" y="{50 + 16 * i}">{escape(line)}</text>\n' for i, line in enumerate(lines)
    ]
    left = max((width - graph.layout.width) / 2, _MARGIN) if graph.layout.width < _LEAST_WIDTH else _MARGIN
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
            f' viewBox="0 0 {width:.0f} {height:.0f}" role="group" aria-label="{title}">\n<title>{title}</title>\n'
            f"<desc>{escape(' '.join(lines))}</desc>\n<style><![CDATA[{_STYLE}]]></style>\n",
            *head,
            f'<g transform="translate({left:.0f} {top})">\n',
            *picture(graph.view, graph.layout),
            "</g>\n",
            *_place_legend(legend, width, top + graph.layout.height + 30),
            "</svg>\n",
        ]
    )


def picture(view: View, layout: Layout, address: Address | None = None) -> Iterator[str]:
    """Draw the graph alone, from 0 to the width and the height of *layout*, one element a line.

    Args:
        view: functions and edges.
        layout: of what `measure` gives of *view*.
        address: of the page of a function; with it boxes are links.
    """
    widths = _widths(view)
    for number in sorted(range(len(view.edges)), key=lambda number: -view.edges[number].calls):
        yield from _edge(view, number, layout.routes[number], widths[number])
    for place, box in enumerate(layout.boxes):
        yield _node(view, place, box, address)
    yield from _labels(view, layout)


def _node(view: View, place: int, box: Box, address: Address | None) -> str:
    node, share = view.nodes[place], view.shares[place]
    name, *others = lines_of(view, place)
    size = _letters(share)
    x, y = box.x + box.width / 2, box.y + (box.height - size - 13 * len(others)) / 2 + size * 0.86
    opening = f'g class="{"nd bad" if node.failing else "nd"}" role="img" data-n="{node.row.id:016x}"'
    if address is not None:
        opening = "a" + opening[1:] + f' href="{escape(address(node))}"'
    opacity = min(share / _FULL_TINT, 1)
    tint = (
        f'<rect class="fill" x="{box.x + 0.5:.1f}" y="{box.y + 0.5:.1f}" width="{box.width - 1:.1f}"'
        f' height="{box.height - 1:.1f}" rx="3.5" opacity="{opacity:.2f}"/>'
    )
    return "".join(
        [
            f"<{opening}><title>{node_title(view, place)}</title>",
            f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="4"/>',
            tint if opacity >= 0.005 else "",
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}">{escape(name)}</text>',
            *(
                f'<text class="f2" x="{x:.1f}" y="{y + 13 * (i + 1) + size * 0.06:.1f}">{escape(line)}</text>'
                for i, line in enumerate(others)
            ),
            *_marks(node, box),
            f"</{opening[0]}>\n",
        ]
    )


def _marks_of(node: Node) -> list[str]:
    """A cross where calls fail, a struck circle where they are cancelled."""
    marks = [f'class="x" d="{_CROSS}"'] if node.failing else []
    return [*marks, f'class="k" d="{_STRUCK}"'] if node.cancellations * 100 > node.calls else marks


def _marks(node: Node, box: Box) -> Iterator[str]:
    for place, mark in enumerate(_marks_of(node)):
        x = box.right - 9 - _MARK_PX * place
        yield f'<path transform="translate({x:.1f} {box.y + 9:.1f})" {mark}/>'


def _edge(view: View, number: int, route: Route, width: float) -> Iterator[str]:
    edge = view.edges[number]
    ends = _ends(view, edge)
    dashes = _BACK_DASHES if route.back else ""
    yield (
        f'<path class="ed" data-e="{ends}" stroke-width="{width:.1f}"{dashes} d="{_way(route)}">'
        f"<title>{edge_title(view, edge, back=route.back)}</title></path>"
        f'<path class="eh" data-e="{ends}" d="{_head(route, 3.6 + 0.65 * width)}"/>\n'
    )


def _way(route: Route) -> str:
    words = [f"M{route.start[0]:.1f} {route.start[1]:.1f}"]
    x = route.start[0]
    for one, other, end in route.pieces:
        if one[0] == other[0] == end[0] == x:
            words.append(f"V{end[1]:.1f}")
        else:
            words.append(f"C{one[0]:.1f} {one[1]:.1f} {other[0]:.1f} {other[1]:.1f} {end[0]:.1f} {end[1]:.1f}")
        x = end[0]
    return "".join(words)


def _head(route: Route, half: float) -> str:
    """A triangle from the tip back to where the way ends, *half* to both sides."""
    (tip_x, tip_y), (x, y) = route.tip, route.pieces[-1][2] if route.pieces else route.start
    length = math.hypot(tip_x - x, tip_y - y) or 1.0
    across = (-(tip_y - y) / length * half, (tip_x - x) / length * half)
    return f"M{tip_x:.1f} {tip_y:.1f}L{x + across[0]:.1f} {y + across[1]:.1f}L{x - across[0]:.1f} {y - across[1]:.1f}z"


def _labels(view: View, layout: Layout) -> Iterator[str]:
    """The number of calls on the heaviest fifth of the edges, where there is a place for it."""
    heaviest = sorted(range(len(view.edges)), key=lambda number: -view.edges[number].calls)
    chosen = heaviest[: math.ceil(len(heaviest) / _LABELLED)]
    texts = {place: figures.number(view.edges[place].calls) for place in chosen}
    widths = {number: (len(text) + 1) * _SMALL_PX * _LETTER for number, text in texts.items()}
    for number, place in place_labels(layout, widths, _LABEL_PX).items():
        x, y = place.x + place.width / 2, place.bottom - 2.6
        ends = _ends(view, view.edges[number])
        yield f'<text class="el" data-e="{ends}" x="{x:.1f}" y="{y:.1f}">{texts[number]}</text>\n'


def _ends(view: View, edge: Edge) -> str:
    return f"{view.nodes[edge.caller].row.id:016x}&gt;{view.nodes[edge.callee].row.id:016x}"


def _legend(graph: Graph) -> list[tuple[str, str]]:
    """Drawings about 0, 0 and the words beside them, of what occurs."""
    nodes, routes = graph.view.nodes, graph.layout.routes
    found = []
    if any(node.failing for node in nodes):
        found.append((f'<path class="x" d="{_CROSS}"/>', "red frame: more than 1 % of calls fail"))
    if any(node.cancellations * 100 > node.calls for node in nodes):
        found.append((f'<path class="k" d="{_STRUCK}"/>', "more than 1 % are cancelled"))
    if any(route.back for route in routes):
        found.append((f'<path class="ed" stroke-width="1.5"{_BACK_DASHES} d="M-9 0h18"/>', "closes a circle of calls"))
    if any(edge.caller == edge.callee for edge in graph.view.edges):
        found.append(('<path class="ed" stroke-width="1.5" d="M-6 -4C9 -6 9 6 -6 4"/>', "calls itself"))
    found.append(("", "point at anything for its figures"))
    return found


def _legend_places(legend: Sequence[tuple[str, str]], width: float) -> Iterator[tuple[float, int]]:
    x, row = _MARGIN, 0
    for drawing, words in legend:
        need = (26 if drawing else 0) + len(words) * LETTER_PX + 26
        if x > _MARGIN and x + need > width:
            x, row = _MARGIN, row + 1
        yield x, row
        x += need


def _legend_rows(legend: Sequence[tuple[str, str]], width: float) -> int:
    return max(row for _, row in _legend_places(legend, width)) + 1


def _place_legend(legend: Sequence[tuple[str, str]], width: float, y: float) -> Iterator[str]:
    for (drawing, words), (x, row) in zip(legend, _legend_places(legend, width), strict=True):
        line = y + 18 * row
        if drawing:
            yield f'<g transform="translate({x + 9:.1f} {line - 4:.1f})">{drawing}</g>'
        yield f'<text class="m" x="{x + (26 if drawing else 0):.1f}" y="{line:.1f}">{words}</text>\n'
