"""Clients of ASGI applications that leave: their requests are cancelled, and what is read ahead to hear of it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monkit_plugins.asgi import MonkitMiddleware
from tests.helpers import BOUND_S, check_idle, fresh_scope
from tests.plugins.services import (
    BODY,
    GONE,
    Client,
    Finished,
    answering,
    ask,
    http,
    only,
    run,
    serving,
    streaming,
)


class Handler:
    """A handler that waits for ever and tells how it ended."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.ended_by: list[str] = []

    async def __call__(self, request: Request) -> Response:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended_by.append("cancelled")
            raise
        raise AssertionError


def test_client_that_leaves_cancels_the_handler_and_counts_as_canceled() -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        handler = Handler()
        app = MonkitMiddleware(Starlette(routes=[Route("/", handler.__call__)]), mon)
        client = Client()
        asking = asyncio.create_task(app(http(), client.receive, client.send))
        client.says.put_nowait(BODY)
        await handler.entered.wait()
        client.says.put_nowait(GONE)
        await asking  # which ends quietly: nobody is left who could be told
        assert handler.ended_by == ["cancelled"]
        assert (asking.cancelled(), asking.cancelling()) == (False, 0)

    run(work())
    assert only(registry) == {"http GET /": (0, {"Canceled": 1})}
    check_idle(registry)


def test_client_that_leaves_a_real_server_cancels_the_handler() -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        handler = Handler()
        watched = Finished(registry)
        async with serving(MonkitMiddleware(Starlette(routes=[Route("/", handler.__call__)]), mon)) as (host, port):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await handler.entered.wait()
            writer.close()
            (span,) = await watched.until(1)
            await writer.wait_closed()
        assert span.error_name == "Canceled"
        assert handler.ended_by == ["cancelled"]

    run(work())
    check_idle(registry)


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])  # Starlette listens too, below 2.4
def test_client_that_leaves_in_the_middle_of_an_answer_cancels_the_handler(spec_version: str) -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        client = Client()
        connection = http(asgi={"version": "3.0", "spec_version": spec_version})
        app = MonkitMiddleware(streaming(asyncio.Event()), mon)
        asking = asyncio.create_task(app(connection, client.receive, client.send))
        client.says.put_nowait(BODY)
        await client.until(2)
        client.says.put_nowait(GONE)
        await asking
        assert asking.cancelling() == 0

    run(work())
    assert only(registry) == {"http GET /": (0, {"Canceled": 1})}


def test_client_that_leaves_is_not_cancelled_for_when_that_is_switched_off() -> None:
    registry, mon = fresh_scope()

    async def app(connection: Any, receive: Any, send: Any) -> None:
        assert await receive() is BODY
        assert await receive() is GONE
        await answering(200)(connection, receive, send)

    run(ask(MonkitMiddleware(app, mon, cancel_on_disconnect=False), http(), BODY, GONE))
    assert only(registry) == {"http GET": (1, {})}


def test_client_that_leaves_counts_as_canceled_also_where_the_handler_hears_of_it_and_returns() -> None:
    registry, mon = fresh_scope()

    async def app(connection: Any, receive: Any, send: Any) -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            return

    run(ask(MonkitMiddleware(app, mon), http(), BODY, GONE))
    assert only(registry) == {"http GET": (0, {"Canceled": 1})}


def test_error_that_a_handler_makes_of_its_cancellation_counts_under_its_own_name() -> None:
    registry, mon = fresh_scope()

    async def app(connection: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError from None

    async def work() -> None:
        with pytest.raises(LookupError):
            await ask(MonkitMiddleware(app, mon), http(), BODY, GONE)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(work())
    assert only(registry) == {"http GET": (0, {"LookupError": 1})}


def test_cancellation_by_somebody_else_is_raised_on() -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        handler = Handler()
        client = Client()
        client.says.put_nowait(BODY)
        app = MonkitMiddleware(Starlette(routes=[Route("/", handler.__call__)]), mon)
        asking = asyncio.create_task(app(http(), client.receive, client.send))
        await handler.entered.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert (asking.cancelled(), asking.cancelling()) == (True, 1)

    run(work())
    assert only(registry) == {"http GET /": (0, {"Canceled": 1})}
    check_idle(registry)


def test_cancellation_by_somebody_else_is_raised_on_also_when_the_client_leaves_at_that_moment() -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        client = Client()

        async def app(connection: Any, receive: Any, send: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                asking.cancel()  # while it deals with the first cancellation, the second comes
                await asyncio.Event().wait()

        asking = asyncio.create_task(MonkitMiddleware(app, mon)(http(), client.receive, client.send))
        client.says.put_nowait(GONE)
        await asyncio.wait([asking])
        assert asking.cancelled()

    run(work())
    assert only(registry) == {"http GET": (0, {"Canceled": 1})}


def test_server_that_reports_a_disconnect_after_a_complete_answer_cancels_nothing() -> None:
    registry, mon = fresh_scope()
    heard: list[Any] = []

    async def work() -> None:
        client = Client()

        async def app(connection: Any, receive: Any, send: Any) -> None:
            await answering(200)(connection, receive, send)
            client.says.put_nowait(GONE)
            heard.append(await receive())
            heard.append(await receive())  # it stays gone

        await MonkitMiddleware(app, mon)(http(), client.receive, client.send)

    run(work())
    assert heard == [GONE, GONE]
    assert only(registry) == {"http GET": (1, {})}


def test_body_of_a_request_arrives_whole_and_is_read_ahead_by_at_most_two_pieces() -> None:
    _, mon = fresh_scope()
    pieces = [{"type": "http.request", "body": bytes([number]), "more_body": number < 9} for number in range(10)]
    taken: list[int] = []
    got: list[bytes] = []

    async def work() -> None:
        client = Client()

        async def receive() -> Any:
            if taken and taken[-1] == 9:
                return await client.receive()
            taken.append(len(taken))
            return pieces[taken[-1]]

        async def app(connection: Any, receive: Any, send: Any) -> None:
            more = True
            while more:
                for _ in range(5):
                    await asyncio.sleep(0)  # lets the listener run; nothing is waited for
                assert len(taken) <= len(got) + 2
                message = await receive()
                got.append(message["body"])
                more = message["more_body"]
            await answering(200)(connection, receive, send)

        await MonkitMiddleware(app, mon)(http(method="POST"), receive, client.send)

    run(work())
    assert b"".join(got) == bytes(range(10))


def test_client_that_waits_to_be_asked_for_its_body_is_asked_only_when_the_application_does() -> None:
    _, mon = fresh_scope()

    async def app(connection: Any, receive: Any, send: Any) -> None:
        if connection["path"] == "/upload":
            assert (await receive())["body"] == b"body"
        for _ in range(5):
            await asyncio.sleep(0)  # lets the listener run; nothing is waited for
        await answering(200)(connection, receive, send)

    async def work() -> None:
        async with serving(MonkitMiddleware(app, mon)) as (host, port):
            reader, writer = await asyncio.open_connection(host, port)
            head = "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n{}\r\n"
            writer.write(head.format("/upload", "").encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"body")
            assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.write(head.format("/refused", "Connection: close\r\n").encode())
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            await writer.wait_closed()

    run(work())


def test_failure_of_the_server_to_receive_is_raised_where_the_application_asks() -> None:
    _, mon = fresh_scope()
    raised: list[str] = []

    async def receive() -> Any:
        raise OSError("line is dead")

    async def app(connection: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            with pytest.raises(OSError, match="line is dead"):
                await receive()
            raised.append("once")

    run(MonkitMiddleware(app, mon)(http(), receive, Client().send))
    assert raised == ["once", "once"]


def test_handler_in_a_thread_is_not_stopped_and_its_request_counts_as_canceled_at_once() -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        entered, ended, go_on = asyncio.Event(), asyncio.Event(), threading.Event()

        def handler(request: Request) -> Response:
            loop.call_soon_threadsafe(entered.set)
            with mon.task("work"):
                assert go_on.wait(BOUND_S)
            loop.call_soon_threadsafe(ended.set)
            return PlainTextResponse("")

        client = Client()
        app = MonkitMiddleware(Starlette(routes=[Route("/", handler)]), mon)
        asking = asyncio.create_task(app(http(), client.receive, client.send))
        client.says.put_nowait(BODY)
        await entered.wait()
        client.says.put_nowait(GONE)
        await asking
        assert only(registry) == {"http GET /": (0, {"Canceled": 1})}
        assert not ended.is_set()
        go_on.set()
        await ended.wait()
        assert client.heard == []

    run(work())
    assert only(registry)["work"] == (1, {})
    check_idle(registry)


def test_without_asyncio_a_request_is_a_span_all_the_same() -> None:
    registry, mon = fresh_scope()
    client = Client()
    call = MonkitMiddleware(answering(200), mon)(http(), client.receive, client.send)
    with pytest.raises(StopIteration):
        contextvars.Context().run(call.__await__().__next__)  # what a loop of another kind does
    assert only(registry) == {"http GET": (1, {})}
