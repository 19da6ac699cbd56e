"""VLite over real connections: client, proxy and upstream on free ports of one event loop."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import monkit_core as monkit
import vlite_traffic
from monkit_plugins.asgi import MonkitMiddleware
from tests.helpers import BOUND_S, calls_ended, figures
from vlite import VLite
from vlite_server import listener_on, serving

MON = monkit.scope("vlite")
HANDLER = MON.func("VLite.HandleHTTP")
PROXY = MON.func("VLite.Proxy")


@pytest.fixture(autouse=True)
def _fresh_figures() -> Iterator[None]:
    for func in MON.funcs():
        func.reset()
    watchers = monkit.default_registry.watcher_count
    yield
    assert [func.current for func in MON.funcs()] == [0] * len(MON.funcs())
    assert monkit.default_registry.watcher_count == watchers


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, BOUND_S))


@asynccontextmanager
async def proxy_to(target: str, patience_s: float = BOUND_S) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a VLite in front of *target*."""
    async with (
        aclosing(VLite(target, patience_s)) as vlite,
        serving(MonkitMiddleware(vlite, MON), listener_on(0)) as url,
        httpx.AsyncClient(base_url=url, timeout=BOUND_S, trust_env=False) as client,
    ):
        yield client


@asynccontextmanager
async def proxied(upstream: ASGIApp, patience_s: float = BOUND_S) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a VLite in front of *upstream*."""
    async with serving(upstream, listener_on(0)) as target, proxy_to(target, patience_s) as client:
        yield client


class Upstream:
    """Takes in a request, says what it gave, and answers as told."""

    def __init__(self, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (), body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.answer = body
        self.target = b""
        self.asked_with: list[tuple[bytes, bytes]] = []
        self.traceparent = ""
        self.body = b""
        self.got_some = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked_with = [header for header in scope["headers"] if header[0] != b"traceparent"]
        self.traceparent = dict(scope["headers"]).get(b"traceparent", b"").decode()
        self.target = scope["raw_path"] + b"?" + scope["query_string"]
        more = True
        while more:
            message = await receive()
            self.body += message["body"]
            self.got_some.set()
            more = message["more_body"]
        await self.reply(receive, send)

    async def reply(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.answer})

    def header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.asked_with if key == name]


class EndlessUpstream(Upstream):
    """Begins an answer, or not even that, and then waits for its client to leave."""

    def __init__(self, first: bytes | None) -> None:
        super().__init__()
        self.first = first

    async def reply(self, receive: Receive, send: Send) -> None:
        if self.first is not None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": self.first, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


def next_trace() -> monkit.SpanWaiter:
    return monkit.watch_for_spans(monkit.default_registry, lambda span: span.func is HANDLER)


class Finishes:
    """An observer that counts calls of the handler as they end."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[monkit.Span] = asyncio.Queue()

    def span_started(self, span: monkit.Span) -> None:
        pass

    def span_finished(self, span: monkit.Span, error: BaseException | None) -> None:
        if span.func is HANDLER:
            self.ended.put_nowait(span)

    async def wait_for(self, number: int) -> None:
        for _ in range(number):
            await self.ended.get()


@contextmanager
def finishes() -> Iterator[Finishes]:
    observer = Finishes()
    detach = monkit.default_registry.observe_spans(observer)
    try:
        yield observer
    finally:
        detach()


def test_an_answer_is_streamed_down_while_it_is_made() -> None:
    async def test() -> None:
        read = asyncio.Event()

        class Hesitant(Upstream):
            async def reply(self, receive: Receive, send: Send) -> None:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"first,", "more_body": True})
                await read.wait()
                await send({"type": "http.response.body", "body": b"second"})

        async with proxied(Hesitant()) as client, client.stream("GET", "/") as response:
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                read.set()
        assert body == b"first,second"

    run(test())


def test_a_request_is_streamed_up_while_it_is_made() -> None:
    async def test() -> None:
        upstream = Upstream()

        async def body() -> AsyncIterator[bytes]:
            yield b"first,"
            await upstream.got_some.wait()
            yield b"second"

        async with proxied(upstream) as client:
            await client.post("/", content=body())
        assert upstream.body == b"first,second"
        assert upstream.header(b"transfer-encoding") == [b"chunked"]

    run(test())


def test_a_compressed_answer_and_its_headers_arrive_unchanged() -> None:
    packed = gzip.compress(bytes(range(256)) * 4096, compresslevel=0)
    headers = (
        (b"content-encoding", b"gzip"),
        (b"content-length", str(len(packed)).encode()),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"etag", b'"7"'),
    )

    async def test() -> None:
        async with proxied(Upstream(201, headers, packed)) as client, client.stream("GET", "/") as response:
            assert b"".join([chunk async for chunk in response.aiter_raw()]) == packed
        assert response.status_code == 201
        assert tuple(response.headers.raw) == headers

    run(test())


def test_a_long_request_and_its_headers_arrive_unchanged() -> None:
    body = bytes(range(256)) * 4096

    async def test() -> None:
        upstream = Upstream()
        async with proxied(upstream) as client:
            headers = [("X-Two", "1"), ("X-Two", "2"), ("Cookie", "a=1"), ("Content-Length", str(len(body)))]
            await client.send(
                httpx.Request("PUT", client.base_url.join("/a%2Fb/?q=%20"), headers=headers, content=body)
            )
        assert upstream.target == b"/a%2Fb/?q=%20"
        assert upstream.body == body
        assert sorted(upstream.asked_with) == [
            (b"content-length", str(len(body)).encode()),
            (b"cookie", b"a=1"),
            (b"host", upstream.header(b"host")[0]),
            (b"x-forwarded-for", b"127.0.0.1"),
            (b"x-two", b"1"),
            (b"x-two", b"2"),
        ]

    run(test())


def test_cookies_of_one_client_are_not_given_to_another() -> None:
    async def test() -> None:
        upstream = Upstream(headers=((b"set-cookie", b"secret=1"),))
        async with proxied(upstream) as client:
            for _ in range(2):
                await client.send(httpx.Request("GET", client.base_url))
        assert upstream.header(b"cookie") == []

    run(test())


def test_headers_of_one_hop_stay_there() -> None:
    async def test() -> None:
        upstream = Upstream(
            headers=((b"connection", b"X-Inner"), (b"x-inner", b"1"), (b"keep-alive", b"9"), (b"x-kept", b"1"))
        )
        asked_with = {
            "Connection": "keep-alive, X-Hop",
            "X-Hop": "1",
            "Keep-Alive": "9",
            "TE": "trailers",
            "Proxy-Authorization": "Basic Og==",
            "X-Forwarded-For": "192.0.2.1",
            "X-Kept": "1",
        }
        async with proxied(upstream) as client:
            response = await client.send(httpx.Request("GET", client.base_url, headers=asked_with))
            assert [name for name, _ in upstream.asked_with] == [b"host", b"x-kept", b"x-forwarded-for"]
            assert upstream.header(b"x-forwarded-for") == [b"192.0.2.1, 127.0.0.1"]
            assert upstream.header(b"host") != [client.base_url.netloc]
        assert response.headers["x-kept"] == "1"
        assert {"connection", "x-inner", "keep-alive"}.isdisjoint(response.headers)

    run(test())


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", 200, b"12"), ("GET", 304, b"12"), ("GET", 204, None), ("GET", 200, b"0")],
)
def test_an_answer_without_a_body_leaves_the_connection_in_order(
    method: str, status: int, length: bytes | None
) -> None:
    async def test() -> None:
        headers = () if length is None else ((b"content-length", length),)
        async with proxied(Upstream(status, headers)) as client:
            for _ in range(2):
                response = await client.request(method, "/")
                assert (response.status_code, response.content) == (status, b"")
                assert response.headers.get("content-length") == (length.decode() if length else None)

    run(test())


def test_an_upstream_out_of_reach_gives_502_and_counts_as_an_error() -> None:
    async def test() -> None:
        with closing(socket.socket()) as nobody:
            nobody.bind(("127.0.0.1", 0))  # and does not listen
            async with proxy_to("http://{}:{}".format(*nobody.getsockname())) as client:
                trace = next_trace()
                assert (await client.get("/")).status_code == 502
                await trace
        assert HANDLER.errors == PROXY.errors == {"ConnectError": 1}

    run(test())


def test_an_upstream_that_keeps_silent_gives_504_and_counts_as_an_error() -> None:
    async def test() -> None:
        upstream = EndlessUpstream(first=None)
        async with proxied(upstream, patience_s=0.05) as client:
            trace = next_trace()
            assert (await client.get("/")).status_code == 504
            await trace
            await upstream.left.wait()
        assert HANDLER.errors == PROXY.errors == {"ReadTimeout": 1}

    run(test())


def test_an_answer_that_breaks_off_breaks_off_for_the_client_too() -> None:
    async def test() -> None:
        async with proxied(vlite_traffic.upstream) as client:
            trace = next_trace()
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/broken")
            await trace
        assert HANDLER.errors == PROXY.errors == {"RemoteProtocolError": 1}

    run(test())


def test_passing_on_an_error_of_the_upstream_is_a_success() -> None:
    async def test() -> None:
        async with proxied(Upstream(500, body=b"sorry")) as client:
            trace = next_trace()
            response = await client.get("/")
            await trace
        assert (response.status_code, response.content) == (500, b"sorry")
        assert (HANDLER.success_times.count, HANDLER.errors) == (1, {})

    run(test())


def test_a_request_for_another_host_is_refused() -> None:
    async def test() -> None:
        upstream = Upstream()
        async with proxied(upstream) as client:
            trace = next_trace()
            request = client.build_request("GET", "/", extensions={"target": b"http://192.0.2.1/"})
            assert (await client.send(request)).status_code == 400
            await trace
        assert upstream.target == b""
        assert HANDLER.errors == {"InvalidURL": 1}

    run(test())


@pytest.mark.parametrize("first", [None, b"some"])
def test_a_client_that_leaves_cancels_its_handler(first: bytes | None) -> None:
    async def test() -> None:
        upstream = EndlessUpstream(first)
        async with proxied(upstream) as client:
            trace = next_trace()
            asking = asyncio.create_task(client.get("/"))
            await upstream.got_some.wait()
            asking.cancel()
            handler, *below = (await trace).spans
            await upstream.left.wait()
        assert HANDLER.errors == PROXY.errors == {"Canceled": 1}
        assert handler.span.error_name == "Canceled"
        assert not any(child.unfinished for child in below)

    run(test())


def test_a_client_that_leaves_while_it_uploads_cancels_its_handler() -> None:
    async def test() -> None:
        upstream = Upstream()

        async def body() -> AsyncIterator[bytes]:
            yield b"some"
            await asyncio.Event().wait()

        async with proxied(upstream) as client:
            trace = next_trace()
            asking = asyncio.create_task(client.post("/", content=body()))
            await upstream.got_some.wait()
            asking.cancel()
            await trace
        assert HANDLER.errors == PROXY.errors == {"Canceled": 1}

    run(test())


def test_a_client_that_leaves_after_the_last_byte_was_served() -> None:
    async def test() -> None:
        complete = asyncio.Event()

        async def receive() -> Message:
            await complete.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body" and not message["more_body"]:
                complete.set()
                for _ in range(3):  # a server that lets others run before it comes back
                    await asyncio.sleep(0)

        scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
        async with (
            serving(Upstream(body=b"some"), listener_on(0)) as target,
            aclosing(VLite(target, BOUND_S)) as vlite,
        ):
            await MonkitMiddleware(vlite, MON)({**scope, "client": None}, receive, send)
        assert (HANDLER.success_times.count, HANDLER.errors) == (1, {})

    run(test())


def test_the_spans_of_a_request_lie_one_inside_the_other() -> None:
    async def test() -> None:
        upstream = Upstream(body=b"some")
        async with proxied(upstream) as client:
            trace = next_trace()
            await client.get("/path?secret=1")
            handler, proxy, *steps = (await trace).spans
        assert handler.span.args == ("method='GET'", "path='/path'")
        assert not handler.span.orphaned
        assert proxy.span.func is PROXY
        assert [step.span.func.short_name for step in steps] == ["httpx GET", "VLite.stream_body"]
        assert upstream.traceparent.startswith(f"00-{handler.span.trace.id:032x}-{steps[0].span.id:016x}-")
        for parent, child in [(handler, proxy), (proxy, steps[0]), (proxy, steps[1])]:
            assert child.span.parent_id == parent.span.id
            assert parent.span.start_ns <= child.span.start_ns < child.finish_ns <= parent.finish_ns

    run(test())


def test_requests_sent_at_once_on_one_connection_are_traces_of_their_own() -> None:
    async def test() -> None:
        async with proxied(Upstream(body=b"some")) as client:
            with finishes() as handled:
                reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
                writer.write(b"GET / HTTP/1.1\r\nHost: vlite\r\n\r\n" * 3)
                await handled.wait_for(3)
                for _ in range(3):
                    await reader.readuntil(b"some\r\n0\r\n\r\n")
                writer.close()
                await writer.wait_closed()
        assert MON.func("http GET").callers == {None: 3}
        assert HANDLER.callers == {MON.func("http GET"): 3}

    run(test())


def test_every_request_is_counted_once() -> None:
    number = 40

    async def ask(client: httpx.AsyncClient, path: str) -> None:
        if path == "/forever":
            await vlite_traffic.leave(client, path)
        else:
            await vlite_traffic.attempt(vlite_traffic.get, client, path)

    async def test() -> None:
        paths = ["/fast", "/error", "/large", "/forever", "/broken"]
        async with proxied(vlite_traffic.upstream) as client:
            with finishes() as handled:
                await asyncio.gather(*(ask(client, paths[index % len(paths)]) for index in range(number)))
                await handled.wait_for(number)
        share = number // len(paths)
        assert HANDLER.errors == {"Canceled": share, "RemoteProtocolError": share}
        assert HANDLER.success_times.count == 3 * share
        assert calls_ended(HANDLER) == calls_ended(PROXY) == number

    run(test())


def test_bytes_and_open_requests_are_on_record() -> None:
    async def test() -> None:
        up, down = MON.meter("bytes", direction="up"), MON.meter("bytes", direction="down")
        before = up.total, down.total
        upstream = EndlessUpstream(first=b"some")
        async with proxied(upstream) as client:
            trace = next_trace()
            async with client.stream("POST", "/", content=b"four") as response:
                assert await anext(response.aiter_raw()) == b"some"
                assert ("open_requests,scope=vlite", "value", 1.0) in figures(MON.stats())
            await trace
        assert ("open_requests,scope=vlite", "value", 0.0) in figures(MON.stats())
        assert (up.total - before[0], down.total - before[1]) == (4, 4)

    run(test())
