"""What clients are held to: slow ones, large ones, many ones; each test on raw sockets."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import FrozenInstanceError, dataclass, field, replace
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

import monkit_present
from monkit_present import acceptor as acceptor_module
from monkit_present import protocol as protocol_module
from monkit_present.acceptor import Acceptor
from monkit_present.alarm import Alarm
from monkit_present.guard import PROTECTIVE_HEADERS
from monkit_present.limits import DEFAULTS, Limits, Phase, affordable
from monkit_present.listener import Listener
from monkit_present.protocol import Protocol, Shared, settings
from monkit_present.tls import server_context
from tests.helpers import BOUND_S, fresh_scope, run_python
from tests.http_helpers import PROMPT_S, Answer, eventually

SHORT_S = 0.1
LONG_S = 600.0
PATIENT = Limits(LONG_S, LONG_S, LONG_S, LONG_S, LONG_S, LONG_S)
"""No deadline within a test but the one that it sets itself."""

SMALL_BUFFER = 4096
"""Of a socket, so that little is enough to fill it."""

MANY = 1_000_000
"""Pieces of a page, more than a client waits for."""

ROOMY = 4096
"""Files that the process may open, so that half of them are more than the connections of a port."""


class Pages:
    """An application that does what a path says, and counts the pages that are open."""

    def __init__(self) -> None:
        self.open = 0
        self.asked = 0
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.open += 1
        self.asked += 1
        try:
            await getattr(self, "page_" + scope["path"].strip("/"))(receive, send)
        finally:
            self.open -= 1

    async def page_(self, receive: Receive, send: Send) -> None:
        """Answers without a look at the body."""
        await start(send)
        await send({"type": "http.response.body", "body": b"hello"})

    async def page_length(self, receive: Receive, send: Send) -> None:
        """Reads the body and says how long it is."""
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            length += len(message["body"])
            more = message["more_body"]
        await start(send)
        await send({"type": "http.response.body", "body": b"%d" % length})

    async def page_wait(self, receive: Receive, send: Send) -> None:
        """Begins to answer and waits for the client to go."""
        await start(send)
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async def page_quiet(self, receive: Receive, send: Send) -> None:
        """Says nothing and waits for the client to go."""
        while (await receive())["type"] != "http.disconnect":
            pass

    async def page_patient(self, receive: Receive, send: Send) -> None:
        """Takes many times the deadlines of its client."""
        await start(send)
        for _ in range(10):
            await asyncio.sleep(SHORT_S / 2)
            await send({"type": "http.response.body", "body": b".", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def page_large(self, receive: Receive, send: Send) -> None:
        """Two megabytes in pieces."""
        await start(send)
        for _ in range(64):
            await send({"type": "http.response.body", "body": bytes(32_768), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def page_long(self, receive: Receive, send: Send) -> None:
        """Makes piece after piece, for however long there is somebody to take them."""
        await start(send)
        while self.sent < MANY:
            await send({"type": "http.response.body", "body": bytes(100), "more_body": True})
            await asyncio.sleep(0)
            self.sent += 1

    async def page_medium(self, receive: Receive, send: Send) -> None:
        """Less than a transport keeps before it says that it is full, more than small sockets take."""
        await start(send)
        await send({"type": "http.response.body", "body": bytes(60_000)})

    async def page_fails(self, receive: Receive, send: Send) -> None:
        """Fails with much unsent."""
        await start(send)
        await send({"type": "http.response.body", "body": bytes(60_000), "more_body": True})
        raise RuntimeError


async def start(send: Send) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


@dataclass
class Port:
    """Pages served by the protocol alone, in a thread."""

    limits: Limits
    tls: ssl.SSLContext | None = None
    pages: Pages = field(default_factory=Pages)
    number: int = 0
    made: int = 0
    shared: Shared = field(init=False)
    acceptor: Acceptor = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)
    _stop: asyncio.Event = field(init=False)

    def run(self, listener: socket.socket, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve(listener, ready))

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        self.loop, self._stop, self.shared = asyncio.get_running_loop(), asyncio.Event(), Shared(self.limits)
        self.loop.slow_callback_duration = BOUND_S  # in its debug mode asyncio logs what takes long on a busy machine
        config = settings(self.pages)

        def connection() -> Protocol:
            self.made += 1
            return Protocol(config, self.shared, {})

        self.acceptor = Acceptor(
            Listener(listener, "", tls=self.tls),
            connection,
            is_crowded=self.shared.is_crowded,
            handshake_s=self.limits.handshake_s,
        )
        self.acceptor.start()
        ready.set()
        await self._stop.wait()
        await self.acceptor.stop()
        while self.shared.connections or asyncio.all_tasks() - {asyncio.current_task()}:
            for present in list(self.shared.connections):
                present.transport.abort()
            await asyncio.sleep(0)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)

    def is_empty(self) -> bool:
        return not (self.shared.connections or self.acceptor.arriving or self.pages.open)

    def in_loop(self, ask: Callable[[], Any]) -> Any:
        """What *ask* finds in the thread of the connections."""

        async def inside() -> Any:
            return ask()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(BOUND_S)

    def phases(self) -> set[Phase]:
        found: set[Phase] = self.in_loop(lambda: {connection.phase for connection in self.shared.connections})
        return found


@contextmanager
def opened(limits: Limits = PATIENT, *, tls: ssl.SSLContext | None = None, **changes: Any) -> Iterator[Port]:
    """A port with small buffers on both sides, and limits of the test's own."""
    port, ready = Port(replace(limits, **changes), tls), threading.Event()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        listener.listen(1024)
        port.number = listener.getsockname()[1]
        thread = threading.Thread(target=port.run, args=(listener, ready))
        thread.start()
        assert ready.wait(BOUND_S)
        try:
            yield port
        finally:
            port.stop()
            thread.join(BOUND_S)
    assert not thread.is_alive()


def connect(port: Port, data: bytes = b"") -> socket.socket:
    """A connection with a small receive buffer, on which *data* was sent."""
    client = socket.socket()
    client.settimeout(BOUND_S)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    client.connect(("127.0.0.1", port.number))
    client.sendall(data)
    return client


def get(target: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request, its connection to be kept unless *fields* say more."""
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: localhost", *fields, "", ""]).encode("latin-1")


def answer(client: socket.socket) -> Answer:
    """The next response. Its reader takes more from the socket than that, so read further ones with `read_all`."""
    response = HTTPResponse(client)
    try:
        response.begin()
        return Answer(response.status, tuple(response.getheaders()), response.read())
    finally:
        response.close()


def exchange(port: Port, data: bytes) -> Answer:
    with connect(port, data) as client:
        return answer(client)


def read_all(client: socket.socket) -> bytes:
    """All that comes, to the end of the connection."""
    parts = []
    with suppress(ConnectionResetError):
        while part := client.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        part = client.recv(65_536)
        assert part, data
        data += part
    return data


def check_refused(refusal: Answer, status: int, words: str) -> None:
    """One line of text and the protective headers."""
    assert refusal.status == status
    assert refusal.text == f"{HTTPStatus(status).phrase}: {words}\n"
    assert refusal.header("content-type") == "text/plain; charset=utf-8"
    assert refusal.header("connection") == "close"
    assert refusal.all("server") == []
    for name, value in PROTECTIVE_HEADERS.items():
        assert refusal.header(name.decode()) == value.decode()


def drips(client: socket.socket, byte: bytes = b"x") -> bool:
    """Send one more byte if it can be; whether the other side has closed."""
    client.settimeout(0)
    try:
        client.send(byte)
        return client.recv(65_536) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@contextmanager
def files(soft: int) -> Iterator[None]:
    """As many files may be open."""
    resource = pytest.importorskip("resource")
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < soft:
        pytest.skip(f"{hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


# The record.


def test_line_11_and_12_defaults_are_those_of_the_checklist() -> None:
    assert Limits() == DEFAULTS
    assert (DEFAULTS.handshake_s, DEFAULTS.head_s, DEFAULTS.body_s) == (10, 10, 10)
    assert (DEFAULTS.idle_s, DEFAULTS.write_s) == (5, 30)
    assert (DEFAULTS.connections, DEFAULTS.head_bytes, DEFAULTS.target_bytes) == (512, 16_384, 8_192)
    assert DEFAULTS.body_bytes == 65_536
    assert Shared().limits is DEFAULTS
    with pytest.raises(FrozenInstanceError):
        DEFAULTS.head_s = 1  # type: ignore[misc]


def test_every_phase_has_a_deadline() -> None:
    assert all(DEFAULTS.deadline_s(phase) > 0 for phase in Phase)


@pytest.mark.parametrize(("soft", "room"), [(1024, 512), (ROOMY, 512), (256, 128), (3, 1), (1, 1)])
def test_connections_leave_half_of_the_files_to_the_program(
    soft: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, resource.RLIM_INFINITY))
    assert affordable(512) == room
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert affordable(512) == 512
    monkeypatch.setitem(sys.modules, "resource", None)
    assert affordable(512) == 512


# The alarm.


def test_alarm_rings_once_and_not_before_its_last_setting() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        rung: list[float] = []
        rings = asyncio.Event()

        def ring() -> None:
            rung.append(loop.time())
            rings.set()

        alarm = Alarm(loop, ring)
        assert not alarm.is_set
        alarm.set(LONG_S)
        alarm.set(0.01)  # earlier
        due = loop.time() + 0.05
        alarm.set(0.05)  # and later
        await asyncio.wait_for(rings.wait(), BOUND_S)
        assert len(rung) == 1
        assert rung[0] >= due - 0.002
        assert not alarm.is_set

    asyncio.run(run())


def test_alarm_that_is_cancelled_does_not_ring() -> None:
    async def run() -> list[str]:
        rung: list[str] = []
        loop = asyncio.get_running_loop()
        cancelled, kept = Alarm(loop, lambda: rung.append("cancelled")), asyncio.Event()
        other = Alarm(loop, kept.set)
        cancelled.set(0.0)
        cancelled.cancel()
        cancelled.cancel()
        other.set(0.01)
        await asyncio.wait_for(kept.wait(), BOUND_S)
        return rung

    assert asyncio.run(run()) == []


# Line 12: a request that does not come.


def test_line_12_connection_that_sends_nothing_is_closed_without_a_word() -> None:
    with opened(head_s=SHORT_S) as port:
        begun = time.monotonic()
        with connect(port) as client:
            assert client.recv(1) == b""
        assert time.monotonic() - begun >= SHORT_S * 0.9
        assert eventually(port.is_empty)


@pytest.mark.parametrize("half", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", get()[:-1]])
def test_line_12_half_sent_head_is_closed(half: bytes) -> None:
    with opened(head_s=SHORT_S) as port:
        check_refused(exchange(port, half), 408, "the head of the request has not come in 0.1 s")
        assert port.pages.asked == 0
        assert eventually(port.is_empty)


def test_line_12_head_that_comes_byte_by_byte_is_closed_too() -> None:
    with opened(head_s=SHORT_S, linger_s=SHORT_S) as port, connect(port, b"GET /") as client:
        assert eventually(lambda: drips(client))
        assert port.pages.asked == 0


@pytest.mark.parametrize("fields", [("Content-Length: 5",), ("Transfer-Encoding: chunked",)])
@pytest.mark.parametrize("body", [b"", b"3"])
def test_line_12_half_sent_body_is_closed(fields: tuple[str, ...], body: bytes) -> None:
    with opened(body_s=SHORT_S) as port:
        refusal = exchange(port, get("/length", *fields, method="POST") + body)
        check_refused(refusal, 408, "the body of the request has not come in 0.1 s")
        assert eventually(port.is_empty)


def test_line_12_body_that_comes_byte_by_byte_is_closed_too() -> None:
    with (
        opened(body_s=SHORT_S, linger_s=SHORT_S) as port,
        connect(port, get("/length", "Content-Length: 60000", method="POST")) as client,
    ):
        assert eventually(lambda: drips(client))
        assert eventually(port.is_empty)


@pytest.mark.parametrize("page", ["/", "/wait"])
def test_line_12_half_sent_body_of_a_request_that_is_answered_already_is_cut(page: str) -> None:
    with (
        opened(body_s=SHORT_S) as port,
        connect(port, get(page, "Content-Length: 60000", method="POST")) as client,
    ):
        assert read_until(client, b"0\r\n\r\n" if page == "/" else b" \r\n").startswith(b"HTTP/1.1 200 ")
        assert eventually(lambda: drips(client))
        assert eventually(port.is_empty)


def test_line_12_deadlines_are_of_each_request() -> None:
    """Many requests on one connection take longer together than each of them may."""
    with opened(head_s=0.5, body_s=0.5, idle_s=0.5) as port, connect(port) as client:
        begun = time.monotonic()
        while time.monotonic() - begun < 1.0:
            client.sendall(get("/length", "Content-Length: 2", method="POST"))
            assert not eventually(lambda: False, 0.01)
            client.sendall(b"ab")
            assert read_until(client, b"2\r\n0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


# Line 12: an idle connection.


def test_line_12_idle_connection_is_closed() -> None:
    with opened(idle_s=SHORT_S) as port, connect(port, get()) as client:
        begun = time.monotonic()
        assert read_all(client).count(b"hello") == 1
        assert time.monotonic() - begun >= SHORT_S * 0.9


def test_line_12_idle_connection_is_closed_after_pipelining_too() -> None:
    with opened(idle_s=SHORT_S) as port, connect(port, get() * 5) as client:
        assert read_all(client).count(b"hello") == 5
        assert eventually(port.is_empty)


@pytest.mark.parametrize("ahead", [True, False])
def test_line_12_half_sent_further_request_is_closed(ahead: bool) -> None:
    with opened(head_s=SHORT_S) as port, connect(port) as client:
        client.sendall(get() + (b"G" if ahead else b""))
        if not ahead:
            read_until(client, b"0\r\n\r\n")
            client.sendall(b"G")
        received = read_all(client)
        assert (b"hello" in received) is ahead
        assert b"HTTP/1.1 408 Request Timeout\r\n" in received


def test_line_12_wait_has_no_deadline_but_its_own() -> None:
    limits = Limits(SHORT_S, SHORT_S, SHORT_S, SHORT_S, SHORT_S)
    with opened(limits) as port:
        assert exchange(port, get("/patient")).body == b"." * 10


# Line 12: a client that does not read.


def test_line_12_client_that_does_not_read_is_cut_and_its_page_ends() -> None:
    with opened(write_s=SHORT_S) as port, connect(port, get("/large")):
        assert eventually(lambda: port.pages.asked == 1)
        assert eventually(port.is_empty)


def test_line_12_client_that_does_not_read_holds_its_page_until_then() -> None:
    with opened() as port, connect(port, get("/large")):
        assert eventually(lambda: port.phases() == {Phase.READER})
        assert port.pages.open == 1


def test_line_12_client_that_reads_slowly_gets_everything() -> None:
    with opened(write_s=SHORT_S) as port, connect(port, get("/large", "Connection: close")) as client:
        received = 0

        def read_some() -> bool:
            nonlocal received
            part = client.recv(8192)
            received += len(part)
            return not part

        begun = time.monotonic()
        assert eventually(read_some)
        assert time.monotonic() - begun > 2 * SHORT_S
        assert received > 64 * 32_768


@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
@pytest.mark.parametrize("page", ["/medium", "/fails"])
def test_line_12_client_that_does_not_read_the_end_of_its_page_is_cut(page: str, fields: tuple[str, ...]) -> None:
    """The page has gone, and what it left fits into the transport, which would keep it for ever."""
    with opened(write_s=SHORT_S, idle_s=SHORT_S) as port, connect(port, get(page, *fields)):
        assert eventually(lambda: port.pages.asked == 1)
        assert eventually(port.is_empty)


@pytest.mark.parametrize("reset", [False, True])
def test_page_ends_where_it_writes_to_a_client_that_has_left(reset: bool) -> None:
    """Or clients that ask for large pages and leave would have it make any number of them at once."""
    with opened() as port:
        client = connect(port, get("/long"))
        read_until(client, b"\0")
        leave(client, reset)
        assert eventually(port.is_empty)
        assert 0 < port.pages.sent < MANY


# Line 11: sizes.


def head_of(size: int) -> bytes:
    """A request whose head has *size* bytes."""
    short = get("/", "X: ", "Connection: close")
    return short.replace(b"X: ", b"X: " + b"x" * (size - len(short)))


def test_line_11_head_up_to_the_limit_is_read_and_a_larger_one_is_refused() -> None:
    words = "the head of the request is larger than 16,384 bytes"
    with opened() as port:
        assert exchange(port, head_of(16_384)).body == b"hello"
        for data in (head_of(16_385), head_of(100_000), head_of(16_384).replace(b"X: ", b"X:" + b" " * 50)):
            check_refused(exchange(port, data), 431, words)
        check_refused(exchange(port, head_of(20_000)[:-2]), 431, words)
        check_refused(exchange(port, get("/", *("X: y",) * 5000)), 431, words)
        assert port.pages.asked == 1


def test_line_11_head_of_a_further_request_is_held_to_the_limit_by_itself() -> None:
    with (
        opened() as port,
        connect(port, get() + head_of(16_384).replace(b"close", b"yes  ") + head_of(20_000)) as client,
    ):
        received = read_all(client)
        assert received.count(b"hello") == 2
        assert received.count(b"HTTP/1.1 431 Request Header Fields Too Large\r\n") == 1


def test_line_11_request_target_above_the_limit_is_refused() -> None:
    words = "the request target is longer than 8,192 bytes"
    with opened() as port:
        assert exchange(port, get("/?" + "x" * 8_190)).body == b"hello"
        check_refused(exchange(port, get("/?" + "x" * 8_191)), 414, words)
        check_refused(exchange(port, get("/?" + "x" * 100_000)), 414, words)
        check_refused(exchange(port, b"GET /" + b"x" * 20_000), 414, words)
        assert port.pages.asked == 1


def chunked(*sizes: int) -> bytes:
    parts = [b"%x\r\n%s\r\n" % (size, bytes(size)) for size in sizes]
    return get("/length", "Transfer-Encoding: chunked", method="POST") + b"".join([*parts, b"0\r\n\r\n"])


def announced(length: int | str, *fields: str) -> bytes:
    return get("/length", f"Content-Length: {length}", *fields, method="POST")


def test_line_11_body_up_to_64_kb_is_read_and_a_larger_one_is_refused() -> None:
    words = "the body is larger than 65,536 bytes"
    with opened() as port:
        assert exchange(port, announced(65_536) + bytes(65_536)).body == b"65536"
        assert exchange(port, chunked(65_535, 1)).body == b"65536"
        asked = port.pages.asked
        for length in (65_537, 10**9, "9" * 20):
            check_refused(exchange(port, announced(length)), 413, words)
            check_refused(exchange(port, announced(length, "Expect: 100-continue")), 413, words)
        assert port.pages.asked == asked
        check_refused(exchange(port, chunked(65_536, 1)), 413, words)
        check_refused(exchange(port, chunked(200_000)), 413, words)
        assert eventually(lambda: port.pages.open == 0)


def test_line_11_length_that_is_no_sensible_number_is_refused() -> None:
    with opened() as port:
        for length in ("9" * 5_000, "-1", "x", "1,2", ""):
            assert exchange(port, announced(length)).status in (400, 413)
        assert port.pages.asked == 0


@pytest.mark.parametrize("data", [announced(3_000_000) + bytes(3_000_000), chunked(*(30_000,) * 100)])
def test_line_11_client_whose_body_is_refused_gets_to_read_why(data: bytes) -> None:
    """It sends all of it first; a connection that is closed meanwhile would be reset, and the answer lost."""
    with opened() as port:
        check_refused(exchange(port, data), 413, "the body is larger than 65,536 bytes")


def test_line_11_body_above_the_limit_of_a_request_that_is_answered_already_is_cut() -> None:
    with opened() as port, connect(port, chunked(60_000).replace(b"/length", b"/wait")[:-5]) as client:
        read_until(client, b" \r\n")
        with suppress(ConnectionError):
            client.sendall(b"%x\r\n" % 60_000 + bytes(60_000))
        read_all(client)
        assert eventually(port.is_empty)


def test_line_12_client_that_was_refused_and_goes_on_sending_is_cut() -> None:
    with opened(linger_s=SHORT_S) as port, connect(port, announced(10**9)) as client:
        check_refused(answer(client), 413, "the body is larger than 65,536 bytes")
        assert eventually(lambda: drips(client))
        assert eventually(port.is_empty)


# Requests sent ahead.


def leave(client: socket.socket, reset: bool) -> None:
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("page", ["/wait", "/quiet"])
@pytest.mark.parametrize("ahead", [b"", get(), get()[:-1], get() * 300, b"\x00garbage"])
def test_client_that_sent_requests_ahead_and_leaves_is_noticed_within_a_second(
    page: str, ahead: bytes, reset: bool
) -> None:
    with opened() as port:
        client = connect(port, get(page))
        assert eventually(lambda: port.pages.open == 1)
        client.sendall(ahead)
        assert eventually(lambda: not ahead or port.in_loop(lambda: has_ahead(port)))
        leave(client, reset)
        assert eventually(lambda: port.pages.open == 0, PROMPT_S)
        assert eventually(port.is_empty, PROMPT_S)
        assert port.pages.asked == 1


def has_ahead(port: Port) -> bool:
    return any(connection.conn.trailing_data[0] for connection in port.shared.connections)


@pytest.mark.parametrize("fields", [("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), ("Upgrade: websocket",)])
def test_client_that_offers_another_protocol_and_leaves_is_noticed_within_a_second(fields: tuple[str, ...]) -> None:
    with opened() as port:
        client = connect(port, get("/wait", *fields))
        read_until(client, b" \r\n")
        client.sendall(get())
        client.close()
        assert eventually(port.is_empty, PROMPT_S)


def test_requests_sent_ahead_are_answered_in_order() -> None:
    posts = b"".join(announced(size) + bytes(size) for size in range(1, 30))
    with opened(idle_s=SHORT_S) as port, connect(port, posts + get()) as client:
        bodies = [part.partition(b"\r\n\r\n")[2] for part in read_all(client).split(b"HTTP/1.1 200 OK")[1:]]
        assert [body.split(b"\r\n")[1] for body in bodies] == [b"%d" % size for size in range(1, 30)] + [b"hello"]


@pytest.mark.parametrize("at_once", [True, False])
def test_client_that_sends_too_much_ahead_gets_its_present_answer_only(at_once: bool) -> None:
    flood = get("/", "X: " + "x" * 1000) * 100
    with opened(linger_s=SHORT_S) as port, connect(port) as client:
        client.sendall(get("/patient") + (flood if at_once else b""))
        if not at_once:
            read_until(client, b".\r\n")
            client.sendall(flood)
        received = read_all(client)
        assert received.endswith(b"0\r\n\r\n")
        assert port.pages.asked == 1
        assert eventually(port.is_empty)


def test_what_follows_the_last_request_of_a_connection_is_ignored() -> None:
    with opened() as port, connect(port, get("/patient", "Connection: close")) as client:
        read_until(client, b".\r\n")
        client.sendall(b"\r\n" + get() + b"\x00garbage")
        assert read_all(client).endswith(b"0\r\n\r\n")
        assert port.pages.asked == 1


# Line 12: many connections.


@pytest.mark.parametrize("half", [b"", b"GET / HT", announced(5)])
def test_line_12_600_idle_connections_do_not_starve_an_honest_client(half: bytes) -> None:
    """No deadline helps here: they give way."""
    with files(ROOMY), opened() as port, ExitStack() as clients:
        for _ in range(600):
            clients.enter_context(connect(port, half))
        for _ in range(20):
            assert exchange(port, get("/", "Connection: close")).body == b"hello"
        assert eventually(lambda: len(port.shared.connections) <= DEFAULTS.connections)


def test_line_12_600_idle_connections_do_not_starve_a_client_of_the_debug_port() -> None:
    registry, scope = fresh_scope()
    scope.func("handle")
    with files(ROOMY), ExitStack() as clients:
        handle = monkit_present.serve(registry, port=0)
        assert handle.port is not None
        try:
            for _ in range(600):
                clients.enter_context(socket.create_connection(("127.0.0.1", handle.port), timeout=BOUND_S))
            with socket.create_connection(("127.0.0.1", handle.port), timeout=BOUND_S) as client:
                client.sendall(get("/funcs", "Connection: close"))
                assert b"shop.handle" in read_all(client)
        finally:
            handle.close()


def test_line_12_oldest_idle_connection_gives_way() -> None:
    with opened(connections=3) as port, ExitStack() as clients:
        busy = clients.enter_context(connect(port, get("/wait")))
        read_until(busy, b" \r\n")
        first = clients.enter_context(connect(port, get()))
        read_until(first, b"0\r\n\r\n")
        second = clients.enter_context(connect(port, b"GET /"))
        assert eventually(lambda: len(port.shared.connections) == 3)
        first.sendall(get())  # now the other one is idle for longer
        read_until(first, b"0\r\n\r\n")
        third = clients.enter_context(connect(port, get()))
        read_until(third, b"0\r\n\r\n")
        assert read_all(second) == b""
        for client in (first, third):
            client.sendall(get())
            read_until(client, b"0\r\n\r\n")
        assert eventually(lambda: port.pages.open == 1)


def test_line_12_half_sent_body_gives_way_after_the_idle_ones() -> None:
    with opened(connections=2) as port, ExitStack() as clients:
        half = clients.enter_context(connect(port, announced(5)))
        assert eventually(lambda: port.pages.open == 1)
        idle = clients.enter_context(connect(port))
        assert eventually(lambda: len(port.shared.connections) == 2)
        waits = clients.enter_context(connect(port, get("/wait")))
        read_until(waits, b" \r\n")
        assert read_all(idle) == b""
        assert port.pages.open == 2
        assert exchange(port, get()).body == b"hello"
        assert read_all(half) == b""
        assert eventually(lambda: port.pages.open == 1)


def test_line_12_client_that_does_not_read_gives_way() -> None:
    with opened(connections=1, idle_s=0.0) as port, connect(port, get("/large")):
        assert eventually(lambda: port.phases() == {Phase.READER})
        assert exchange(port, get()).body == b"hello"
        assert eventually(lambda: port.pages.open == 0)


def test_line_11_connection_that_finds_no_room_is_told_to_come_back() -> None:
    with opened(connections=2) as port, ExitStack() as clients:
        waits = [clients.enter_context(connect(port, get("/wait"))) for _ in range(2)]
        assert eventually(lambda: port.pages.open == 2)
        for _ in range(20):
            refusal = exchange(port, get())
            check_refused(refusal, 503, "2 connections are open already")
            assert refusal.header("retry-after") == "5"
        assert port.pages.asked == 2
        waits[0].close()
        assert eventually(lambda: port.pages.open == 1)
        assert exchange(port, get()).body == b"hello"


def test_line_11_connections_that_were_refused_do_not_pile_up() -> None:
    with opened(connections=2) as port, ExitStack() as clients:
        for _ in range(2):
            clients.enter_context(connect(port, get("/wait")))
        assert eventually(lambda: port.pages.open == 2)
        for _ in range(60):
            clients.enter_context(connect(port))
        assert eventually(lambda: port.made == 62)
        assert port.in_loop(lambda: len(port.shared.connections)) <= 12
        assert port.pages.open == 2


def test_line_11_connections_that_were_refused_take_no_room() -> None:
    with opened(connections=2) as port, ExitStack() as clients:
        idle = clients.enter_context(connect(port, get()))
        read_until(idle, b"0\r\n\r\n")
        for _ in range(3):
            assert answer(clients.enter_context(connect(port, announced(99_999)))).status == 413
        assert port.in_loop(lambda: len(port.shared.connections)) == 4
        idle.sendall(get())
        read_until(idle, b"0\r\n\r\n")


# Over TLS.


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """That of a server, and that of clients who trust it."""
    openssl = shutil.which("openssl") or pytest.skip("no openssl here to make a certificate with")
    folder: Path = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    command = [openssl, *arguments.split(), "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True, timeout=BOUND_S)
    return server_context((certificate, key)), ssl.create_default_context(cafile=certificate)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", None),
        (b"GET /", 408),
        (get("/length", "Content-Length: 5", method="POST"), 408),
        (get(), 200),
        (get() + get("/?" + "x" * 9000), 200),
        (get("/", "X: " + "x" * 17_000), 431),
        (get("/length", "Content-Length: 99999", method="POST"), 413),
    ],
)
def test_line_12_connection_with_tls_has_the_same_deadlines(
    data: bytes, status: int | None, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, trusting = contexts
    limits = Limits(SHORT_S, SHORT_S, SHORT_S, SHORT_S, SHORT_S)
    with opened(limits, tls=server) as port, connect(port) as plain:
        with trusting.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(data)
            received = read_all(client)
        assert received.partition(b"\r\n")[0].split()[1:2] == ([] if status is None else [b"%d" % status])
        assert eventually(port.is_empty)


def test_line_12_client_that_does_not_read_its_page_over_tls_is_cut(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trusting = contexts
    with (
        opened(tls=server, write_s=SHORT_S) as port,
        connect(port) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(get("/large"))
        assert eventually(lambda: port.pages.asked == 1)
        assert eventually(port.is_empty)


def test_line_12_handshake_that_does_not_come_is_closed(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with opened(tls=contexts[0], handshake_s=SHORT_S) as port:
        for data in (b"", b"\x16\x03\x01\x02\x00"):
            begun = time.monotonic()
            with connect(port, data) as client:
                assert read_all(client) == b""
            assert time.monotonic() - begun >= SHORT_S * 0.9
        assert eventually(port.is_empty)


def test_line_11_connections_in_their_handshake_count_and_do_not_starve_an_honest_client(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """No deadline helps here: the oldest gives way."""
    server, trusting = contexts
    with opened(tls=server, connections=8) as port, ExitStack() as clients:
        silent = [clients.enter_context(connect(port)) for _ in range(60)]
        most = port.shared.room + port.shared.spare
        assert eventually(lambda: port.made == 60 and port.in_loop(lambda: len(port.acceptor.arriving)) == most)
        assert read_all(silent[0]) == b""
        plain = clients.enter_context(connect(port))
        with trusting.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(get("/", "Connection: close"))
            assert b"hello" in read_all(client)
        assert port.in_loop(lambda: len(port.acceptor.arriving)) < most
        assert not drips(silent[-1])
        assert port.made == 61


# Accepting.


class Exhausted(socket.socket):
    """A listener of a process that may open no more files, for the first few times."""

    fails = 3

    def accept(self) -> tuple[socket.socket, Any]:
        if self.fails:
            self.fails -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_port_that_can_accept_nothing_says_so_once_and_goes_on_when_it_can(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor_module, "_RETRY_S", 0.01)
    monkeypatch.setattr(socket, "socket", Exhausted)
    with opened() as port:
        monkeypatch.undo()
        assert exchange(port, get("/", "Connection: close")).body == b"hello"
    (record,) = caplog.records
    assert record.getMessage() == "the debug port accepts no connection for now: [Errno 24] Too many open files"


# Other versions and manners.


def test_client_of_version_1_0_gets_its_page_to_the_end_of_the_connection() -> None:
    for fields in ((), ("Connection: keep-alive",)):
        with opened() as port, connect(port, get("/large", *fields, version="1.0")) as client:
            head, _, body = read_all(client).partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in head.lower()
            assert len(body) == 64 * 32_768


def test_client_of_version_1_0_sends_a_body_and_is_held_to_the_limits() -> None:
    with opened(body_s=SHORT_S) as port:
        post = get("/length", "Content-Length: 3", "Expect: 100-continue", method="POST", version="1.0")
        assert exchange(port, post + b"abc").body == b"3"
        check_refused(exchange(port, post), 408, "the body of the request has not come in 0.1 s")
        post = post.replace(b"3", b"99999")
        check_refused(exchange(port, post), 413, "the body is larger than 65,536 bytes")


def test_client_that_expects_100_is_told_to_go_on_by_a_page_that_reads() -> None:
    with opened(idle_s=SHORT_S) as port, connect(port, announced(3, "Expect: 100-continue")) as client:
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert read_all(client).endswith(b"1\r\n3\r\n0\r\n\r\n")


def test_client_that_expects_100_is_answered_at_once_by_a_page_that_does_not_read() -> None:
    expects = announced(3, "Expect: 100-continue").replace(b"/length", b"/")
    with opened(body_s=SHORT_S) as port, connect(port, expects) as client:
        assert read_until(client, b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert read_all(client) == b""  # it never sent its body
    with opened(idle_s=SHORT_S) as port, connect(port, expects + b"abc" + get()) as client:
        assert read_all(client).count(b"hello") == 2


def test_client_that_expects_100_and_never_sends_is_closed() -> None:
    with (
        opened(body_s=SHORT_S, linger_s=SHORT_S) as port,
        connect(port, announced(3, "Expect: 100-continue")) as client,
    ):
        received = read_all(client)
        assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 Request Timeout\r\n")
        assert eventually(port.is_empty)


# Line 14, and the ends.


ABUSE = (
    b"",
    b"\x16\x03\x01\x02\x00\x01secret",
    b"GET /secret",
    get("/length", "Content-Length: 5", method="POST") + b"sec",
    get("/wait") + b"secret",
    get("/wait") + get("/secret") * 3000,
    announced(99_999) + b"secret" * 10_000,
    chunked(99_999),
    get("/length", "Transfer-Encoding: chunked", method="POST") + b"secret\r\n",
    get("/?" + "secret" * 9_000),
    get("/", "X: " + "secret" * 9_000),
    get("/", "Upgrade: secret", "Connection: Upgrade"),
    get("/", method="CONNECT"),
    get("/large"),
    get("/medium", "Connection: close"),
    get("/fails"),
)


def test_line_14_nothing_that_a_client_does_is_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(1)
    caplog.set_level(logging.WARNING, "asyncio")  # in its debug mode it tells what it does
    limits = Limits(SHORT_S, SHORT_S, SHORT_S, SHORT_S, SHORT_S)
    with opened(limits, connections=8) as port:
        for reset in (False, True):
            with ExitStack() as clients:
                for data in ABUSE * 2:
                    client = clients.enter_context(connect(port))
                    with suppress(ConnectionError):
                        client.sendall(data)
                        client.recv(1)
                    if len(data) % 2:
                        leave(client, reset)
        assert eventually(lambda: port.made == 4 * len(ABUSE) and port.is_empty())
    gc.collect()
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_one_timer_a_connection_and_none_without_one() -> None:
    def timers() -> int:
        return sum(not timer.cancelled() for timer in port.loop._scheduled)  # type: ignore[attr-defined]

    with opened() as port:
        with ExitStack() as clients:
            for data in (b"", b"GET /", announced(5), get("/wait"), get("/large"), get() * 9, announced(99_999)):
                client = clients.enter_context(connect(port, data))
            assert answer(client).status == 413
            assert eventually(lambda: port.phases() >= set(Phase) - {Phase.CLOSED})
            assert port.in_loop(timers) == len(port.shared.connections) == 7
        assert eventually(port.is_empty)
        assert eventually(lambda: port.in_loop(timers) == 0)


def test_closing_server_cancels_all_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Alarm] = []

    class Noted(Alarm):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(protocol_module, "Alarm", Noted)
    registry, scope = fresh_scope()
    scope.func("handle")
    handle = monkit_present.serve(registry, port=0)
    assert handle.port is not None
    with ExitStack() as clients:
        for data in (b"", b"GET /", get("/funcs"), get("/trace/svg?regex=handle"), announced(99_999)):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", handle.port), timeout=BOUND_S))
            client.sendall(data)
        assert eventually(lambda: len(made) == 5 and all(alarm.is_set for alarm in made))
        begun = time.monotonic()
        handle.close()
        assert time.monotonic() - begun < PROMPT_S
        assert eventually(lambda: not any(alarm.is_set for alarm in made), PROMPT_S)


def test_program_with_slow_clients_exits_without_a_word() -> None:
    script = """
        import socket, monkit_present
        from monkit_core import Registry
        registry = Registry()
        registry.scope("shop").func("handle")
        handle = monkit_present.serve(registry, port=0)
        host = b"Host: localhost" + bytes((13, 10))
        clients = []
        for data in (b"", b"GET /", b"GET /trace/json?regex=handle HTTP/1.1\\r\\n" + host + b"\\r\\n",
                     b"POST / HTTP/1.1\\r\\nContent-Length: 99999\\r\\n" + host + b"\\r\\n"):
            clients.append(socket.create_connection(("127.0.0.1", handle.port)))
            clients[-1].sendall(data)
        print(clients[-1].recv(12), clients[-2].recv(12))
        for client in clients[::2]:
            client.close()
        {end}
        for client in clients:
            client.close()
    """
    for end in ("", "handle.close()"):
        said = run_python("-X", "dev", "-c", textwrap.dedent(script).replace("{end}", end))
        assert said == "b'HTTP/1.1 413' b'HTTP/1.1 200'"
