"""History: what the last five minutes were like, for the small curves on pages.

Nothing is kept until somebody looks. Then one task of the port's event loop
looks at every function each five seconds, for as many pages as are open, and
ends ten minutes after the last look.
"""

from __future__ import annotations

import asyncio
import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from monkit_core import Func, Registry
from monkit_core.clock import NS_PER_S, monotonic_ns
from monkit_core.environment.process import proc_statm
from monkit_present.responses import give_turn

__all__ = ["EVERY_S", "MAX_FUNCTIONS", "POINTS", "History", "Sample"]

EVERY_S = 5.0
"""Seconds from one sample to the next."""
POINTS = 60
"""Samples that are kept, apart from the one before the first: five minutes."""
MAX_FUNCTIONS = 5_000
"""Functions that have a history; later ones have none."""

_RATE_SAMPLES = 12  # a rate is that of the last minute
_UNWATCHED_S = 600.0
_SLICE = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One look.

    Attributes:
        at_ns: monotonic nanoseconds.
        calls: that had started, by the place of the function.
        failures: errors and panics, likewise.
        running: calls that ran.
        cpu_ns: of the process, since it began.
        port_ns: of the thread that the look ran in, likewise.
        resident: bytes; 0 where the system does not say.
    """

    at_ns: int
    calls: Sequence[int]
    failures: Sequence[int]
    running: int
    cpu_ns: int
    port_ns: int
    resident: int


class History:
    """Samples of a registry, taken while somebody looks.

    All of it happens in one event loop.

    Args:
        registry: whose functions.
        clock_ns: monotonic nanoseconds.
    """

    def __init__(self, registry: Registry, clock_ns: Callable[[], int] = monotonic_ns) -> None:
        self._registry = registry
        self._clock_ns = clock_ns
        self._samples: deque[Sample] = deque(maxlen=POINTS + 1)
        self._places: dict[int, int] = {}
        self._looked_ns = 0
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Say that somebody looks. Call it in the event loop."""
        self._looked_ns = self._clock_ns()
        if self._task is None or self._task.done():
            self._samples.clear()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="monkit history")

    def close(self) -> None:
        """End the task. Call it in the event loop."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._clock_ns() - self._looked_ns < _UNWATCHED_S * NS_PER_S:
            await self.sample()
            await asyncio.sleep(EVERY_S)
        self._samples.clear()

    async def sample(self) -> None:
        """Take one sample, a slice at a time."""
        funcs = self._registry.funcs()
        for func in funcs:
            if func.id not in self._places and len(self._places) < MAX_FUNCTIONS:
                self._places[func.id] = len(self._places)
        calls, failures = array("Q", bytes(8 * len(self._places))), array("Q", bytes(8 * len(self._places)))
        running = 0
        for number, func in enumerate(funcs):
            running += func.current
            place = self._places.get(func.id)
            if place is not None:
                calls[place] = sum(func.callers.values())
                failures[place] = sum(func.errors.values()) + func.panics
            if number % _SLICE == _SLICE - 1:
                await give_turn()
        self._samples.append(
            Sample(
                self._clock_ns(), calls, failures, running, time.process_time_ns(), time.thread_time_ns(), _resident()
            )
        )

    @property
    def samples(self) -> Sequence[Sample]:
        """The oldest first."""
        return tuple(self._samples)

    @property
    def seconds(self) -> float:
        """What the samples span."""
        return (self._samples[-1].at_ns - self._samples[0].at_ns) / NS_PER_S if self._samples else 0.0

    def calls(self, func: Func | None = None) -> list[int]:
        """Calls of *func*, or of all functions, that started between one sample and the next."""
        return self._differences(lambda sample: sample.calls, func)

    def failures(self, func: Func | None = None) -> list[int]:
        """The same of errors and panics."""
        return self._differences(lambda sample: sample.failures, func)

    def rate(self, func: Func | None = None) -> float | None:
        """Calls a second over the last minute; ``None`` as long as nobody can tell."""
        calls = self.calls(func)[-_RATE_SAMPLES:]
        if not calls:
            return None
        samples = self._samples
        return sum(calls) * NS_PER_S / max(samples[-1].at_ns - samples[-1 - len(calls)].at_ns, 1)

    def shares(self, of: Callable[[Sample], int]) -> list[float]:
        """How much of the time between two samples *of*, which says nanoseconds, took: 1 is all of a core."""
        return [
            (of(after) - of(before)) / max(after.at_ns - before.at_ns, 1) for before, after in pairwise(self._samples)
        ]

    def _differences(self, of: Callable[[Sample], Sequence[int]], func: Func | None) -> list[int]:
        if func is None:
            totals = [sum(of(sample)) for sample in self._samples]
        else:
            place = self._places.get(func.id)
            if place is None:
                return []
            totals = [of(sample)[place] if place < len(of(sample)) else 0 for sample in self._samples]
        # Counts fall when figures are reset.
        return [max(after - before, 0) for before, after in pairwise(totals)]


def _resident() -> int:
    try:
        return int(dict(proc_statm())["Resident"]) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, KeyError, OSError, ValueError):
        return 0
