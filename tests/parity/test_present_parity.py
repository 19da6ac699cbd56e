"""The pages against the bodies and vectors of the original. Each difference on purpose is listed with its reason."""

from __future__ import annotations

import contextvars
import json as stdlib_json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from monkit_core import Func, Registry, SeriesKey, Stat
from monkit_core.engine import finish, start
from monkit_core.formats.functions import QUANTILES, FuncRow, TimesRow
from monkit_present.gather import func_rows
from monkit_present.render import dot, json, text
from monkit_present.rows import LiveRow, SpanRow, TraceRows
from tests.helpers import OURS_ONLY, same, vectors
from tests.http_helpers import Wait, ask, decode_label, exchange, parse_dot, served

ENDPOINTS = Path(__file__).parent / "endpoints"
MS = 1_000_000
UNITS_NS = {"ns": 1, "µs": 1_000, "ms": MS, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}


def body(name: str) -> str:
    return (ENDPOINTS / f"{name}.body").read_text("utf-8")


def ns(duration: str) -> float:
    """Nanoseconds of a duration as Go prints it."""
    pieces = re.findall(r"([0-9.]+)(ns|µs|ms|s|m|h)", duration)
    assert "".join(a + b for a, b in pieces) == duration
    return sum(float(value) * UNITS_NS[unit] for value, unit in pieces)


def check_lines(ours: list[str], theirs: list[str]) -> None:
    """Equal but for durations, which may differ by the original's 32 bits."""
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        if our != their:
            label, _, value = our.rpartition(": ")
            their_label, _, their_value = their.rpartition(": ")
            assert label == their_label
            assert same(ns(value), ns(their_value)), (our, their)


def check_dot(ours: str, theirs: str) -> None:
    our, their = parse_dot(ours), parse_dot(theirs)
    assert our.edges == their.edges
    assert our.labels.keys() == their.labels.keys()
    for node, lines in our.labels.items():
        check_lines(lines, their.labels[node])


def check_fields(ours: Any, theirs: Any) -> None:
    """Every field of the original is there and equal; ours may have more."""
    if isinstance(theirs, dict):
        for key, value in theirs.items():
            check_fields(ours[key], value)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            check_fields(our, their)
    elif isinstance(theirs, int | float) and not isinstance(theirs, bool):
        assert same(ours, theirs), (ours, theirs)
    else:
        assert ours == theirs


def parsed(chunks: Iterable[bytes]) -> Any:
    return stdlib_json.loads(b"".join(chunks))


def args_quoted_once(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """DIFFERS: the original quotes each argument twice in JSON."""
    return [{**span, "args": [stdlib_json.loads(arg) for arg in span["args"]]} for span in spans]


def hex_ids(page: str) -> str:
    """DIFFERS: ids of text pages are hexadecimal, 16 digits of a span or function and 32 of a trace."""

    def parents(match: re.Match[str]) -> str:
        return re.sub(r"\d+", lambda number: f"{int(number[0]):016x}", match[0])

    page = re.sub(r"(?m)^( *)\[(\d+)\]", lambda match: f"{match[1]}[{int(match[2]):016x}]", page)
    page = re.sub(
        r"(?m)^( *)\[(\d+),(\d+)\]", lambda match: f"{match[1]}[{int(match[2]):016x},{int(match[3]):032x}]", page
    )
    return re.sub(r"(?m)^  parents: .*$", parents, page)


# Functions and stats, from the setup that the vector describes.


def call_once_and_once_with_three_calls_below(a: Func, b: Func) -> None:
    finish(start(a))
    outer = start(a)
    for _ in range(3):
        finish(start(b))
    finish(outer)


def functions() -> Registry:
    """Scope pkg, function (*T).A with two successes; scope qkg, function B below it with an error and a panic."""
    registry = Registry()
    a = registry.scope("pkg").func("(*T).A")
    b = registry.scope("qkg").func("B")
    a.id, b.id = 101, 102
    contextvars.Context().run(call_once_and_once_with_three_calls_below, a, b)
    a.success_times.reset()
    b.success_times.reset()
    b.current = 1
    a.success_times.observe(63_930_436)
    a.success_times.observe(129_447_675)
    b.failed("EOF", 5 * MS)
    b.failed(None, 6 * MS)
    return registry


def test_functions_as_text_are_the_original_s() -> None:
    page = "".join(text.funcs(func_rows(functions())))
    check_lines(page.split("\n"), hex_ids(vectors("present_funcs")["funcs_text"]).split("\n"))


def test_functions_as_json_are_the_original_s() -> None:
    theirs = stdlib_json.loads(vectors("present_funcs")["funcs_json"])
    check_fields(parsed(json.funcs(func_rows(functions()))), theirs)


def test_call_graph_is_the_original_s() -> None:
    check_dot(dot.funcs(func_rows(functions())), vectors("present_funcs")["funcs_dot"])


def test_stats_as_json_are_the_original_s() -> None:
    ours = [item for item in parsed(json.stats(functions().stats())) if item[2] not in OURS_ONLY]
    check_fields(ours, stdlib_json.loads(vectors("present_funcs")["stats_json"]))


def test_stats_as_text_are_the_original_s_with_nine_decimals() -> None:
    lines = "".join(text.stats(functions().stats())).splitlines()
    ours = dict(line.rsplit("=", 1) for line in lines)
    theirs = dict(line.rsplit("=", 1) for line in vectors("present_funcs")["stats_text_sorted"])
    assert {key for key in ours if key.rsplit(" ", 1)[1] not in OURS_ONLY} == theirs.keys()
    for key, value in theirs.items():
        assert re.fullmatch(r"\d+\.\d{9}", ours[key])
        assert abs(float(ours[key]) - float(value)) <= 5e-7 + 1e-6 * float(value)


# Live spans; what varies from format to format in the vector is how long they ran.


def span_row(recorded: dict[str, Any], finish_ns: int, **more: Any) -> SpanRow:
    return SpanRow(
        id=recorded["id"],
        parent_id=recorded.get("parent_id"),
        scope=recorded["func"]["package"],
        name=recorded["func"]["name"],
        start_ns=recorded["start"],
        finish_ns=finish_ns,
        orphaned=recorded["orphaned"],
        args=tuple(stdlib_json.loads(arg) for arg in recorded["args"]),
        annotations=tuple((key, value) for key, value in recorded["annotations"]),
        **more,
    )


def live(spans: list[dict[str, Any]], elapsed_ns: dict[int, int]) -> list[LiveRow]:
    """Rows in the order given, each below its parent where that is listed."""
    depths: dict[int, int] = {}
    rows = []
    for span in spans:
        depth = depths[span["id"]] = depths.get(span.get("parent_id", -1), -1) + 1
        finish = span["start"] + elapsed_ns[span["id"]]
        rows.append(LiveRow(depth, span["trace"]["id"], span_row(span, finish, unfinished=True)))
    return rows


def elapsed_in(page: str) -> dict[int, int]:
    found = re.findall(r"(?m)^ *\[(\d+),\d+\] .* \(elapsed: ([^,)]+)", page)
    return {int(number): round(ns(duration)) for number, duration in found}


def elapsed_in_graph(graph: str) -> dict[int, int]:
    labels = parse_dot(graph).labels
    return {int(node[1:]): round(ns(lines[1].removeprefix("elapsed: "))) for node, lines in labels.items()}


LIVE = {
    "vector": {key: vectors("present_spans")[f"ps_{key}"] for key in ("json", "text", "dot")},
    "endpoint": {"json": body("running_ps_json"), "text": body("running_ps"), "dot": body("running_ps_dot")},
}


@pytest.mark.parametrize("source", LIVE)
def test_live_spans_are_the_original_s_in_every_format(source: str) -> None:
    recorded = LIVE[source]
    spans = stdlib_json.loads(recorded["json"])
    as_json = live(spans, {span["id"]: span["elapsed"] for span in spans})
    check_fields(parsed(json.ps(as_json, 0)), args_quoted_once(spans))
    as_text = "".join(text.ps(live(spans, elapsed_in(recorded["text"]))))
    assert as_text == hex_ids(recorded["text"])
    check_dot(dot.ps(live(spans, elapsed_in_graph(recorded["dot"]))), recorded["dot"])


def test_no_live_span_and_an_orphan_look_as_in_the_original() -> None:
    assert b"".join(json.ps([], 0)).decode() == body("idle_ps_json")
    check_dot(dot.ps([]), body("idle_ps_dot"))
    spans = stdlib_json.loads(body("orphan_ps_json"))
    rows = live(spans, {span["id"]: span["elapsed"] for span in spans})
    check_fields(parsed(json.ps(rows, 0)), spans)


# The functions of a running program of the original: rows out of its JSON, the sums out of its text.


def times_row(recorded: dict[str, Any], sum_ns: int, count: int) -> TimesRow:
    return TimesRow(
        count=count,
        sum=sum_ns,
        low=recorded["min"],
        high=recorded["max"],
        recent=recorded["recent"],
        full_average=recorded["full_average"],
        reservoir_average=recorded["reservoir_average"],
        quantiles=tuple(recorded["quantiles"][f"{fraction:.2f}"] for fraction in QUANTILES),
    )


def recorded_functions() -> list[FuncRow]:
    sums = {
        int(block.split("]")[0]): [round(ns(found)) for found in re.findall(r"sum: (\S+)", block)]
        for block in body("funcs").split("[")[1:]
    }
    return [
        FuncRow(
            id=func["id"],
            scope=func["package"],
            name=func["name"],
            tags=(),
            parent_ids=tuple(func["parent_ids"] or ()),
            entry=func["entry"],
            current=func["current"],
            highwater=func["highwater"],
            successes=func["success"],
            errors=tuple(func["errors"].items()),
            panics=func["panics"],
            success_times=times_row(func["success_times"], sums[func["id"]][0], func["success"]),
            failure_times=times_row(func["failure_times"], sums[func["id"]][1], func["panics"]),
            caller_calls=tuple(1 for _ in func["parent_ids"] or ()),
            entry_calls=int(func["entry"]),
        )
        for func in stdlib_json.loads(body("funcs_json"))
    ]


def test_functions_of_a_running_program_are_the_original_s_in_every_format() -> None:
    """DIFFERS: the original lists functions in random order, ours sorted."""
    rows = recorded_functions()
    page = "".join(text.funcs(rows))
    assert sorted(page.split("\n\n")) == sorted(hex_ids(body("funcs")).split("\n\n"))
    check_fields(parsed(json.funcs(rows)), stdlib_json.loads(body("funcs_json")))
    check_dot(dot.funcs(rows), body("funcs_dot"))


def test_stats_of_a_running_program_are_the_original_s() -> None:
    recorded = stdlib_json.loads(body("stats_json"))
    rows = [Stat(SeriesKey(measurement, tags), field, float(value)) for measurement, tags, field, value in recorded]
    check_fields(parsed(json.stats(rows)), recorded)
    keys = {line.rpartition("=")[0] for line in body("stats").splitlines()}
    assert {line.rpartition("=")[0] for line in "".join(text.stats(rows)).splitlines()} == keys


# Captures.


def trace_rows(spans: list[dict[str, Any]], trace_id: int = 0) -> TraceRows:
    rows = (
        span_row(span, span["finish"], error=span["err"], panicked=span["panicked"])
        for span in spans  # in the order of the original
    )
    return TraceRows(trace_id, tuple(rows))


@pytest.mark.parametrize("name", ["trace_json_HandleHTTP", "trace_json_complex"])
def test_captures_as_json_are_the_original_s(name: str) -> None:
    spans = stdlib_json.loads(body(name))
    check_fields(parsed(json.trace(trace_rows(spans, spans[0]["trace"]["id"]))), args_quoted_once(spans))


CASES = [case for case in vectors("trace_layout") if "json" in case]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_layout_case_as_json_is_the_original_s(case: dict[str, Any]) -> None:
    """Rows made from the spans of the case, times in microseconds; the args in the original's own words."""
    recorded = {span["id"]: span for span in stdlib_json.loads(case["json"])}
    rows = tuple(
        SpanRow(
            id=span["id"],
            parent_id=span.get("parent", span.get("remote_parent")),
            scope=case["scope"],
            name=span["func"],
            start_ns=span["start_us"] * 1000,
            finish_ns=span["finish_us"] * 1000,
            orphaned=span.get("orphaned", False),
            error=recorded[span["id"]]["err"],
            panicked=span.get("panicked", False),
            args=tuple(stdlib_json.loads(arg) for arg in recorded[span["id"]]["args"]),
            annotations=tuple((key, value) for key, value in span.get("annotations", ())),
        )
        for span in sorted(case["spans"] or (), key=lambda span: list(recorded).index(span["id"]))
    )
    trace = TraceRows(case["trace_id"], rows, wall_offset_ns=case["base_unix_s"] * 1_000_000_000)
    check_fields(parsed(json.trace(trace)), args_quoted_once(stdlib_json.loads(case["json"])))


@pytest.mark.parametrize(("plain", "escaped"), vectors("escape_dot_label"))
def test_labels_are_escaped_as_the_original_does(plain: str, escaped: str) -> None:
    assert dot.escape_label(plain) == escaped
    assert "\n".join(decode_label(f'"{escaped}"')) == plain.removesuffix("\n")


# Every address that the original was asked for.

PATHS = "an address is met as it is written"
VIZ = "only listed hosts; the original sent a browser anywhere, and the id where an address could not be read"
DIFFERS = {
    "/": (200, "text/plain; charset=utf-8", "text for programs; a browser gets a page"),
    "": (400, "this is not a valid HTTP request", "HTTP knows no empty target"),
    "ps": (400, 'request target cannot be read: "ps"', "HTTP knows no target without a slash"),
    "//": (404, "path not found: //", PATHS),
    "//ps": (404, "path not found: //ps", PATHS),
    "/ps/json/extra/segments": (404, "path not found: /ps/json/extra/segments", PATHS),
    "/funcs/svg": (200, "image/svg+xml; charset=utf-8", "the original has no picture of the call graph"),
    "/trace/remote?regex=Known&viz=example.com": (400, 'invalid viz "example.com": expected an address', VIZ),
    "/trace/remote?regex=Known&viz=https://e.com/x": (400, 'invalid viz "https://e.com/x": host not allowed', VIZ),
    "/trace/remote?regex=Known&viz=http:%2F%2F%5B": (400, 'invalid viz "http://[": host and port cannot', VIZ),
}


def known() -> Registry:
    registry = Registry()
    registry.scope("pkg").func("Known")
    return registry


def kept(error: str) -> str:
    """The part of an error text that ours keeps: up to the second colon."""
    return ":".join(error.split(":")[:2])


@pytest.mark.parametrize("recorded", vectors("from_request"), ids=lambda recorded: repr(recorded["url"]))
def test_address_is_answered_as_by_the_original(recorded: dict[str, Any]) -> None:
    url = recorded["url"]
    with served(known()) as server:
        if url in DIFFERS:
            status, words, _ = DIFFERS[url]
            answer = ask(server, url)
            assert answer.status == status
            assert words in (answer.header("content-type") if status == 200 else answer.text)
        elif not recorded["has_result"]:
            answer = ask(server, url)
            assert answer.status == recorded["http_status"]
            assert answer.header("content-type") == "text/plain; charset=utf-8"
            assert answer.text.startswith(kept(recorded["error"]))
        elif url.startswith("/trace/"):
            with Wait(server, url) as wait:
                assert (wait.status, wait.header("content-type")) == (200, recorded["content_type"])
        else:
            answer = ask(server, url)
            assert (answer.status, answer.header("content-type")) == (200, recorded["content_type"])


def test_each_difference_is_of_an_address_that_was_asked_for() -> None:
    assert DIFFERS.keys() <= {recorded["url"] for recorded in vectors("from_request")}


ERRORS = {
    "err_trace_no_params": "/trace/svg",
    "err_bad_regex": "/trace/svg?regex=%5B",
    "err_bad_preselect": "/trace/svg?regex=Known&preselect=maybe",
    "err_bad_trace_id": "/trace/svg?trace_id=xyz",
    "err_zero_funcs": "/trace/svg?regex=Nope",
    "err_unknown": "/nope",
}


def test_every_error_text_of_the_original_is_looked_at() -> None:
    assert {path.stem for path in ENDPOINTS.glob("err_*")} == ERRORS.keys()


@pytest.mark.parametrize("name", ERRORS)
def test_error_text_is_kept_up_to_its_second_colon(name: str) -> None:
    with served(known()) as server:
        answer = ask(server, ERRORS[name])
    theirs = kept(body(name).rstrip("\n"))
    assert answer.text.startswith(theirs)
    assert answer.status == {"Bad Request": 400, "Not Found": 404}[theirs.split(":")[0]]


def test_target_without_a_host_in_it_is_no_way_round_the_guard() -> None:
    with served(known()) as server:
        assert exchange(server, b"GET ps HTTP/1.0\r\n\r\n").status == 400
