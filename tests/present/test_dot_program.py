"""The real ``dot``: what it lays out is drawn like our own layout."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from hypothesis import given, settings

from monkit_present.graph.dot_program import DotFailed, DotLimits, find_dot, run_dot
from monkit_present.graph.dot_text import read_plain, write_dot
from monkit_present.graph.geometry import Layout, Link, Size
from monkit_present.graph.layout import compose, drafts
from monkit_present.graph.view import choose
from monkit_present.graph_page import drawn
from monkit_present.render.graph_svg import Graph, render
from tests.http_helpers import SVG
from tests.present.graph_cases import boxes_and_links, star

pytestmark = pytest.mark.service


def dot() -> str:
    program = find_dot()
    assert program is not None, "make test-all installs it"
    return program


def by_dot(sizes: list[Size], links: list[Link]) -> Layout:
    found = drafts(len(sizes), links)
    parts = iter(read_plain(run_dot(dot(), write_dot(found, sizes)), found, sizes))
    return compose(sizes, links, lambda _: next(parts))


@given(boxes_and_links(most=12))
@settings(deadline=None, max_examples=25)
def test_boxes_stand_apart_and_all_arrows_are_there(graph: tuple[list[Size], list[Link]]) -> None:
    sizes, links = graph
    layout = by_dot(sizes, links)
    assert [(box.width, box.height) for box in layout.boxes] == sizes
    assert not any(one.overlaps(other) for one, other in combinations(layout.boxes, 2))
    assert len(layout.routes) == len(links)
    assert by_dot(sizes, links) == layout


def test_arrows_lead_from_box_to_box_and_know_their_way_back() -> None:
    layout = by_dot([(100, 40)] * 3, [Link(0, 1, 8), Link(1, 2, 8), Link(2, 0, 8), Link(1, 1, 8)])
    assert [route.back for route in layout.routes] == [False, False, True, False]
    for route, box in zip(layout.routes, (1, 2, 0, 1), strict=True):
        frame = layout.boxes[box]
        assert frame.x - 2 <= route.tip[0] <= frame.right + 2
        assert frame.y - 2 <= route.tip[1] <= frame.bottom + 2


@pytest.mark.parametrize("layout", ["auto", "dot"])
def test_picture_by_dot_is_ours(layout: str) -> None:
    view = choose(star(40), nodes=30, by="time")
    found, maker = drawn(view, layout)
    assert maker == "Laid out by Graphviz."
    root = ET.fromstring(render(Graph(view, found, maker)))
    assert len([group for group in root.iter(f"{SVG}g") if group.get("data-n")]) == 30
    assert not list(root.iter(f"{SVG}polygon"))


def test_dot_that_wants_too_much_memory_fails() -> None:
    with pytest.raises(DotFailed, match="dot ended with status"):
        run_dot(dot(), "digraph { a -> b }", DotLimits(memory_bytes=1 << 20))


def test_text_that_is_no_dot_fails() -> None:
    with pytest.raises(DotFailed, match="dot ended with status 1"):
        run_dot(dot(), "digraph {")
