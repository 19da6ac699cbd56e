"""Workers: threads for the pages that run code of the program, such as its gauges.

Such code may never come back. It then costs its page, which says so, and one
of a few threads; other pages, the event loop and the program's end are not
held up (which is why this is no ``ThreadPoolExecutor``: those are joined at exit).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from monkit_present.responses import Problem

__all__ = ["Workers"]

T = TypeVar("T")
_LATER = ((b"retry-after", b"5"),)
_LOOP_WAITS_S = 1.0


class Workers:
    """Runs work in daemon threads, a few at a time.

    Args:
        most: threads at once.
        deadline_s: seconds until a page is given up.
        waited_for: what the pages wait for, for those that are refused.
    """

    def __init__(self, *, most: int = 8, deadline_s: float = 10.0, waited_for: str = "gauge or source") -> None:
        self._most = most
        self._deadline_s = deadline_s
        self._waited_for = waited_for
        self._busy = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Await the outcome of *work*, run in a thread.

        Raises:
            Problem: no thread is free, or none can be started, or *work* is not done by the deadline.
        """
        if self._busy >= self._most:
            raise Problem(503, f"{self._most} pages wait for a {self._waited_for} that has not come back", _LATER)
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        loop_waits = threading.Event()
        self._busy += 1

        def deliver(value: T | None, error: BaseException | None) -> None:
            self._busy -= 1
            if outcome.done():
                return
            if error is None:
                outcome.set_result(value)  # type: ignore[arg-type]
            else:
                outcome.set_exception(error)

        def run() -> None:
            value: T | None = None
            error: Exception | None = None
            # Until the loop has nothing to do: with three that want the interpreter lock, the program waits for two.
            loop_waits.wait(_LOOP_WAITS_S)
            try:
                value = work()
            except BaseException as problem:  # of any kind: handed to whoever awaits
                error = _awaitable(problem)
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(deliver, value, error)

        try:
            threading.Thread(target=run, name="monkit-present-worker", daemon=True).start()
        except RuntimeError:
            self._busy -= 1
            raise Problem(503, "the system has no thread left for this page", _LATER) from None
        loop.call_soon(loop_waits.set)
        try:
            return await asyncio.wait_for(outcome, self._deadline_s)
        except TimeoutError:
            raise Problem(503, f"a {self._waited_for} has not come back in {self._deadline_s:.0f} s") from None


def _awaitable(problem: BaseException) -> Exception:
    """*problem*, or what stands for it: an exit would end the awaiting loop, and no future takes `StopIteration`."""
    if isinstance(problem, Exception) and not isinstance(problem, StopIteration):
        return problem
    error = RuntimeError(f"{type(problem).__name__} in a gauge or source")
    error.__cause__ = problem
    return error
