"""Captures in the formats of other programs, and which calls are captured: over HTTP, as a reader gets them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from monkit_core import Registry, Scope
from monkit_core.clock import NS_PER_S
from monkit_core.formats.spans import SpanRow, TraceRows
from monkit_core.text import clean
from monkit_present.capture import Captures
from tests.helpers import fresh_scope, in_fresh_context
from tests.http_helpers import PROMPT_S, Wait, ask, eventually, served
from tests.present.test_hostile import CORPUS, named_error, running
from tests.trace_checks import check_otlp, check_perfetto, check_speedscope, check_text, check_zipkin

CHECKS: dict[str, Callable[[bytes, Any], Any]] = {
    "perfetto": check_perfetto,
    "speedscope": check_speedscope,
    "otlp": check_otlp,
    "zipkin": check_zipkin,
    "text": check_text,
}
KINDS = tuple(CHECKS)
FILES = tuple(kind for kind in KINDS if kind != "text")


def shop() -> tuple[Registry, Scope]:
    """A registry that knows `shop.handle`."""
    registry, scope = fresh_scope()
    scope.func("handle")
    return registry, scope


def captured(registry: Registry, query: str, work: Callable[[], object]) -> dict[str, bytes]:
    """What *work* looks like in each format."""
    with served(registry) as server, ExitStack() as waits:
        opened = {kind: waits.enter_context(Wait(server, f"/trace/{kind}?{query}")) for kind in (*KINDS, "json")}
        work()
        return {kind: wait.rest() for kind, wait in opened.items()}


def rows_of(body: bytes) -> list[TraceRows]:
    """What the page of JSON, which is checked elsewhere, says was captured."""
    traces: dict[int, list[dict[str, Any]]] = {}
    for item in json.loads(body):
        traces.setdefault(item.get("match", 1), []).append(item)
    return [
        TraceRows(int(items[0]["trace"]["id_hex"], 16), tuple(map(row_of, items)), dropped=items[0].get("dropped", 0))
        for items in traces.values()
    ]


def row_of(item: dict[str, Any]) -> SpanRow:
    return SpanRow(
        id=item["id"],
        parent_id=item.get("parent_id"),
        scope=item["func"]["package"],
        name=item["func"]["name"],
        start_ns=item["start"],
        finish_ns=item["finish"] or item["start"],
        unfinished="unfinished" in item,
        error_name=item.get("error_name"),
        panicked=item["panicked"],
        annotations=tuple(map(tuple, item["annotations"])),
    )


def check_all(bodies: dict[str, bytes]) -> dict[str, Any]:
    """Every format is valid and holds the spans that the JSON has."""
    traces = rows_of(bodies["json"])
    return {kind: CHECKS[kind](bodies[kind].lstrip(b" ") if kind == "text" else bodies[kind], traces) for kind in KINDS}


def handle(scope: Scope, error: BaseException | None = None, **notes: str) -> None:
    with scope.task("handle") as span:
        for key, value in notes.items():
            span.annotate(key, value)
        with scope.task("below"):
            pass
        if error is not None:
            raise error


# Formats.


def test_a_capture_is_the_same_in_every_format() -> None:
    registry, scope = shop()

    def work() -> None:
        with pytest.raises(LookupError):
            handle(scope, LookupError("gone"), user="bob")

    found = check_all(captured(registry, "regex=handle", work))
    assert "shop.handle(), error LookupError: gone\n    user: bob\n  " in found["text"]
    assert found["zipkin"][0]["tags"]["user"] == "bob"


def test_spans_that_were_dropped_are_counted_in_every_format() -> None:
    registry, scope = shop()
    found = check_all(captured(registry, "regex=handle&max_spans=1", lambda: handle(scope)))
    assert found["perfetto"]["otherData"]["spans_dropped"] == "1"


def test_thousands_of_spans_arrive_whole_in_every_format() -> None:
    registry, scope = shop()

    def work() -> None:
        child = scope.task("child")
        with scope.task("handle"):
            for _ in range(3000):
                with child:
                    pass

    check_all(captured(registry, "regex=handle", work))


@pytest.mark.parametrize("name", CORPUS)
@in_fresh_context
def test_line_8_hostile_text_breaks_out_of_no_file(name: str) -> None:
    hostile = CORPUS[name]
    registry = Registry()
    registry.scope(hostile).func(hostile + "f")

    def work() -> None:
        with pytest.raises(Exception, match="f"), running(registry, hostile):
            raise named_error(hostile + "f")

    found = check_all(captured(registry, "regex=f%24", work))
    assert found["zipkin"][0]["tags"]["monkit.scope"] == clean(hostile)


@pytest.mark.parametrize("kind", FILES)
def test_file_has_a_name_with_the_id_that_was_asked_for(kind: str) -> None:
    registry, scope = shop()
    digits = "000000000000000000000000000000FF"
    with served(registry) as server, Wait(server, f"/trace/{kind}?trace_id={digits}") as wait:
        assert wait.header("content-type") == "application/json; charset=utf-8"
        assert wait.header("content-disposition") == f'attachment; filename="trace-{digits.lower()}.{kind}.json"'
        with scope.func("handle").remote_trace(None, 0xFF):
            pass
        assert wait.rest()


def test_file_of_a_match_that_is_to_come_is_named_after_the_time() -> None:
    """The name goes out at once, before anybody knows the id."""
    registry, _ = shop()
    with served(registry) as server:
        for kind in FILES:
            name = ask(server, f"/trace/{kind}?regex=handle", method="HEAD").header("content-disposition")
            assert re.fullmatch(rf'attachment; filename="trace-\d{{8}}T\d{{6}}Z\.{kind}\.json"', name)
        for kind in ("svg", "json", "text"):
            assert ask(server, f"/trace/{kind}?regex=handle", method="HEAD").all("content-disposition") == []


def test_perfetto_knows_its_file_however_long_the_wait_was() -> None:
    """It looks at the first 64 bytes only: what keeps the connection alive comes behind the beginning."""
    registry, scope = shop()
    with (
        served(registry, captures=Captures(keep_alive_s=0.001)) as server,
        Wait(server, "/trace/perfetto?regex=handle") as wait,
    ):
        while len(wait.body) < 100:
            wait.chunk()
        handle(scope)
        assert wait.rest().startswith(b'{"traceEvents":[  ')
        assert len(json.loads(wait.body)["traceEvents"]) == 5


# Which calls.


def only(registry: Registry, query: str, work: Callable[[], object]) -> list[str]:
    """The annotations ``n`` of the matches of a query among the calls that *work* makes."""
    with served(registry) as server, Wait(server, f"/trace/json?regex=handle&{query}") as wait:
        work()
        rows = wait.json()
    assert registry.watcher_count == 0
    return [value for row in rows for key, value in row["annotations"] if key == "n"]


def test_errors_only_waits_for_a_call_that_failed() -> None:
    registry, scope = shop()

    def work() -> None:
        for number in range(20):
            handle(scope, n=str(number))
        with pytest.raises(SystemExit):
            handle(scope, SystemExit(3), n="panic")

    assert only(registry, "errors=only", work) == ["panic"]


def test_min_duration_waits_for_a_call_that_took_so_long() -> None:
    registry, scope = shop()

    def work() -> None:
        for number, took_ms in enumerate((0, 50, 99, 100.001, 200)):
            with scope.task("handle") as span:
                span.annotate("n", str(number))
                span.start_ns -= int(took_ms * 1e6)  # as if it had begun then

    assert only(registry, "min_duration=100.0005ms", work) == ["3"]


def test_tag_is_an_annotation_or_a_tag_of_the_function_and_several_mean_and() -> None:
    registry, scope = shop()

    def work() -> None:
        handle(scope, user="bob", n="0")
        with scope.task("handle", tier="edge") as span:
            span.annotate("n", "1")
        with scope.task("handle", tier="edge") as span:
            span.annotate("user", "bob")
            span.annotate("user", "eve")
            span.annotate("n", "2")

    assert only(registry, "tag.user=eve", work) == ["2"]
    assert only(registry, "tag.tier=edge", work) == ["1"]
    assert only(registry, "tag.tier=edge&tag.user=bob", work) == ["2"]
    assert only(registry, "tag.user=bob", work) == ["0"]


def test_conditions_hold_together() -> None:
    registry, scope = shop()

    def work() -> None:
        handle(scope, user="bob", n="0")
        with pytest.raises(LookupError):
            handle(scope, LookupError(), user="eve", n="1")
        with pytest.raises(LookupError):
            handle(scope, LookupError(), user="bob", n="2")

    assert only(registry, "errors=only&tag.user=bob&min_duration=1ns", work) == ["2"]


def test_wait_that_ends_before_the_last_of_several_sends_those_that_came() -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, "/trace/json?regex=handle&count=3") as wait:
        handle(scope)
        handle(scope)
        server.close()
        assert [item["match"] for item in wait.json()] == [1, 1, 2, 2]
        assert registry.watcher_count == 0


@pytest.mark.parametrize("name", ["json", "text", "svg"])
def test_end_of_a_wait_says_how_near_a_call_came(name: str) -> None:
    registry, scope = shop()
    with (
        served(registry) as server,
        Wait(server, f"/trace/{name}?regex=handle&errors=only") as wait,
    ):
        with scope.task("handle") as span:
            span.start_ns -= 7 * NS_PER_S  # as if it had begun then
        handle(scope)
        server.close()
        body = wait.rest()
    if name == "json":
        ending = json.loads(body)
        assert (ending["ended_otherwise"], ending["passed_over"]) == (2, 0)
        assert 7 * NS_PER_S <= ending["longest_ns"] < 8 * NS_PER_S
    else:
        assert b"2 calls ended otherwise, the longest after 7.0" in body


def test_count_collects_so_many_matches_in_every_format_but_the_picture() -> None:
    registry, scope = shop()

    def work() -> None:
        for _ in range(3):
            handle(scope)

    bodies = captured(registry, "regex=handle&count=3", work)
    assert [item["match"] for item in json.loads(bodies["json"])] == [1, 1, 2, 2, 3, 3]
    found = check_all(bodies)
    assert found["text"].count("\ntrace ") == 3
    assert len(found["speedscope"]["profiles"]) == 3
    assert len(found["zipkin"]) == 6
    with served(registry) as server:
        answer = ask(server, "/trace/svg?regex=handle&count=3")
        assert (answer.status, answer.text) == (
            400,
            "Bad Request: invalid count 3: a picture shows one match; ask for /trace/json or a file\n",
        )
        assert registry.watcher_count == 0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("min_duration=0s", 'invalid min_duration "0s": expected a duration such as 100ms or 1.5s'),
        ("min_duration=100", 'invalid min_duration "100": expected a duration'),
        ("min_duration=25h", "above 0, at most 24h0m0s"),
        ("min_duration=-1s", "invalid min_duration"),
        ("min_duration=s", "invalid min_duration"),
        ("errors=none", 'invalid errors "none": expected only'),
        ("count=0", 'invalid count "0": expected a whole number from 1 to 100'),
        ("count=101", "invalid count"),
        ("tag.=x", 'unknown parameter "tag."'),
        ("tag=x", 'unknown parameter "tag"'),
        ("tag.a=1&tag.a=2", 'parameter "tag.a" given twice'),
        ("tag.a=" + "x" * 1001, "1,001 characters, at most 1,000"),
    ],
)
def test_condition_that_cannot_be_used_is_refused_before_the_wait(query: str, words: str) -> None:
    registry, _ = shop()
    with served(registry) as server:
        answer = ask(server, f"/trace/json?regex=handle&{query}")
    assert answer.status == 400
    assert words in answer.text
    assert registry.watcher_count == 0


def test_conditions_are_not_for_the_wait_that_ends_with_the_beginning_of_a_call() -> None:
    registry, _ = shop()
    with served(registry) as server:
        for query in ("errors=only", "min_duration=1s", "count=2", "tag.a=b"):
            assert ask(server, f"/trace/remote?regex=handle&{query}").status == 400


def test_time_out_says_all_that_was_asked_for_and_that_a_call_may_still_match() -> None:
    registry, scope = shop()
    query = "regex=handle&errors=only&min_duration=90m&tag.user=b%0ab&timeout=0.02"
    with served(registry) as server:
        answer = ask(server, f"/trace/json?{query}").json
        assert answer["query"] == "regex=handle min_duration=1h30m0s errors=only tag.user=b\nb"
        assert answer["matched"] is False
        with Wait(server, f"/trace/json?{query}") as wait, scope.task("handle"):
            assert wait.json()["matched"] is True
    assert registry.watcher_count == 0


@pytest.mark.parametrize("query", ["errors=only", "count=2", "min_duration=1h"])
def test_leaving_client_frees_its_watchers_while_a_call_may_match(query: str) -> None:
    registry, scope = shop()
    captures = Captures()
    with served(registry, captures=captures) as server, scope.task("around") as outer:
        with Wait(server, f"/trace/otlp?regex=handle&{query}"), scope.task("handle"):
            assert outer.trace.observers
            assert (captures.waiting, registry.watcher_count) == (1, 1)
        assert eventually(lambda: registry.watcher_count == 0, PROMPT_S)
        assert eventually(lambda: captures.waiting == 0, PROMPT_S)
        assert not outer.trace.observers
