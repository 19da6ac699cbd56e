"""Streams: what changes on a page, as server-sent events, once a second.

However many tabs show a page, its parts are worked out once a second; each
tab is sent those that have changed since it was last sent any.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Receive, Send

from monkit_core.clock import monotonic_ns, wall_offset_ns
from monkit_present.pages import EVENT_STREAM, Blocks
from monkit_present.responses import Problem, disconnected, send_body, send_chunk, send_head

__all__ = ["EVERY_S", "MAX_STREAMS", "Streams"]

EVERY_S = 1.0
MAX_STREAMS = 64
_LEAST_REST = 20
"""A page that takes long is worked out less often: a twentieth of the time at the most."""

Work = Callable[[], Awaitable[Blocks]]

_log = logging.getLogger("monkit.present")


@dataclass(slots=True)
class _Feed:
    """One page with its parameters, for everybody who looks at it.

    Attributes:
        turn: how often it was worked out.
        blocks: each part with the turn in which it took this text.
        readers: how many look.
        changed: is set, and replaced, at each turn.
        every_s: seconds until the next turn.
        failure: what the page raised, so that there is no further turn.
        task: works it out.
    """

    turn: int = 0
    blocks: dict[str, tuple[int, str]] = field(default_factory=dict)
    readers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    every_s: float = EVERY_S
    failure: Exception | None = None
    task: asyncio.Task[None] | None = None


class Streams:
    """The event streams of one server. All of it happens in the server's event loop.

    Args:
        most: streams at once.
        every_s: seconds from one look to the next.
    """

    def __init__(self, *, most: int = MAX_STREAMS, every_s: float = EVERY_S) -> None:
        self._most = most
        self._every_s = every_s
        self._feeds: dict[object, _Feed] = {}
        self._closing = asyncio.Event()

    @property
    def open(self) -> int:
        """How many there are."""
        return sum(feed.readers for feed in self._feeds.values())

    def close(self) -> None:
        """End every stream; browsers are told not to come back at once."""
        self._closing.set()

    async def respond(self, key: object, work: Work, method: str, receive: Receive, send: Send) -> None:
        """Send what changes until the client leaves.

        Args:
            key: the same for streams of the same page.
            work: says the parts of the page as they are now.
            method: of the request.
            receive: ASGI.
            send: ASGI.

        Raises:
            Exception: what *work* raises at its first turn, such as a `Problem`; before anything was sent.
            Problem: there are too many; likewise.
        """
        if self.open >= self._most:
            raise Problem(429, f"{self._most} live pages are open already", headers=((b"retry-after", b"5"),))
        if method == "HEAD":
            await send_head(send, 200, EVENT_STREAM)
            await send_body(send, b"")
            return
        gone = asyncio.ensure_future(disconnected(receive))
        feed = self._join(key, work)
        try:
            if not feed.turn and feed.failure is None:
                await feed.changed.wait()
            if not feed.turn and feed.failure is not None:
                raise feed.failure
            await send_head(send, 200, EVENT_STREAM)
            async for event in self._events(feed, gone):
                await send_chunk(send, event)
            if not gone.done():
                await send_body(send, b"retry: 5000\n\n")
        finally:
            gone.cancel()
            self._leave(key, feed)
            await asyncio.gather(gone, return_exceptions=True)

    async def _events(self, feed: _Feed, gone: asyncio.Future[None]) -> AsyncIterator[bytes]:
        closing = asyncio.ensure_future(self._closing.wait())
        seen = 0
        order: list[str] = []
        try:
            while not (gone.done() or closing.done() or feed.failure):
                if feed.turn > seen:
                    yield _event(feed, seen, order)
                    seen, order = feed.turn, list(feed.blocks)
                next_turn = asyncio.ensure_future(feed.changed.wait())
                await asyncio.wait((next_turn, gone, closing), return_when=asyncio.FIRST_COMPLETED)
                next_turn.cancel()
        finally:
            closing.cancel()

    def _join(self, key: object, work: Work) -> _Feed:
        feed = self._feeds.setdefault(key, _Feed())
        feed.readers += 1
        if feed.task is None:
            feed.task = asyncio.get_running_loop().create_task(self._work(feed, work), name="monkit live page")
        return feed

    def _leave(self, key: object, feed: _Feed) -> None:
        feed.readers -= 1
        if not feed.readers:
            del self._feeds[key]
            if feed.task is not None:
                feed.task.cancel()

    async def _work(self, feed: _Feed, work: Work) -> None:
        while True:
            try:
                begun = time.monotonic()
                blocks = await work()
                took_s = time.monotonic() - begun
            except Exception as failure:  # whatever a page raises: at the first turn it is told to who asked
                if feed.turn:
                    _log.exception("a live page failed")
                feed.failure = failure
                feed.changed.set()
                return
            feed.turn += 1
            feed.blocks = {
                name: old if (old := feed.blocks.get(name)) is not None and old[1] == text else (feed.turn, text)
                for name, text in blocks.items()
            }
            feed.changed.set()
            feed.changed = asyncio.Event()
            feed.every_s = max(self._every_s, _LEAST_REST * took_s)
            await asyncio.sleep(feed.every_s)


def _event(feed: _Feed, seen: int, order: list[str]) -> bytes:
    """What has changed since turn *seen*; the names of all parts if these are not those of *order*."""
    now_ms = (monotonic_ns() + wall_offset_ns()) // 1_000_000
    changed = {name: text for name, (turn, text) in feed.blocks.items() if turn > seen}
    message: dict[str, Any] = {"now": now_ms, "every": feed.every_s, "set": changed}
    names = list(feed.blocks)
    if set(names) != set(order):  # their order is that of the moment, and nothing on a page moves by itself
        message["order"] = names
    return b"data: " + orjson.dumps(message) + b"\n\n"
