"""Threads: what becomes of the cost when several call at once.

They share one interpreter lock, so the work of all takes as long as if one did
it; what is looked for is whether monitoring makes it longer. Not pinned: a lock
that wanders between cores is part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from threading import Barrier, Thread
from time import perf_counter_ns
from typing import Any

from benchmarks.calls import MONKIT, YARDSTICK
from benchmarks.effort import Effort
from benchmarks.figures import Row, cost_row, plain_row
from benchmarks.stopwatch import Contender, fresh, interleave
from monkit_core import Registry

__all__ = ["THROUGHPUT", "measure"]

THROUGHPUT = "monkit, throughput of plain"


def measure(effort: Effort) -> Iterator[Row]:
    """For each number of threads what a call costs (ns), and the throughput as a part of plain calls' (%)."""
    for threads in effort.threads:
        group = f"{threads} threads" if threads > 1 else "1 thread"
        scope = Registry().scope("benchmarks")
        samples = interleave(
            [
                _contender("plain", threads, fresh(_work)),
                _contender(YARDSTICK, threads, _idle(fresh(_work))),
                _contender(MONKIT, threads, scope.task(fresh(_work))),
            ],
            effort,
        )
        plain, yardstick, ours = samples["plain"], samples[YARDSTICK], samples[MONKIT]
        yield cost_row(group, YARDSTICK, yardstick, plain, yardstick)
        yield cost_row(group, MONKIT, ours, plain, yardstick)
        yield plain_row(group, THROUGHPUT, "%", [100 * min(plain) / time for time in ours])


def _work() -> int:
    """Do a little: about a microsecond."""
    total = 0
    for i in range(25):
        total += i
    return total


def _idle(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def _contender(name: str, threads: int, call: Callable[[], object]) -> Contender:
    def run(count: int) -> int:
        share = -(-count // threads)
        barrier = Barrier(threads + 1)

        def loop() -> None:
            barrier.wait()
            for _ in repeat(None, share):
                call()

        running = [Thread(target=loop) for _ in range(threads)]
        for thread in running:
            thread.start()
        begin = perf_counter_ns()
        barrier.wait()
        for thread in running:
            thread.join()
        return (perf_counter_ns() - begin) * count // (share * threads)

    return Contender(name, run)
