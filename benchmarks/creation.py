"""Creation: what decorating a function costs, once, when its module is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

from benchmarks.calls import MONKIT, YARDSTICK
from benchmarks.effort import Effort
from benchmarks.figures import Row, plain_row
from benchmarks.shapes import SHAPES, Shape
from benchmarks.stopwatch import Contender, fresh, interleave, pin
from monkit_core import Registry

__all__ = ["many_functions", "measure"]

_NS_PER_US = 1_000


def measure(effort: Effort) -> Iterator[Row]:
    """Microseconds to decorate one function, each with a name that is new to the registry."""
    pin()
    for shape in SHAPES:
        if shape.peers:
            contenders = [
                _contender(YARDSTICK, shape, shape.idle),
                _contender(MONKIT, shape),
            ]
            samples = interleave(contenders, effort)
            least = min(samples[YARDSTICK])
            for name, times in samples.items():
                group = f"creation, {shape.name}"
                yield plain_row(group, name, "µs", [time / _NS_PER_US for time in times], min(times) / least)


def many_functions(model: Callable[..., Any], count: int) -> list[Callable[..., Any]]:
    """Copies of *model*, each with a name of its own."""
    functions = []
    for i in range(count):
        function = fresh(model)
        function.__name__ = function.__qualname__ = f"function_{i}"
        functions.append(function)
    return functions


def _contender(name: str, shape: Shape, idle: Callable[[Any], object] | None = None) -> Contender:
    """Decorate by *idle*, or by a scope that has nothing yet."""

    def run(count: int) -> int:
        functions = many_functions(shape.plain, count)
        decorate = idle or Registry().scope("benchmarks").task
        begin = perf_counter_ns()
        kept = [decorate(function) for function in functions]
        elapsed_ns = perf_counter_ns() - begin
        kept.clear()
        return elapsed_ns

    return Contender(name, run)
