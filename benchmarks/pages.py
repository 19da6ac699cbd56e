"""Pages: how long ``/stats`` and ``/funcs/json`` take with many functions, and what they do to the program.

*Rendered* is the application without a socket, asked by ASGI in this process:
what the port does to produce every chunk. *Over HTTP* is a real port and a
client in another process. Beside a spinning thread every yield of the
interpreter lock costs up to the switch interval, 5 ms, to get it back.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator, MutableMapping, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Any

import monkit_present
from benchmarks.client import Fetched, client_of
from benchmarks.effort import Effort
from benchmarks.figures import Row, plain_row
from benchmarks.gaps import Gap, spin_until
from benchmarks.traffic import busy_registry
from monkit_core import Registry

__all__ = ["COLLECTION", "GAP", "NO_PAGE", "PATHS", "RENDERED", "gap_rows", "group_of", "measure"]

PATHS = ("/stats", "/funcs/json")
RENDERED = "rendered"
GAP = "longest gap of a spinning thread"
COLLECTION = "longest collection meanwhile"
NO_PAGE = "no page"
_BASELINE_S = 1.0


def group_of(path: str, functions: int) -> str:
    """``/stats, 10,000 functions``."""
    return f"{path}, {functions:,} functions"


def measure(effort: Effort) -> Iterator[Row]:
    """Milliseconds and megabytes of each page with each number of functions, and the longest gap, milliseconds."""
    baseline = [spin_until(lambda: time.sleep(_BASELINE_S)) for _ in range(effort.page_repeats)]
    for functions in effort.page_functions:
        registry = busy_registry(functions)
        gc.collect()
        for path in PATHS:
            yield from _rendered(registry, path, functions, effort)
        yield from _over_http(registry, functions, effort)
    yield from gap_rows(NO_PAGE, baseline)


def gap_rows(group: str, gaps: Sequence[Gap[Any]]) -> Iterator[Row]:
    """What a spinning thread saw, in each repeat."""
    yield plain_row(group, GAP, "ms", [gap.longest_ms for gap in gaps])
    yield plain_row(group, COLLECTION, "ms", [gap.collection_ms for gap in gaps])


def _rendered(registry: Registry, path: str, functions: int, effort: Effort) -> Iterator[Row]:
    app = monkit_present.app(registry, insecure=True)
    times_ms, size = [], 0
    with asyncio.Runner() as runner:
        for _ in range(effort.page_repeats):
            elapsed_ns, size = runner.run(_ask(app, path))
            times_ms.append(elapsed_ns / 1e6)
    group = group_of(path, functions)
    yield plain_row(group, RENDERED, "ms", times_ms)
    yield plain_row(group, "size", "MB", [size / 1e6])


async def _ask(app: Any, path: str) -> tuple[int, int]:
    """Nanoseconds until the last chunk of *path*, and the bytes of all."""
    size = status = 0
    asked = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal size, status
        status = message.get("status", status)
        size += len(message.get("body", b""))

    begin = perf_counter_ns()
    await app(_http_scope(path), receive, send)
    elapsed_ns = perf_counter_ns() - begin
    if status != 200:
        raise RuntimeError(f"GET {path}: status 200 was expected, found {status}")
    return elapsed_ns, size


def _http_scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:9000")],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 9_000),
    }


def _over_http(registry: Registry, functions: int, effort: Effort) -> Iterator[Row]:
    server = monkit_present.serve(registry, port=0, strict=True)
    assert server.url is not None
    try:
        with client_of(server.url) as client:
            client.fetch("/health")
            for path in PATHS:
                group = group_of(path, functions)
                if effort.beside:
                    quiet = [client.fetch(path) for _ in range(effort.page_repeats)]
                    yield plain_row(group, "over HTTP", "ms", _times_ms(quiet))
                gaps = [spin_until(partial(client.fetch, path)) for _ in range(effort.page_repeats)]
                beside = _times_ms([gap.outcome for gap in gaps])
                yield plain_row(group, "over HTTP beside a spinning thread", "ms", beside)
                yield from gap_rows(group, gaps)
    finally:
        server.close()


def _times_ms(fetches: list[Fetched]) -> list[float]:
    return [(fetched.end_ns - fetched.begin_ns) / 1e6 for fetched in fetches]
