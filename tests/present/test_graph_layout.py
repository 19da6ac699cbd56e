"""The layered layout: whatever the graph, boxes stand apart, arrows lead from box to box, and all is in the picture."""

from __future__ import annotations

import math
import random
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_present.graph import order
from monkit_present.graph.geometry import Box, Layout, Link, Size
from monkit_present.graph.labels import place_labels
from monkit_present.graph.layers import arrange, find_back
from monkit_present.graph.layout import drafts, lay_out
from tests.present.graph_cases import boxes_and_links, pile

TOLERANCE = 0.01


def check(sizes: list[Size], links: list[Link], layout: Layout) -> None:
    """What must hold of every layout."""
    for box, size in zip(layout.boxes, sizes, strict=True):
        assert (box.width, box.height) == pytest.approx(size)
    within = [
        Box(box.x + TOLERANCE, box.y + TOLERANCE, box.width - 2 * TOLERANCE, box.height - 2 * TOLERANCE)
        for box in layout.boxes
    ]
    assert not any(box.overlaps(other) for box, other in combinations(within, 2))
    assert len(layout.routes) == len(links)
    for link, route in zip(links, layout.routes, strict=True):
        tail, head = layout.boxes[link.tail], layout.boxes[link.head]
        assert tail.x - TOLERANCE <= route.start[0] <= tail.right + TOLERANCE
        assert tail.y - TOLERANCE <= route.start[1] <= tail.bottom + TOLERANCE
        assert head.x - TOLERANCE <= route.tip[0] <= head.right + TOLERANCE
        assert head.y - TOLERANCE <= route.tip[1] <= head.bottom + TOLERANCE
        assert math.dist(route.pieces[-1][2], route.tip) == pytest.approx(link.tip)
        if link.tail != link.head:
            assert route.back == (layout.levels[link.tail] > layout.levels[link.head])
            assert layout.levels[link.tail] != layout.levels[link.head]
            assert route.back == (route.tip[1] < route.start[1])
    points = [point for route in layout.routes for point in route.points]
    points += [(box.x, box.y) for box in layout.boxes] + [(box.right, box.bottom) for box in layout.boxes]
    for x, y in points:
        assert -TOLERANCE <= x <= layout.width + TOLERANCE
        assert -TOLERANCE <= y <= layout.height + TOLERANCE


@given(boxes_and_links())
@settings(deadline=None, max_examples=150)
def test_boxes_stand_apart_and_every_arrow_leads_from_box_to_box(graph: tuple[list[Size], list[Link]]) -> None:
    sizes, links = graph
    layout = lay_out(sizes, links)
    check(sizes, links, layout)
    assert lay_out(sizes, links) == layout


@given(st.integers(0, 2**32), st.integers(100, 300))
@settings(deadline=None, max_examples=6)
def test_large_graphs_too(seed: int, count: int) -> None:
    choice = random.Random(seed)
    sizes = [(choice.uniform(60, 300), choice.uniform(30, 120)) for _ in range(count)]
    ends = sorted({(choice.randrange(count), choice.randrange(count)) for _ in range(choice.randrange(3 * count))})
    links = [Link(tail, head, 8) for tail, head in ends]
    check(sizes, links, lay_out(sizes, links))


def test_longest_arrows_go_without_joints_where_there_would_be_too_many() -> None:
    sizes, links = pile(300)
    layout = lay_out(sizes, links)
    check(sizes, links, layout)
    assert max(layout.levels.values()) == 299
    assert sum(len(route.pieces) for route in layout.routes) < 4 * order._JOINTS


def test_callers_stand_above_what_they_call() -> None:
    layout = lay_out([(100, 40)] * 4, [Link(0, 1, 8), Link(1, 2, 8), Link(0, 2, 8), Link(0, 3, 8)])
    assert layout.levels == {0: 0, 1: 1, 2: 2, 3: 1}
    assert layout.boxes[0].bottom < layout.boxes[1].y < layout.boxes[1].bottom < layout.boxes[2].y


def test_one_arrow_of_a_circle_leads_back_and_does_not_lie_on_the_other() -> None:
    layout = lay_out([(100, 40)] * 2, [Link(0, 1, 8), Link(1, 0, 8)])
    there, back = layout.routes
    assert (there.back, back.back) == (False, True)
    assert abs(there.start[0] - back.tip[0]) > 10


def test_loop_stays_beside_its_box_and_keeps_others_off() -> None:
    layout = lay_out([(100, 40)] * 3, [Link(0, 1, 8), Link(0, 2, 8), Link(1, 1, 8)])
    loop = layout.routes[2]
    assert not loop.back
    reach = max(x for x, _ in loop.points)
    right = [box for box in layout.boxes[1:] if box.x > layout.boxes[1].x]
    assert all(box.x >= reach for box in right)
    assert loop.start[0] == loop.tip[0] == layout.boxes[1].right


def test_layer_that_is_full_passes_boxes_on() -> None:
    arcs = [(0, leaf) for leaf in range(1, 31)]
    layers = arrange([100.0] * 31, arcs, room=1_000)
    assert layers[0] == 0
    assert sorted(layers[1:]) == [1] * 10 + [2] * 10 + [3] * 10


def test_caller_comes_down_to_what_it_calls() -> None:
    arcs = [(0, 1), (1, 2), (2, 3), (4, 3)]
    assert arrange([100.0] * 5, arcs, room=1_000) == [0, 1, 2, 3, 2]


@given(boxes_and_links())
@settings(deadline=None)
def test_without_the_arcs_that_lead_back_there_is_no_circle(graph: tuple[list[Size], list[Link]]) -> None:
    sizes, links = graph
    arcs = [(link.tail, link.head) for link in links if link.tail != link.head]
    back = find_back(len(sizes), arcs)
    rest = [arc for index, arc in enumerate(arcs) if index not in back]
    layers = arrange([size[0] for size in sizes], rest, room=500)
    assert all(layers[tail] < layers[head] for tail, head in rest)
    assert sorted(set(layers)) == list(range(max(layers) + 1))


def test_graph_without_circles_has_no_arcs_that_lead_back() -> None:
    assert find_back(5, [(0, 1), (0, 2), (1, 3), (2, 3), (4, 3)]) == set()


@given(boxes_and_links())
@settings(deadline=None)
def test_parts_do_not_hang_together(graph: tuple[list[Size], list[Link]]) -> None:
    sizes, links = graph
    found = drafts(len(sizes), links)
    where = {box: place for place, (boxes, _) in enumerate(found) for box in boxes}
    assert sorted(where) == list(range(len(sizes)))
    assert sorted(index for _, inside in found for index in inside) == list(range(len(links)))
    assert all(where[link.tail] == where[link.head] for link in links)
    assert all(len(one[0]) >= len(other[0]) for one, other in pairwise(found))


def test_crossing_arrows_are_uncrossed() -> None:
    layout = lay_out([(100, 40)] * 6, [Link(0, 4, 8), Link(1, 3, 8), Link(0, 5, 8), Link(1, 5, 8), Link(0, 3, 8)])
    x = [box.x for box in layout.boxes]
    crossings = sum(
        (x[a.tail] - x[b.tail]) * (x[a.head] - x[b.head]) < 0
        for a, b in pairwise([Link(0, 4, 8), Link(1, 5, 8), Link(1, 3, 8)])
    )
    assert crossings <= 1


def test_long_arrow_is_straight_where_nothing_is_in_its_way() -> None:
    chain = [Link(i, i + 1, 8) for i in range(5)]
    layout = lay_out([(100, 40)] * 6, [*chain, Link(0, 5, 8)])
    joints = [piece[2][0] for piece in layout.routes[5].pieces[1:-2]]
    assert max(joints) - min(joints) < 30


@given(boxes_and_links(), st.floats(10, 60))
@settings(deadline=None)
def test_labels_cover_no_box_and_no_other_label(graph: tuple[list[Size], list[Link]], width: float) -> None:
    layout = lay_out(*graph)
    found = place_labels(layout, dict.fromkeys(range(len(layout.routes)), width), 12)
    places = list(found.values())
    for index, place in enumerate(places):
        assert not any(place.overlaps(other) for other in [*layout.boxes, *places[:index]])
        assert place.x >= 0
        assert place.right <= layout.width


def test_nothing_is_laid_out_as_nothing() -> None:
    assert lay_out([], []) == Layout((), (), {}, 0.0, 0.0)
