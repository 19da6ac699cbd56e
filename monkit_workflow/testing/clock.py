"""The clock of an environment: it stands still, and skips to what is due when the event loop says so.

Two threads take part. The store's thread waits here when it has nothing to do,
and asks the loop, through *ask*, with the number of its last batch. The loop
comes to rest, decides, and `grant`s that number. A grant for an earlier batch
counts for nothing: what that batch answered may not have been seen yet. So
time never runs on past somebody who was answered and has not acted.
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
        wanted: whether somebody waits for time to pass; called on the store's thread.
        ask: asks the loop whether time may pass, with the number of the last
            batch; called on the store's thread.
    """

    def __init__(self, start_ns: int, wanted: Callable[[], bool], ask: Callable[[int], None]) -> None:
        self._now_ns = start_ns
        self._wanted = wanted
        self._ask = ask
        self._condition: threading.Condition | None = None
        self.batch = 0
        """Number of the last one."""
        self._asked = _NEVER
        self._granted = _NEVER
        self._until_ns: int | None = None

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self._now_ns

    # On the store's thread.

    def wait(self, condition: threading.Condition, until_ns: int | None) -> None:
        """Sleep until there is a request or the loop lets time pass; then it is *until_ns*, or what the loop said."""
        self._condition = condition
        if self._granted == self.batch:
            self._granted = self._asked = _NEVER
            times = [at for at in (until_ns, self._until_ns) if at is not None]
            if times:
                self._now_ns = max(self._now_ns, min(times))
                return
        elif self._asked != self.batch and self._wanted():
            self._asked = self.batch
            self._ask(self.batch)
        condition.wait()

    def committed(self) -> None:
        """A batch is about to be answered: what was granted before counts no more."""
        self.batch += 1

    # On the loop.

    def grant(self, batch: int, until_ns: int | None) -> None:
        """Let time pass to what is due next, at most to *until_ns*, unless there was a batch after *batch*."""
        assert self._condition is not None  # who asks has waited
        with self._condition:
            self._granted, self._until_ns = batch, until_ns
            self._condition.notify()

    def nudge(self) -> None:
        """Have the store's thread ask again: what the loop would answer has changed."""
        if self._condition is not None:
            with self._condition:
                self._asked = _NEVER
                self._condition.notify()
