"""The drawing of a call graph: well-formed, readable, and saying what it leaves out."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_present.graph.geometry import Box
from monkit_present.graph.layout import lay_out
from monkit_present.graph.model import CallGraph, call_graph
from monkit_present.graph.view import choose
from monkit_present.render.assets import source_hash, static_text
from monkit_present.render.graph_svg import CONTENT_SECURITY_POLICY, Graph, measure, picture, render
from monkit_present.render.graph_words import note, wrapped
from monkit_present.render.svg_text import columns
from tests.golden_files import golden
from tests.http_helpers import SVG
from tests.present.graph_cases import SECOND, func, graph_of, star
from tests.present.trace_cases import HOSTILE

ORDERS = ("handle", "create", "charge", "query", "retry", "walk")


def orders() -> CallGraph:
    """A little of everything: a heavy function, failures, cancellations, a circle, recursion, tags."""
    return call_graph(
        [
            func("handle", {"": 48_211}, 100 * SECOND, names=ORDERS),
            func("create", {"handle": 41_006}, 60 * SECOND, names=ORDERS, errors={"Canceled": 900}),
            func(
                "charge",
                {"create": 41_006, "retry": 900},
                40 * SECOND,
                names=ORDERS,
                errors={"Declined": 700},
                panics=1,
                tags=(("bank", "north"),),
            ),
            func("query", {"create": 1_284_031, "charge": 5}, 30 * SECOND, names=ORDERS),
            func("retry", {"charge": 900}, 3 * SECOND, names=ORDERS),
            func("walk", {"": 3, "walk": 40}, SECOND, names=ORDERS),
        ]
    )


def draw(graph: CallGraph, *, by: str = "time", nodes: int = 80, maker: str = "", process: str = "shop") -> ET.Element:
    view = choose(graph, nodes=nodes, by=by)
    return ET.fromstring(render(Graph(view, lay_out(*measure(view)), maker, process, 41873)).encode())


def groups(root: ET.Element) -> dict[str, ET.Element]:
    """The functions of a picture by their name."""
    found = [group for group in root.iter(f"{SVG}g") if "nd" in group.get("class", "").split()]
    return {group.findtext(f"{SVG}text") or "": group for group in found}


def frame(group: ET.Element) -> Box:
    rect = group.find(f"{SVG}rect")
    assert rect is not None
    return Box(*(float(rect.get(name, "")) for name in ("x", "y", "width", "height")))


def ways(root: ET.Element) -> list[ET.Element]:
    return [path for path in root.iter(f"{SVG}path") if path.get("class") == "ed" and path.get("data-e")]


def words(root: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def title(element: ET.Element) -> str:
    return element.findtext(f"{SVG}title") or ""


def test_picture_looks_like_the_golden_one() -> None:
    view = choose(orders(), nodes=5, by="time")
    golden("callgraph.svg", render(Graph(view, lay_out(*measure(view)), "", "shop", 41873)))


def test_every_function_and_every_edge_is_drawn() -> None:
    root = draw(orders())
    assert list(groups(root)) == list(ORDERS)
    assert len(ways(root)) == 7
    names = {format(place, "016x"): name for place, name in enumerate(ORDERS)}
    ends = {tuple(names[end] for end in path.get("data-e", "").split(">")) for path in ways(root)}
    assert ("walk", "walk") in ends
    assert ("retry", "charge") in ends


def test_area_is_own_time_and_no_less_than_the_words_need() -> None:
    boxes = {name: frame(group) for name, group in groups(draw(orders())).items()}
    assert boxes["handle"].width * boxes["handle"].height == pytest.approx(95_000 * 40 / 109.2, rel=0.01)
    assert boxes["walk"].width >= 74
    assert boxes["walk"].height >= 36


def test_tint_is_full_from_nine_per_cent_on() -> None:
    def tint(name: str) -> float:
        fill = groups(root)[name].find(f"{SVG}rect[@class='fill']")
        return 0.0 if fill is None else float(fill.get("opacity", ""))

    root = draw(orders())
    assert tint("handle") == 1
    assert 0 < tint("retry") < 0.5


def test_width_of_a_way_goes_by_the_root_of_its_calls() -> None:
    widths = {path.get("data-e"): float(path.get("stroke-width", "")) for path in ways(draw(orders()))}
    ends = [f"{caller:016x}>{callee:016x}" for caller, callee in ((1, 3), (0, 1), (2, 3))]
    assert [widths[end] for end in ends] == [6.0, round(0.8 + 5.2 * math.sqrt(41_006 / 1_284_031), 1), 0.8]


def test_heaviest_fifth_of_the_edges_is_labelled() -> None:
    root = draw(orders())
    labels = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "el"]
    assert labels == ["1.28M", "41.0k"]


def test_failing_functions_have_a_red_frame_and_a_cross_and_cancelled_ones_a_mark_of_their_own() -> None:
    found = groups(draw(orders()))
    marks = {name: [path.get("class") for path in group.iter(f"{SVG}path")] for name, group in found.items()}
    assert marks == {"handle": [], "create": ["k"], "charge": ["x"], "query": [], "retry": [], "walk": []}
    assert [name for name, group in found.items() if "bad" in group.get("class", "")] == ["charge"]


def test_marks_leave_the_name_free() -> None:
    root = draw(call_graph([func("f", {"": 10}, errors={"Canceled": 5, "KeyError": 5}, names=["f"])]))
    group = groups(root)["f"]
    text, box = group.find(f"{SVG}text"), frame(group)
    assert text is not None
    end = float(text.get("x", "")) + columns("f") * 6.65 / 2
    places = [re.findall(r"[\d.]+", path.get("transform", ""))[0] for path in group.iter(f"{SVG}path")]
    assert all(end < float(x) - 4 < box.right for x in places)


def test_way_back_is_dashed_and_the_legend_says_so() -> None:
    root = draw(orders())
    assert [title(path) for path in ways(root) if path.get("stroke-dasharray")] == [
        "shop.retry → shop.charge (bank=north): 900 calls, closes a circle"
    ]
    assert "closes a circle of calls" in words(root)
    assert "calls itself" in words(root)
    assert "closes a circle of calls" not in words(draw(star(3)))


def test_figures_of_a_function_are_said() -> None:
    lines = title(groups(draw(orders()))["charge"]).splitlines()
    assert lines == [
        "shop.charge (bank=north)",
        "own time 37.0s, an estimate; with what it called 40.0s",
        "41,906 calls",
        "701 failures, 1.7 %",
        "Declined 700, 1 panic",
        "called by 2 functions",
    ]
    assert "called by no monitored function; 48,211 calls from outside" in title(groups(draw(orders()))["handle"])


@pytest.mark.parametrize(
    ("by", "figure"), [("time", "shop · 34 %"), ("count", "shop · 41.9k"), ("errors", "shop · 701 failed")]
)
def test_box_says_what_it_weighs(by: str, figure: str) -> None:
    assert figure in [text.text for text in groups(draw(orders(), by=by))["charge"].iter(f"{SVG}text")]


def test_picture_has_a_name_and_a_description() -> None:
    root = draw(orders(), nodes=4)
    assert root.get("aria-label") == title(root) == "Call graph of shop, pid 41873"
    assert (root.findtext(f"{SVG}desc") or "").startswith("4 functions, ")
    assert all(group.get("role") == "img" and title(group) for group in groups(root).values())


# What was left out.


def test_note_names_the_heaviest_of_what_went() -> None:
    assert note(choose(star(100), nodes=95, by="time")) == (
        "Left out: the 6 lightest of 101 functions (shop.leaf_005, shop.leaf_004, shop.leaf_003 and 3 more; "
        "<0.1 % of own time (estimate) together) and 6 edges. nodes= shows more."
    )


def test_note_counts_what_was_ignored_and_what_is_out_of_focus() -> None:
    view = choose(
        orders(),
        nodes=80,
        by="time",
        focus=lambda node: node.row.name == "query",
        ignore=lambda node: node.row.name in ("charge", "handle"),
    )
    assert note(view) == (
        "Left out: 2 functions by ignore=, 2 functions that neither call nor are called by what is in focus"
        " and 6 edges."
    )


def test_note_says_when_nothing_is_left_out() -> None:
    assert "Nothing is left out." in words(draw(star(3)))


def test_note_and_maker_stand_in_the_picture() -> None:
    found = " ".join(words(draw(star(100), nodes=10, maker="Laid out by hand.")))
    assert "Left out: the 91 lightest of 101 functions" in found
    assert "Laid out by hand." in found


def test_lines_are_broken_at_spaces_and_cut_where_there_is_none() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("x" * 50 + " y", 10) == ["xxxxx… y"]
    assert wrapped("", 10) == [""]


# Safety.


@given(HOSTILE, st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_every_picture_parses_whatever_the_names_hold(text: str, pick: int) -> None:
    graph = orders()
    rows = [node.row for node in graph.nodes]
    rows[pick] = rows[pick]._replace(name=text, scope=text, tags=((text, text),), errors=((text, 3),))
    root = draw(call_graph(rows), process=text)
    assert len([group for group in root.iter(f"{SVG}g") if group.get("data-n")]) == len(ORDERS)
    assert not list(root.iter(f"{SVG}script"))
    for element in root.iter():
        assert not any(name.startswith("on") or "href" in name or name == "style" for name in element.attrib)


def test_policy_allows_the_style_of_the_picture_and_nothing_else() -> None:
    assert source_hash(static_text("graph.css")) in CONTENT_SECURITY_POLICY
    assert "script-src" not in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert draw(orders()).findtext(f"{SVG}style") == static_text("graph.css")


# In a page.


def test_same_picture_can_stand_in_a_page_with_boxes_that_are_links() -> None:
    view = choose(orders(), nodes=80, by="time")
    layout = lay_out(*measure(view))
    inner = "".join(picture(view, layout, lambda node: f"/function?name=<{node.row.name}>"))
    root = ET.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{inner}</svg>')
    links = [element.get("href") for element in root.iter(f"{SVG}a")]
    assert links == [f"/function?name=<{name}>" for name in ORDERS]
    alone = "".join(picture(view, layout))
    assert alone in render(Graph(view, layout))


def test_drawing_covers_what_was_laid_out() -> None:
    view = choose(star(20), nodes=80, by="time")
    layout = lay_out(*measure(view))
    root = ET.fromstring(render(Graph(view, layout)))
    assert float(root.get("width", "")) >= layout.width + 40
    assert float(root.get("height", "")) >= layout.height + 60


def test_graph_without_functions_is_a_picture_too() -> None:
    root = draw(graph_of({}))
    assert groups(root) == {}
    assert any("0 functions" in line for line in words(root))
