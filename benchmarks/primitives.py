"""Primitives: what counting and observing costs, less an empty method call, and as a whole.

Values differ from one observation to the next, as those of programs do: a
thousand of them, spread log-normally over about five octaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice, repeat
from random import Random
from time import perf_counter_ns
from typing import Any

from benchmarks.effort import Effort
from benchmarks.figures import Row, cost_row
from benchmarks.stopwatch import Contender, fresh, interleave, pin
from monkit_core import Registry

__all__ = ["COST", "WHOLE", "measure"]

COST = "primitives"
WHOLE = "primitives, whole call"

_random = Random(1)
_SECONDS = [_random.lognormvariate(-5, 0.7) for _ in range(1_000)]
_WHOLE_NUMBERS = [int(value * 1e6) for value in _SECONDS]

Loop = Callable[[Any, int], int]


class _Nothing:
    """Has every method that is measured; none does anything."""

    __slots__ = ()

    def inc(self, amount: int = 1) -> None: ...

    def mark(self, amount: int = 1) -> None: ...

    def observe(self, value: float) -> None: ...

    def add(self, value: float) -> None: ...

    def event(self, name: str) -> None: ...

    def counter(self, name: str) -> _Nothing:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *problem: object) -> None: ...


@dataclass(frozen=True, slots=True)
class _Operation:
    """Something to do to *thing*, by *loop*, which also does it to nothing."""

    name: str
    thing: object
    loop: Loop


def measure(effort: Effort) -> Iterator[Row]:
    """Every operation in nanoseconds.

    In the group `COST` an empty method call is subtracted, done by a loop of the
    same kind, in `WHOLE` an empty loop.
    """
    pin()
    nothing = _Nothing()
    operations = [*_ours(), *(_of_peers() if effort.beside else ())]
    loops = list(dict.fromkeys(operation.loop for operation in operations))
    contenders = [_contender(f"{i} on nothing", loop, nothing) for i, loop in enumerate(loops)]
    contenders += [_contender(operation.name, operation.loop, operation.thing) for operation in operations]
    contenders += [_contender("empty", _empty, nothing), _contender("empty of values", _empty_of_values, nothing)]
    samples = interleave(contenders, effort)
    for operation in operations:
        times = samples[operation.name]
        on_nothing = samples[f"{loops.index(operation.loop)} on nothing"]
        of_values = operation.loop in (_observe_seconds, _observe_whole, _add)
        yield cost_row(COST, operation.name, times, on_nothing)
        yield cost_row(WHOLE, operation.name, times, samples["empty of values" if of_values else "empty"])


def _contender(name: str, loop: Loop, thing: object) -> Contender:
    own = fresh(loop)
    return Contender(name, lambda count: own(thing, count))


def _ours() -> Iterator[_Operation]:
    scope = Registry().scope("benchmarks")
    yield _Operation("counter inc", scope.counter("counter"), _inc)
    yield _Operation("counter by its name, inc", scope, _named_inc)
    yield _Operation("int value observe", scope.int_val("int"), _observe_whole)
    yield _Operation("float value observe", scope.float_val("float"), _observe_seconds)
    yield _Operation("duration value observe", scope.duration_val("duration"), _observe_seconds)
    yield _Operation("meter mark", scope.meter("meter"), _mark)
    yield _Operation("timer block", scope.timer("timer"), _block)
    yield _Operation("event by its name", scope, _event)


def _of_peers() -> Iterator[_Operation]:
    try:
        from ddsketch import DDSketch
    except ModuleNotFoundError:
        pass  # the table leaves it out
    else:
        yield _Operation("ddsketch add", DDSketch(0.016), _add)
    try:
        from prometheus_client import CollectorRegistry, Counter, Histogram, Summary
    except ModuleNotFoundError:
        pass
    else:
        registry = CollectorRegistry()
        yield _Operation("prometheus_client Counter.inc", Counter("c", "c", registry=registry), _inc)
        yield _Operation("prometheus_client Summary.observe", Summary("s", "s", registry=registry), _observe_seconds)
        yield _Operation(
            "prometheus_client Histogram.observe", Histogram("h", "h", registry=registry), _observe_seconds
        )


def _inc(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        thing.inc()
    return perf_counter_ns() - begin


def _named_inc(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        thing.counter("named").inc()
    return perf_counter_ns() - begin


def _mark(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        thing.mark()
    return perf_counter_ns() - begin


def _event(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        thing.event("event")
    return perf_counter_ns() - begin


def _block(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        with thing:
            pass
    return perf_counter_ns() - begin


def _observe_seconds(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for value in islice(cycle(_SECONDS), count):
        thing.observe(value)
    return perf_counter_ns() - begin


def _observe_whole(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for value in islice(cycle(_WHOLE_NUMBERS), count):
        thing.observe(value)
    return perf_counter_ns() - begin


def _add(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for value in islice(cycle(_SECONDS), count):
        thing.add(value)
    return perf_counter_ns() - begin


def _empty(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        pass
    return perf_counter_ns() - begin


def _empty_of_values(thing: Any, count: int) -> int:
    begin = perf_counter_ns()
    for _ in islice(cycle(_SECONDS), count):
        pass
    return perf_counter_ns() - begin
