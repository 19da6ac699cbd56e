"""Captures: wait for the next match over HTTP, and send it.

Written on ASGI itself, because a wait must be alive at once, stay alive
through proxies, and end when its client leaves.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.types import Receive, Send

from monkit_present.pages import Ending, Format, Wait
from monkit_present.responses import Problem, attachment, disconnected, send_all, send_body, send_chunk, send_head

__all__ = ["KEEP_ALIVE_S", "MAX_WAITS", "Captures"]

MAX_WAITS = 256
KEEP_ALIVE_S = 15.0


class Captures:
    """The waits of one server: how many there are, and their common end.

    All of it happens in the server's event loop.

    Args:
        most: waits at once.
        keep_alive_s: seconds between signs of life.
    """

    def __init__(self, *, most: int = MAX_WAITS, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self.waiting = 0
        self._most = most
        self._keep_alive_s = keep_alive_s
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every open wait in a well-formed way."""
        self._closing.set()

    async def respond(self, wait: Wait[Any], chosen: Format[Any], method: str, receive: Receive, send: Send) -> None:
        """Answer a request for the next match.

        Raises:
            Problem: too many wait; before anything was sent.
        """
        if self.waiting >= self._most:
            raise Problem(429, f"{self._most} captures wait already", headers=((b"retry-after", b"5"),))
        headers = [(b"content-security-policy", chosen.policy.encode())] if chosen.policy else []
        if chosen.suffix is not None:
            headers.append(attachment(f"{wait.name}{chosen.suffix}"))
        if method == "HEAD":
            await send_head(send, 200, chosen.media_type, headers)
            await send_body(send, b"")
            return
        self.waiting += 1
        try:
            await self._wait(wait, chosen, headers, receive, send)
        finally:
            self.waiting -= 1

    async def _wait(
        self,
        wait: Wait[Any],
        chosen: Format[Any],
        headers: list[tuple[bytes, bytes]],
        receive: Receive,
        send: Send,
    ) -> None:
        waiter = wait.watch()
        begun = time.monotonic()
        match = asyncio.ensure_future(waiter)
        gone = asyncio.ensure_future(disconnected(receive))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await send_head(send, 200, chosen.media_type, headers)
            await send_chunk(send, chosen.opening.encode())
            while not (match.done() or gone.done() or closing.done()):
                left_s = begun + wait.timeout_s - time.monotonic()
                if left_s <= 0:
                    break
                done, _ = await asyncio.wait(
                    (match, gone, closing),
                    timeout=min(left_s, self._keep_alive_s),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done:
                    await send_chunk(send, b" ")
            if gone.done():
                return
            found = match.result() if match.done() else waiter.part
            if found is not None:
                if wait.caught is not None:
                    wait.caught(found)
                await send_all(send, chosen.render(found))
            else:
                reason = "closed" if closing.done() else "timeout"
                waited_s = time.monotonic() - begun
                ending = Ending(reason, wait.words, waited_s, waiter.target is not None, waiter.went_by)
                await send_all(send, [chosen.without(ending)] if chosen.without else [])
        finally:
            waiter.cancel()
            for task in (match, gone, closing):
                task.cancel()
            await asyncio.gather(match, gone, closing, return_exceptions=True)
