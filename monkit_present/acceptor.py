"""The acceptor: takes in the connections of a listener, and knows those that are still arriving.

asyncio's own server loses sight of a connection from its acceptance to the end
of its TLS handshake: such a one is not counted and is not let go in a child of
fork, and in its debug mode asyncio logs each handshake that fails. Nothing here
knows HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from monkit_present.listener import Listener

__all__ = ["Acceptor"]

_log = logging.getLogger("monkit.present")
_AT_ONCE = 8  # connections accepted in one turn of the loop
_RETRY_S = 1.0


class Acceptor:
    """Accepts connections while it is started; used in the thread of its event loop.

    Args:
        listener: what they come in on.
        serving: makes the protocol that serves one.
        is_crowded: whether so many that are arriving are too many.
        handshake_s: longest time for a TLS handshake.
    """

    def __init__(
        self,
        listener: Listener,
        serving: Callable[[], asyncio.Protocol],
        *,
        is_crowded: Callable[[int], bool],
        handshake_s: float,
    ) -> None:
        self._listener = listener
        self._serving = serving
        self._is_crowded = is_crowded
        self._handshake_s = handshake_s
        self._loop = asyncio.get_running_loop()
        self._arriving: dict[asyncio.Task[None], socket.socket] = {}  # oldest first
        self._cut: dict[asyncio.Task[None], socket.socket] = {}  # they end within a few turns of the loop
        self._retry: asyncio.TimerHandle | None = None
        self._failing = False

    @property
    def arriving(self) -> list[socket.socket]:
        """Connections that were accepted and that no protocol has yet."""
        return [*self._arriving.values(), *self._cut.values()]

    def start(self) -> None:
        """Begin to accept."""
        self._retry = None
        self._loop.add_reader(self._listener.sock, self._accept)

    async def stop(self) -> None:
        """Accept no more, and cut what is arriving."""
        self._loop.remove_reader(self._listener.sock)
        if self._retry is not None:
            self._retry.cancel()
        while self._arriving:
            self._cut_oldest()
        if self._cut:
            await asyncio.wait(self._cut)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listener.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as problem:
                self._pause(problem)
                return
            self._failing = False
            may_ask = self._listener.may_ask
            if may_ask is None or may_ask(connection):
                self._take_in(connection)
            else:
                connection.close()  # before a byte of it is read

    def _pause(self, problem: OSError) -> None:
        """Such as that no more files may be open: the loop would call again at once, and all the time."""
        if not self._failing:
            _log.warning("the debug port accepts no connection for now: %s", problem)
        self._failing = True
        self._loop.remove_reader(self._listener.sock)
        self._retry = self._loop.call_later(_RETRY_S, self.start)

    def _take_in(self, connection: socket.socket) -> None:
        if self._arriving and self._is_crowded(len(self._arriving) + 1):
            self._cut_oldest()
        connection.setblocking(False)
        task = self._loop.create_task(self._hand_over(connection))
        self._arriving[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._arriving.pop(task, None)
        self._cut.pop(task, None)

    def _cut_oldest(self) -> None:
        """End it in both directions: whatever waits for its handshake meets the end, and closes it in the usual way."""
        task, connection = next(iter(self._arriving.items()))
        self._cut[task] = self._arriving.pop(task)
        with suppress(OSError):  # it has left already
            connection.shutdown(socket.SHUT_RDWR)

    async def _hand_over(self, connection: socket.socket) -> None:
        tls = self._listener.tls
        with suppress(OSError):  # it has left, is too slow, or speaks no TLS
            await self._loop.connect_accepted_socket(
                self._serving, connection, ssl=tls, ssl_handshake_timeout=None if tls is None else self._handshake_s
            )
