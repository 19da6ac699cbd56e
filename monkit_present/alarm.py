"""The alarm: one timer that is set often and rings seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

__all__ = ["Alarm"]


class Alarm:
    """A timer of an event loop, of which only the last setting counts.

    To set it later than before costs a subtraction: the timer of the loop
    stays and, when it fires, is set anew.

    Args:
        loop: whose thread it is used in.
        ring: called when the time has come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._context = Context()  # a timer would keep that of the request in which it was set

    @property
    def is_set(self) -> bool:
        """Whether it will ring."""
        return self._timer is not None

    def set(self, delay_s: float) -> None:
        """Ring in *delay_s*, and not before."""
        self._due = self._loop.time() + delay_s
        if self._timer is not None and self._timer.when() > self._due:
            self.cancel()
        if self._timer is None:
            self._schedule()

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._timer = self._loop.call_at(self._due, self._fire, context=self._context)

    def _fire(self) -> None:
        assert self._timer is not None
        early = self._timer.when() < self._due
        self._timer = None
        if early:
            self._schedule()
        else:
            self._ring()
