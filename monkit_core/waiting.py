"""Waiting: what watches spans on somebody's behalf until it has what they want."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakSet

__all__ = ["Waiter", "WentBy"]

T = TypeVar("T")

_waiters: WeakSet[Waiter[Any]] = WeakSet()


@dataclass(frozen=True, slots=True)
class WentBy:
    """Calls that could have been what is waited for, and were not.

    Attributes:
        calls: how many ended otherwise.
        longest_ns: how long the longest of these took, nanoseconds.
        passed_over: how many more were not looked at, because there was no room for them.
    """

    calls: int = 0
    longest_ns: int = 0
    passed_over: int = 0


class Waiter(Generic[T]):
    """Something to be waited for: ``await waiter``, or `result` from a thread.

    It watches from its making until it has what it waits for, `cancel` is
    called, or an ``await`` of it is cancelled; then nothing of it stays behind.
    It does not watch in a child of fork. Whoever derives from it calls
    `_begin` once it watches.
    """

    def __init__(self) -> None:
        self._future: Future[T] = Future()

    def _begin(self) -> None:
        """Watching has begun, so it can be ended."""
        self._future.add_done_callback(lambda _: self._stop())
        _waiters.add(self)

    def _stop(self) -> None:
        """Stop watching. May be called twice."""
        raise NotImplementedError

    def _deliver(self, found: T) -> None:
        with suppress(InvalidStateError):  # cancelled meanwhile
            self._future.set_result(found)

    def _fail(self, problem: BaseException) -> None:
        """What code of the one who waits raised: it belongs to who waits, not to the measured call."""
        with suppress(InvalidStateError):
            self._future.set_exception(problem)

    def result(self, timeout: float | None = None) -> T:
        """Block until it is there.

        Args:
            timeout: seconds, ``None`` for ever.

        Raises:
            TimeoutError: it is not there by then; the waiter goes on watching.
            concurrent.futures.CancelledError: it was cancelled.
            Exception: what the caller's own matcher raised.
        """
        return self._future.result(timeout)

    @property
    def went_by(self) -> WentBy:
        """What came meanwhile and was not it."""
        return WentBy()

    @property
    def part(self) -> T | None:
        """What there is of it already, where it consists of several; ``None`` if there is nothing."""
        return None

    def cancel(self) -> None:
        """Stop watching; who waits gets ``CancelledError``."""
        self._future.cancel()

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio  # who awaits has loaded it; others should not pay for it

        return asyncio.wrap_future(self._future).__await__()


def _after_fork() -> None:
    """Who waits stayed in the parent."""
    for waiter in list(_waiters):
        waiter._stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
