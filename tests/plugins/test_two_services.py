"""Two services, one trace: what the plug-ins are for, seen on the debug ports of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import monkit_present
from monkit_core import Registry, Scope
from monkit_plugins.asgi import MonkitMiddleware
from monkit_plugins.httpx import AsyncMonkitTransport, instrument
from tests.helpers import check_idle, fresh_scope
from tests.http_helpers import Wait, exchange, request
from tests.plugins.services import App, run, serving
from tests.propagation_helpers import PARENT, TRACE, TRACEPARENT


def back(mon: Scope) -> App:
    """The second service: streams its answer."""

    @mon.task("load")
    async def load(item: str) -> list[bytes]:
        return [item.encode(), b"!"]

    async def item(request: Request) -> Response:
        pieces = await load(request.path_params["id"])

        async def chunks() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return StreamingResponse(chunks(), headers={"x-baggage": request.headers.get("baggage", "")})

    return MonkitMiddleware(Starlette(routes=[Route("/items/{id}", item)]), mon)


def front(mon: Scope, client: httpx.AsyncClient, base: str) -> App:
    """The first service: asks the second."""

    async def page(request: Request) -> Response:
        answer = await client.get(f"{base}/items/7")
        return PlainTextResponse(answer.content, headers={"x-baggage": answer.headers["x-baggage"]})

    return MonkitMiddleware(Starlette(routes=[Route("/pages/{name}", page)]), mon)


@dataclass
class Watched:
    """A registry on a debug port, with a capture that waits for its next server span."""

    mon: Scope
    registry: Registry
    wait: Wait

    def spans(self) -> dict[str, Any]:
        return {span["func"]["name"]: span for span in self.wait.json()}


@contextmanager
def watched(name: str) -> Iterator[Watched]:
    registry, mon = fresh_scope(name)
    server = monkit_present.serve(registry, port=0)
    try:
        with Wait(server, "/trace/json?regex=http.GET&preselect=false") as wait:
            yield Watched(mon, registry, wait)
    finally:
        server.close()


def check(one: Watched, two: Watched, trace: str | None, parent: str | None) -> None:
    """Both captures are of one trace, and the second hangs below the first's client span."""
    first, second = one.spans(), two.spans()
    assert sorted(first) == ["http GET /pages/{name}", "httpx GET"]
    assert sorted(second) == ["http GET /items/{id}", "load"]
    server, client = first["http GET /pages/{name}"], first["httpx GET"]
    root = second["http GET /items/{id}"]
    (shared,) = {span["trace"]["id_hex"] for span in (*first.values(), *second.values())}
    assert trace in (None, shared)
    assert server.get("parent_id_hex") == parent
    assert client["parent_id_hex"] == server["id_hex"]
    assert root["parent_id_hex"] == client["id_hex"]
    assert second["load"]["parent_id_hex"] == root["id_hex"]
    assert client["start"] <= root["start"] <= root["finish"] <= client["finish"]
    assert all(span["err"] in (None, "") for span in (*first.values(), *second.values()))
    check_idle(one.registry)
    check_idle(two.registry)


HEADERS = {"traceparent": TRACEPARENT, "tracestate": "congo=1", "baggage": "userId=7"}


@asynccontextmanager
async def over_sockets(one: Watched, two: Watched) -> AsyncIterator[str]:
    async with (
        serving(back(two.mon)) as (host, port),
        instrument(httpx.AsyncClient(trust_env=False), one.mon) as client,
        serving(front(one.mon, client, f"http://{host}:{port}")) as (front_host, front_port),
    ):
        yield f"http://{front_host}:{front_port}/pages/start"


@pytest.mark.parametrize(("headers", "trace", "parent"), [({}, None, None), (HEADERS, TRACE, PARENT)])
def test_two_services_over_real_sockets_share_a_trace(
    headers: dict[str, str], trace: str | None, parent: str | None
) -> None:
    async def work(one: Watched, two: Watched) -> None:
        async with over_sockets(one, two) as url, httpx.AsyncClient(trust_env=False) as browser:
            answer = await browser.get(url, headers=headers)
        assert answer.text == "7!"
        assert answer.headers["x-baggage"] == headers.get("baggage", "")

    with watched("front") as one, watched("back") as two:
        run(work(one, two))
        check(one, two, trace, parent)


def test_two_services_in_one_loop_without_sockets_share_a_trace_too() -> None:
    async def work(one: Watched, two: Watched) -> None:
        # The second is called right inside the first one's span, and is a root all the same.
        inner = AsyncMonkitTransport(httpx.ASGITransport(back(two.mon)), one.mon)
        async with httpx.AsyncClient(transport=inner) as client:
            outer = httpx.ASGITransport(front(one.mon, client, "http://back"))
            async with httpx.AsyncClient(transport=outer, base_url="http://front") as browser:
                assert (await browser.get("/pages/start", headers=HEADERS)).text == "7!"

    with watched("front") as one, watched("back") as two:
        run(work(one, two))
        check(one, two, TRACE, PARENT)


def test_trace_can_be_waited_for_by_its_id_on_both_ports() -> None:
    async def work(one: Watched, two: Watched) -> None:
        async with over_sockets(one, two) as url, httpx.AsyncClient(trust_env=False) as browser:
            for headers in ({}, HEADERS):  # the first is of another trace
                await browser.get(url, headers=headers)

    with ExitStack() as stack:
        services = []
        for name in ("front", "back"):
            registry, mon = fresh_scope(name)
            server = monkit_present.serve(registry, port=0)
            stack.callback(server.close)
            wait = stack.enter_context(Wait(server, f"/trace/json?trace_id={TRACE}"))
            services.append(Watched(mon, registry, wait))
        run(work(*services))
        check(services[0], services[1], TRACE, PARENT)


def test_what_runs_now_is_seen_with_its_remote_parent() -> None:
    registry, mon = fresh_scope("back")
    server = monkit_present.serve(registry, port=0)
    seen: list[Any] = []

    async def slow(request_: Request) -> Response:
        answer = await asyncio.to_thread(exchange, server, request(server, "/ps/json"))
        seen.extend(answer.json)
        return PlainTextResponse("")

    async def work() -> None:
        transport = httpx.ASGITransport(MonkitMiddleware(Starlette(routes=[Route("/", slow)]), mon))
        async with httpx.AsyncClient(transport=transport, base_url="http://back") as client:
            await client.get("/", headers={"traceparent": TRACEPARENT})

    try:
        run(work())
    finally:
        server.close()
    (span,) = seen
    assert (span["trace"]["id_hex"], span["parent_id_hex"]) == (TRACE, PARENT)
    assert span["func"]["name"] == "http GET /"
