"""Memory: what a function takes, what it takes with traffic, and whether spans leave anything behind.

Resident size counts what a compiled engine allocates too, which the tracing of
allocations does not see; it grows by whole pages, so it is read over 2,000
functions. Resident size needs ``/proc``; elsewhere those figures are left out.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.creation import many_functions
from benchmarks.effort import Effort
from benchmarks.figures import Row, plain_row
from benchmarks.traffic import fill_times
from monkit_core import Registry

__all__ = ["GROUP", "GROWTH", "IN_USE", "WITHOUT_TRAFFIC", "measure_resident", "measure_soak", "measure_traced"]

GROUP = "memory"
WITHOUT_TRAFFIC = "a function without traffic, resident"
IN_USE = "a function with both histograms in use, resident"
GROWTH = "growth between the two"
_FUNCTIONS = 2_000
_BATCHES = 3
_SPANS_A_TRACE = 10
_STATM = Path("/proc/self/statm")

Read = Callable[[], int]


def measure_resident(effort: Effort) -> Iterator[Row]:
    """Bytes of resident size that a function takes."""
    if _STATM.exists():
        yield from _of_functions(_resident, (WITHOUT_TRAFFIC, IN_USE))


def measure_traced(effort: Effort) -> Iterator[Row]:
    """Bytes a function that `tracemalloc` knows of: what came from the allocator of the interpreter."""
    tracemalloc.start()
    try:
        names = ("a function without traffic, traced", "a function with both histograms in use, traced")
        yield from _of_functions(lambda: tracemalloc.get_traced_memory()[0], names)
    finally:
        tracemalloc.stop()


def _of_functions(read: Read, names: tuple[str, str]) -> Iterator[Row]:
    created: list[float] = []
    used: list[float] = []
    kept: list[object] = []
    for batch in range(_BATCHES + 1):
        functions = many_functions(_function, _FUNCTIONS)
        scope = Registry().scope("benchmarks")
        gc.collect()
        before = read()
        monitored = [scope.task(function) for function in functions]
        gc.collect()
        without_traffic = read()
        _use(monitored)
        fill_times(scope.funcs())
        gc.collect()
        if batch:  # the first fills gaps that were there before
            created.append((without_traffic - before) / _FUNCTIONS)
            used.append((read() - before) / _FUNCTIONS)
        kept += (functions, scope, monitored)
    for name, samples in zip(names, (created, used), strict=True):
        yield plain_row(GROUP, name, "bytes", samples)


def _function(a: object, b: object, c: object = None) -> None:
    if c is not None:
        raise ValueError("bad")


def _use(monitored: list[Callable[..., Any]]) -> None:
    for call in monitored:
        call(1, 2)
        with suppress(ValueError):
            call(1, 2, c=3)


def measure_soak(effort: Effort) -> Iterator[Row]:
    """Megabytes of resident size after many spans, and kilobytes by which it grew between the two counts."""
    if not _STATM.exists():
        return
    scope = Registry().scope("benchmarks")
    functions = [scope.task(function) for function in many_functions(_function, _SPANS_A_TRACE - 1)]
    serve = scope.task("serve")
    sizes = []
    done = 0
    for spans in effort.soak_spans:
        while done < spans:
            with serve:
                _use_once(functions)
            done += _SPANS_A_TRACE
        gc.collect()
        sizes.append(_resident())
        yield plain_row(GROUP, f"resident after {spans:,} spans", "MB", [sizes[-1] / 1e6])
    yield plain_row(GROUP, GROWTH, "kB", [(sizes[1] - sizes[0]) / 1e3])


def _use_once(functions: list[Callable[..., Any]]) -> None:
    for call in functions[1:]:
        call(1, 2)
    with suppress(ValueError):
        functions[0](1, 2, c=3)


def _resident() -> int:
    """Bytes."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
