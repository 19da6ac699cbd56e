"""The debug application: a table of pages over one registry, behind the guard."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from monkit_core import Registry, default_registry, engine
from monkit_core.clock import wall_offset_ns
from monkit_core.text import clean, clip
from monkit_present.capture import Captures
from monkit_present.gather import func_rows, live_rows, process_name
from monkit_present.guard import LOOPBACK_NAMES, Guard
from monkit_present.render import dot, index, json, text
from monkit_present.responses import PLAIN_TEXT, Problem, send_all, send_head
from monkit_present.workers import Workers

__all__ = ["FORMATS", "DebugApp", "Format", "app"]

_JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Format:
    """One address of a page.

    Attributes:
        path: ``/ps/json``.
        media_type: of the response.
        render: the page as chunks.
        runs_program: it runs code of the program (gauges, sources), so it needs a thread.
    """

    path: str
    media_type: str
    render: Callable[[Registry], Iterable[str | bytes]]
    runs_program: bool = False


FORMATS = (
    Format("/ps", PLAIN_TEXT, lambda registry: text.ps(live_rows(registry))),
    Format("/ps/text", PLAIN_TEXT, lambda registry: text.ps(live_rows(registry))),
    Format("/ps/dot", PLAIN_TEXT, lambda registry: [dot.ps(live_rows(registry))]),
    Format("/ps/json", _JSON, lambda registry: json.ps(live_rows(registry), wall_offset_ns())),
    Format("/funcs", PLAIN_TEXT, lambda registry: text.funcs(func_rows(registry))),
    Format("/funcs/text", PLAIN_TEXT, lambda registry: text.funcs(func_rows(registry))),
    Format("/funcs/dot", PLAIN_TEXT, lambda registry: [dot.funcs(func_rows(registry))]),
    Format("/funcs/json", _JSON, lambda registry: json.funcs(func_rows(registry))),
    Format("/stats", PLAIN_TEXT, lambda registry: text.stats(registry.stats()), runs_program=True),
    Format("/stats/text", PLAIN_TEXT, lambda registry: text.stats(registry.stats()), runs_program=True),
    Format("/stats/old", PLAIN_TEXT, lambda registry: text.stats(registry.stats()), runs_program=True),
    Format("/stats/json", _JSON, lambda registry: json.stats(registry.stats()), runs_program=True),
)


class DebugApp:
    """An ASGI application that shows a registry.

    Args:
        registry: what it shows.
        hosts: names and addresses that it answers to, beside those of the loopback interface.
        captures: keeps the waits, with limits of its own if given.
        workers: run the pages that call the program, likewise.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        hosts: Iterable[str] = (),
        captures: Captures | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._registry = registry
        self._captures = Captures(registry) if captures is None else captures
        self._workers = Workers() if workers is None else workers
        self._guarded: ASGIApp = Guard(
            Router(self._routes(), redirect_slashes=False, default=_not_found),
            hosts=(*LOOPBACK_NAMES, *hosts),
            documents=("/",),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._guarded(scope, receive, send)

    def close_waits(self) -> None:
        """End open captures in a well-formed way. Call it in the event loop that serves them."""
        self._captures.close()

    def _routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = [Route("/", _Endpoint(self._index))]
        for entry in FORMATS:
            endpoint = _Endpoint(self._page(entry))
            routes += [Route(entry.path, endpoint), Route(entry.path + "/", endpoint)]
        capture = _Endpoint(self._capture)
        for path in ("/trace", "/trace/", "/trace/{format}", "/trace/{format}/"):
            routes.append(Route(path, capture))
        return routes

    def _page(self, entry: Format) -> ASGIApp:
        async def page(scope: Scope, receive: Receive, send: Send) -> None:
            chunks: Iterable[str | bytes] = ()
            if scope["method"] != "HEAD":
                if entry.runs_program:
                    chunks = await self._workers.run(lambda: list(entry.render(self._registry)))
                else:
                    chunks = entry.render(self._registry)
            await send_head(send, 200, entry.media_type)
            await send_all(send, chunks)

        return page

    async def _index(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "localhost")
        root = scope.get("root_path", "")
        page = index.render(
            process=process_name(),
            pid=os.getpid(),
            functions=len(self._registry.funcs()),
            engine=engine.name,
            base=f"{scope['scheme']}://{host}{root}",
            root=root,
        )
        headers = [(b"content-security-policy", index.CONTENT_SECURITY_POLICY.encode())]
        await send_head(send, 200, "text/html; charset=utf-8", headers)
        await send_all(send, [page])

    async def _capture(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._captures.respond(scope["path_params"].get("format", ""), scope, receive, send)


class _Endpoint:
    """An object around an ASGI function, which Starlette then leaves as it is."""

    def __init__(self, call: ASGIApp) -> None:
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._call(scope, receive, send)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    raise Problem(404, f"path not found: {clip(clean(scope['path']), 200)}")


def app(registry: Registry | None = None, *, hosts: Iterable[str] = ()) -> DebugApp:
    """The debug pages as an ASGI application, to be mounted in one of your own.

    Args:
        registry: what it shows, the default registry if not given.
        hosts: names and addresses that requests may be addressed to, beside
            those of the loopback interface; the address a request came in on is
            always allowed.
    """
    return DebugApp(default_registry if registry is None else registry, hosts=hosts)
