"""What workflow code asks of its own run: time, waits, random numbers, versions, values from outside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar, overload
from uuid import UUID

from monkit_workflow.channels import Channel
from monkit_workflow.converter import signature
from monkit_workflow.definitions import Handler
from monkit_workflow.errors import FailureError, WorkflowError
from monkit_workflow.failures import to_error
from monkit_workflow.guard import unguarded
from monkit_workflow.info import WorkflowInfo, moment
from monkit_workflow.options import nanoseconds
from monkit_workflow.runtime import current

__all__ = [
    "as_completed",
    "channel",
    "info",
    "last_failure",
    "last_result",
    "logger",
    "mutable_side_effect",
    "now",
    "patched",
    "random",
    "replaying",
    "set_query_handler",
    "side_effect",
    "sleep",
    "uuid4",
    "version",
    "wait_condition",
]

T = TypeVar("T")


def info() -> WorkflowInfo:
    """Facts of this run."""
    return current().known_info


def now() -> datetime:
    """The time of the workflow task that the code runs in, in UTC; it stands still between two waits."""
    return moment(current().loop.now_ns)


@overload
def last_result() -> Any: ...
@overload
def last_result(*, returns: type[T]) -> T | None: ...
def last_result(*, returns: Any = Any) -> Any:
    """What the last run of this schedule that completed returned, ``None`` if none did.

    It is handed on through runs that failed and through retries.

    Raises:
        ConversionError: it does not fit *returns*.
    """
    runtime = current()
    payload = runtime.last_result
    return None if payload is None else runtime.converter.decode(payload, returns)


def last_failure() -> FailureError | None:
    """Why the run before this one failed, if it did: for retries and schedules."""
    runtime = current()
    failure = runtime.last_failure
    return None if failure is None else to_error(failure, runtime.converter)


def replaying() -> bool:
    """Whether the code runs again what it ran before. No decision may depend on it."""
    return current().replaying


def random() -> Random:
    """A source of random numbers that are the same in every replay."""
    return current().random()


def uuid4() -> UUID:
    """A random UUID that is the same in every replay."""
    return current().uuid4()


async def sleep(duration: timedelta) -> None:
    """Wait; the timer outlives crashes, and may take years.

    Raises:
        TypeError: *duration* is no `timedelta`.
    """
    delay_ns = nanoseconds("sleep", duration)
    if delay_ns == 0:
        await asyncio.sleep(0)
        return
    loop = current().loop
    done = loop.create_future()
    handle = loop.call_after(delay_ns, _wake, done)
    try:
        await done
    finally:
        handle.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def wait_condition(test: Callable[[], object], *, timeout: timedelta | None = None) -> None:
    """Wait until *test* is true. It is asked whenever the run's code waits for nothing else.

    Raises:
        TimeoutError: it did not become true within *timeout*.
    """
    if test():
        return
    future = current().condition(test)
    if timeout is None:
        await future
        return
    async with asyncio.timeout(nanoseconds("timeout", timeout) / 1e9):
        await future


@overload
def channel(name: str) -> Channel[Any]: ...
@overload
def channel(name: str, type: type[T]) -> Channel[T]: ...
def channel(name: str, type: Any = None) -> Channel[Any]:
    """The channel of the signals called *name*, whose value is of *type*. Kept are also those that came before."""
    return current().mailbox.channel(name, type)


def set_query_handler(name: str, function: Callable[..., Any]) -> None:
    """Answer the query *name* by a plain *function*; for workflows that are functions."""
    runtime = current()
    runtime.demand_writable()
    runtime.query_handlers[name] = Handler(name, function, signature(function), is_async=False)


def version(change_id: str, least: int, most: int) -> int:
    """The version of a change that this run goes by: *most* for a new run, what was recorded for an old one.

    A run that passed this place before there was the call goes by -1.

    Args:
        change_id: names the change; never use it for another one.
        least: the oldest version that the code still has, -1 for that from before.
        most: the newest.

    Raises:
        Nondeterminism: the run goes by a version outside of these; the task fails.
    """
    runtime = current()
    try:
        return runtime.recorded.version(change_id, least, most)
    except Exception as problem:
        runtime.abort(problem)
        raise


def patched(change_id: str) -> bool:
    """Whether this run goes by the new code of a change: ``version(change_id, -1, 1) == 1``."""
    return version(change_id, -1, 1) == 1


def side_effect(function: Callable[[], T]) -> T:
    """What *function* returns, recorded: a replay gets the same value without calling it.

    It may look at the world but should not change it: after a crash it may be
    called once more. What can fail belongs into an activity.
    """
    runtime = current()
    try:
        value: T = runtime.recorded.side_effect(_outside(function), signature(function).result)
    except Exception as problem:
        runtime.abort(problem)
        raise
    return value


def mutable_side_effect(key: str, function: Callable[[], T]) -> T:
    """What *function* returns now, recorded only when it differs from what it returned before for *key*."""
    runtime = current()
    try:
        value: T = runtime.recorded.mutable_side_effect(key, _outside(function), signature(function).result)
    except Exception as problem:
        runtime.abort(problem)
        raise
    return value


def _outside(function: Callable[[], T]) -> Callable[[], T]:
    """*function* without the guard: its result is recorded."""

    def call() -> T:
        with unguarded():
            return function()

    return call


async def as_completed(awaitables: Iterable[Awaitable[T]]) -> AsyncIterator[T]:
    """Results in the order in which they come.

    `asyncio.as_completed` begins coroutines in an order that differs from
    replay to replay; this one begins them in the order given.
    """
    done: asyncio.Queue[asyncio.Future[T]] = asyncio.Queue()
    futures = [asyncio.ensure_future(item) for item in awaitables]
    for future in futures:
        future.add_done_callback(done.put_nowait)
    for _ in futures:
        yield (await done.get()).result()


class _WhileLive(logging.Filter):
    """Drops records of a replay: they were written when the code ran first. Others learn whose they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        try:
            runtime = current()
        except WorkflowError:  # a helper that activities use too
            return True
        if runtime.replaying:
            return False
        record.workflow_id = runtime.known_info.workflow_id
        record.run_id = runtime.known_info.run_id
        return True


logger = logging.getLogger("monkit_workflow.workflow")
"""For workflow code: silent while replaying. Records carry ``workflow_id`` and ``run_id``."""
logger.addFilter(_WhileLive())
