"""Traces in the formats of other programs: true, valid whatever is in them, and made in small pieces."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_core import watch_for_spans
from monkit_core.formats import otlp, perfetto, speedscope, trace_text, zipkin
from monkit_core.formats.json_text import dumps
from monkit_core.formats.spans import SLICE, SpanRow, TraceRows, attributes, capture_rows, recent_rows
from monkit_core.formats.tracks import Track, place
from tests.helpers import fresh_scope
from tests.present.trace_cases import HOSTILE, SHAPES, START, large_trace, random_spans, small_trace, span, trace
from tests.trace_checks import (
    check_nesting,
    check_otlp,
    check_perfetto,
    check_speedscope,
    check_text,
    check_zipkin,
    whole,
)

FORMATS: dict[str, tuple[Callable[[Sequence[TraceRows]], Iterator[str]], Callable[[bytes, Sequence[TraceRows]], Any]]]
FORMATS = {
    "perfetto": (perfetto.chunks, check_perfetto),
    "speedscope": (speedscope.chunks, check_speedscope),
    "otlp": (otlp.chunks, check_otlp),
    "zipkin": (zipkin.chunks, check_zipkin),
    "text": (trace_text.chunks, check_text),
}
NAMES = tuple(FORMATS)


def checked(name: str, *traces: TraceRows) -> Any:
    """What a reader makes of *traces* in a format, once all its rules hold."""
    chunks, check = FORMATS[name]
    return check(whole(chunks(traces)), traces)


def placed(spans: Sequence[SpanRow]) -> list[Track]:
    making = place(spans)
    while True:
        try:
            next(making)
        except StopIteration as end:
            tracks: list[Track] = end.value
            return tracks


# All formats.


@pytest.mark.parametrize("name", NAMES)
def test_trace_with_every_mark_is_valid(name: str) -> None:
    checked(name, small_trace())
    checked(name, replace(small_trace(), dropped=1234))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_thousands_of_spans_of_each_shape_are_valid(name: str, shape: str) -> None:
    checked(name, large_trace(shape, 3000))


@pytest.mark.parametrize("name", NAMES)
def test_several_traces_are_valid_and_a_span_in_two_of_them_is_written_once_where_ids_count(name: str) -> None:
    first, other = small_trace(), replace(large_trace("bushy", 20), trace_id=7)
    checked(name, first, other)
    if name in ("otlp", "zipkin"):
        checked(name, first, trace(*first.spans[4:8]))


@pytest.mark.parametrize("name", NAMES)
def test_no_trace_and_no_span_are_valid(name: str) -> None:
    chunks, _ = FORMATS[name]
    assert whole(chunks([])).decode() == whole(chunks([])).decode()
    if name not in ("text", "otlp"):
        checked(name)
        checked(name, trace())


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_spans_do_and_are_called_every_format_is_valid(name: str, data: st.DataObject) -> None:
    spans = data.draw(random_spans(HOSTILE))
    if spans:
        tags = tuple(data.draw(st.lists(st.tuples(HOSTILE, HOSTILE), max_size=2)))
        checked(name, trace(replace(spans[0], tags=tags), *spans[1:], dropped=data.draw(st.integers(0, 2))))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", ["deep", "concurrent"])
def test_a_piece_comes_after_every_few_spans_so_that_a_loop_can_breathe(name: str, shape: str) -> None:
    """Also before the first byte: laying out the tracks of many spans says now and then that it is at work."""
    count = 20 * SLICE
    chunks, _ = FORMATS[name]
    pieces = list(chunks([large_trace(shape, count)]))
    assert len(pieces) > count
    assert max(len(piece) for piece in pieces) < 10_000
    if name in ("perfetto", "speedscope"):
        assert pieces.count("") >= 19


@pytest.mark.parametrize("name", NAMES)
def test_depth_and_width_of_ten_thousand_cost_no_more_than_their_number(name: str) -> None:
    small, large = (len(whole(FORMATS[name][0]([large_trace(shape, 10_000)]))) for shape in ("sequential", "deep"))
    assert large < 5 * small


def test_capture_and_recent_trace_give_the_same_rows() -> None:
    registry, scope = fresh_scope()
    waiter = watch_for_spans(registry, lambda span: True)
    with scope.task("handle", args={"a": 1}, tier="edge") as outer:
        outer.annotate("user", "bob")
        with pytest.raises(LookupError), scope.task("inner"):
            raise LookupError("gone")
    captured = capture_rows(waiter.result(0), 5, "shop", 7)
    (recent,) = (tree for tree in registry.recent_traces() if tree.func is scope.func("handle", tier="edge"))
    kept = recent_rows(recent, 5, "shop", 7)
    assert captured.spans[1].error == "gone"
    assert kept == replace(captured, spans=tuple(replace(span, error="") for span in captured.spans))
    assert (captured.spans[0].tags, captured.process, captured.pid) == ((("tier", "edge"),), "shop", 7)
    for name in NAMES:
        checked(name, captured)
        checked(name, kept)


# What is in them.


def test_attributes_have_names_of_their_own() -> None:
    row = replace(
        span(1, None, "orders.create", 0, 1, error_name="Timeout", panicked=True, orphaned=True, unfinished=True),
        args=("a=1", "a=2", "odd"),
        tags=(("tier", "edge"),),
        annotations=(("user", "bob"), ("user", "eve"), ("user#2", "x"), ("monkit.func", "forged"), ("arg.a", "y")),
    )
    assert (
        attributes(row)
        == {
            "monkit.scope": "shop.orders",
            "monkit.func": "create",
            "error.type": "Timeout",
            "monkit.panicked": True,
            "monkit.orphaned": True,
            "monkit.unfinished": True,
            "tag.tier": "edge",
            "arg.a": "1",
            "arg.a#2": "2",
            "arg.odd": "",
            "user": "bob",
            "user#2": "eve",
            "user#2#2": "x",
            "monkit.func#2": "forged",
            "arg.a#3": "y",
        }
        or attributes(row)["arg.a#2#2"] == "y"
    )


def test_children_side_by_side_are_on_tracks_of_their_own_with_what_they_call() -> None:
    rows = (
        span(1, None, "a.root", 0, 100),
        span(2, 1, "a.first", 10, 50),
        span(3, 2, "a.below_first", 20, 30),
        span(4, 1, "a.second", 30, 40),
        span(5, 4, "a.below_second", 40, 10),
        span(6, 1, "a.third", 70, 10),
        span(7, 1, "a.outlives", 90, 30),
    )
    assert placed(rows) == [[(0, 0), (1, 1), (2, 2), (1, 5)], [(0, 3), (1, 4), (0, 6)]]


def test_call_that_takes_no_time_is_inside_its_parent_that_takes_none() -> None:
    rows = (span(1, None, "a.root", 0, 10), span(2, 1, "a.instant", 10, 0), span(3, 2, "a.below", 10, 0))
    assert placed(rows) == [[(0, 0), (1, 1), (2, 2)]]


@settings(deadline=None)
@given(random_spans())
def test_tracks_nest_whatever_spans_do_and_hold_each_span_once(rows: tuple[SpanRow, ...]) -> None:
    tracks = placed(rows)
    assert sorted(index for track in tracks for _, index in track) == list(range(len(rows)))
    for track in tracks:
        check_nesting([(rows[index].start_ns, max(rows[index].start_ns, rows[index].finish_ns)) for _, index in track])


def test_perfetto_has_nanoseconds_since_the_start_and_the_marks() -> None:
    document = checked("perfetto", small_trace())
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    by_name = {event["name"]: event for event in events}
    assert (events[0]["ts"], events[0]["dur"], events[0]["pid"]) == (0.0, 412_600.0, 41873)
    assert by_name["shop.cache.get"]["args"]["arg.key"] == "'jwks'"
    assert by_name["shop.http.request"]["args"]["error"] == "read timed out"
    assert by_name["shop.audit.write"]["args"]["monkit.unfinished"] is True
    assert document["otherData"]["start_unix_ns"] == "1795528931407000000"
    assert document["displayTimeUnit"] == "ns"


def test_speedscope_names_say_in_words_what_stands_out() -> None:
    names = {frame["name"] for frame in checked("speedscope", small_trace())["shared"]["frames"]}
    assert {
        "shop.orders.Orders.handle",
        "shop.cache.fill [orphaned]",
        "shop.http.request [error Timeout]",
        "shop.loyalty.award [panic SystemExit]",
        "shop.audit.write [unfinished, orphaned]",
    } <= names


def test_otlp_has_status_and_attributes() -> None:
    spans = checked("otlp", replace(small_trace(), dropped=6))
    assert spans[f"{1:016x}"]["attributes"]["monkit.spans_dropped"] == "6"
    assert "monkit.spans_dropped" not in spans[f"{2:016x}"]["attributes"]
    assert spans[f"{2:016x}"]["attributes"]["alg"] == "ES256"
    assert spans[f"{14:016x}"]["status"] == {"code": 2, "message": "read timed out\nafter 100 ms"}
    assert spans[f"{14:016x}"]["attributes"]["error.type"] == "Timeout"
    assert spans[f"{14:016x}"]["name"] == "shop.payments.Gateway.post"


def test_zipkin_has_an_error_tag_and_the_service() -> None:
    spans = {item["id"]: item for item in checked("zipkin", replace(small_trace(), dropped=6))}
    assert spans[f"{1:016x}"]["tags"]["monkit.spans_dropped"] == "6"
    assert spans[f"{17:016x}"]["tags"]["error"] == "3"
    assert spans[f"{18:016x}"]["tags"]["monkit.unfinished"] == "true"
    assert spans[f"{2:016x}"]["localEndpoint"] == {"serviceName": "shop"}
    assert (spans[f"{3:016x}"]["timestamp"], spans[f"{3:016x}"]["duration"]) == (1_795_528_931_408_600, 800)


def test_text_is_a_tree_with_durations_and_marks_in_words() -> None:
    lines = checked("text", replace(small_trace(), dropped=6)).splitlines()
    assert lines[1] == (
        "trace 00000000000000004b1d09c3e77a2f10, 2026-11-24 14:02:11.407 UTC, shop, pid 41873, 20 spans, 6 more dropped"
    )
    assert lines[2:6] == [
        "413ms shop.orders.Orders.handle(method='POST', path='/orders')",
        "  8.30ms shop.auth.verify_token()",
        "      alg: ES256",
        "    800µs shop.cache.get(key='jwks')",
    ]
    assert "      100ms shop.cache.fill(), orphan" in lines
    assert "      100ms shop.payments.Gateway.post(), error Timeout: read timed out\\nafter 100 ms" in lines
    assert "    3.80ms shop.loyalty.award(), panic SystemExit: 3" in lines
    assert "  29.6ms shop.audit.write(), unfinished, orphan" in lines


def test_text_of_a_deep_trace_says_the_level_where_it_is_no_longer_indented() -> None:
    lines = checked("text", large_trace("deep", 50)).splitlines()
    assert re.match(" {80}[0-9]", lines[42])
    assert re.match(r" {80}\(41\) [0-9]", lines[43])


@pytest.mark.parametrize("moment", [-(10**30), 10**30])
def test_text_does_without_a_date_that_no_calendar_has(moment: int) -> None:
    text = checked("text", replace(trace(span(1, None, "a.b", 0, 1)), wall_offset_ns=moment))
    assert text.startswith("\ntrace 00000000000000004b1d09c3e77a2f10, shop, pid 41873, 1 span\n")


def test_time_before_1970_is_1970_where_a_format_has_no_other() -> None:
    row = trace(span(1, None, "a.b", 0, 2))
    early = replace(row, wall_offset_ns=-START - 10**9)
    (otlp_span,) = json.loads(whole(otlp.chunks([early])))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (otlp_span["startTimeUnixNano"], otlp_span["endTimeUnixNano"]) == ("0", "2000000")
    (zipkin_span,) = json.loads(whole(zipkin.chunks([early])))
    assert (zipkin_span["timestamp"], zipkin_span["duration"]) == (1, 2000)


def test_json_spells_out_what_utf_8_cannot_hold_and_nothing_else() -> None:
    text = dumps({"a\ud800": ["\udfff\U0001f600é\x00\u2028"]})
    assert json.loads(text.encode()) == {"a\\ud800": ["\\udfff\U0001f600é\x00\u2028"]}
    with pytest.raises(ValueError, match="Out of range float"):
        dumps(float("nan"))
