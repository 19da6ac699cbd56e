"""Responses: the few shapes in which bytes leave, and the problems a request can meet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus

from starlette.types import Receive, Send

__all__ = [
    "PLAIN_TEXT", "READY_BYTES", "Problem", "attachment", "disconnected", "gathered", "give_turn", "send_all",
    "send_body", "send_chunk", "send_head", "send_problem",
]  # fmt: skip

PLAIN_TEXT = "text/plain; charset=utf-8"
_CHUNK_BYTES = 1 << 16  # of what is made while it is sent: some milliseconds of work
READY_BYTES = 1 << 18
"""Of what is made before it is sent. Each chunk gives the program a turn, five milliseconds if it is busy."""

_TURN_S = 50e-6

Headers = Sequence[tuple[bytes, bytes]]


class Problem(Exception):
    """A request that is answered by an error.

    Args:
        status: of the response.
        words: what was found, what was expected, the next step.
        headers: of the response, beside the usual ones.
    """

    def __init__(self, status: int, words: str, headers: Headers = ()) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.headers = headers


async def send_problem(send: Send, problem: Problem) -> None:
    """Send an error as one line of text: the phrase of the status, a colon, the words."""
    words = problem.words.replace("\n", "\\n")
    await send_head(send, problem.status, PLAIN_TEXT, problem.headers)
    await send_body(send, f"{HTTPStatus(problem.status).phrase}: {words}\n".encode())


async def send_head(send: Send, status: int, media_type: str, headers: Headers = ()) -> None:
    """Send status and headers."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", media_type.encode()), *headers],
        }
    )


async def send_chunk(send: Send, body: bytes) -> None:
    """Send a part of the body, more follows."""
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def send_body(send: Send, body: bytes) -> None:
    """Send the body, or its last part."""
    await send({"type": "http.response.body", "body": body})


async def send_all(send: Send, chunks: Iterable[str | bytes]) -> None:
    """Send chunks as they are made, a slice at a time, so that other requests get their turn."""
    for part in gathered(chunks):
        if part:
            await send_chunk(send, part)
        await give_turn()
    await send_body(send, b"")


async def give_turn() -> None:
    """Let other requests have a turn, and other threads the interpreter lock.

    A thread that waits for the lock needs some microseconds to wake up. Where the lock is free for less, as while
    the event loop looks for news, it is gone again, and the thread begins its wait of five milliseconds anew.
    """
    time.sleep(_TURN_S)
    await asyncio.sleep(0)


def gathered(chunks: Iterable[str | bytes], least_bytes: int = _CHUNK_BYTES) -> Iterator[bytes]:
    """Chunks of that size or a little more out of small ones; larger ones as they are.

    What is empty comes out at once, with what stood before it: it says that work is being done and others may have
    a turn.
    """
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        part = chunk.encode() if isinstance(chunk, str) else chunk
        parts.append(part)
        size += len(part)
        if size >= least_bytes or not part:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def attachment(name: str) -> tuple[bytes, bytes]:
    """The header that makes a browser save the response as a file of this name, which needs no quoting."""
    return b"content-disposition", f'attachment; filename="{name}"'.encode("ascii")


async def disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
