"""The clock that the embedded service goes by, so that another one can be handed in."""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Wall time, and how a thread waits for it."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...

    def wait(self, condition: threading.Condition, until_ns: int | None) -> None:
        """Sleep until *condition*, which the caller holds, is notified or it is *until_ns*; ``None`` is never.

        May return early; the caller looks again.
        """
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()

    def wait(self, condition: threading.Condition, until_ns: int | None) -> None:
        """Sleep; at most a minute at a time, so that a jump of the wall clock is noticed."""
        if until_ns is None:
            condition.wait()
            return
        left_ns = until_ns - time.time_ns()
        if left_ns > 0:
            condition.wait(min(left_ns / 1e9, 60.0))
