from __future__ import annotations

import base64
import hashlib
import re
import tracemalloc
import xml.etree.ElementTree as ET
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_present.render import trace_layout
from monkit_present.render.svg_text import LETTER_PX, columns, fit_name
from monkit_present.render.trace_svg import CONTENT_SECURITY_POLICY, render, render_chunks, render_message
from monkit_present.rows import SpanRow, TraceRows
from tests.golden_files import golden
from tests.present.trace_cases import (
    HOSTILE,
    SHAPES,
    large_trace,
    random_spans,
    small_trace,
    span,
    trace,
    vector_traces,
)

SVG = "{http://www.w3.org/2000/svg}"


def parse(text: str) -> ET.Element:
    """Parse as strictly as a browser does."""
    return ET.fromstring(text.encode())


def groups(root: ET.Element) -> list[ET.Element]:
    """Find the groups of the spans."""
    return [group for group in root.iter(f"{SVG}g") if "s" in group.get("class", "").split()]


def place(group: ET.Element) -> tuple[float, float, float]:
    """Read x, y and width of a bar back from the drawing."""
    match = re.fullmatch(r"translate\((-?[\d.]+) (\d+)\)", group.get("transform", ""))
    rect = group.find(f"{SVG}rect")
    assert match is not None
    assert rect is not None
    return float(match[1]), float(match[2]), float(rect.get("width", ""))


def own(group: ET.Element) -> list[tuple[float, float]]:
    """Read the own time of a bar back from the drawing."""
    path = group.find(f"{SVG}path")
    pieces = re.findall(r"M([\d.]+) \d+h([\d.]+)v", path.get("d", "")) if path is not None else []
    return [(float(x), float(x) + float(width)) for x, width in pieces]


def words(root: ET.Element) -> list[str]:
    """List the texts of a picture as they are read."""
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def title(group: ET.Element) -> str:
    """Read the details of a span."""
    return group.findtext(f"{SVG}title") or ""


def draw(*spans: SpanRow, dropped: int = 0) -> ET.Element:
    """Draw a trace and parse it."""
    return parse(render(trace(*spans, dropped=dropped)))


def check(text: str, spans: tuple[SpanRow, ...]) -> None:
    """A picture is well-formed, shows each span once, and nothing in it overlaps."""
    root = parse(text)
    found = groups(root)
    assert len(found) == len(spans)
    rows: dict[float, list[tuple[float, float]]] = {}
    places = [place(group) for group in found]
    for group, (x, y, width) in zip(found, places, strict=True):
        parent = int(group.get("data-t", "").split(" ")[2])
        assert parent < 0 or places[parent][1] < y
        rows.setdefault(y, []).append((x, x + width))
        edges = [0.0, *(edge for piece in own(group) for edge in piece), width + 0.3]
        assert all(b - a > -0.01 for a, b in pairwise(edges))
    for bars in rows.values():
        bars.sort()
        assert all(a[1] <= b[0] + 0.01 for a, b in pairwise(bars))
    check_is_harmless(root)


def check_is_harmless(root: ET.Element) -> None:
    """Nothing but our own elements is in a picture, and no attribute that a policy blocks."""
    known = {"svg", "title", "style", "defs", "pattern", "path", "text", "tspan", "g", "rect", "script"}
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in known
        assert not any(name == "style" or name.startswith("on") or "href" in name for name in element.attrib)
    assert len(list(root.iter(f"{SVG}script"))) <= 1


@given(random_spans(HOSTILE), HOSTILE, st.sampled_from((-1, 300)))
@settings(deadline=None)
def test_every_picture_parses_and_no_bars_overlap(spans: tuple[SpanRow, ...], process: str, row_limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_layout, "ROW_LIMIT", row_limit)
        check(render(TraceRows(2**127 + 1, spans, 3, 10**30, process, 7)), spans)


@pytest.mark.parametrize("shape", SHAPES)
def test_large_pictures_parse_and_no_bars_overlap(shape: str) -> None:
    many = large_trace(shape, 3_000)
    check(render(many), many.spans)


@pytest.mark.parametrize(("name", "original"), list(vector_traces()))
def test_the_cases_of_the_original_are_drawn(name: str, original: TraceRows) -> None:
    check(render(original), original.spans)


@given(HOSTILE, st.lists(HOSTILE, max_size=50))
def test_every_message_parses(headline: str, lines: list[str]) -> None:
    root = parse(render_message(headline, lines))
    check_is_harmless(root)
    assert len(words(root)) <= 42


def test_a_message_says_what_happened_and_what_was_asked_for() -> None:
    root = parse(render_message("Timed out after 3600 s", ["regex=shop\\..*", "<b>"]))
    assert words(root) == ["Timed out after 3600 s", "regex=shop\\..*", "<b>"]
    assert words(parse(render_message("Timed out", ["x"] * 43)))[-1] == "and 3 more lines"


def test_hostile_text_stays_text() -> None:
    evil = "</title></svg><script>alert(1)</script>]]>-->&amp;\n\"'"
    root = draw(
        span(1, None, f"a.{evil}", 0, 1, args=(evil,), annotations=((evil, evil),), error=evil, error_name=evil)
    )
    shown = evil.replace("\n", " ")
    [group] = groups(root)
    assert title(group).splitlines()[0] == f"shop.a.{shown}"
    assert title(group).count(shown) == 6
    assert any(shown in text for text in words(group))
    check_is_harmless(root)


def test_what_xml_cannot_hold_is_replaced() -> None:
    root = draw(span(1, None, "a.f\x00\x1b\ud800\uffff\r!", 0, 1))
    assert title(groups(root)[0]).startswith("shop.a.f\ufffd\ufffd\ufffd\ufffd\ufffd!\n")


def test_a_name_cannot_turn_round_the_figures_after_it() -> None:
    root = draw(span(1, None, "a.f\u202eevil\u2067", 0, 1))
    assert words(groups(root)[0]) == ["shop.a.f\ufffdevil\ufffd 1.00ms @0s"]


def test_a_megabyte_of_name_takes_no_megabyte_of_picture() -> None:
    long = "x" * 1_000_000
    root = render(trace(span(1, None, f"{long}.{long}", 0, 1, args=(long,) * 50, error_name=long, error=long)))
    assert len(root) < 30_000


def test_no_declaration_so_that_white_space_may_go_first() -> None:
    text = render(small_trace())
    assert text.startswith("<svg ")
    assert parse("  \n \n" + text).tag == f"{SVG}svg"


def test_the_pieces_make_up_the_picture() -> None:
    many = large_trace("bushy", 1_000)
    pieces = list(render_chunks(many))
    assert "".join(pieces) == render(many)
    assert max(len(piece) for piece in pieces) < 100_000


def test_head_totals_and_origin_of_a_trace() -> None:
    texts = words(parse(render(small_trace())))
    assert texts[0] == "shop.orders.Orders.handle  413ms"
    assert texts[2] == (
        "20 spans, none dropped · ✕ 2 errors · ⊘ 1 cancelled · ▲ 1 panic · 2 orphans · » 2 still running at capture"
    )
    assert texts[3] == "trace 4b1d09c3e77a2f10 · 2026-11-24 14:02:11.407 UTC · shop, pid 41873"


@pytest.mark.parametrize(
    ("made", "line"),
    [
        ({}, "1 span, none dropped"),
        ({"error_name": "Timeout"}, "1 span, none dropped · ✕ 1 error"),
        ({"error_name": "Canceled"}, "1 span, none dropped · ⊘ 1 cancelled"),
        ({"error_name": "Canceled", "panicked": True}, "1 span, none dropped · ▲ 1 panic"),
        ({"panicked": True}, "1 span, none dropped · ▲ 1 panic"),
        ({"orphaned": True}, "1 span, none dropped · 1 orphan"),
        ({"unfinished": True}, "1 span, none dropped · » 1 still running at capture"),
    ],
)
def test_totals_name_what_occurs_in_the_right_number(made: dict[str, object], line: str) -> None:
    assert words(draw(span(1, None, "a.f", 0, 1, **made)))[2] == line


def test_dropped_spans_are_counted() -> None:
    assert words(draw(span(1, None, "a.f", 0, 1), dropped=1_318))[2] == "1 span, 1,318 more dropped at the cap"


def test_a_trace_id_with_an_upper_half_is_written_whole() -> None:
    texts = words(parse(render(TraceRows(0xABC << 64 | 5, (span(1, None, "a.f", 0, 1),)))))
    assert "trace 0000000000000abc0000000000000005 · " in texts[3]


def test_a_picture_of_nothing_says_so() -> None:
    assert words(parse(render(TraceRows(1, ()))))[0].strip() == "An empty trace"


def test_states_are_told_by_class_mark_and_word() -> None:
    root = parse(render(small_trace()))
    by_name = {title(group).split("\n")[0]: group for group in groups(root)}
    for name, classes, label, detail in (
        ("shop.recommend.similar", "s k", "77.0ms ⊘ Canceled @73.0ms", "cancelled Canceled"),
        ("shop.http.request", "s e", "99.7ms ✕ Timeout @164ms", "error Timeout"),
        ("shop.loyalty.award", "s p", "3.80ms ▲ SystemExit @392ms", "panic SystemExit"),
        ("shop.audit.write", "s u h", "29.6ms+ orphan » @383ms", "orphan, still running"),
        ("shop.mail.render", "s", "8.10ms @399ms", "start +399ms"),
    ):
        group = by_name[name]
        assert group.get("class") == classes
        assert words(group) == [f"{name} {label}"]
        assert title(group).split("\n")[1].endswith(detail)


def test_a_title_tells_all_about_a_span() -> None:
    root = parse(render(small_trace()))
    assert [title(group) for group in groups(root)][:2] == [
        "shop.orders.Orders.handle\ntook 413ms, own 4.30ms, start +0s\nmethod='POST'\npath='/orders'",
        "shop.auth.verify_token\ntook 8.30ms, own 1.60ms, start +1.10ms\nalg: ES256",
    ]
    assert "error Timeout\nread timed out after 100 ms" in title(groups(root)[13])


def test_long_details_are_cut_and_counted() -> None:
    many = tuple(f"a{i}={'x' * 300}" for i in range(25))
    lines = title(groups(draw(span(1, None, "a.f", 0, 1, args=many)))[0]).split("\n")
    assert lines[-1] == "and 5 more arguments"
    assert len(lines) == 2 + 20 + 1
    assert all(len(line) <= 200 for line in lines)


def test_the_legend_explains_only_what_occurs() -> None:
    calm = words(draw(span(1, None, "a.f", 0, 1)))
    assert calm[-1] == "own time strong, waiting for children faint"
    assert words(parse(render(small_trace())))[-5:] == [
        "✕ error",
        "⊘ cancelled",
        "▲ panic",
        "orphan",
        "» still running",
    ]


def test_a_running_bar_has_no_own_time_but_chevrons() -> None:
    [group] = groups(draw(span(1, None, "a.f", 0, 1, unfinished=True)))
    assert own(group) == []


def label(group: ET.Element) -> tuple[float, float, str, str]:
    """Read left, right, class and words of the label of a bar, from the left of the bar."""
    [text] = group.iter(f"{SVG}text")
    shown = "".join(text.itertext())
    x, length = float(text.get("x", "")), columns(shown) * LETTER_PX
    left = x - length if text.get("text-anchor") == "end" else x
    return left, left + length, text.get("class", ""), shown


def test_a_label_inside_crosses_no_edge_of_own_time() -> None:
    root = draw(span(1, None, "a.root", 0, 100), span(2, 1, "a.child", 5, 5), span(3, 1, "a.child", 15, 80))
    left, right, css, _ = label(groups(root)[0])
    edges = [edge for piece in own(groups(root)[0]) for edge in piece]
    assert css == "n"
    assert not any(left <= edge <= right for edge in edges)


def test_a_label_that_does_not_fit_inside_stands_right_else_left() -> None:
    root = draw(span(1, None, "a.root", 0, 100), span(2, 1, "a.early", 5, 5), span(3, 1, "a.late", 92, 5))
    _, early, late = groups(root)
    assert label(early)[0] == pytest.approx(place(early)[2] + 6)
    assert label(late)[1] == pytest.approx(-6)


def test_a_dark_bar_as_wide_as_the_picture_carries_its_label_inside() -> None:
    [group] = groups(draw(span(1, None, "a.root", 0, 100)))
    assert label(group)[2:] == ("i", "shop.a.root 100ms @0s")


def test_a_label_that_fits_nowhere_is_cut_and_stays_in_the_picture() -> None:
    name = "a." + "long_name_" * 12
    root = draw(span(1, None, "a.root", 0, 100), span(2, 1, name, 48, 4, error_name="E" * 60, orphaned=True))
    middle = groups(root)[1]
    left, right, _, shown = label(middle)
    x = place(middle)[0]
    assert "…" in shown
    assert shown.endswith(f"{'E' * 39}… orphan @48.0ms")
    assert x + left >= 0
    assert x + right <= 1280


def test_packed_labels_are_cut_to_their_bars() -> None:
    for group in groups(parse(render(large_trace("bushy", 2_000)))):
        if group.find(f"{SVG}text") is not None:
            assert label(group)[1] <= place(group)[2] + 0.3


def test_short_of_room_the_scope_is_cut_before_the_name() -> None:
    assert fit_name("shop.orders", "create", 18) == ("shop.orders.", "create")
    assert fit_name("shop.orders", "create", 14) == ("…orders.", "create")
    assert fit_name("shop.orders", "create", 9) == ("", "create")
    assert fit_name("shop.orders", "create", 4) == ("", "cre…")
    assert fit_name("", "create", 9) == ("", "create")


@pytest.mark.parametrize("shape", SHAPES)
def test_above_a_thousand_spans_a_span_takes_at_most_300_bytes(shape: str) -> None:
    for count in (1_001, 10_000):
        assert len(render(large_trace(shape, count)).encode()) <= 300 * count


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_hundred_thousand_spans_of_any_shape_are_drawn(shape: str) -> None:
    many = large_trace(shape, 100_000)
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in render_chunks(many))
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
    assert size <= 300 * 100_000


def embedded(root: ET.Element, tag: str) -> str:
    """Hash what a browser hashes: the text of the element."""
    text = root.findtext(f"{SVG}{tag}") or ""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("picture", [small_trace(), large_trace("bushy", 400), TraceRows(1, ())])
def test_the_policy_allows_the_style_and_the_script_of_every_picture(picture: TraceRows) -> None:
    root = parse(render(picture))
    policy = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": embedded(root, "style"),
        "script-src": embedded(root, "script"),
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "sandbox": "allow-scripts",
    }
    assert policy["style-src"] == embedded(parse(render_message("Timed out", [])), "style")


def test_style_and_script_are_constant_small_and_make_no_markup() -> None:
    static = files("monkit_present") / "static"
    script = (static / "trace.js").read_text("utf-8")
    assert len(script.encode()) < 11_000
    for name in ("trace.js", "trace.css"):
        assert "]]>" not in (static / name).read_text("utf-8")
    for danger in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "eval",
        "Function(",
        ".style",
        "'style'",
        "document.write",
    ):
        assert danger not in script


def test_what_the_script_looks_for_is_in_every_picture() -> None:
    for picture in (small_trace(), large_trace("bushy", 400), TraceRows(1, ())):
        root = parse(render(picture))
        ids = {element.get("id") for element in root.iter()}
        assert {"plot", "ax", "info", "tip"} <= ids
        assert {"data-length", "data-rows", "data-bottom"} <= set(root.attrib)


def test_a_trace_of_rows_looks_as_before() -> None:
    golden("trace.svg", render(small_trace()))


def test_a_packed_trace_looks_as_before() -> None:
    calm = large_trace("bushy", 340)
    spans = [
        replace(row, error_name="Timeout" if i % 60 == 1 else None, unfinished=i % 170 == 100, orphaned=i % 170 == 100)
        for i, row in enumerate(calm.spans)
    ]
    golden("trace-packed.svg", render(replace(calm, spans=tuple(spans), dropped=12)))
