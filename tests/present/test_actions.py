"""Lines 6 and 11 of the security checklist: how a change is asked for. The change is a mark of the totals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

import monkit_present
from monkit_core import Registry
from monkit_present.body import MAX_BODY_BYTES
from monkit_present.marks import make_mark, since
from monkit_present.server import Server
from tests.helpers import by_field, fresh_scope
from tests.http_helpers import (
    CHANGE,
    PLACES,
    PROMPT_S,
    Answer,
    Headers,
    ask,
    busy_registry,
    connect,
    eventually,
    exchange,
    request,
    served,
)

MARK = "/stats/mark"
JSON_TYPE, ACTION = CHANGE


@pytest.fixture
def server() -> Iterator[Server]:
    with served(busy_registry()) as running:
        yield running


def post(
    server: Server, target: str = MARK, body: bytes = b"{}", headers: Headers = CHANGE, length: int | None = None
) -> Answer:
    lines = [*headers, ("Content-Length", str(len(body) if length is None else length))]
    return exchange(server, request(server, target, method="POST", headers=lines) + body, method="POST")


def marked(server: Server) -> bool:
    """Whether there is a mark."""
    return ask(server, "/stats?since=mark").status == 200


def check_refused(server: Server, answer: Answer, status: int, words: str) -> None:
    assert (answer.status, answer.header("content-type")) == (status, "text/plain; charset=utf-8")
    assert words in answer.text
    assert answer.text.splitlines(keepends=True) == [answer.text]
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.all("set-cookie") == []
    assert not marked(server)


# What is taken.


@pytest.mark.parametrize(
    "media",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_line_6_change_is_asked_for_by_json_and_a_header(server: Server, media: str) -> None:
    answer = post(server, headers=[("Content-Type", media), ACTION])
    assert (answer.status, answer.header("content-type")) == (200, "application/json; charset=utf-8")
    assert answer.json.keys() == {"marked", "series"}
    assert marked(server)


@pytest.mark.parametrize("site", [None, "none", "same-origin"])
def test_line_6_change_may_come_from_the_port_s_own_pages(server: Server, site: str | None) -> None:
    own = [("Origin", f"http://localhost:{server.port}")] if site == "same-origin" else []
    fetch = [] if site is None else [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")]
    assert post(server, headers=[*CHANGE, *own, *fetch]).status == 200


def test_line_6_trailing_slash_and_empty_query_are_tolerated(server: Server) -> None:
    assert post(server, MARK + "/").status == 200
    assert post(server, MARK + "?").status == 200


def test_line_6_body_may_come_in_pieces(server: Server) -> None:
    data = request(server, MARK, method="POST", headers=[*CHANGE, ("Transfer-Encoding", "chunked")])
    assert exchange(server, data + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", method="POST").status == 200


# What is not.


@pytest.mark.parametrize(
    "media",
    [
        None,
        "",
        "text/plain",
        "text/plain; x=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "text/json",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; x=y",
    ],
)
def test_line_6_other_content_type_is_refused(server: Server, media: str | None) -> None:
    headers = [ACTION] if media is None else [("Content-Type", media), ACTION]
    check_refused(server, post(server, headers=headers), 415, "send Content-Type: application/json")


def test_line_6_two_content_types_are_refused(server: Server) -> None:
    check_refused(server, post(server, headers=[JSON_TYPE, JSON_TYPE, ACTION]), 415, "Content-Type")


@pytest.mark.parametrize("values", [(), ("",), ("0",), ("true",), ("1", "1"), ("1, 1",)])
def test_line_6_change_without_the_header_is_refused(server: Server, values: tuple[str, ...]) -> None:
    headers = [JSON_TYPE, *(("X-Monkit-Action", value) for value in values)]
    check_refused(server, post(server, headers=headers), 403, "with the header X-Monkit-Action: 1")


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "", "http://localhost:{port}.evil.test", "http://localhost:1"]
)
def test_line_6_other_origin_is_refused(server: Server, origin: str) -> None:
    headers = [*CHANGE, ("Origin", origin.format(port=server.port))]
    check_refused(server, post(server, headers=headers), 403, "cross-site request refused: origin ")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "bogus", ""])
@pytest.mark.parametrize(("mode", "dest"), [("navigate", "document"), ("cors", "empty"), ("no-cors", "empty")])
def test_line_6_other_site_is_refused_even_where_it_may_open_a_page(
    server: Server, site: str, mode: str, dest: str
) -> None:
    headers = [*CHANGE, ("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)]
    check_refused(server, post(server, headers=headers), 403, "cross-site request refused")


def test_line_6_other_host_is_refused(server: Server) -> None:
    answer = ask(server, MARK, method="POST", headers=CHANGE, host="evil.test")
    check_refused(server, answer, 403, "host not allowed")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"])
def test_line_6_action_is_post_only(server: Server, method: str) -> None:
    answer = ask(server, MARK, method=method, headers=CHANGE)
    assert (answer.status, answer.header("allow")) == (405, "POST")
    assert not marked(server)


@pytest.mark.parametrize("place", [place for place in PLACES if not place.action], ids=lambda place: str(place.path))
def test_line_6_page_that_is_no_action_takes_no_post(server: Server, place: Any) -> None:
    for path in (place.path, place.path.rstrip("/") + "/"):
        answer = post(server, path)
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is no JSON"),
        (b"{", "the body is no JSON"),
        (b"{}{}", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b'{"a":NaN}', "the body is no JSON"),
        (b"[" * 60_000, "the body is no JSON"),
        (b"[]", "JSON and no object"),
        (b"null", "JSON and no object"),
        (b'"x"', "JSON and no object"),
        (b"1", "JSON and no object"),
        (b'{"x":1}', 'unknown parameter "x": none is taken here'),
        (b'{"x\\u001b\\n":1}', 'unknown parameter "x\\\\x1b\\n": none is taken here'),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_line_6_body_is_an_object_of_what_the_action_takes(server: Server, body: bytes, words: str) -> None:
    check_refused(server, post(server, body=body), 400, words)


def test_line_6_action_takes_nothing_from_the_query_string(server: Server) -> None:
    check_refused(server, post(server, MARK + "?x=1"), 400, 'unknown parameter "x": none is taken here')


# Line 11: sizes.


def test_line_11_body_of_64_kb_is_the_largest(server: Server) -> None:
    assert post(server, body=b"{" + b" " * (MAX_BODY_BYTES - 2) + b"}").status == 200
    assert MAX_BODY_BYTES == 64 * 1024


def test_line_11_larger_body_is_refused_before_it_is_read(server: Server) -> None:
    check_refused(server, post(server, body=b"", length=MAX_BODY_BYTES + 1), 413, "larger than 65,536 bytes")
    check_refused(server, post(server, body=b"", length=10**18), 413, "larger than 65,536 bytes")


def test_line_11_larger_body_in_pieces_is_refused_when_it_gets_too_large(server: Server) -> None:
    data = request(server, MARK, method="POST", headers=[*CHANGE, ("Transfer-Encoding", "chunked")])
    answer = exchange(server, data + b"10001\r\n" + b" " * 0x10001, method="POST")
    check_refused(server, answer, 413, "larger than 65,536 bytes")


def test_line_11_client_that_leaves_before_its_body_changes_nothing(server: Server) -> None:
    with connect(server) as client:
        client.sendall(request(server, MARK, method="POST", headers=[*CHANGE, ("Content-Length", "9")]) + b"{")
    assert eventually(lambda: not server._state.tasks, PROMPT_S)
    assert not marked(server)


def test_line_11_body_that_does_not_come_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monkit_present.body.MAX_BODY_S", 0.02)
    with served(Registry()) as server, connect(server) as client:
        client.sendall(request(server, MARK, method="POST", headers=[*CHANGE, ("Content-Length", "9")]) + b"{")
        with client.makefile("rb") as stream:
            answer = stream.read()
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_line_6_checks_hold_whatever_server_runs_the_application() -> None:
    """Without one that would refuse a length that is no number."""

    async def visit(headers: list[tuple[bytes, bytes]], body: list[dict[str, Any]]) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return body.pop(0) if body else {"type": "http.disconnect"}

        scope = {"type": "http", "method": "POST", "scheme": "http", "path": MARK, "query_string": b""}
        all_headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"x-monkit-action", b"1")]
        await app({**scope, "headers": [*all_headers, *headers]}, receive, send)
        return int(sent[0]["status"])

    app = monkit_present.app(Registry(), insecure=True)
    whole = {"type": "http.request", "body": b"{}"}
    assert asyncio.run(visit([(b"content-length", b"x")], [whole])) == 200
    assert asyncio.run(visit([(b"content-length", b"9" * 5000)], [whole])) == 413
    assert asyncio.run(visit([], [{"type": "http.request", "body": b"{", "more_body": True}])) == 400


# The mark.


def test_mark_is_answered_with_its_time_and_its_number_of_series() -> None:
    registry, scope = fresh_scope()
    scope.counter("no totals").inc()
    scope.meter("bytes").mark(5)
    with scope.task("work"):
        pass
    with served(registry) as server:
        before, first, second = ask(server, "/stats?since=mark"), post(server).json, post(server).json
    assert (before.status, before.text) == (409, "Conflict: no mark has been made; make one by POST /stats/mark\n")
    assert first["series"] == 4  # the meter; of the function the counts, its successes, its failures
    assert second["marked"] > first["marked"] > 1_700_000_000_000_000_000


@pytest.mark.parametrize("path", ["/stats", "/stats/text", "/stats/old", "/stats/json"])
def test_since_mark_shows_differences_of_totals_only(path: str) -> None:
    registry, scope = fresh_scope()
    meter, value = scope.meter("bytes"), scope.int_val("size")
    scope.gauge("queue", lambda: 7)
    meter.mark(5)
    value.observe(10)
    with served(registry) as server:
        assert post(server).status == 200
        meter.mark(3)
        value.observe(1)
        scope.meter("later").mark(2)
        answer = ask(server, f"{path}?since=mark")
        whole = ask(server, path)
    if path.endswith("json"):
        found = [(item[0], item[2], item[3]) for item in answer.json]
    else:
        found = [(line.partition(",")[0], *parse(line.rpartition(" ")[2])) for line in answer.text.splitlines()]
    assert sorted(found) == [("bytes", "total", 3), ("later", "total", 2), ("size", "count", 1), ("size", "sum", 1)]
    assert "queue" in whole.text


def parse(field: str) -> tuple[str, float]:
    name, _, number = field.partition("=")
    return name, float(number)


@pytest.mark.parametrize("value", ["Mark", "yes", "0", "mark "])
def test_since_takes_the_mark_only(server: Server, value: str) -> None:
    answer = ask(server, "/stats?since=" + value.replace(" ", "%20"))
    assert (answer.status, answer.text) == (400, f'Bad Request: invalid since "{value}": expected mark\n')


def test_mark_is_bounded_and_says_what_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, scope = fresh_scope()
    for number in range(5):
        scope.meter(f"m{number}").mark(number)
    stats = list(registry.stats())
    mark = make_mark(stats, made_ns=1, most=2)
    assert (mark.series_count, mark.dropped) == (2, 3)
    assert by_field(since(stats, mark)) == {"total": 0}
    assert [str(stat.key) for stat in since(stats, mark)] == ["m0,scope=shop", "m1,scope=shop"]
    monkeypatch.setattr(make_mark, "__defaults__", (2,))
    with served(registry) as server:
        assert post(server).json["dropped"] == 3
        assert len(ask(server, "/stats/json?since=mark").json) == 2


def test_each_port_has_a_mark_of_its_own() -> None:
    with served(busy_registry()) as one, served(busy_registry()) as other:
        assert post(one).status == 200
        assert (marked(one), marked(other)) == (True, False)


def test_mark_that_cannot_be_made_leaves_the_former_one() -> None:
    registry, scope = fresh_scope()
    scope.meter("m").mark(1)

    class Failing(Registry):
        fails = False

        def stats(self) -> Any:
            if self.fails:
                raise RuntimeError
            return registry.stats()

    failing = Failing()
    with served(failing) as server:
        first = post(server)
        failing.fails = True
        assert post(server).status == 500
        failing.fails = False
        scope.meter("m").mark(2)
        assert ask(server, "/stats/json?since=mark").json[-1][3] == 2
    assert orjson.loads(first.body)["series"] == 1
