"""Readers: who runs a piece of somebody else's code at this moment, such as a gauge.

Such code may hang, or read the registry that reads it. So a thread does not
enter it twice, and while a thread seems to hang in it others go without.
"""

from __future__ import annotations

import os
from threading import get_ident

from monkit_core.clock import monotonic_ns

__all__ = ["Readers"]

MOST_READERS = 4
HANGS_AFTER_NS = 500_000_000


class Readers:
    """The threads that are in one such piece; a forked child has none of them."""

    __slots__ = ("_entered", "_pid")

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._entered: dict[int, int] = {}  # thread -> when, monotonic nanoseconds

    def enter(self) -> bool:
        """Whether the calling thread may go in; it then has to `leave`."""
        if self._pid != os.getpid():
            self._pid, self._entered = os.getpid(), {}
        now, thread = monotonic_ns(), get_ident()
        inside = self._entered.copy()
        if thread in inside or len(inside) >= MOST_READERS:
            return False
        if any(now - entered > HANGS_AFTER_NS for entered in inside.values()):
            return False
        self._entered[thread] = now
        return True

    def leave(self) -> None:
        """The calling thread is out again."""
        self._entered.pop(get_ident(), None)
