"""Peers: other tools that watch calls, each set up as its documentation says.

They do different things. Profilers keep no spans, no parents and no errors by
name; OpenTelemetry makes spans to be sent away; prometheus_client counts and
sums up. Which of them are installed is seen when they are asked for.
"""

from __future__ import annotations

import cProfile
import importlib.metadata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

__all__ = ["DISTRIBUTIONS", "Peer", "installed_peers", "versions"]

Call = Callable[..., Any]
Around = Callable[[], AbstractContextManager[object]]

DISTRIBUTIONS = ("viztracer", "prometheus-client", "opentelemetry-api", "opentelemetry-sdk", "ddsketch")
"""Names of the packages."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool.

    Attributes:
        name: of the tool and how it is set up.
        wrap: makes it watch a function.
        wrap_async: the same of a coroutine function.
        during: what is around the loop while it watches.
        parent: what is around the loop where calls are children.
    """

    name: str
    wrap: Callable[[Call], Call]
    wrap_async: Callable[[Call], Call]
    during: Around = nullcontext
    parent: Around = nullcontext


def _as_it_is(function: Call) -> Call:
    return function


def installed_peers(stack: ExitStack) -> list[Peer]:
    """Every peer that is installed; *stack* ends what they started."""
    peers = [_cprofile()]
    for load in (_viztracer, _prometheus, _opentelemetry_api, _opentelemetry_sdk):
        try:
            peers += load(stack)
        except ModuleNotFoundError:
            continue  # the table leaves it out
    return peers


def versions() -> dict[str, str]:
    """Versions of the peers that are installed."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cprofile() -> Peer:
    @contextmanager
    def profiling() -> Iterator[None]:
        profile = cProfile.Profile()
        profile.enable()
        try:
            yield
        finally:
            profile.disable()

    return Peer("cProfile", _as_it_is, _as_it_is, profiling)


def _viztracer(stack: ExitStack) -> Iterator[Peer]:
    from viztracer import VizTracer

    tracer = VizTracer(verbose=0)
    stack.callback(tracer.terminate)

    @contextmanager
    def tracing() -> Iterator[None]:
        tracer.start()
        try:
            yield
        finally:
            tracer.stop()
            tracer.clear()

    yield Peer("viztracer", _as_it_is, _as_it_is, tracing)


def _prometheus(stack: ExitStack) -> Iterator[Peer]:
    from prometheus_client import CollectorRegistry, Histogram, Summary

    for kind in (Summary, Histogram):
        metric = kind("calls", "Calls.", registry=CollectorRegistry())

        def wrap(function: Call, metric: Any = metric) -> Call:
            return metric.time()(function)  # type: ignore[no-any-return]

        def wrap_async(function: Call, metric: Any = metric) -> Call:
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with metric.time():
                    return await function(*args, **kwargs)

            return wrapper

        yield Peer(f"prometheus_client {kind.__name__}.time", wrap, wrap_async)


def _opentelemetry_api(stack: ExitStack) -> Iterator[Peer]:
    from opentelemetry.trace import get_tracer

    yield _of_tracer("OpenTelemetry API without SDK", get_tracer("benchmarks"))


def _opentelemetry_sdk(stack: ExitStack) -> Iterator[Peer]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    class Drop:
        """An exporter that has nowhere to send to."""

        def export(self, spans: object) -> object:
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    off = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    bare = TracerProvider(shutdown_on_exit=False)
    batch = TracerProvider(shutdown_on_exit=False)
    batch.add_span_processor(BatchSpanProcessor(Drop()))  # type: ignore[arg-type,unused-ignore]  # it has what an exporter needs
    stack.callback(batch.shutdown)
    for words, provider in (("sampled off", off), ("no processor", bare), ("batch processor", batch)):
        yield _of_tracer(f"OpenTelemetry SDK, {words}", provider.get_tracer("benchmarks"))


def _of_tracer(name: str, tracer: Any) -> Peer:
    def wrap(function: Call) -> Call:
        return tracer.start_as_current_span("call")(function)  # type: ignore[no-any-return]

    return Peer(name, wrap, wrap, parent=lambda: tracer.start_as_current_span("outer"))
