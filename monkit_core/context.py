"""The current span where Python does not carry it by itself: pools, threads, callbacks, log records.

The current span is a context variable. ``await``, asyncio's tasks and
callbacks and ``asyncio.to_thread`` carry it; a thread and the pools of
``concurrent.futures`` begin with an empty context. What is here gives them a
copy of the caller's, with every other context variable in it.
"""

from __future__ import annotations

import concurrent.futures
import functools
import inspect
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from monkit_core import faults
from monkit_core.span import current_span

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["LOG_FORMAT", "LogFilter", "Thread", "ThreadPoolExecutor", "carry", "run_in_executor", "wrap"]

P = ParamSpec("P")
T = TypeVar("T")

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(trace_id)s %(span_id)s] %(message)s"
"""An example of a format for records that passed a `LogFilter`."""

# Modules and names, because asking the class would import multiprocessing.
_ELSEWHERE = (
    ("concurrent.futures.process", "ProcessPoolExecutor"),
    ("concurrent.futures.interpreter", "InterpreterPoolExecutor"),
)


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """The standard pool; each call runs in a copy of the context that it was submitted from.

    Also the calls of ``map``, and those that a loop hands to it as its executor
    through `run_in_executor` of this module.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``fn(*args, **kwargs)`` called by a thread of the pool."""
        return super().submit(copy_context().run, fn, *args, **kwargs)  # type: ignore[arg-type]  # mypy: run is generic


class Thread(threading.Thread):
    """The standard thread; what it runs, also an overridden ``run``, runs in a copy of the starter's context."""

    def start(self) -> None:
        """Start the thread, with the context as it is now.

        Raises:
            RuntimeError: it was started before, or the system has no more threads.
        """
        if self.ident is None:
            context, run = copy_context(), self.run

            def run_in_context() -> None:
                try:
                    context.run(run)
                finally:
                    del self.run  # or the thread, and the spans of its context, would be in a reference cycle

            self.run = run_in_context  # type: ignore[method-assign]
        try:
            super().start()
        except BaseException:
            if self.ident is None:
                self.__dict__.pop("run", None)
            raise


class _Carrying(Executor):
    """What `carry` returns."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._executor.submit(copy_context().run, fn, *args, **kwargs)  # type: ignore[arg-type]  # the same

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait, cancel_futures=cancel_futures)


def carry(executor: Executor) -> Executor:
    """An executor that submits to *executor* with the submitter's context; for pools that exist already.

    It owns nothing: shutting it down shuts *executor* down.

    Raises:
        TypeError: *executor* runs calls in other processes or interpreters.
    """
    _refuse_elsewhere(executor)
    return executor if isinstance(executor, _Carrying | ThreadPoolExecutor) else _Carrying(executor)


def _refuse_elsewhere(executor: Executor | None) -> None:
    for module, name in _ELSEWHERE:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(executor, kind):
            raise TypeError(
                f"no context can follow a call into the other processes or interpreters of a {name}; "
                "inject the span into headers, pass them as an argument and extract them there "
                "(monkit_core.propagation)"
            )


async def run_in_executor(
    loop: AbstractEventLoop | None, executor: Executor | None, function: Callable[..., T], /, *args: object
) -> T:
    """Await ``function(*args)`` in *executor*, in a copy of the awaiting task's context.

    Args:
        loop: the running loop if ``None``.
        executor: the loop's default executor if ``None``.
        function: keywords are for a ``functools.partial``.
        *args: of the call.

    Raises:
        TypeError: *executor* runs calls in other processes or interpreters.
    """
    _refuse_elsewhere(executor)
    if loop is None:
        import asyncio  # whoever awaits this has it already

        loop = asyncio.get_running_loop()
    return await loop.run_in_executor(executor, copy_context().run, function, *args)


def wrap(function: Callable[P, T]) -> Callable[P, T]:
    """Bind *function* to the context as it is now, for a callback that somebody else calls later.

    Each call gets a copy of its own, so calls may overlap and none sees what another set.

    Raises:
        TypeError: *function* gives a coroutine or a generator, which runs in the context of whoever awaits or
            iterates it.
    """
    for gives_more in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        if gives_more(function):
            raise TypeError(
                f"{function!r} does not run when called but when awaited or iterated, in the context of that place; "
                "wrap a plain function, or start a task: asyncio.create_task(…, context=…)"
            )
    context = copy_context()

    @functools.wraps(function)
    def bound(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(function, *args, **kwargs)

    return bound


class LogFilter(logging.Filter):
    """Puts ``trace_id`` (32 hex digits) and ``span_id`` (16) of the current span on log records.

    Without a span both are ``-``, so that a line keeps its columns. It lets
    every record pass and never raises; a record that has a ``trace_id``
    already, from ``extra=`` or from the other side of a queue, keeps both.

    Add it to handlers: a filter of a logger does not see the records of the
    loggers below. In front of a queue add it to the ``QueueHandler``, which runs
    where the record is made.

    ```python
    handler = logging.StreamHandler()
    handler.addFilter(monkit.context.LogFilter())
    handler.setFormatter(logging.Formatter(monkit.context.LOG_FORMAT))
    ```
    """

    def __init__(self) -> None:
        super().__init__()

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the ids on *record*; always true."""
        try:
            if not hasattr(record, "trace_id"):
                span = current_span()
                record.trace_id = "-" if span is None else f"{span.trace.id:032x}"
                record.span_id = "-" if span is None else f"{span.id:016x}"
        except Exception as problem:  # a record of a class of the program's own, with any behaviour
            faults.report("log filter", problem)
        return True
