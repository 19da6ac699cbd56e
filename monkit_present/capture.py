"""Captures: wait for the next match over HTTP, and send it.

Written on ASGI itself, because a wait must be alive at once, stay alive
through proxies, and end when its client leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from monkit_core import Capture, Registry, watch_for_spans
from monkit_core.text import clean, clip
from monkit_present.gather import trace_rows
from monkit_present.query import BadQuery, CaptureQuery, parse_capture_query
from monkit_present.render import json, trace_svg
from monkit_present.responses import Problem, send_all, send_body, send_chunk, send_head

__all__ = ["CAPTURE_FORMATS", "CaptureFormat", "Captures"]

MAX_WAITS = 256
KEEP_ALIVE_S = 15.0


@dataclass(frozen=True, slots=True)
class CaptureFormat:
    """How a capture is sent.

    Attributes:
        media_type: of the response.
        policy: content security policy of the response; ``None`` takes the guard's.
        render: the capture as chunks.
        end_without: what is sent when the wait ends before a match has: why
            (``timeout`` or ``closed``), what was asked for, seconds waited,
            whether a call matched and still runs.
    """

    media_type: str
    policy: str | None
    render: Callable[[Capture], Iterable[str | bytes]]
    end_without: Callable[[str, str, float, bool], str | bytes]


def _svg_without(reason: str, words: str, waited_s: float, matched: bool) -> str:
    title = "Timed out" if reason == "timeout" else "The server was closed"
    line = f"A call matched {words} and still ran after" if matched else f"No call matched {words} in"
    return trace_svg.render_message(title, [f"{line} {waited_s:.0f} s."])


def _json_without(reason: str, words: str, waited_s: float, matched: bool) -> bytes:
    return json.message({reason: True, "query": words, "waited_s": round(waited_s, 3), "matched": matched})


CAPTURE_FORMATS = {
    "json": CaptureFormat(
        "application/json; charset=utf-8", None, lambda capture: json.trace(trace_rows(capture)), _json_without
    ),
    "svg": CaptureFormat(
        "image/svg+xml; charset=utf-8",
        trace_svg.CONTENT_SECURITY_POLICY,
        lambda capture: trace_svg.render_chunks(trace_rows(capture)),
        _svg_without,
    ),
}


class Captures:
    """The waits of one server: how many there are, and their common end.

    All of it happens in the server's event loop.

    Args:
        registry: whose spans.
        most: waits at once.
        keep_alive_s: seconds between signs of life.
    """

    def __init__(self, registry: Registry, *, most: int = MAX_WAITS, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self.registry = registry
        self.waiting = 0
        self._most = most
        self._keep_alive_s = keep_alive_s
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every open wait in a well-formed way."""
        self._closing.set()

    async def respond(self, format_name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the next match.

        Raises:
            Problem: the query or the format cannot be used, or too many wait; before anything was sent.
        """
        try:
            query = parse_capture_query(scope["query_string"], self.registry)
        except BadQuery as problem:
            raise Problem(400, str(problem)) from None
        chosen = CAPTURE_FORMATS.get(format_name)
        if chosen is None:
            raise Problem(404, f"path not found: {clip(clean(scope['path']), 200)}")
        if self.waiting >= self._most:
            raise Problem(429, f"{self._most} captures wait already", headers=((b"retry-after", b"5"),))
        policy = [(b"content-security-policy", chosen.policy.encode())] if chosen.policy else []
        if scope["method"] == "HEAD":
            await send_head(send, 200, chosen.media_type, policy)
            await send_body(send, b"")
            return
        self.waiting += 1
        try:
            await self._wait(query, chosen, policy, receive, send)
        finally:
            self.waiting -= 1

    async def _wait(
        self,
        query: CaptureQuery,
        chosen: CaptureFormat,
        headers: list[tuple[bytes, bytes]],
        receive: Receive,
        send: Send,
    ) -> None:
        waiter = watch_for_spans(self.registry, query.matcher, max_spans=query.max_spans)
        begun = time.monotonic()
        match = asyncio.ensure_future(waiter)
        gone = asyncio.ensure_future(_disconnected(receive))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await send_head(send, 200, chosen.media_type, headers)
            await send_chunk(send, b" ")
            while not (match.done() or gone.done() or closing.done()):
                left_s = begun + query.timeout_s - time.monotonic()
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
            if match.done():
                await send_all(send, chosen.render(match.result()))
            else:
                reason = "closed" if closing.done() else "timeout"
                waited_s = time.monotonic() - begun
                body = chosen.end_without(reason, query.words, waited_s, waiter.target is not None)
                await send_body(send, body.encode() if isinstance(body, str) else body)
        finally:
            waiter.cancel()
            for task in (match, gone, closing):
                task.cancel()
            await asyncio.gather(match, gone, closing, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
