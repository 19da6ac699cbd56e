"""Running slices of workflow code on threads, and noticing one that does not give control back.

A slice that burns more processor time than it may is interrupted; one that is
blocked is given up when its workflow task's time is over, and its thread is
lost until it returns. Neither is done while somebody debugs.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, TypeVar

from monkit_workflow.errors import Deadlock, WorkerError
from monkit_workflow.guard import Mode, guarding

__all__ = ["SliceRunner", "Stuck", "debugged"]

T = TypeVar("T")
_STACK_FRAMES = 8
_WATCH_S = 0.5


class Stuck(Deadlock):
    """The slice is blocked and still on its thread: nobody else may touch what it works on."""


class _Interrupt(BaseException):
    """Thrown into a thread; no `Exception`, so that no handler of the program swallows it."""

    monkit_error_name = "Deadlock"


class _Slice:
    """One call, on a thread once it is taken."""

    __slots__ = ("began_s", "call", "clock", "cpu_began_ns", "future", "limit_s", "name", "reason", "thread")

    def __init__(self, name: str, call: Callable[[], Any], future: asyncio.Future[Any], limit_s: float) -> None:
        self.name = name
        self.call = call
        self.future = future
        self.limit_s = limit_s
        self.thread = 0
        self.clock = 0
        self.cpu_began_ns = 0
        self.began_s = 0.0
        self.reason = ""
        """Why it is interrupted, if it is."""

    def begin(self) -> None:
        """Note thread and time."""
        self.thread = threading.get_ident()
        self.clock = time.pthread_getcpuclockid(self.thread)
        self.cpu_began_ns = time.clock_gettime_ns(self.clock)
        self.began_s = time.monotonic()

    def spent_ns(self) -> int:
        """Processor time of the thread since the slice began."""
        with suppress(OSError):  # the thread has just ended
            return time.clock_gettime_ns(self.clock) - self.cpu_began_ns
        return 0

    def where(self) -> str:
        """The innermost frames of the thread."""
        frame = sys._current_frames().get(self.thread)
        return "" if frame is None else "".join(traceback.format_stack(frame)[-_STACK_FRAMES:])


Outcome = tuple["asyncio.Future[Any]", Any, "BaseException | None"]


class SliceRunner:
    """A bounded number of threads for workflow code, of the event loop that it is made on.

    An executor would do, but for its price: a loop is woken once for all the
    slices that have ended since, as the store answers a batch.
    """

    def __init__(self, threads: int, guard: Mode, deadlock_after: timedelta | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._guard: Mode = guard
        self._budget_ns = None if deadlock_after is None else round(deadlock_after.total_seconds() * 1e9)
        self._jobs: SimpleQueue[_Slice | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._running: set[_Slice] = set()
        self._ended: list[Outcome] = []
        self._threads = [
            threading.Thread(target=self._work, name=f"monkit-workflow_{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()
        self._watcher = asyncio.create_task(self._watch())

    async def run(self, name: str, call: Callable[[], T], timeout_ns: int = 0) -> T:
        """Call *call* on a thread, guarded; *name* tells it in errors.

        Raises:
            Deadlock: it used up its processor time.
            Stuck: *timeout_ns* passed.
            WorkerError: it raised what is no `Exception`, or `StopIteration`.
            Exception: what *call* raised.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Slice(name, call, future, timeout_ns / 1e9 or math.inf))
        return await future

    # The threads.

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = None, None
            try:
                result = self._call(job)
            except BaseException as problem:  # whoever waits for it shall have it
                error = Deadlock(job.reason) if isinstance(problem, _Interrupt) else problem
            try:
                self._over(job)
            except _Interrupt:  # it arrives late, and but once
                self._over(job)
            with self._lock:
                first = not self._ended
                self._ended.append((job.future, result, error))
            if first:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(self._settle)
            del job, result, error  # nothing of a run is kept while the thread waits for the next

    def _settle(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, []
        for future, result, error in ended:
            if future.done():
                continue  # given up
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _call(self, job: _Slice) -> Any:
        job.begin()
        with self._lock:
            self._running.add(job)
        try:
            with guarding(self._guard) as guarded:
                result = job.call()
            if guarded.refused is not None:
                raise guarded.refused  # the program's own `except Exception` swallowed it
            return result
        except BaseException as error:
            if job.reason:  # perhaps inside of a group, where a TaskGroup has put it
                raise Deadlock(job.reason) from None
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                raise
            # An exit or the like would end a thread, where only the run can end; StopIteration no future can hold.
            raise WorkerError(f"workflow code raised {type(error).__name__}: {error}") from error

    def _over(self, job: _Slice) -> None:
        with self._lock:
            self._running.discard(job)
            if job.reason:
                _throw(job.thread, None)  # in case that it has not arrived yet

    # The watch.

    async def _watch(self) -> None:
        """Look at the running slices a few times within the budget."""
        period_s = _WATCH_S if self._budget_ns is None else min(_WATCH_S, self._budget_ns / 4e9)
        while True:
            await asyncio.sleep(period_s)
            if debugged():
                continue
            with self._lock:
                for job in self._running:
                    self._look_at(job)

    def _look_at(self, job: _Slice) -> None:
        if self._budget_ns is not None and not job.reason and job.spent_ns() > self._budget_ns:
            job.reason = (
                f"{job.name} ran for {self._budget_ns / 1e9:g} s of processor time without giving control back; "
                f"move long work into an activity. It was here:\n{job.where()}"
            )
            _throw(job.thread, _Interrupt)
        if time.monotonic() - job.began_s > job.limit_s and not job.future.done():
            job.future.set_exception(
                Stuck(
                    f"{job.name} has been blocked for {job.limit_s:g} s, as long as a workflow task may take; "
                    f"workflow code must not wait for locks or the outside:\n{job.where()}"
                )
            )

    def close(self) -> None:
        """Stop watching and let the threads go; one that is stuck is not waited for."""
        self._watcher.cancel()
        for _ in self._threads:
            self._jobs.put(None)


def _throw(thread: int, error: type[BaseException] | None) -> None:
    target = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), target)


def debugged() -> bool:
    """Whether somebody may be standing at a breakpoint."""
    return sys.gettrace() is not None or "pydevd" in sys.modules or "debugpy" in sys.modules
