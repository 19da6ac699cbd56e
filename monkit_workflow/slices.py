"""Running slices of workflow code on threads, and noticing one that does not give control back.

A slice that burns more processor time than it may is interrupted; one that is
blocked is given up when its workflow task's time is over, and its thread is
lost until it returns. Neither is done while somebody debugs.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from monkit_workflow.errors import Deadlock, WorkerError
from monkit_workflow.guard import Mode, guarding

__all__ = ["SliceRunner", "Stuck"]

T = TypeVar("T")
_STACK_FRAMES = 8


class Stuck(Deadlock):
    """The slice is blocked and still on its thread: nobody else may touch what it works on."""


class _Interrupt(BaseException):
    """Thrown into a thread; no `Exception`, so that no handler of the program swallows it."""


class _Slice:
    """One call on one thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.thread = 0
        self.clock = 0
        self.cpu_began_ns = 0
        self.reason = ""
        self.ended = False

    def spent_ns(self) -> int:
        """Processor time of the thread since the slice began."""
        with suppress(OSError):  # the thread has just ended
            return time.clock_gettime_ns(self.clock) - self.cpu_began_ns
        return 0

    def where(self) -> str:
        """The innermost frames of the thread."""
        frame = sys._current_frames().get(self.thread)
        return "" if frame is None else "".join(traceback.format_stack(frame)[-_STACK_FRAMES:])


class SliceRunner:
    """A bounded pool of threads for workflow code."""

    def __init__(self, threads: int, guard: Mode, deadlock_after: timedelta | None) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="monkit-workflow")
        self._guard: Mode = guard
        self._budget_ns = None if deadlock_after is None else round(deadlock_after.total_seconds() * 1e9)
        self._lock = threading.Lock()
        self._running: set[_Slice] = set()
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, name: str, call: Callable[[], T], timeout_ns: int = 0) -> T:
        """Call *call* on a thread, guarded; *name* tells it in errors.

        Raises:
            Deadlock: it used up its processor time.
            Stuck: *timeout_ns* passed.
            Exception: what *call* raised.
        """
        if self._budget_ns is not None and self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(self._budget_ns))
        job = _Slice(name)
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._call, job, call)
        limit_s = timeout_ns / 1e9 if timeout_ns and not _debugged() else None
        try:
            done, _ = await asyncio.wait({future}, timeout=limit_s)
        except asyncio.CancelledError:
            future.add_done_callback(_forget)
            raise
        if done:
            return future.result()
        future.add_done_callback(_forget)
        raise Stuck(
            f"{name} has been blocked for {limit_s:g} s, as long as a workflow task may take; "
            f"workflow code must not wait for locks or the outside:\n{job.where()}"
        )

    def _call(self, job: _Slice, call: Callable[[], T]) -> T:
        job.thread = threading.get_ident()
        job.clock = time.pthread_getcpuclockid(job.thread)
        job.cpu_began_ns = time.clock_gettime_ns(job.clock)
        with self._lock:
            self._running.add(job)
        try:
            with guarding(self._guard) as guarded:
                result = call()
            if guarded.refused is not None:
                raise guarded.refused  # the program's own `except Exception` swallowed it
            return result
        except BaseException as error:
            if job.reason:  # perhaps inside of a group, where a TaskGroup has put it
                raise Deadlock(job.reason) from None
            if isinstance(error, Exception):
                raise
            # An exit or the like: it would end a thread, where only the run can end.
            raise WorkerError(f"workflow code raised {type(error).__name__}: {error}") from error
        finally:
            with self._lock:
                self._running.discard(job)
                job.ended = True
                if job.reason:
                    _throw(job.thread, None)  # in case that it has not arrived yet

    async def _watch(self, budget_ns: int) -> None:
        """Look at the running slices a few times within the budget."""
        while True:
            await asyncio.sleep(budget_ns / 4e9)
            with self._lock:
                for job in self._running:
                    if not job.reason and job.spent_ns() > budget_ns and not _debugged():
                        job.reason = (
                            f"{job.name} ran for {budget_ns / 1e9:g} s of processor time without giving control back; "
                            f"move long work into an activity. It was here:\n{job.where()}"
                        )
                        _throw(job.thread, _Interrupt)

    def close(self) -> None:
        """Stop watching and let the threads go; one that is stuck is not waited for."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._pool.shutdown(wait=not self._running)


def _throw(thread: int, error: type[BaseException] | None) -> None:
    target = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), target)


def _debugged() -> bool:
    """Whether somebody may be standing at a breakpoint."""
    return sys.gettrace() is not None or "pydevd" in sys.modules or "debugpy" in sys.modules


def _forget(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
