"""A request on its way from an event loop to the store's thread and its answer's way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

__all__ = ["PENDING", "Answers", "Call"]

PENDING: Final = object()
"""As a result: the answer comes later."""


class Call:
    """One request: ``step`` runs on the store's thread, its result settles ``future`` on the loop that asked.

    Without a future nobody waits for the answer.
    """

    __slots__ = ("arguments", "future", "step")

    def __init__(
        self, step: Callable[..., Any], arguments: tuple[Any, ...], future: asyncio.Future[Any] | None
    ) -> None:
        self.step = step
        self.arguments = arguments
        self.future = future

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.future is None or self.future.done()


Outcome = tuple["asyncio.Future[Any]", Any, "BaseException | None"]


class Answers:
    """Outcomes of a batch, by loop, so that each loop is called once.

    Args:
        lost: is told, on any thread, each result that nobody took: its asker
            had been cancelled, or its loop is closed.
    """

    def __init__(self, lost: Callable[[Any], None]) -> None:
        self._lost = lost
        self._by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}

    def add(self, call: Call, value: Any = None, error: BaseException | None = None) -> None:
        """Keep an outcome until `send`."""
        future = call.future
        if future is not None:
            loop = future.get_loop()
            outcomes = self._by_loop.get(loop)
            if outcomes is None:
                outcomes = self._by_loop[loop] = []
            outcomes.append((future, value, error))

    def fail(self, error: BaseException) -> None:
        """Turn all outcomes that were kept into a failure."""
        for outcomes in self._by_loop.values():
            outcomes[:] = [(future, None, error) for future, _, _ in outcomes]

    def send(self) -> None:
        """Settle the futures, in one call into each loop."""
        if not self._by_loop:
            return
        by_loop, self._by_loop = self._by_loop, {}
        for loop, outcomes in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._settle, outcomes)
            except RuntimeError:  # the loop is closed
                for _, value, _ in outcomes:
                    self._lost(value)

    def _settle(self, outcomes: list[Outcome]) -> None:
        for future, value, error in outcomes:
            if future.done():
                self._lost(value)
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)
