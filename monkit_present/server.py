"""The side port: a thread of its own with an event loop of its own.

It answers while the program's loop is blocked, ends with the program without
a word, and never takes it down: what goes wrong stands on the handle and in
one log line.
"""

from __future__ import annotations

import asyncio
import atexit
import ipaddress
import logging
import os
import socket
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from monkit_core import Registry, default_registry
from monkit_present.app import DebugApp
from monkit_present.guard import LOOPBACK_NAMES
from monkit_present.protocol import Protocol, Shared, settings

__all__ = ["Server", "serve"]

_log = logging.getLogger("monkit.present")
_CLOSE_S = 0.9
_GRACE_S = 0.5
_servers: weakref.WeakSet[Server] = weakref.WeakSet()
_abandoned: list[object] = []  # event loops of the parent, kept in a child so that they are not finalised there


class Server:
    """The handle of a debug port.

    Attributes:
        url: where it listens, ``http://127.0.0.1:9000``, or ``None``.
        error: why it does not, or ``None``.
    """

    def __init__(self, app: DebugApp) -> None:
        self.url: str | None = None
        self.error: BaseException | None = None
        self._app = app
        self._socket: socket.socket | None = None
        self._state = Shared()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()

    @property
    def port(self) -> int | None:
        """The port it listens on, or ``None``."""
        return None if self._socket is None or self.url is None else int(self._socket.getsockname()[1])

    def close(self) -> None:
        """End open waits, close the port, and return within a second. Twice does no harm."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._closed.set()
            if self._loop is not None and self._stop is not None:
                with suppress(RuntimeError):  # the loop has ended by itself
                    self._loop.call_soon_threadsafe(self._stop.set)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_S)
        self.url = None
        _servers.discard(self)
        atexit.unregister(self.close)

    def _start(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self._socket = listener
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._thread = threading.Thread(target=self._run, name="monkit-present", daemon=True)
        _servers.add(self)
        atexit.register(self.close)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread left
            self._thread = None
            listener.close()
            self.close()
            raise

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        except BaseException as problem:  # the end of this thread: say it where somebody looks
            self._fail(problem)
        finally:
            if self._socket is not None:
                self._socket.close()

    def _fail(self, problem: BaseException) -> None:
        self.error = problem
        self.url = None
        _log.error("the debug port ended: %r", problem, exc_info=problem)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            self._loop, self._stop = loop, asyncio.Event()
            if self._closed.is_set():
                self._stop.set()
        config = settings(self._app)
        assert self._socket is not None  # set by _start
        server = await loop.create_server(lambda: Protocol(config, self._state, {}), sock=self._socket, backlog=128)
        try:
            await self._stop.wait()
        finally:
            self._app.close_waits()
            server.close()
            await self._drain()

    async def _drain(self) -> None:
        """Let responses end, then cut what is left."""
        loop = asyncio.get_running_loop()
        for connection in list(self._state.connections):
            connection.shutdown()
        deadline = loop.time() + _GRACE_S
        while self._state.connections and loop.time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)

    def _forked(self) -> None:
        """In a child of fork: nobody serves here, so let go of what the parent serves on."""
        self.error = RuntimeError("the process was forked; the debug port stayed with its parent")
        self.url = None
        self._thread = None
        self._lock = threading.Lock()  # another thread of the parent may have held it
        _abandoned.append(self._loop)
        self._loop = None
        sockets = [self._socket, *(_socket_of(connection.transport) for connection in self._state.connections)]
        null = os.open(os.devnull, os.O_RDWR)
        for item in sockets:
            if item is not None:
                with suppress(OSError, ValueError):  # closed already
                    # Not closed but replaced: the objects will close the number once more when they are collected.
                    os.dup2(null, item.fileno(), inheritable=False)
        os.close(null)


def _socket_of(transport: Any) -> Any:
    return transport.get_extra_info("socket") if transport is not None else None


def _let_go_in_child() -> None:
    for server in list(_servers):
        server._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def serve(
    registry: Registry | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 9000,
    hosts: Iterable[str] = (),
    insecure: bool = False,
    strict: bool = False,
) -> Server:
    """Serve the debug pages on a port of their own, in a thread of their own.

    Args:
        registry: what is shown, the default registry if not given.
        host: name or address to bind.
        port: 0 takes a free one; `Server.port` says which.
        hosts: further names that requests may be addressed to (``Host``), such
            as the one of a tunnel or proxy.
        insecure: needed for an address that other machines reach.
        strict: raise what went wrong instead of noting it on the handle.

    Returns:
        The handle, at once. A port that is taken is on its ``error`` and in
        one log line; the program goes on.

    Raises:
        OSError: the address cannot be bound, with *strict*.
        OverflowError: there is no such port, with *strict*.
        UnicodeError: *host* cannot be a name, with *strict*.
        RuntimeError: the system has no thread left, with *strict*.
        PermissionError: *host* is not of the loopback interface and *insecure* is not set, with *strict*.
    """
    names = tuple(hosts)
    server = Server(DebugApp(default_registry if registry is None else registry, hosts=(host, *names)))
    try:
        server._start(_bind(host, port, insecure=insecure))
    except (OSError, OverflowError, RuntimeError, UnicodeError) as problem:
        if strict:
            raise
        server.error = problem
        _log.error("no debug port on %s:%s: %s", host, port, problem)
    return server


def _bind(host: str, port: int, *, insecure: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if not insecure and not ipaddress.ip_address(address[0]).is_loopback:
        raise PermissionError(
            f"{host} is reached from other machines; say insecure=True if that is meant, or bind {LOOPBACK_NAMES[1]}"
        )
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address[0], port, *address[2:]))  # a port out of range is refused here only
        listener.listen(128)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
