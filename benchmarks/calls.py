"""Calls: what a monitored call costs, as a multiple of the do-nothing wrapper.

As a root there is no span around the loop, as a child one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from benchmarks.effort import Effort
from benchmarks.figures import Row, cost_row
from benchmarks.peers import Peer, installed_peers
from benchmarks.shapes import ASYNC, SHAPES, Shape
from benchmarks.stopwatch import Contender, fresh, interleave, pin
from monkit_core import Registry, watch_for_spans

__all__ = ["MONKIT", "PLACES", "RECORDED", "UNKEPT", "WATCHED", "YARDSTICK", "measure"]

PLACES = ("root", "child")
YARDSTICK = "do-nothing wrapper"
MONKIT = "monkit"
RECORDED = "monkit, args= recorded"
WATCHED = "monkit, watched"
UNKEPT = "monkit, recent traces off"
_PLAIN = "plain"

Around = Callable[[], AbstractContextManager[object]]


def measure(effort: Effort) -> Iterator[Row]:
    """Every shape of call, as root and as child. Nanoseconds on top of the plain call.

    The ratio is to the do-nothing wrapper; of the watched call it is so too.
    """
    pin()
    with ExitStack() as stack:
        peers = installed_peers(stack) if effort.beside else []
        for shape in SHAPES:
            if effort.beside or shape.peers:
                for place in PLACES:
                    yield from _compare(shape, place, peers if shape.peers else [], effort)


def _compare(shape: Shape, place: str, peers: list[Peer], effort: Effort) -> Iterator[Row]:
    contenders = [
        _contender(_PLAIN, shape, fresh(shape.plain)),
        _contender(YARDSTICK, shape, fresh(shape.idle(fresh(shape.plain)))),
        *_monitored(shape, place, effort),
        *(_of_peer(peer, shape, place) for peer in peers),
    ]
    samples = interleave(contenders, effort)
    plain, yardstick = samples.pop(_PLAIN), samples[YARDSTICK]
    for name, times in samples.items():
        yield cost_row(f"{shape.name}, {place}", name, times, plain, yardstick)


def _monitored(shape: Shape, place: str, effort: Effort) -> Iterator[Contender]:
    yield _of_monkit(MONKIT, shape, place, Registry())
    registry = Registry()
    yield _of_monkit(WATCHED, shape, place, registry, lambda: waiting_in_vain(registry))
    if effort.beside:
        if shape.arguments:
            yield _of_monkit(RECORDED, shape, place, Registry(), args=shape.arguments)
        yield _of_monkit(UNKEPT, shape, place, Registry(recent=False))


def _of_monkit(
    name: str, shape: Shape, place: str, registry: Registry, around: Around = nullcontext, args: tuple[str, ...] = ()
) -> Contender:
    scope = registry.scope("benchmarks")
    outer: Around = (lambda: scope.task("outer")) if place == "child" else nullcontext
    call = scope.task(args=args)(fresh(shape.plain)) if args else scope.task(fresh(shape.plain))
    return _contender(name, shape, call, outer, around)


def _of_peer(peer: Peer, shape: Shape, place: str) -> Contender:
    wrap = peer.wrap_async if shape.peers == ASYNC else peer.wrap
    outer = peer.parent if place == "child" else nullcontext
    return _contender(peer.name, shape, wrap(fresh(shape.plain)), outer, peer.during)


def _contender(
    name: str, shape: Shape, call: Callable[..., Any], outer: Around = nullcontext, around: Around = nullcontext
) -> Contender:
    loop = fresh(shape.loop)

    def run(count: int) -> int:
        with outer(), around():
            return loop(call, count)

    return Contender(name, run)


@contextmanager
def waiting_in_vain(registry: Registry) -> Iterator[None]:
    """While somebody waits for a call that never comes, as an open ``/trace/svg`` does."""
    waiter = watch_for_spans(registry, lambda span: False, funcs=lambda func: False)
    try:
        yield
    finally:
        waiter.cancel()
