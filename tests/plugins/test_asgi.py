"""Server spans of ASGI applications: their life, their end, their trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from monkit_core import Span, current_span, faults, watch_for_spans
from monkit_plugins.asgi import MonkitMiddleware
from tests.helpers import check_idle, fresh_scope
from tests.plugins.services import (
    BODY,
    Client,
    Finished,
    answering,
    ask,
    http,
    only,
    run,
    serving,
    streaming,
    websocket,
)
from tests.propagation_helpers import PARENT_ID, TRACE_ID, TRACEPARENT


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


def test_request_is_one_span_and_the_answer_passes_unchanged() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    client = run(ask(MonkitMiddleware(answering(200), mon), http()))
    assert client.heard == [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b"hello"},
    ]
    (span,) = watched.spans
    assert span.func.full_name == "shop.http GET"
    assert span.annotations == (("http.status", "200"),)
    assert (span.parent_id, span.error_name) == (None, None)
    check_idle(registry)


def test_span_goes_on_with_the_trace_of_the_headers() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    run(ask(MonkitMiddleware(answering(200), mon), http(headers={"Traceparent": TRACEPARENT})))
    (span,) = watched.spans
    assert (span.trace.id, span.parent_id) == (TRACE_ID, PARENT_ID)
    assert span.trace.get("sampled") is None


def test_options_of_extraction_are_passed_on() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    app = MonkitMiddleware(answering(200), mon, honour_sampling=True, record_baggage="userId")
    run(ask(app, http(headers={"traceparent": TRACEPARENT, "baggage": "userId=7"})))
    (span,) = watched.spans
    assert span.trace.get("sampled") is True
    assert span.annotations == (("baggage.userId", "7"), ("http.status", "200"))


def test_span_is_current_in_the_handler_and_not_after_it() -> None:
    registry, mon = fresh_scope()
    inside: list[Span | None] = []

    async def handler(request: Request) -> Response:
        inside.append(current_span())
        return PlainTextResponse("")

    async def work() -> None:
        with mon.task("server's own"):
            before = current_span()
            await ask(MonkitMiddleware(Starlette(routes=[Route("/", handler)]), mon), http())
            assert current_span() is before

    run(work())
    (span,) = inside
    assert span is not None
    assert span.func.short_name == "http GET /"
    assert span.parent_id is None  # what happened to be current is not its parent
    check_idle(registry)


@pytest.mark.parametrize("cancel", [True, False])
def test_exception_counts_under_its_name_and_goes_on(cancel: bool) -> None:
    registry, mon = fresh_scope()

    async def app(connection: Any, receive: Any, send: Any) -> None:
        raise LookupError("no")

    with pytest.raises(LookupError) as caught:
        run(ask(MonkitMiddleware(app, mon, cancel_on_disconnect=cancel), http()))
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert only(registry) == {"http GET": (0, {"LookupError": 1})}
    check_idle(registry)


def test_exception_counts_under_its_name_although_the_framework_has_answered_500_before() -> None:
    registry, mon = fresh_scope()

    async def handler(request: Request) -> Response:
        raise LookupError("no")

    app = Starlette(routes=[Route("/", handler)])
    with pytest.raises(LookupError):
        run(ask(MonkitMiddleware(app, mon), http()))
    assert only(registry) == {"http GET /": (0, {"LookupError": 1})}


def test_exception_after_the_answer_is_no_failure_of_the_request() -> None:
    registry, mon = fresh_scope()
    with pytest.raises(LookupError):
        run(ask(MonkitMiddleware(answering(200, LookupError()), mon), http()))
    assert only(registry) == {"http GET": (1, {})}


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        (200, (1, {})),
        (304, (1, {})),
        (404, (1, {})),
        (499, (1, {})),
        (500, (0, {"HTTP 500": 1})),
        (503, (0, {"HTTP 503": 1})),
    ],
)
def test_answer_of_5xx_counts_as_an_error_and_4xx_does_not(status: int, counted: tuple[int, dict[str, int]]) -> None:
    registry, mon = fresh_scope()
    run(ask(MonkitMiddleware(answering(status), mon), http()))
    assert only(registry) == {"http GET": counted}


def test_answer_of_5xx_is_a_success_on_request() -> None:
    registry, mon = fresh_scope()
    run(ask(MonkitMiddleware(answering(503), mon, fail_on_5xx=False), http()))
    assert only(registry) == {"http GET": (1, {})}


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])  # Starlette sends from another task below 2.4
def test_span_of_a_streamed_answer_lasts_as_long_as_its_body(spec_version: str) -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        go_on = asyncio.Event()
        watched = Finished(registry)
        app = MonkitMiddleware(streaming(go_on), mon)
        client = Client()
        client.says.put_nowait(BODY)
        connection = http(asgi={"version": "3.0", "spec_version": spec_version})
        asking = asyncio.create_task(app(connection, client.receive, client.send))
        assert (await client.until(2))["body"] == b"first"
        assert [span.func.short_name for span in registry.root_spans()] == ["http GET /"]
        assert watched.spans == []
        go_on.set()
        await asking
        assert watched.names == ["http GET /"]
        assert client.body == b"firstlast"

    run(work())
    check_idle(registry)


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_what_a_handler_does_after_its_answer_is_an_orphan_of_the_trace(spec_version: str) -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)

    @mon.task
    async def sweep() -> None:
        assert watched.names == ["http GET /"]  # the request has ended

    async def one() -> AsyncIterator[bytes]:
        yield b"x"

    async def handler(request: Request) -> Response:
        return StreamingResponse(one(), background=BackgroundTask(sweep))

    async def work() -> None:
        connection = http(asgi={"version": "3.0", "spec_version": spec_version})
        await ask(MonkitMiddleware(Starlette(routes=[Route("/", handler)]), mon), connection)
        assert current_span() is None

    run(work())
    request, after = watched.spans
    assert (after.orphaned, after.parent_id, after.trace.id) == (True, request.id, request.trace.id)
    check_idle(registry)


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b"a", "more_body": True}, {"type": "http.response.body"}],
        [{"type": "http.response.zerocopysend", "file": 0}],
        [{"type": "http.response.pathsend", "path": "/a"}],
        [
            {"type": "http.response.body", "body": b"a"},
            {"type": "http.response.trailers", "headers": [], "more_trailers": True},
            {"type": "http.response.trailers", "headers": []},
        ],
    ],
    ids=["body", "zerocopysend", "pathsend", "trailers"],
)
def test_answer_is_complete_with_its_last_message(messages: list[dict[str, Any]]) -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    trailers = messages[-1]["type"] == "http.response.trailers"
    ended: list[int] = []

    async def app(connection: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": trailers})
        for message in messages:
            ended.append(len(watched.spans))
            await send(message)
        ended.append(len(watched.spans))

    run(ask(MonkitMiddleware(app, mon), http()))
    assert ended == [0] * len(messages) + [1]


def test_websocket_is_one_span_for_its_life() -> None:
    registry, mon = fresh_scope()

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    async def work() -> None:
        watched = Finished(registry)
        app = MonkitMiddleware(Starlette(routes=[WebSocketRoute("/rooms/{name}", echo)]), mon)
        client = Client()
        client.says.put_nowait({"type": "websocket.connect"})
        connection = websocket("/rooms/7", headers=[(b"traceparent", TRACEPARENT.encode())])
        asking = asyncio.create_task(app(connection, client.receive, client.send))
        assert (await client.until(1))["type"] == "websocket.accept"
        assert watched.spans == []
        client.says.put_nowait({"type": "websocket.receive", "text": "hello"})
        assert (await client.until(2))["text"] == "hello"
        await asking
        (span,) = watched.spans
        assert span.func.short_name == "websocket /rooms/{name}"
        assert (span.trace.id, span.parent_id) == (TRACE_ID, PARENT_ID)

    run(work())
    assert only(registry) == {"websocket /rooms/{name}": (1, {})}
    check_idle(registry)


def test_websocket_whose_client_leaves_hears_of_it_and_is_not_cancelled() -> None:
    registry, mon = fresh_scope()

    async def app(connection: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"

    connect, disconnect = {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}
    run(ask(MonkitMiddleware(app, mon), websocket(), connect, disconnect))
    assert only(registry) == {"websocket": (1, {})}


def test_websocket_that_is_refused_by_an_answer_counts_by_its_status() -> None:
    registry, mon = fresh_scope()

    async def app(connection: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 503, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})

    run(ask(MonkitMiddleware(app, mon), websocket(), {"type": "websocket.connect"}))
    assert only(registry) == {"websocket": (0, {"HTTP 503": 1})}


def test_lifespan_is_no_request() -> None:
    registry, mon = fresh_scope()
    seen: list[Any] = []

    async def app(connection: Any, receive: Any, send: Any) -> None:
        seen.append((connection, current_span()))

    run(ask(MonkitMiddleware(app, mon), {"type": "lifespan"}))
    assert seen == [({"type": "lifespan"}, None)]
    assert registry.funcs() == []


def test_of_two_nested_the_outer_one_counts() -> None:
    registry, mon = fresh_scope()
    run(ask(MonkitMiddleware(MonkitMiddleware(answering(200), registry.scope("inner")), mon), http()))
    assert [func.full_name for func in registry.funcs()] == ["shop.http GET"]


def test_it_works_among_the_middleware_of_an_application() -> None:
    registry, mon = fresh_scope()
    app = Starlette(routes=[Route("/users/{id}", hello)], middleware=[Middleware(MonkitMiddleware, mon=mon)])
    assert run(ask(app, http("/users/7"))).body == b"hello"
    assert only(registry) == {"http GET /users/{id}": (1, {})}


def test_route_that_cannot_be_asked_is_reported_and_the_request_goes_on() -> None:
    registry, mon = fresh_scope()

    def route(connection: Any) -> str:
        raise LookupError("no idea")

    before = faults.count()
    client = run(ask(MonkitMiddleware(answering(200), mon, route=route), http()))
    assert client.status == 200
    assert faults.count() == before + 1
    assert only(registry) == {"http GET": (1, {})}


def test_span_that_an_application_leaves_open_does_not_reach_the_next_request() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    left: list[Any] = []

    async def app(connection: Any, receive: Any, send: Any) -> None:
        left.append(mon.task("left open"))
        left[-1].__enter__()
        await answering(200)(connection, receive, send)

    async def work() -> None:
        for _ in range(2):
            await ask(MonkitMiddleware(app, mon), http())

    run(work())
    assert [(span.func.short_name, span.parent_id) for span in watched.spans] == [("http GET", None)] * 2
    for block in left:
        block.__exit__(None, None, None)
    check_idle(registry)


def test_pipelined_request_is_no_child_of_the_one_before_it() -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        watched = Finished(registry)
        async with serving(MonkitMiddleware(Starlette(routes=[Route("/{number}", hello)]), mon)) as (host, port):
            reader, writer = await asyncio.open_connection(host, port)
            first = f"GET /1 HTTP/1.1\r\nHost: a\r\ntraceparent: {TRACEPARENT}\r\n\r\n"
            more = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            writer.write((first + more).encode())
            answers = await reader.read()
            writer.close()
            await writer.wait_closed()
            spans = await watched.until(3)
        assert answers.count(b"hello") == 3
        assert [span.parent_id for span in spans] == [PARENT_ID, None, None]
        assert spans[0].trace.id == TRACE_ID
        assert len({span.trace.id for span in spans}) == 3
        assert not any(span.orphaned for span in spans)

    run(work())
    assert registry.funcs()[0].callers == {None: 3}
    check_idle(registry)


def test_call_that_sends_the_last_piece_is_no_orphan() -> None:
    registry, mon = fresh_scope()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        with mon.task("handler"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"all"})

    waiter = watch_for_spans(registry, lambda span: True)
    connection = {"type": "http", "method": "GET", "path": "/", "headers": []}

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        pass

    asyncio.run(MonkitMiddleware(application, mon)(connection, receive, send))
    server, handler = waiter.result(0).spans
    assert handler.span.parent_id == server.span.id
    assert not handler.span.orphaned
