"""The clock of an environment: it stands still, and skips to what is due when the event loop says so.

Two threads take part. The store's thread waits here when it has nothing to do.
It numbers its batches and tells the loop of each; the loop acts on what it was
answered, comes to rest and `grant`s the last number that it knows. A grant for
an earlier batch counts for nothing, since what a later one answered has not
been seen yet. So time never runs on past somebody who was answered and has not
acted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["SkippingClock"]

_NEVER = -1


class SkippingClock:
    """Implements `monkit_workflow.sqlite.clock.Clock`.

    Args:
        start_ns: what it shows at first, nanoseconds since the epoch.
        moved: is told, on the store's thread, the number of the last batch
            when time has passed and the store has nothing to do at that time.
    """

    def __init__(self, start_ns: int, moved: Callable[[int], None]) -> None:
        self.batch = 0
        """Number of the last one; the store's thread counts."""
        self._now_ns = start_ns
        self._moved = moved
        self._condition: threading.Condition | None = None
        self._granted = _NEVER
        self._until_ns: int | None = None

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self._now_ns

    def wait(self, condition: threading.Condition, until_ns: int | None) -> None:
        """Sleep until there is a request or the loop lets time pass; then it is *until_ns*, or what the loop said."""
        self._condition = condition
        if self._granted != self.batch:
            condition.wait()
            return
        self._granted = _NEVER
        times = [at for at in (until_ns, self._until_ns) if at is not None]
        if not times:
            condition.wait()
            return
        self._now_ns = max(self._now_ns, min(times))
        if until_ns is None or self._now_ns < until_ns:
            self._moved(self.batch)

    def grant(self, batch: int, until_ns: int | None) -> None:
        """Let time pass to what is due next, at most to *until_ns*, unless there was a batch after *batch*."""
        self._until_ns = until_ns
        self._granted = batch
        if self._condition is not None:  # else it has never waited yet, and will see this before it does
            with self._condition:
                self._condition.notify()
