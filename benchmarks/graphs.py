"""Graphs: how long a call graph of 300 functions, the most that is shown, takes to lay out and to draw, by shape."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from time import perf_counter_ns

from benchmarks.effort import Effort
from benchmarks.figures import Row, plain_row
from benchmarks.pages import RENDERED
from monkit_core.formats.functions import FuncRow, TimesRow
from monkit_present.graph.layout import lay_out
from monkit_present.graph.model import call_graph
from monkit_present.graph.view import choose
from monkit_present.render.graph_svg import Graph, render
from monkit_present.render.graph_svg import measure as measured

__all__ = ["FUNCTIONS", "LAID_OUT", "SHAPES", "group_of", "measure"]

FUNCTIONS = 300
LAID_OUT = "laid out"

Callers = list[list[int]]
"""Of each function, the numbers of those that call it."""


def group_of(shape: str) -> str:
    """``/funcs/svg, 300 functions, layered``."""
    return f"/funcs/svg, {FUNCTIONS} functions, {shape}"


def measure(effort: Effort) -> Iterator[Row]:
    """Of each shape: milliseconds to lay out and to draw, megabytes."""
    for shape, callers in SHAPES.items():
        view = choose(call_graph(_rows(callers(random.Random(1)))), nodes=FUNCTIONS, by="time")
        laid_out_ms, rendered_ms, size = [], [], 0
        for _ in range(effort.page_repeats):
            begin = perf_counter_ns()
            layout = lay_out(*measured(view))
            middle = perf_counter_ns()
            size = len(render(Graph(view, layout)).encode())
            laid_out_ms.append((middle - begin) / 1e6)
            rendered_ms.append((perf_counter_ns() - middle) / 1e6)
        yield plain_row(group_of(shape), LAID_OUT, "ms", laid_out_ms)
        yield plain_row(group_of(shape), RENDERED, "ms", rendered_ms)
        yield plain_row(group_of(shape), "size", "MB", [size / 1e6])


def _rows(callers: Callers) -> Iterator[FuncRow]:
    """Functions of names as long as names are, that take the longer the earlier they come."""
    for number, parents in enumerate(callers):
        calls = 10 * max(len(parents), 1)
        times = TimesRow(calls, (FUNCTIONS - number) * 10**9, 0, 0, 0, 0, 0, (0,) * 8)
        yield FuncRow(
            id=number,
            scope=f"shop.part_{number % 12}",
            name=f"Orders.step_{number}",
            tags=(),
            parent_ids=tuple(parents),
            entry=not parents,
            current=0,
            highwater=1,
            successes=calls,
            errors=(),
            panics=0,
            success_times=times,
            failure_times=TimesRow(0, 0, 0, 0, 0, 0, 0, (0,) * 8),
            caller_calls=(10,) * len(parents),
            entry_calls=0 if parents else calls,
        )


def _layered(choice: random.Random) -> Callers:
    """As programs are: ten layers, most calls to the next one, here and there one further down or back."""
    width = FUNCTIONS // 10
    callers: Callers = [[] for _ in range(width)]
    for number in range(width, FUNCTIONS):
        above = range((number // width - 1) * width, number // width * width)
        found = set(choice.sample(above, choice.choice((1, 1, 2, 3))))
        found |= {choice.randrange(FUNCTIONS)} if choice.random() < 0.1 else set()
        callers.append(sorted(found))
    return callers


def _random(choice: random.Random) -> Callers:
    """Three calls a function, to whatever comes later: very many long ways."""
    return [sorted({choice.randrange(number) for _ in range(3)}) if number else [] for number in range(FUNCTIONS)]


def _chain(choice: random.Random) -> Callers:
    """Each calls the next, and one far below."""
    return [sorted({number - 1, choice.randrange(number)}) if number else [] for number in range(FUNCTIONS)]


def _star(choice: random.Random) -> Callers:
    """One calls all others."""
    return [[0] if number else [] for number in range(FUNCTIONS)]


SHAPES: dict[str, Callable[[random.Random], Callers]] = {
    "layered": _layered,
    "random": _random,
    "chain": _chain,
    "star": _star,
}
"""By name."""
