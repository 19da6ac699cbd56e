"""ASGI: a span for every request and websocket that an application serves.

```python
from monkit_plugins.asgi import MonkitMiddleware

app = MonkitMiddleware(Starlette(routes=[...]), mon)
```

or ``Starlette(middleware=[Middleware(MonkitMiddleware, mon=mon)])``. Needs no
library: it is written on ASGI, and asks routes by what they can do.

Spans are named after the route: ``http GET /users/{id}``, ``websocket
/rooms/{name}``; by the method alone, ``http GET``, where no route is known.
The raw path, which anybody can make up, is never a name.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from monkit_core import Block, Scope, Span, faults, without_span
from monkit_core.errors import CANCELED
from monkit_core.propagation import extract
from monkit_core.span import CURRENT
from monkit_core.variables import set_variable
from monkit_plugins.routes import find_router, route_of
from monkit_plugins.web import FailedStatus, FuncCache, method_word

__all__ = ["MonkitMiddleware"]

Connection = MutableMapping[str, Any]
"""What ASGI calls a scope; here that word is taken."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

_SEEN = "monkit.span"


class _ClientLeft(Exception):
    """The client was gone before its answer was complete."""

    monkit_error_name = CANCELED


class MonkitMiddleware:
    """An application around an application.

    A request's span lasts until the last piece of its answer was handed to the
    server; until the application returned, where monitored calls below it still
    run at that moment, or the answer is a 5xx (frameworks answer 500 before they
    raise); a websocket's until the application returned.
    It goes on with the trace that the headers tell of and never with what
    happens to be current: a server may start a request in the context of the
    one before it on the same connection. What a handler does after its answer
    belongs to the trace as orphans.

    An exception counts as an error under its name and goes on. Where two of
    these are nested the outer one counts.

    Args:
        app: the application.
        mon: scope that the functions belong to.
        route: names a connection (what ASGI calls a scope): a pattern, or
            ``None``; without it the routes that *app* shows are asked, as those
            of Starlette and FastAPI can be. At most 2,000 names are kept,
            later ones count by their method.
        cancel_on_disconnect: cancel the handler when its client leaves before
            the answer is complete; such a request counts as ``Canceled``. It
            takes asyncio, and costs a task a request. While a long body is not
            read, a client that leaves is noticed late. A handler that runs in
            a thread cannot be stopped: it goes on as an orphan, and its answer
            goes nowhere. With ``False`` a handler has to find out for itself.
        fail_on_5xx: count an answer of 500 or above as an error, ``HTTP 503``.
        honour_sampling: see `monkit_core.propagation.extract`.
        record_baggage: likewise.
    """

    def __init__(
        self,
        app: App,
        mon: Scope,
        *,
        route: Callable[[Connection], str | None] | None = None,
        cancel_on_disconnect: bool = True,
        fail_on_5xx: bool = True,
        honour_sampling: bool = False,
        record_baggage: Iterable[str] = (),
    ) -> None:
        self.app = app
        self._funcs = FuncCache(mon)
        self._route = route or _Routes(app)
        self._cancel = cancel_on_disconnect
        self._fail_on_5xx = fail_on_5xx
        self._honour_sampling = honour_sampling
        self._record_baggage = frozenset((record_baggage,) if isinstance(record_baggage, str) else record_baggage)

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        """ASGI."""
        if connection["type"] not in ("http", "websocket") or _SEEN in connection:
            await self.app(connection, receive, send)
            return
        context = extract(
            connection.get("headers", ()), honour_sampling=self._honour_sampling, record_baggage=self._record_baggage
        )
        block = context.receive(self._funcs.get(*self._names(connection)))
        with without_span():
            listens = self._cancel and connection["type"] == "http" and _in_asyncio()
            listener = _Listener(receive, connection) if listens else None
            connection[_SEEN] = span = block.__enter__()
            answer = _Answer(block, span, send, self._fail_on_5xx)
            try:
                await self._serve(connection, receive, answer, listener)
            finally:
                if CURRENT.get() is span:  # it ended in a copy of this context, see `_Answer.end`
                    set_variable(CURRENT, None)

    async def _serve(
        self, connection: Connection, receive: Receive, answer: _Answer, listener: _Listener | None
    ) -> None:
        try:
            if listener is None:
                await self.app(connection, receive, answer.send)
            else:
                await listener.run(lambda: self.app(connection, listener.receive, answer.send), answer)
        except _ClientLeft as left:
            answer.end(left)
        except BaseException as error:
            answer.end(error)
            raise
        else:
            answer.end()

    def _names(self, connection: Connection) -> tuple[str, str]:
        """The name of a connection's function, and the one to fall back to."""
        kind = connection["type"]
        general = f"http {method_word(connection.get('method'))}" if kind == "http" else "websocket"
        try:
            route = self._route(connection)
        except Exception as problem:  # of a route that cannot be asked, or a user's function; the request goes on
            faults.report("route of a request", problem)
            route = None
        return (f"{general} {route}" if route else general), general


class _Routes:
    """Asks the routes that an application shows, or those that the framework has put into the connection."""

    def __init__(self, app: App) -> None:
        self._router = find_router(app)

    def __call__(self, connection: Connection) -> str | None:
        router = self._router
        if router is None and "app_root_path" not in connection:  # in a mounted part "app" is the whole
            router = find_router(connection.get("app"))
        return None if router is None else route_of(router, connection)


class _Answer:
    """The answer as it goes out, and the end of its span."""

    def __init__(self, block: Block, span: Span, send: Send, fail_on_5xx: bool) -> None:
        self.complete = False
        self._block = block
        self._span = span
        self._send = send
        self._fail_on_5xx = fail_on_5xx
        self._status = 0
        self._trailers = False

    async def send(self, message: Message) -> None:
        """Pass a message on to the server."""
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self._status = message["status"]
            self._trailers = message.get("trailers", False)
            self._span.annotate("http.status", self._status)
        elif not kind.startswith("websocket."):
            # Before it goes out: then some servers say at once that the client is gone.
            self.complete = self.complete or self._is_last(message)
        await self._send(message)
        # Calls that still run are mostly those that sent this last piece, about to return: they are no orphans.
        if self.complete and self._status < 500 and not self._span.children:
            self.end()

    def _is_last(self, message: Message) -> bool:
        match message["type"]:
            case "http.response.body" | "http.response.zerocopysend":
                return not (message.get("more_body", False) or self._trailers)
            case "http.response.trailers":
                return not message.get("more_trailers", False)
            case kind:
                return bool(kind == "http.response.pathsend") and not self._trailers

    def end(self, error: BaseException | None = None) -> None:
        """End the span, unless it has ended."""
        if self._span.finished:
            return
        if error is None and self._fail_on_5xx and self._status >= 500:
            error = FailedStatus(self._status)
        kind = None if error is None else type(error)
        # In a copy of the context the span stays current, finished: what a handler does after its answer
        # belongs to the trace, whichever of its tasks has sent the last piece.
        contextvars.copy_context().run(self._block.__exit__, kind, error, None)


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # the server runs on something else
        return False
    return True


class _Listener:
    """Reads one message ahead of the application, and so hears when its client leaves."""

    def __init__(self, receive: Receive, connection: Connection) -> None:
        self._server_receive = receive
        self._asked = asyncio.Event()
        # A client that wants to be asked for its body is asked by the first call: that is the application's to do.
        if not any(name.lower() == b"expect" for name, _ in connection.get("headers", ())):
            self._asked.set()
        self._waiting: asyncio.Queue[Message | Exception] = asyncio.Queue(maxsize=1)
        self._left = False

    async def receive(self) -> Message:
        """The next message, for the application."""
        self._asked.set()
        message = await self._waiting.get()
        if isinstance(message, Exception) or message["type"] == "http.disconnect":
            self._waiting.put_nowait(message)  # nothing comes after it: whoever asks again gets it again
        if isinstance(message, Exception):
            raise message
        return message

    async def run(self, call: Callable[[], Awaitable[None]], answer: _Answer) -> None:
        """Run *call* in this task, and cancel it when the client leaves before *answer* is complete.

        Raises:
            _ClientLeft: that happened, and the call was cancelled or returned.
        """
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        listening = asyncio.create_task(self._listen(task, answer))
        try:
            await call()
        except asyncio.CancelledError as error:
            if not self._left or task.cancelling() > cancelled_before + 1:
                raise  # somebody else cancels the request, too
            raise _ClientLeft("the client left") from error
        finally:
            if self._left:
                task.uncancel()
            listening.cancel()
            await asyncio.wait([listening])
        if self._left:
            raise _ClientLeft("the client left")

    async def _listen(self, task: asyncio.Task[Any], answer: _Answer) -> None:
        await self._asked.wait()
        try:
            while (message := await self._server_receive())["type"] != "http.disconnect":
                await self._waiting.put(message)
            if not answer.complete:  # else the server only says that all is done
                self._left = True
                task.cancel()
            await self._waiting.put(message)
        except Exception as problem:  # the server's; it is the application's, which would else have asked it
            await self._waiting.put(problem)
