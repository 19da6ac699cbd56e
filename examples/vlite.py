"""VLite: a small reverse proxy that explains itself on a side port.

```console
$ python examples/vlite.py --demo
```

Requests to port 8080 are passed on to one upstream; bodies are streamed both
ways. The lines that say ``mon`` gather what is worth knowing, the one that
says ``monkit_present.serve`` shows it on port 9000.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, closing, suppress

import httpx
from starlette.types import Message, Receive, Scope, Send

import monkit_core as monkit
import monkit_present
import vlite_traffic
from monkit_plugins.asgi import MonkitMiddleware
from monkit_plugins.httpx import instrument
from vlite_server import listener_on, serving

mon = monkit.package()

Header = tuple[bytes, bytes]

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
"""Headers that are meant for the next machine only, besides those that ``Connection`` names."""


class Exchange:
    """The client's side of a request: its body as it comes, its answer as it goes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.started = False
        self._receive = receive
        self._send = send

    async def body(self) -> AsyncIterator[bytes]:
        """The body of the request, piece by piece."""
        more = True
        while more:
            message = await self._receive()
            chunk = message.get("body", b"")
            mon.meter("bytes", direction="up").mark(len(chunk))
            yield chunk
            more = message.get("more_body", False)

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Begin the answer."""
        self.started = True
        mon.counter("answers", status=status).inc()
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, chunk: bytes, *, last: bool = False) -> None:
        """Send a piece of the answer's body; waits while the client is slow."""
        mon.meter("bytes", direction="down").mark(len(chunk))
        message: Message = {"type": "http.response.body", "body": chunk, "more_body": not last}
        await self._send(message)


class VLite:
    """The proxy, an ASGI application. It relies on the middleware to be cancelled when its client leaves.

    Args:
        target: URL of the upstream.
        patience_s: how long the upstream may keep silent, in seconds.
    """

    def __init__(self, target: str, patience_s: float) -> None:
        self.target = httpx.URL(target)
        self.client = instrument(httpx.AsyncClient(timeout=patience_s, trust_env=False), mon)
        self.open_requests = 0
        mon.gauge("open_requests", lambda: self.open_requests)

    async def aclose(self) -> None:
        """Close the connections to the upstream."""
        await self.client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.open_requests += 1
        # It is counted, and answered by handle_http; an answer that broke off is cut short by the server.
        with suppress(httpx.HTTPError, httpx.InvalidURL):
            try:
                await self.handle_http(scope["method"], scope["path"], Exchange(scope, receive, send))
            finally:
                self.open_requests -= 1

    @mon.task("VLite.HandleHTTP", args=("method", "path"))
    async def handle_http(self, method: str, path: str, exchange: Exchange) -> None:
        """Answer a request; the span lasts until the last byte of the answer.

        The call counts as failed if the upstream could not be asked, although
        the client then gets a proper 502 or 504. A 500 that comes from the
        upstream is the upstream's affair: passing it on is a success.
        """
        try:
            await self.proxy(exchange)
        except asyncio.CancelledError:
            mon.event("client_left")
            raise
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if not exchange.started:
                await exchange.start(status_for(error), [(b"content-type", b"text/plain; charset=utf-8")])
                await exchange.write(f"{type(error).__name__}\n".encode(), last=True)
            raise

    @mon.task("VLite.Proxy")
    async def proxy(self, exchange: Exchange) -> None:
        """Ask the upstream, and pass its answer on as it comes."""
        response = await self.client.send(self.upstream_request(exchange), stream=True)
        async with aclosing(response), mon.task("VLite.stream_body"):
            await exchange.start(response.status_code, end_to_end(response.headers.raw))
            async for chunk in response.aiter_raw():  # raw: a compressed body stays as it is
                await exchange.write(chunk)
        mon.int_val("answer_bytes").observe(response.num_bytes_downloaded)
        await exchange.write(b"", last=True)

    def upstream_request(self, exchange: Exchange) -> httpx.Request:
        """The request as the upstream shall see it.

        It is built by hand, for ``client.build_request`` would add headers and cookies of the client's own.

        Raises:
            httpx.InvalidURL: it asks for something that is no path, such as another host.
        """
        scope = exchange.scope
        received: list[Header] = scope["headers"]
        names = {name for name, _ in received}
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        url = self.target.copy_with(raw_path=self.target.raw_path.rstrip(b"/") + scope["raw_path"] + query)
        headers = [(name, value) for name, value in end_to_end(received) if name not in (b"host", b"x-forwarded-for")]
        hops = [value for name, value in received if name == b"x-forwarded-for"]
        hops += [scope["client"][0].encode()] if scope["client"] else [b"unknown"]
        headers.append((b"x-forwarded-for", b", ".join(hops)))
        has_body = not names.isdisjoint({b"content-length", b"transfer-encoding"})
        return httpx.Request(scope["method"], url, headers=headers, content=exchange.body() if has_body else None)


def end_to_end(headers: Iterable[Header]) -> list[Header]:
    """The headers that a proxy passes on, their names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for name, value in lowered if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in HOP_BY_HOP | named]


def status_for(error: Exception) -> int:
    """What to answer when asking the upstream raised *error*."""
    match error:
        case httpx.InvalidURL():
            return 400
        case httpx.TimeoutException():
            return 504
        case _:
            return 502


GUIDE = """\
It explains itself on {0}
  open {0}/                              the index
  curl {0}/stats                         every figure
  curl {0}/funcs/dot                     who calls whom, how often, how long
  curl {0}/ps                            what runs at this moment
  curl '{0}/trace/svg?regex=HandleHTTP'  the next request, drawn"""


async def run(options: argparse.Namespace, listener: socket.socket) -> None:
    """Run the proxy, and what was asked for around it, until a signal arrives."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    async with AsyncExitStack() as stack:
        debug = stack.enter_context(closing(monkit_present.serve(port=options.debug_port)))
        target = options.target
        if target is None:
            target = await stack.enter_async_context(serving(vlite_traffic.upstream, listener_on(0)))
        vlite = await stack.enter_async_context(aclosing(VLite(target, options.patience)))
        url = await stack.enter_async_context(serving(MonkitMiddleware(vlite, mon), listener))
        print(f"VLite listens on {url} and passes requests on to {target}")
        if options.target is None:
            print("Paths to ask for: /fast /slow /large /error /broken /silent /forever")
        print(GUIDE.format(debug.url) if debug.url else f"It runs without a debug port: {debug.error}")
        print("Ctrl-C stops it.", flush=True)
        if options.demo:
            await stack.enter_async_context(vlite_traffic.clients(url))
        await stop.wait()


def main() -> int:
    """Run the program; returns its exit code."""
    parser = argparse.ArgumentParser(description="A small reverse proxy that explains itself on a side port.")
    parser.add_argument("--port", type=int, default=8080, help="where to listen (default 8080, 0 for any)")
    parser.add_argument("--debug-port", type=int, default=9000, help="where to explain (default 9000, 0 for any)")
    parser.add_argument("--target", metavar="URL", help="an upstream (default: one of its own)")
    parser.add_argument("--patience", type=float, default=3.0, metavar="S", help="seconds the upstream may be silent")
    parser.add_argument("--demo", action="store_true", help="also send requests, about ten a second")
    options = parser.parse_args()
    try:
        listener = listener_on(options.port)
    except (OSError, OverflowError) as error:
        print(f"vlite: cannot listen on port {options.port}, choose another with --port: {error}", file=sys.stderr)
        return 1
    monkit.environment.register()
    with listener:
        asyncio.run(run(options, listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
