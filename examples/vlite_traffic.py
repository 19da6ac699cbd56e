"""What stands around VLite in a demonstration: an upstream with good and bad days, and clients."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import monkit_core as monkit

BLOCK = b"0123456789abcde\n" * 1024
BLOCKS = 64
REQUEST_EVERY_S = 0.1
REPORT_EVERY_S = 10


async def fast(request: Request) -> Response:
    """Answer at once."""
    return PlainTextResponse("fast\n")


async def slow(request: Request) -> Response:
    """Think for a while."""
    await asyncio.sleep(0.4)
    return PlainTextResponse("slow\n")


async def error(request: Request) -> Response:
    """Answer that something went wrong."""
    return PlainTextResponse("sorry\n", status_code=500)


async def echo(request: Request) -> Response:
    """Send back what came."""
    return Response(await request.body(), media_type="application/octet-stream")


async def large(request: Request) -> Response:
    """Send a mebibyte, in small blocks."""

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(BLOCKS):
            yield BLOCK
            await asyncio.sleep(0)

    return StreamingResponse(blocks(), media_type="application/octet-stream")


async def forever(request: Request) -> Response:
    """Tick until the client leaves."""

    async def ticks() -> AsyncIterator[str]:
        for number in itertools.count():
            yield f"tick {number}\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(ticks(), media_type="text/plain")


async def broken(request: Request) -> Response:
    """Promise more than is sent."""

    async def part() -> AsyncIterator[bytes]:
        yield b"half"

    return StreamingResponse(part(), headers={"content-length": "8"})


async def silent(request: Request) -> Response:
    """Never answer; end when the client has lost its patience."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()


upstream = Starlette(
    routes=[
        Route("/fast", fast),
        Route("/slow", slow),
        Route("/error", error),
        Route("/echo", echo, methods=["POST", "PUT"]),
        Route("/large", large),
        Route("/forever", forever),
        Route("/broken", broken),
        Route("/silent", silent),
    ]
)
"""What VLite stands in front of unless it is given another target."""


Act = Callable[[httpx.AsyncClient, str], Awaitable[None]]
"""What a client does with a path."""


async def get(client: httpx.AsyncClient, path: str) -> None:
    """Ask, and wait for the whole answer."""
    await client.get(path)


async def post(client: httpx.AsyncClient, path: str) -> None:
    """Send a body of unknown length."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield BLOCK
            await asyncio.sleep(0.02)

    await client.post(path, content=body())


async def leave(client: httpx.AsyncClient, path: str) -> None:
    """Read a little of the answer, and leave."""
    async with client.stream("GET", path) as response:
        async for _ in response.aiter_text():
            if response.num_bytes_downloaded > 20:
                break


async def crowd(client: httpx.AsyncClient, path: str) -> None:
    """Ask five times at once."""
    await asyncio.gather(*(client.get(path) for _ in range(5)))


PROGRAMME: list[tuple[Act, str]] = [
    (get, "/fast"),
    (get, "/fast"),
    (get, "/slow"),
    (post, "/echo"),
    (get, "/fast"),
    (leave, "/forever"),
    (get, "/error"),
    (get, "/large"),
    (get, "/fast"),
    (get, "/broken"),
    (crowd, "/slow"),
    (get, "/fast"),
    (get, "/silent"),
]
"""What the clients do, in this order, over and over."""


@asynccontextmanager
async def clients(url: str) -> AsyncIterator[None]:
    """Send about ten requests a second inside the block, and say now and then how they fared."""
    async with httpx.AsyncClient(base_url=url, timeout=None, trust_env=False) as client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(drive(client)), group.create_task(report())]
        yield
        for task in tasks:
            task.cancel()


async def drive(client: httpx.AsyncClient) -> None:
    """Go through the programme without end, not waiting for answers."""
    async with asyncio.TaskGroup() as group:
        for act, path in itertools.cycle(PROGRAMME):
            group.create_task(attempt(act, client, path))
            await asyncio.sleep(REQUEST_EVERY_S)


async def attempt(act: Act, client: httpx.AsyncClient, path: str) -> None:
    """Take it lightly when an answer breaks off."""
    with suppress(httpx.HTTPError):
        await act(client, path)


async def report() -> None:
    """Print a line of figures now and then."""
    handled = monkit.scope("vlite").func("VLite.HandleHTTP")
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        failed = ", ".join(f"{count} {name}" for name, count in handled.errors.items())
        print(f"{handled.success_times.count} served, {handled.current} open; failed: {failed or 'none'}", flush=True)
