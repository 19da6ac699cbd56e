"""Pictures: how long a trace of thousands of spans takes to draw, in shapes that differ.

The spans are real: they run, and are captured as ``/trace/svg`` captures them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic_ns, perf_counter_ns

import monkit_present
from benchmarks.client import Client, client_of
from benchmarks.effort import Effort
from benchmarks.figures import Row, plain_row
from benchmarks.gaps import spin_until
from benchmarks.pages import RENDERED, gap_rows
from monkit_core import Capture, Registry, Scope, watch_for_spans
from monkit_present.gather import trace_rows
from monkit_present.render.trace_svg import render_chunks

__all__ = ["SHAPES", "group_of", "measure"]

_NAMES = ("db.query", "cache.get", "Orders.create", "http.request")
_PATH = "/trace/svg?regex=traces.whole"
_POLL_S = 0.001


def group_of(shape: str, spans: int) -> str:
    """``/trace/svg, 10,000 spans, deep``."""
    return f"/trace/svg, {spans:,} spans, {shape}"


def measure(effort: Effort) -> Iterator[Row]:
    """Of each shape: milliseconds to draw, megabytes, milliseconds over HTTP after the last span, longest gap."""
    for shape, run in SHAPES.items():
        group = group_of(shape, effort.picture_spans)
        yield from _drawn(group, run, effort)
        yield from _over_http(group, run, effort)


def _drawn(group: str, run: Callable[[Scope, int], None], effort: Effort) -> Iterator[Row]:
    registry = Registry()
    scope = registry.scope("traces")
    waiter = watch_for_spans(registry, lambda span: True, max_spans=effort.picture_spans)
    with scope.task("whole"):
        run(scope, effort.picture_spans - 1)
    capture = waiter.result()
    assert len(capture.spans) == effort.picture_spans, len(capture.spans)
    times_ms, size = [], 0
    for _ in range(effort.page_repeats):
        elapsed_ns, size = _draw(capture)
        times_ms.append(elapsed_ns / 1e6)
    yield plain_row(group, RENDERED, "ms", times_ms)
    yield plain_row(group, "size", "MB", [size / 1e6])


def _draw(capture: Capture) -> tuple[int, int]:
    """Nanoseconds and bytes."""
    begin = perf_counter_ns()
    size = sum(len(chunk.encode()) for chunk in render_chunks(trace_rows(capture)))
    return perf_counter_ns() - begin, size


def _over_http(group: str, run: Callable[[Scope, int], None], effort: Effort) -> Iterator[Row]:
    registry = Registry()
    scope = registry.scope("traces")
    server = monkit_present.serve(registry, port=0, strict=True)
    assert server.url is not None
    quiet_ms, gaps = [], []
    try:
        with client_of(server.url) as client:
            for _ in range(effort.page_repeats if effort.beside else 0):
                ended_ns = _run_watched(client, registry, scope, run, effort.picture_spans)
                quiet_ms.append((client.answer().end_ns - ended_ns) / 1e6)
            for _ in range(effort.page_repeats):
                _run_watched(client, registry, scope, run, effort.picture_spans)
                gaps.append(spin_until(client.answer))
    finally:
        server.close()
    if quiet_ms:
        yield plain_row(group, "over HTTP", "ms", quiet_ms)
    yield from gap_rows(group, gaps)


def _run_watched(
    client: Client, registry: Registry, scope: Scope, run: Callable[[Scope, int], None], spans: int
) -> int:
    """Let the client wait, run a trace, and say when it ended (monotonic nanoseconds)."""
    scope.func("whole")  # what no function matches is refused
    client.ask(_PATH)
    while not registry.watcher_count:
        time.sleep(_POLL_S)
    with scope.task("whole"):
        run(scope, spans - 1)
    return monotonic_ns()


def _sequential(scope: Scope, count: int) -> None:
    for i in range(count):
        with scope.task(_NAMES[i % 4]):
            pass


def _deep(scope: Scope, count: int) -> None:
    with ExitStack() as stack:
        for i in range(count):
            stack.enter_context(scope.task(_NAMES[i % 4]))


def _concurrent(scope: Scope, count: int) -> None:
    async def one(i: int) -> None:
        with scope.task(_NAMES[i % 4]):
            await asyncio.sleep(0)

    async def everything() -> None:
        await asyncio.gather(*map(one, range(count)))

    asyncio.run(everything())


SHAPES = {"sequential": _sequential, "deep": _deep, "concurrent": _concurrent}
"""One after the other, one in the other, all at once."""
