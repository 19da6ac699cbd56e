"""Gaps: for how long a thread of the program stands still while a page is made."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from time import perf_counter_ns
from typing import Any, Generic, TypeVar

__all__ = ["Gap", "spin_until"]

T = TypeVar("T")

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Gap(Generic[T]):
    """What a spinning thread saw.

    Attributes:
        longest_ms: the longest time between two looks at the clock.
        collection_ms: the longest run of the garbage collector, which stops every thread, whoever caused it.
        outcome: of what it spun for.
    """

    longest_ms: float
    collection_ms: float
    outcome: T


def spin_until(wait: Callable[[], T]) -> Gap[T]:
    """Spin in this thread until *wait*, in a thread of its own, returns.

    Args:
        wait: stands in the operating system, so that it needs no interpreter lock.

    Raises:
        RuntimeError: *wait* raised, which its thread has reported.
    """
    done: list[None] = []
    outcomes: list[T] = []

    def run() -> None:
        try:
            outcomes.append(wait())
        finally:
            done.append(None)

    collections = _Collections()
    gc.callbacks.append(collections)
    waiter = Thread(target=run)
    waiter.start()
    longest_ns = 0
    last_ns = perf_counter_ns()
    while not done:
        now_ns = perf_counter_ns()
        if now_ns - last_ns > longest_ns:
            longest_ns = now_ns - last_ns
        last_ns = now_ns
    waiter.join()
    gc.callbacks.remove(collections)
    if not outcomes:
        raise RuntimeError("what was waited for failed; its thread has said why")
    return Gap(longest_ns / _NS_PER_MS, collections.longest_ns / _NS_PER_MS, outcomes[0])


class _Collections:
    """A callback of the collector that keeps the longest run, nanoseconds."""

    def __init__(self) -> None:
        self.longest_ns = 0
        self._begin_ns = perf_counter_ns()

    def __call__(self, phase: str, facts: dict[str, Any]) -> None:
        now_ns = perf_counter_ns()
        if phase == "start":
            self._begin_ns = now_ns
        else:
            self.longest_ns = max(self.longest_ns, now_ns - self._begin_ns)
