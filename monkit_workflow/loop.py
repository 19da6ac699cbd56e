"""The event loop that workflow code runs on: the same steps in the same order in every replay.

It is never "run": whoever holds it puts in what happened, drains the ready
queue and takes the loop up again when there is news. It reads no clock and
waits for nothing; a timer is a wish that the owner turns into a command.

Tasks and futures have the count of their creation as hash. With plain ones a
set of tasks, as `asyncio.TaskGroup` and `asyncio.wait` keep it, is walked in
the order of addresses, which is another one in each process. The run's id is
mixed in, since asyncio keeps all tasks of the process in one set, which grows
slow where thousands of runs have tasks of the same count.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import sys
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, NoReturn, Protocol, TypeVar, TypeVarTuple

from monkit_workflow.errors import GuardError, WorkerError

__all__ = ["Closed", "NumberedFuture", "NumberedTask", "TimerKeeper", "WorkflowLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
READ_ONLY = "queries and validators only read: they cannot start, cancel, record, wait for or draw anything"
_SECOND_NS = 1_000_000_000
_SWEEP = 64
"""How many ended tasks or generators may be held beside the living ones."""
_MOST_AWAITS = 1000
"""How often a coroutine that is closed may await something in its clean-up."""


class WokeCode(WorkerError):
    """What may only read woke code that waits, so that the run is not any more what its history says."""


class Closed(BaseException):
    """What a suspended coroutine gets when the run leaves this worker's memory.

    `GeneratorExit` would not do: before Python 3.13 closing a coroutine does
    not reach an async generator that waits inside of it.
    """


class TimerKeeper(Protocol):
    """Who turns the loop's timers into commands."""

    def start_timer(self, handle: asyncio.TimerHandle, delay_ns: int) -> None:
        """Have *handle* run after *delay_ns*."""
        ...

    def cancel_timer(self, handle: asyncio.TimerHandle) -> None:
        """*handle* shall not run any more."""
        ...


class NumberedFuture(asyncio.Future[T]):
    """A future whose hash is the count of its creation, salted by its run."""

    def __init__(self, *, loop: WorkflowLoop) -> None:
        self._hash = loop.salt + loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._hash


class NumberedTask(asyncio.Task[T]):
    """A task whose hash is the count of its creation, salted by its run."""

    def __init__(
        self, coro: Coroutine[Any, Any, T], *, loop: WorkflowLoop, name: str | None, context: Context | None
    ) -> None:
        number = loop.next_number()
        self._hash = loop.salt + number
        self.context = copy_context() if context is None else context
        super().__init__(coro, loop=loop, name=name or f"task-{number}", context=self.context)

    def __hash__(self) -> int:
        return self._hash


class WorkflowLoop(asyncio.AbstractEventLoop):
    """The loop of one run. ``now_ns`` is set by its owner."""

    def __init__(self, keeper: TimerKeeper, on_error: Callable[[dict[str, Any]], object]) -> None:
        self.now_ns = 0
        self.stopped = False
        """Set by the owner when the run is over: what is still ready is not run."""
        self.read_only = False
        """Set by the owner while code runs that must leave no trace: it cannot make tasks and futures."""
        self.salt = 0
        """Added to the hashes of tasks and futures; the same in every replay of a run."""
        self.keeper = keeper
        """Who made this loop: the runtime of the run."""
        self.enter_step: Callable[[], None] | None = None
        """Set by the owner: called in the context of each step before it."""
        self._on_error = on_error
        self._ready: deque[asyncio.Handle] = deque()
        self._count = 0
        self._tasks: list[NumberedTask[Any]] = []
        self._generators: list[AsyncGenerator[Any, Any]] = []
        self._sweep_at = [_SWEEP, _SWEEP]

    # For the owner.

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the running loop of the calling thread."""
        before = events._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self._generator_began, finalizer=self._generator_dropped)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(before)

    def drain(self) -> None:
        """Run what is ready, first in first out, until nothing is; inside `entered` only."""
        ready, enter = self._ready, self.enter_step
        while ready and not self.stopped:
            handle = ready.popleft()
            if not handle._cancelled:  # the method costs a call each
                if enter is not None:
                    handle._context.run(enter)  # type: ignore[attr-defined]
                handle._run()

    def ready(self) -> int:
        """How many callbacks wait to be run."""
        return len(self._ready)

    def next_number(self) -> int:
        """The count of the next task or future.

        Raises:
            WorkerError: the loop is `read_only`.
        """
        if self.read_only:
            raise WorkerError(READ_ONLY)
        self._count += 1
        return self._count

    def tasks(self) -> list[NumberedTask[Any]]:
        """Tasks that have not ended, in the order of their creation."""
        return [task for task in self._tasks if not task.done()]

    def close(self) -> None:
        """End every coroutine and generator here and now, in the order of creation; inside `entered` only.

        Left to the collector, their ``finally`` blocks would run inside of
        whatever workflow happens to run then. Whoever calls this has seen to
        it that they can do nothing.
        """
        self.stopped = True
        while self._tasks or self._generators:  # the clean-up may make more of both
            tasks, self._tasks = self.tasks(), []
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _end(task.get_coro())
            if not self._tasks and self._generators:
                _end(self._generators.pop(0).aclose())
        self._ready.clear()

    def _generator_began(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Hold it: dropped ones are closed when the collector pleases, which is another time in each replay."""
        self._generators.append(generator)
        if len(self._generators) > self._sweep_at[1]:
            self._generators = [item for item in self._generators if getattr(item, "ag_frame", None)]
            self._sweep_at[1] = 2 * len(self._generators) + _SWEEP

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Python asks for it; no generator of this loop is dropped before `close`."""

    # What asyncio asks of a loop.

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run *callback* in this drain."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* after *delay* seconds: a durable timer."""
        return self.call_after(round(delay * _SECOND_NS), callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* when `time` says *when*: a durable timer."""
        # A float of seconds since the epoch has a grain of a quarter of a microsecond.
        delay_ns = round((when - self.time()) * 1e6) * 1000
        return self.call_after(delay_ns, callback, *args, context=context)

    def call_after(
        self, delay_ns: int, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* after *delay_ns*: a durable timer."""
        handle = asyncio.TimerHandle(self.time() + delay_ns / _SECOND_NS, callback, args, self, context)
        if delay_ns <= 0:
            self._ready.append(handle)
        else:
            handle._scheduled = True  # type: ignore[attr-defined]  # so that its cancel() tells the loop
            self.keeper.start_timer(handle, delay_ns)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.keeper.cancel_timer(handle)

    def timer_fired(self, handle: asyncio.TimerHandle) -> None:
        """The time of *handle* has come."""
        handle._scheduled = False  # type: ignore[attr-defined]
        self._ready.append(handle)

    def time(self) -> float:
        """Seconds since the epoch, as of the last workflow task."""
        return self.now_ns / _SECOND_NS

    def create_future(self) -> NumberedFuture[Any]:
        """A future of this loop."""
        return NumberedFuture(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: object,
    ) -> NumberedTask[T]:
        """A task of this loop; it makes its first step in this drain."""
        if self.read_only:
            coro.close()  # or Python would warn that nobody awaited it
        task = NumberedTask(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        if len(self._tasks) > self._sweep_at[0]:
            self._tasks = self.tasks()
            self._sweep_at[0] = 2 * len(self._tasks) + _SWEEP
        return task

    def get_debug(self) -> bool:
        """Never: asyncio's debug mode measures by the real clock."""
        return False

    def is_running(self) -> bool:
        """Whether code of this loop runs in the calling thread."""
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        """Whether the run is over."""
        return self.stopped

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell the owner of an error that no code of the workflow was told."""
        self._on_error(context)

    def run_in_executor(self, executor: object, func: object, *args: object) -> NoReturn:
        """Refuse: what a thread does cannot be replayed.

        Raises:
            GuardError: always.
        """
        raise GuardError("workflow code cannot use threads or executors; move the call into an activity")

    def call_soon_threadsafe(self, *_: object, **__: object) -> NoReturn:
        """Refuse: another thread cannot speak to workflow code.

        Raises:
            GuardError: always.
        """
        raise GuardError("another thread cannot call into workflow code; send a signal instead")


def _end(awaitable: Any) -> None:
    """Run *awaitable* to its end by an exception; what it awaits or raises in its clean-up is of no account."""
    arguments: list[Any] = []
    if inspect.iscoroutine(awaitable) and inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED:
        arguments = [item for item in inspect.getcoroutinelocals(awaitable).values() if inspect.iscoroutine(item)]
    for _ in range(_MOST_AWAITS):
        try:
            awaitable.throw(Closed())
        except BaseException:  # also what the code raises: nobody is left to be told
            break
    else:
        # Never to be freed: Python would close it then, in whatever thread, and its code would go on for ever there.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(awaitable))
    for item in arguments:  # never begun either, and Python would warn of it
        if inspect.getcoroutinestate(item) == inspect.CORO_CREATED:
            _end(item)
