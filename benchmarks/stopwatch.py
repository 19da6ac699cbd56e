"""The stopwatch: contenders run in turn, each in a loop long enough to be timed.

What is compared runs interleaved, so that whatever disturbs the machine for a
while disturbs all of them. Every contender has its own copy of the code it
runs: the interpreter specialises code by what passes through it, and a loop
shared by two contenders would be specialised for neither.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, TypeVar

from benchmarks.effort import Effort

__all__ = ["Contender", "fresh", "interleave", "pin", "pinned_core"]

F = TypeVar("F", bound=Callable[..., Any])

_NS_PER_MS = 1_000_000
_WARMING = 10


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to be timed.

    Attributes:
        name: in its group.
        run: does it so many times and says how many nanoseconds that took.
    """

    name: str
    run: Callable[[int], int]


def fresh(function: F) -> F:
    """A copy of *function* with code of its own, which nothing has specialised yet."""
    assert isinstance(function, FunctionType)
    copy = FunctionType(
        _fresh_code(function.__code__),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy  # type: ignore[return-value]


def _fresh_code(code: CodeType) -> CodeType:
    constants = tuple(_fresh_code(item) if isinstance(item, CodeType) else item for item in code.co_consts)
    return code.replace(co_consts=constants)


def interleave(contenders: Sequence[Contender], effort: Effort) -> dict[str, list[float]]:
    """Time every contender in turn, as often as *effort* says.

    The collector stays on, since it is part of what a call costs, and starts
    each round with nothing to collect.

    Returns:
        Of each contender the nanoseconds of one call in each repeat.
    """
    counts = {contender.name: _calibrate(contender, effort.loop_ms * _NS_PER_MS) for contender in contenders}
    samples: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(effort.repeats):
        gc.collect()
        for contender in contenders:
            count = counts[contender.name]
            contender.run(count // _WARMING + 1)  # what ran before has left the caches to itself
            samples[contender.name].append(contender.run(count) / count)
    return samples


def _calibrate(contender: Contender, loop_ns: float) -> int:
    """How many calls take *loop_ns*; warms up what it calls."""
    count = 16
    while (elapsed_ns := contender.run(count)) < loop_ns / 4:
        count *= 4 if elapsed_ns < loop_ns / 16 else 2
    return int(count * loop_ns * 1.2 / elapsed_ns) + 1


def pin() -> None:
    """Keep this thread, and those it starts, on one core where the system allows that."""
    core = pinned_core()
    if core is not None:
        os.sched_setaffinity(0, {core})


def pinned_core() -> int | None:
    """The core to keep to, the last of those we may use; ``None`` where the system does not let us choose."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None
