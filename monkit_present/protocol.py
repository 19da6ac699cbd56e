"""The protocol layer: uvicorn's HTTP/1.1, made silent and strict.

Uvicorn logs to loggers that are the program's own when that runs uvicorn too,
and configures them; here it may do neither. It holds connections open that
send nothing, half a request, or do not read; here whatever a connection waits
for has a deadline, in one table, and one timer a connection keeps it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from monkit_present.alarm import Alarm
from monkit_present.guard import PROTECTIVE_HEADERS
from monkit_present.limits import DEFAULTS, Limits, Phase, affordable
from monkit_present.reader import Reader
from monkit_present.responses import PLAIN_TEXT, Problem

__all__ = ["Protocol", "Shared", "settings"]

_REFUSAL_HEADERS = ((b"content-type", PLAIN_TEXT.encode()), (b"connection", b"close"))

# Of no hierarchy: the program's configuration of logging would make one that is named there speak.
_quiet = logging.Logger("monkit.present.http", logging.CRITICAL + 1)

_LEAVING = (Phase.FAREWELL, Phase.CLOSED)
_FEW = 8  # spare connections of however small a room


class _Left(BaseException):
    """Ends a page whose client has gone; no `Exception`, or it would count as a failure of the page."""


class _ReadingOn(FlowControl):
    """Reading never stops, or a client that leaves would not be noticed; `Limits` bounds what is kept instead."""

    def pause_reading(self) -> None:
        """Read on."""


class Protocol(H11Protocol):
    """One connection.

    Attributes:
        since_s: when the present phase began, in the time of the loop.
    """

    def __init__(
        self,
        config: Config,
        server_state: Shared,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = self.access_logger = _quiet
        self.access_log = False
        self.since_s = 0.0
        self._shared = server_state
        self._limits = server_state.limits
        self.conn = self._reader = Reader(server_state.limits)
        self.app = self._page
        self._alarm = Alarm(self.loop, self._wake)
        self._waits_for: tuple[Phase, int] | None = None
        self._unsent_bytes = 0
        self._deaf = False
        self._refused = False

    @property
    def phase(self) -> Phase:
        """What it waits for at this moment."""
        if self.transport.is_closing():
            return Phase.CLOSED
        if self._refused:
            return Phase.FAREWELL
        if self.flow.write_paused:
            return Phase.READER
        theirs = self._reader.their_state
        if theirs is h11.IDLE:
            first = self._reader.requests == 0
            return Phase.HEAD if first or self._reader.ahead_bytes else Phase.IDLE
        return Phase.BODY if theirs is h11.SEND_BODY else Phase.PAGE

    def rank(self, phase: Phase) -> int | None:
        """How soon it gives way to a newcomer: 0 first; ``None`` while a request of it is in flight.

        A client that does not go on with its body counts as idle too, and one
        that has kept its page from writing for as long as an idle one may stay.
        """
        if phase in (Phase.IDLE, Phase.HEAD):
            return None if self.transport.get_write_buffer_size() else 0
        if phase is Phase.BODY:
            return 1
        stalled = phase is Phase.READER and self.loop.time() - self.since_s > self._limits.idle_s
        return 2 if stalled else None

    # What happens to it.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self.flow = _ReadingOn(transport)
        if not self._shared.make_room(self):
            retry = (b"retry-after", b"%d" % self._limits.retry_after_s)
            self._refuse(Problem(503, f"{self._shared.room} connections are open already", (retry,)))
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        self._alarm.cancel()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        after_last = self._reader.their_state in (h11.MUST_CLOSE, h11.CLOSED)
        if self._deaf or after_last:
            return
        super().data_received(data)
        self._check_ahead()
        self._look()

    def _check_ahead(self) -> None:
        """Of a client that sends too many requests ahead, none but the present one is answered."""
        ahead = not self._deaf and self._reader.their_state not in (h11.IDLE, h11.SEND_BODY)
        if ahead and self._reader.ahead_bytes > self._limits.ahead_bytes:
            self._deaf = True
            self.cycle.keep_alive = False

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        self._look()

    def on_response_complete(self) -> None:
        """Go on to the next request. Uvicorn's own sets a timer that any byte takes away."""
        self.server_state.total_requests += 1
        done = self._reader.our_state is h11.DONE and self._reader.their_state is h11.DONE
        if done and not self.transport.is_closing():
            self._reader.start_next_cycle()
            self.handle_events()
        self._look()

    def shutdown(self) -> None:
        """End after the present response, at once if there is none."""
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    # Deadlines.

    def _look(self) -> None:
        """Find out what it waits for; what is new has its deadline from now."""
        waits_for = (self.phase, self._reader.requests)
        if waits_for != self._waits_for:
            self._waits_for = waits_for
            self.since_s = self.loop.time()
            self._watch()

    def _watch(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._alarm.set(self._limits.deadline_s(self.phase))

    def _wake(self) -> None:
        before = self._waits_for
        self._look()
        if self._waits_for == before:
            self._end_wait(self.phase)
            self._look()
            if not self._alarm.is_set:
                self._watch()

    def _end_wait(self, phase: Phase) -> None:
        """What a phase ends in that has come to its deadline; nothing, if the client makes progress."""
        if phase is Phase.HEAD and self._reader.ahead_bytes:
            self._refuse(Problem(408, f"the head of the request has not come in {self._limits.head_s:g} s"))
        elif phase is Phase.BODY:
            self._refuse(Problem(408, f"the body of the request has not come in {self._limits.body_s:g} s"))
        elif phase in (Phase.HEAD, Phase.IDLE, Phase.FAREWELL):
            self.transport.close()
        elif phase in (Phase.READER, Phase.CLOSED) and self.transport.get_write_buffer_size() >= self._unsent_bytes:
            self._end_page()
            self.transport.abort()

    # Ends.

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, such as two Host headers, and what is over a limit."""
        self._refuse(self._reader.problem)

    def _refuse(self, problem: Problem) -> None:
        """Answer in the way of the other refusals and hear no more; cut a response that has begun."""
        begun = self._reader.our_state not in (h11.IDLE, h11.SEND_RESPONSE)
        self._deaf = self._refused = True
        self._end_page()
        if begun:
            self.transport.close()
            return
        self.transport.write(_refusal(problem, self._shared.default_headers))
        # To close now would reset the connection if more of the request is on its way, and take the answer along.
        if self.transport.can_write_eof():
            with suppress(OSError):  # it has left already
                self.transport.write_eof()
        else:  # as with TLS
            self.transport.close()

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, which ends where it writes to a client that has gone: the rest would be made for nobody."""
        cycle, transport = self.cycle, self.transport

        async def send_if_open(message: Message) -> None:
            if transport.is_closing():
                cycle.disconnected = True
            if cycle.disconnected:
                raise _Left
            await send(message)

        with suppress(_Left):
            await self.config.loaded_app(scope, receive, send_if_open)

    def _end_page(self) -> None:
        """Tell the page that its client has gone; it writes no more."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()

    def give_way(self) -> None:
        """Close at once, for somebody else."""
        self._end_page()
        self.transport.abort()


def _refusal(problem: Problem, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    phrase = HTTPStatus(problem.status).phrase
    fields = [*headers, *_REFUSAL_HEADERS, *problem.headers, *PROTECTIVE_HEADERS.items()]
    lines = [f"HTTP/1.1 {problem.status} {phrase}".encode(), *(b"%s: %s" % field for field in fields)]
    return b"\r\n".join([*lines, b"", f"{phrase}: {problem.words}\n".encode()])


class _Settings(Config):
    """Uvicorn's settings without its hands on the program's logging."""

    def configure_logging(self) -> None:
        """Leave logging alone."""


class Shared(ServerState):
    """What the connections of a port share: its limits, and the room for them.

    Args:
        limits: what clients are held to.

    Attributes:
        room: connections that may be open at once: as the limits say, or fewer
            if the program may not open many files.
        spare: how many more there may be that are leaving or arriving.
    """

    connections: set[Protocol]  # type: ignore[assignment]

    def __init__(self, limits: Limits = DEFAULTS) -> None:
        super().__init__()
        self.limits = limits
        self.room = affordable(limits.connections)
        self.spare = _FEW + self.room // 8

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The date of this moment."""
        return [(b"date", formatdate(usegmt=True).encode())]

    @default_headers.setter
    def default_headers(self, value: list[tuple[bytes, bytes]]) -> None:
        """Set by the base class at first; not needed."""

    def is_crowded(self, arriving: int) -> bool:
        """Whether so many that are arriving, as in their TLS handshake, are too many beside those that are here."""
        return len(self.connections) + arriving > self.room + self.spare

    def make_room(self, newcomer: Protocol) -> bool:
        """Whether one more fits in, after the oldest idle one was closed if need be.

        Connections that are being closed do not count, up to the spare ones;
        above that the oldest of them are cut.
        """
        if len(self.connections) <= self.room:
            return True
        others = [(connection, connection.phase) for connection in self.connections if connection is not newcomer]
        leaving = [connection for connection, phase in others if phase in _LEAVING]
        if len(leaving) > self.spare:
            self._part_with(min(leaving, key=lambda connection: connection.since_s))
        if len(others) - len(leaving) < self.room:
            return True
        ranks = [(connection.rank(phase), connection) for connection, phase in others]
        idle = [(rank, connection) for rank, connection in ranks if rank is not None]
        if idle:
            self._part_with(min(idle, key=lambda item: (item[0], item[1].since_s))[1])
        return bool(idle)

    def _part_with(self, connection: Protocol) -> None:
        self.connections.discard(connection)  # it is told that it is lost only when the loop comes round
        connection.give_way()


def settings(app: ASGIApp) -> Config:
    """Uvicorn's settings for one application, ready to use."""
    config = _Settings(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        workers=1,  # or it reads that from the program's environment, and fails where it finds no number
        log_config=None,
        proxy_headers=False,
    )
    config.load()
    config.loaded_app = app  # uvicorn puts its log around it where the program's loggers show everything
    return config
