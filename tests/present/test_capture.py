"""How a capture waits, and how the wait ends."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
import xml.etree.ElementTree as ET
from contextlib import ExitStack, suppress
from typing import Any

import orjson
import pytest
from starlette.types import Message

from monkit_core import Registry, Scope, SpanCollector, SpanWaiter, watch_for_spans
from monkit_present.capture import KEEP_ALIVE_S, MAX_WAITS, Captures
from monkit_present.pages import Wait as WaitFor
from monkit_present.trace_pages import TRACE
from tests.helpers import fresh_scope, in_fresh_context
from tests.http_helpers import PROMPT_S, SVG, Wait, ask, connect, eventually, request, served, words

CAPTURE_FORMATS = {item.name: item for item in TRACE.formats}
FORMATS = tuple(CAPTURE_FORMATS)


def shop() -> tuple[Registry, Scope]:
    """A registry that knows `shop.handle`."""
    registry, scope = fresh_scope()
    scope.func("handle")
    return registry, scope


def url(kind: str, query: str = "regex=handle") -> str:
    return f"/trace/{kind}?{query}"


def check_whole(kind: str, body: bytes) -> Any:
    """Well-formed, from its first byte to its last."""
    if kind == "text":
        assert body.lstrip(b" ").startswith(b"\n")  # white space that was sent meanwhile has a line of its own
        return body.decode()
    return ET.fromstring(body) if kind == "svg" else orjson.loads(body)


def said(kind: str, body: bytes) -> str:
    return words(check_whole(kind, body)) if kind == "svg" else body.decode()


def waiters() -> int:
    """How many waits there are in memory."""
    gc.collect()
    return sum(isinstance(item, SpanWaiter | SpanCollector) for item in gc.get_objects())


# A wait is alive at once and stays so.


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_come_within_a_second_of_connecting(kind: str) -> None:
    registry, _ = shop()
    with served(registry) as server:
        begun = time.monotonic()
        with Wait(server, url(kind), timeout_s=PROMPT_S) as wait:
            assert time.monotonic() - begun < PROMPT_S
            assert (wait.status, wait.header("content-type")) == (200, CAPTURE_FORMATS[kind].media_type)
            assert wait.body.decode() == CAPTURE_FORMATS[kind].opening


@pytest.mark.parametrize("kind", FORMATS)
def test_keep_alive_goes_out_while_one_waits_and_the_body_stays_well_formed(kind: str) -> None:
    registry, scope = shop()
    with served(registry, captures=Captures(keep_alive_s=0.05)) as server, Wait(server, url(kind)) as wait:
        assert [wait.chunk(), wait.chunk()] == [b" ", b" "]
        with scope.task("handle"):
            pass
        body = wait.rest()
        check_whole(kind, body)
        assert body.startswith(CAPTURE_FORMATS[kind].opening.encode() + b"  ")


def test_keep_alive_is_sent_more_often_than_proxies_lose_patience() -> None:
    assert KEEP_ALIVE_S <= 15


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_is_lost_between_request_and_match(kind: str) -> None:
    registry, scope = shop()
    with served(registry) as server:
        for _ in range(20):
            with Wait(server, url(kind)) as wait:
                with scope.task("handle"):
                    pass
                check_whole(kind, wait.rest())
        assert registry.watcher_count == 0


@in_fresh_context
def test_call_that_runs_already_is_not_the_next_one() -> None:
    registry, scope = shop()
    with served(registry) as server, scope.task("handle") as running, Wait(server, url("json")) as wait:
        with scope.func("handle").reset_trace() as following:
            pass
        (row,) = wait.json()
        assert row["id"] == following.id != running.id


def test_head_never_waits_and_never_watches() -> None:
    registry, _ = shop()
    captures = Captures()
    with served(registry, captures=captures) as server:
        for kind in FORMATS:
            answer = ask(server, url(kind), method="HEAD")
            assert (answer.status, answer.body) == (200, b"")
            assert answer.header("content-type") == CAPTURE_FORMATS[kind].media_type
            assert (captures.waiting, registry.watcher_count) == (0, 0)
        assert ask(server, url("json", "regex=["), method="HEAD").status == 400


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/trace/svg", 400),
        ("/trace/svg?regex=%5B", 400),
        ("/trace/svg?regex=nothing", 400),
        ("/trace/json?regex=handle&max_spans=0", 400),
        ("/trace/json?regex=handle&timeout=-1", 400),
        ("/trace/json?regex=handle&unknown=1", 400),
        ("/trace/json?regex=handle&regex=handle", 400),
        ("/trace/xml?regex=nothing", 400),
        ("/trace/xml?regex=handle", 404),
        ("/trace?regex=handle", 404),
        ("/trace/svg/further?regex=handle", 404),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_wait(target: str, status: int) -> None:
    registry, _ = shop()
    with served(registry) as server:
        answer = ask(server, target)
        assert (answer.status, registry.watcher_count) == (status, 0)
        assert answer.text.splitlines(keepends=True) == [answer.text]


def test_trailing_slash_is_tolerated() -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, "/trace/json/?regex=handle") as wait:
        with scope.task("handle"):
            pass
        assert len(wait.json()) == 1


# A client that leaves.


@pytest.mark.parametrize("kind", FORMATS)
def test_leaving_client_frees_its_watcher_within_a_second(kind: str) -> None:
    registry, _ = shop()
    captures = Captures()
    with served(registry, captures=captures) as server:
        with Wait(server, url(kind)):
            assert (captures.waiting, registry.watcher_count) == (1, 1)
        assert eventually(lambda: registry.watcher_count == 0, PROMPT_S)
        assert eventually(lambda: captures.waiting == 0, PROMPT_S)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("ahead", [b"GET /ps HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /p", b"x" * 10_000])
def test_client_that_sent_more_and_then_left_frees_its_watcher_within_a_second_too(
    ahead: bytes, together: bool
) -> None:
    registry, _ = shop()
    captures = Captures()
    with served(registry, captures=captures) as server:
        with connect(server) as client:
            first = f"GET {url('json')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            client.sendall(first + ahead if together else first)
            assert eventually(lambda: captures.waiting == 1)
            client.sendall(b"" if together else ahead)
        assert eventually(lambda: registry.watcher_count == 0, PROMPT_S)
        assert eventually(lambda: captures.waiting == 0, PROMPT_S)


def test_request_that_was_sent_ahead_is_answered_after_the_wait() -> None:
    registry, scope = shop()
    with served(registry) as server, connect(server) as client:
        client.sendall(f"GET {url('json')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert eventually(lambda: registry.watcher_count == 1)
        client.sendall(request(server, "/funcs"))
        with scope.task("handle"):
            pass
        with client.makefile("rb") as stream:
            body = stream.read()
    assert body.count(b"HTTP/1.1 200 OK") == 2
    assert b"shop.handle\n  parents: entry" in body


def test_client_that_sends_very_much_ahead_and_leaves_frees_its_watcher() -> None:
    registry, _ = shop()
    with served(registry) as server, connect(server) as client:
        client.sendall(f"GET {url('json')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert eventually(lambda: registry.watcher_count == 1)
        with suppress(ConnectionError):
            client.sendall(b"GET /ps?" + b"x" * 1_000_000)
        assert registry.watcher_count == 1
        client.close()
        assert eventually(lambda: registry.watcher_count == 0, PROMPT_S)


def test_client_that_leaves_during_the_match_frees_its_watcher_too() -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, url("svg")) as wait, scope.task("handle"):
        wait.leave()
        assert eventually(lambda: registry.watcher_count == 0, PROMPT_S)


def test_wait_whose_answer_cannot_be_sent_frees_its_watcher_too() -> None:
    registry, _ = shop()
    captures = Captures()
    wait = WaitFor(lambda: watch_for_spans(registry, lambda span: True), "everything", 10)

    async def send(message: Message) -> None:
        raise ConnectionResetError

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def visit() -> None:
        with pytest.raises(ConnectionResetError):
            await captures.respond(wait, TRACE.formats[0], "GET", receive, send)

    asyncio.run(visit())
    assert (captures.waiting, registry.watcher_count) == (0, 0)


def test_two_hundred_waits_that_were_dropped_leave_nothing_behind() -> None:
    registry, scope = shop()
    before = waiters()

    def open_and_drop() -> None:
        with ExitStack() as waits:
            for number in range(200):
                waits.enter_context(Wait(server, url(FORMATS[number % len(FORMATS)])))
            assert registry.watcher_count == 200
        assert eventually(lambda: registry.watcher_count == 0)
        assert eventually(lambda: not server._state.connections)
        assert eventually(lambda: not server._state.tasks)

    with served(registry) as server:
        open_and_drop()  # what is made once is made now
        assert eventually(lambda: waiters() == before)
        tracemalloc.start()
        try:
            first = tracemalloc.get_traced_memory()[0]
            open_and_drop()
            assert eventually(lambda: waiters() == before)
            grown = tracemalloc.get_traced_memory()[0] - first
        finally:
            tracemalloc.stop()
        assert grown < 200_000, "a kilobyte a wait would stay behind"
        with scope.task("handle"):
            pass


def test_watchers_of_waits_keep_nothing_of_calls_that_do_not_match() -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, url("json")):
        ((collector, _),) = registry.live.observers
        for _ in range(100):
            with scope.task("other"), scope.task("below"):
                pass
        assert isinstance(collector, SpanCollector)
        assert collector.capture().spans == ()


# Limits.


def test_wait_above_the_limit_is_told_to_come_back() -> None:
    registry, scope = shop()
    captures = Captures(most=2)
    with (
        served(registry, captures=captures) as server,
        Wait(server, url("json")) as first,
        Wait(server, url("svg")),
    ):
        answer = ask(server, url("json"))
        assert (answer.status, answer.header("retry-after")) == (429, "5")
        assert answer.text == "Too Many Requests: 2 captures wait already\n"
        assert ask(server, url("json", "regex=[")).status == 400
        assert registry.watcher_count == 2
        first.leave()
        assert eventually(lambda: captures.waiting == 1)
        with Wait(server, url("json")) as third:
            with scope.task("handle"):
                pass
            assert len(third.json()) == 1


def test_257th_wait_is_told_to_come_back() -> None:
    registry, _ = shop()
    assert MAX_WAITS == 256
    captures = Captures()
    captures.waiting = 255  # as if they waited
    with served(registry, captures=captures) as server, Wait(server, url("json")):
        assert ask(server, url("json")).status == 429


# The end of a wait without a match.


@pytest.mark.parametrize("kind", FORMATS)
def test_time_out_ends_in_a_well_formed_body_that_says_so(kind: str) -> None:
    registry, _ = shop()
    with served(registry) as server:
        answer = ask(server, url(kind, "regex=handle&timeout=0.02"))
        assert answer.status == 200
        check_whole(kind, answer.body)
        if kind == "svg":
            assert "Timed out\nTimed out\nNo call matched regex=handle in 0 s." in words(ET.fromstring(answer.body))
        elif kind == "text":
            assert answer.text.lstrip(" ") == "\nTimed out. No call matched regex=handle in 0 s.\n"
        else:
            assert answer.json["timeout"] is True
            assert (answer.json["query"], answer.json["matched"]) == ("regex=handle", False)
            assert answer.json["waited_s"] >= 0.02
        assert eventually(lambda: registry.watcher_count == 0, PROMPT_S)


@pytest.mark.parametrize("kind", FORMATS)
def test_time_out_during_a_match_says_so_too(kind: str) -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, url(kind, "regex=handle&timeout=0.05")) as wait, scope.task("handle"):
        body = wait.rest()
    if kind not in ("svg", "text"):
        assert (check_whole(kind, body)["timeout"], check_whole(kind, body)["matched"]) == (True, True)
    else:
        assert "A call matched regex=handle and still ran after 0 s." in said(kind, body)


@pytest.mark.parametrize("kind", FORMATS)
def test_close_of_the_server_ends_open_waits_well_formed_and_within_a_second(kind: str) -> None:
    registry, _ = shop()
    with served(registry) as server, Wait(server, url(kind)) as wait:
        begun = time.monotonic()
        server.close()
        assert time.monotonic() - begun < PROMPT_S
        body = wait.rest()
    check_whole(kind, body)
    assert "The server was closed" in said(kind, body) or '"closed":true' in said(kind, body)
    assert registry.watcher_count == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_query_is_shown_without_harm_when_a_wait_ends(kind: str) -> None:
    registry, _ = shop()
    hostile = "%3C/svg%3E%3Cscript%3E%22%5D%5D%3E%0A%1b%E2%80%AE"
    with served(registry) as server:
        answer = ask(server, url(kind, f"regex={hostile}&preselect=false&timeout=0.01"))
    check_whole(kind, answer.body)
    if kind == "svg":
        assert {element.tag for element in ET.fromstring(answer.body).iter()} <= {
            f"{SVG}{tag}" for tag in ("svg", "title", "style", "text")
        }
        assert '</svg><script>"]]> \\x1b\\u202e' in words(ET.fromstring(answer.body))
    elif kind == "text":
        assert answer.text.count("\n") == 2
        assert '</svg><script>"]]>\\n\\x1b\\u202e' in answer.text
    else:
        assert answer.json["query"] == 'regex=</svg><script>"]]>\n\\x1b\\u202e'
