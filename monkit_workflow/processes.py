"""Processes for activities that compute: each runs one attempt at a time, and can be ended from outside.

A process is spawned, not forked, so that it shares no threads, locks or
connections with the worker. When its attempt is out of time it is killed, which
no thread can be; when it dies, its attempt fails and the next one gets a new process.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Literal

from monkit_workflow.activity import CURRENT, ActivityInfo, Attempt, CompleteLater
from monkit_workflow.errors import ApplicationFailure, CancelledFailure
from monkit_workflow.failures import REMOTE_STACK

__all__ = ["ProcessPool", "check_portable", "plainly"]

Message = tuple[Literal["heartbeat", "ask", "returned", "raised", "later"], Any]
"""What a process says; after the first two it waits for whether its attempt was given up."""


def check_portable(function: Callable[..., Any]) -> None:
    """See that *function* can be called in another process.

    Raises:
        TypeError: it cannot be found there.
    """
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as problem:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"the activity {name} cannot run in a process: it has to be a function at the top of a module ({problem})"
        ) from None


def plainly(function: Callable[..., Any], *values: Any) -> Any:
    """Call *function*; a `StopIteration`, which no future can hold, becomes a `RuntimeError` as in a coroutine."""
    try:
        return function(*values)
    except StopIteration as error:
        raise RuntimeError(f"{getattr(function, '__qualname__', function)} raised StopIteration") from error


class _Process:
    """One process and the line to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.line, far_end = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(far_end,), name="monkit-activity", daemon=True
        )
        self.process.start()
        far_end.close()

    def talk(self, function: Callable[..., Any], values: Sequence[Any], attempt: Attempt) -> Any:
        """Have *function* called there; blocks. Raises what it raised, and `ApplicationFailure` if the process died."""
        self._send((function, tuple(values), attempt.info))
        while True:
            kind, value = self._receive()
            if kind == "returned":
                return value
            if kind == "raised":
                error, stack = value
                setattr(error, REMOTE_STACK, stack)
                raise error
            if kind == "later":
                raise CompleteLater
            if kind == "heartbeat":
                with suppress(CancelledFailure):  # the answer says so
                    attempt.heartbeat(value)
            self._send(attempt.cancelled)

    def _send(self, message: object) -> None:
        try:
            self.line.send(message)
        except OSError:
            raise self._died() from None

    def _receive(self) -> Message:
        try:
            message: Message = self.line.recv()
        except (EOFError, OSError):
            raise self._died() from None
        return message

    def _died(self) -> ApplicationFailure:
        self.process.join()
        return ApplicationFailure(
            f"the process of the activity died, exit code {self.process.exitcode}", type="ProcessDied"
        )

    def kill(self) -> None:
        """End it now; whoever talks to it hears that it died."""
        self.process.kill()

    def close(self) -> None:
        """Let it go; it has nothing to do."""
        self.line.close()


class ProcessPool:
    """Up to *most* processes, made when they are needed."""

    def __init__(self, most: int) -> None:
        self._slots = asyncio.Semaphore(most)
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="monkit-process")
        self._idle: list[_Process] = []

    async def run(self, function: Callable[..., Any], values: Sequence[Any], attempt: Attempt) -> Any:
        """Call *function* in a process; cancelling this kills it.

        Raises:
            ApplicationFailure: of the type ``ProcessDied``.
            Exception: what the function raised.
        """
        loop = asyncio.get_running_loop()
        async with self._slots:
            process = self._idle.pop() if self._idle else await loop.run_in_executor(self._threads, _Process)
            talk = loop.run_in_executor(self._threads, process.talk, function, values, attempt)
            try:
                return await asyncio.shield(talk)
            except asyncio.CancelledError:
                process.kill()
                with suppress(Exception, CompleteLater):
                    await talk
                raise
            finally:
                if process.process.is_alive():
                    self._idle.append(process)

    def close(self) -> None:
        """End all processes."""
        for process in self._idle:
            process.close()
        self._threads.shutdown(wait=False)


# In the process.


class _Remote:
    """The attempt as its code sees it: questions go over the line."""

    def __init__(self, line: Connection, info: ActivityInfo) -> None:
        self._line = line
        self.info = info

    @property
    def cancelled(self) -> bool:
        """Whether the workflow gave it up."""
        self._line.send(("ask", None))
        return bool(self._line.recv())

    def heartbeat(self, details: tuple[Any, ...]) -> None:
        """See `monkit_workflow.activity.heartbeat`."""
        self._line.send(("heartbeat", details))
        if self._line.recv():
            raise CancelledFailure("the workflow gave this activity up")


def _serve(line: Connection) -> None:
    """What a process does: calls until the line is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the worker decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            function, values, info = line.recv()
            message = _call(line, function, values, info)
            try:
                line.send(message)
            except (pickle.PicklingError, AttributeError, TypeError) as problem:
                line.send(_raised(TypeError(f"what the activity returned cannot leave its process: {problem}")))


def _die_with_parent() -> None:
    """A worker that was killed hears of no result: nothing shall go on for it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _call(line: Connection, function: Callable[..., Any], values: tuple[Any, ...], info: ActivityInfo) -> Message:
    token = CURRENT.set(_Remote(line, info))
    try:
        return "returned", plainly(function, *values)
    except CompleteLater:
        return "later", None
    except Exception as error:
        return _raised(error)
    finally:
        CURRENT.reset(token)


def _raised(error: Exception) -> Message:
    """The error and its stack; one that cannot travel is told by its name."""
    stack = "".join(traceback.format_tb(error.__traceback__))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # its constructor wants other arguments, or it holds a socket
        error = ApplicationFailure(str(error), type=type(error).__name__)
    return "raised", (error, stack)
