"""Peers: cut connections whose other side may not ask anything, before a byte of theirs is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["Peer"]


class Peer(asyncio.Protocol):
    """Looks at who has connected, and hands the connection on or cuts it.

    Args:
        inner: makes the protocol that serves a connection.
        may_ask: looks at its socket.
    """

    def __init__(self, inner: Callable[[], asyncio.Protocol], may_ask: Callable[[Any], bool]) -> None:
        self._inner = inner
        self._may_ask = may_ask

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        if not self._may_ask(transport.get_extra_info("socket")):
            transport.abort()
            return
        protocol = self._inner()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
