"""What tests of the plug-ins share: ASGI applications driven by hand, real servers, and watching what ends."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from monkit_core import Registry, Span
from tests.helpers import BOUND_S

T = TypeVar("T")
Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* in a loop and a context of its own, for at most `BOUND_S` seconds."""
    return contextvars.Context().run(asyncio.run, asyncio.wait_for(work, BOUND_S))


@dataclass
class Finished:
    """An observer that keeps what has ended, and lets one wait for it."""

    registry: Registry
    spans: list[Span] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.registry.observe_spans(self)

    def span_started(self, span: Span) -> None:
        """See `SpanObserver`."""

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        self.spans.append(span)
        self._more.set()

    @property
    def names(self) -> list[str]:
        """Short names in the order of their ends."""
        return [span.func.short_name for span in self.spans]

    async def until(self, count: int) -> list[Span]:
        """The first *count* spans, once they have ended."""
        while len(self.spans) < count:
            self._more.clear()
            await self._more.wait()
        return self.spans[:count]


def http(path: str = "/", method: str = "GET", headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """What ASGI calls the scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        **more,
    }


def websocket(path: str = "/", **more: Any) -> dict[str, Any]:
    """The same of a websocket."""
    return {**http(path), "type": "websocket", "scheme": "ws", "subprotocols": [], **more}


BODY: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


@dataclass
class Client:
    """The server's side of one connection, by hand: what it says, what it hears."""

    says: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    heard: list[Message] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> Message:
        return await self.says.get()

    async def send(self, message: Message) -> None:
        self.heard.append(message)
        self._more.set()

    async def until(self, count: int) -> Message:
        """The message of this number, once it has been heard."""
        while len(self.heard) < count:
            self._more.clear()
            await self._more.wait()
        return self.heard[count - 1]

    @property
    def status(self) -> int:
        return int(self.heard[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.heard)


async def ask(app: App, connection: dict[str, Any], *says: Message) -> Client:
    """Ask *app* once; it hears *says*, or a request without a body."""
    client = Client()
    for message in says or (BODY,):
        client.says.put_nowait(message)
    await app(connection, client.receive, client.send)
    return client


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[tuple[str, int]]:
    """Serve *app* on a free port inside the block; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app, http="h11", ws="none", lifespan="off", log_config=None, log_level="critical", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    with listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[:2]
        finally:
            server.should_exit = True
            await task


def only(registry: Registry) -> dict[str, tuple[int, dict[str, int]]]:
    """Successes and errors of each function that was called."""
    return {
        func.short_name: (func.success_times.count, func.errors)
        for func in registry.funcs()
        if func.success_times.count or func.errors
    }


def answering(status: int, error: Exception | None = None) -> App:
    """An application that answers, and then raises."""

    async def app(connection: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
        if error is not None:
            raise error

    return app


def streaming(go_on: asyncio.Event) -> Starlette:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"last"

    async def handler(request: Request) -> Response:
        return StreamingResponse(chunks())

    return Starlette(routes=[Route("/", handler)])
