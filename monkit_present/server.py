"""The side port: a thread of its own with an event loop of its own.

It answers while the program's loop is blocked, ends with the program without
a word, and never takes it down: what goes wrong stands on the handle and in
one log line.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import math
import os
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from monkit_core import Registry, default_registry
from monkit_present.acceptor import Acceptor
from monkit_present.app import DebugApp, make_access
from monkit_present.capture import MAX_WAITS, Captures
from monkit_present.listener import Listener, listen_tcp, listen_unix
from monkit_present.protocol import Protocol, Shared, settings
from monkit_present.tls import CertificateFiles

__all__ = ["Server", "serve"]

_log = logging.getLogger("monkit.present")
_CLOSE_S = 0.9
_GRACE_S = 0.5
_servers: weakref.WeakSet[Server] = weakref.WeakSet()
_abandoned: list[object] = []  # event loops of the parent, kept in a child so that they are not finalised there


class Server:
    """The handle of a debug port.

    Attributes:
        url: where it listens, ``http://127.0.0.1:9000``, or ``None``; of a Unix
            socket ``http+unix://`` and its path with every ``/`` as ``%2F``.
        error: why it does not, or ``None``.
    """

    def __init__(self) -> None:
        self.url: str | None = None
        self.error: BaseException | None = None
        self._app: DebugApp | None = None
        self._listener: Listener | None = None
        self._state = Shared()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._acceptor: Acceptor | None = None
        self._closed = False
        self._lock = threading.RLock()  # a handler of a signal may close it while its thread does

    @property
    def port(self) -> int | None:
        """The port it listens on, or ``None``."""
        return None if self._listener is None or self.url is None else self._listener.port

    def sign_in_url(self) -> str | None:
        """An address that signs a browser in: good once, within ten minutes.

        Where no token is asked for, the address of the index; ``None`` if
        nothing listens. Whoever has it has the port, so do not log it where
        others read.
        """
        url, app = self.url, self._app
        if url is None or app is None:
            return None
        code = app.sign_in_code()
        return f"{url}/" if code is None else f"{url}/sign-in#{code}"

    def close(self) -> None:
        """End open waits, close the port, and return within a second. Twice does no harm."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._closed = True
            if self._loop is not None and self._stop is not None:
                with suppress(RuntimeError):  # the loop has ended by itself
                    self._loop.call_soon_threadsafe(self._stop.set)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_S)
        if self._listener is not None and self._listener.remove is not None:
            self._listener.remove()
        self.url = None
        _servers.discard(self)
        atexit.unregister(self.close)

    def _start(self, app: DebugApp, listener: Listener) -> None:
        self._app = app
        self._listener = listener
        self.url = listener.url
        self._thread = threading.Thread(target=self._run, name="monkit-present", daemon=True)
        _servers.add(self)
        atexit.register(self.close)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread left
            self._thread = None
            listener.sock.close()
            self.close()
            raise

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        except BaseException as problem:  # the end of this thread: say it where somebody looks
            self._fail(problem)
        finally:
            if self._listener is not None:
                self._listener.sock.close()

    def _fail(self, problem: BaseException) -> None:
        self.error = problem
        self.url = None
        _log.error("the debug port ended: %r", problem, exc_info=problem)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = math.inf  # or its debug mode would log what a page takes, as the program's own
        with self._lock:
            self._loop, self._stop = loop, asyncio.Event()
            if self._closed:
                self._stop.set()
        app, listener = self._app, self._listener
        assert app is not None  # both were set by _start
        assert listener is not None
        config = settings(app)
        self._acceptor = Acceptor(
            listener,
            lambda: Protocol(config, self._state, {}),
            is_crowded=self._state.is_crowded,
            handshake_s=self._state.limits.handshake_s,
        )
        self._acceptor.start()
        try:
            await self._stop.wait()
        finally:
            await self._acceptor.stop()
            app.close_waits()
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
        self._lock = threading.RLock()  # another thread of the parent may have held it
        _abandoned.append(self._loop)
        self._loop = None
        listening = None if self._listener is None else self._listener.sock
        arriving = [] if self._acceptor is None else self._acceptor.arriving
        here = [_socket_of(connection.transport) for connection in self._state.connections]
        null = os.open(os.devnull, os.O_RDWR)
        for item in [listening, *arriving, *here]:
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
    unix: str | os.PathLike[str] | None = None,
    tls: CertificateFiles | None = None,
    hosts: Iterable[str] = (),
    viz_hosts: Iterable[str] = (),
    token: str | None = None,
    open_health: bool = False,
    insecure: bool = False,
    strict: bool = False,
) -> Server:
    """Serve the debug pages on a port of their own, in a thread of their own.

    Args:
        registry: what is shown, the default registry if not given.
        host: name or address to bind.
        port: 0 takes a free one; `Server.port` says which.
        unix: listen on this Unix socket instead; of a folder, on ``monkit-<pid>.sock`` in it.
        tls: files of a certificate and its key; the port then speaks HTTPS.
        hosts: further names that requests may be addressed to (``Host``), such
            as the one of a tunnel or proxy.
        viz_hosts: hosts, or ``host:port``, that ``/trace/remote?viz=`` may send a browser to.
        token: what every request has to bring, see `new_token`; browsers sign
            in by `Server.sign_in_url`.
        open_health: ``/health`` needs no token.
        insecure: needed for an address that other machines reach, without a token.
        strict: raise what went wrong instead of noting it on the handle.

    Returns:
        The handle, at once. A port that is taken is on its ``error`` and in
        one log line; the program goes on.

    Raises:
        OSError: the address cannot be bound, or the files of *tls* cannot be used, with *strict*.
        OverflowError: there is no such port, with *strict*.
        PermissionError: *host* is not of the loopback interface and there is
            neither *token* nor *insecure*, or the folder of *unix* is open to
            others, with *strict*.
        RuntimeError: the system has no thread left, with *strict*.
        TypeError: *token* is no text, with *strict*.
        ValueError: *token* is weak, *host* cannot be a name, or one of *viz_hosts* cannot be read, with *strict*.
    """
    place = f"{host}:{port}" if unix is None else str(unix)
    server = Server()
    try:
        app = DebugApp(
            default_registry if registry is None else registry,
            access=make_access(token, everybody=token is None, open_health=open_health),
            hosts=(host, *hosts),
            viz_hosts=viz_hosts,
            own_thread=True,
            captures=Captures(most=min(MAX_WAITS, max(1, server._state.room // 2))),  # they hold their connections long
        )
        if unix is not None and tls is not None:
            raise ValueError("tls= is for a port; leave it out with unix=")
        exposed = insecure or token is not None
        server._start(app, listen_tcp(host, port, exposed=exposed, tls=tls) if unix is None else listen_unix(unix))
    except (OSError, OverflowError, RuntimeError, TypeError, ValueError) as problem:
        if strict:
            raise
        server.error = problem
        _log.error("no debug port on %s: %s", place, problem)
    return server
