"""The worker: takes tasks from a queue and has the registered code answer them."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, TypeVar
from uuid import uuid4

from monkit_workflow.activity_runner import ActivityRunner
from monkit_workflow.client import Client
from monkit_workflow.definitions import activity_definition, workflow_definition
from monkit_workflow.errors import GuardError, ServiceError
from monkit_workflow.guard import GuardWarning, Mode, installed
from monkit_workflow.guard_callers import own
from monkit_workflow.inspection import inspect_globals
from monkit_workflow.local_runner import LocalRunner
from monkit_workflow.processes import check_portable
from monkit_workflow.slices import SliceRunner
from monkit_workflow.workflow_runner import WorkflowRunner

__all__ = ["Worker"]

LOG = logging.getLogger("monkit_workflow.worker")
T = TypeVar("T")
_PAUSE_S = 1.0
_POLLERS = 8


class _Pace:
    """Gives leave a number of times a second; what was not used is not saved up."""

    def __init__(self, per_second: float) -> None:
        self._interval_s = 1 / per_second
        self._next_s = 0.0
        self._stopped = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next leave, or until nobody needs any."""
        now_s = asyncio.get_running_loop().time()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._interval_s
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), at_s - now_s)

    def stop(self) -> None:
        """Nobody needs leave any more."""
        self._stopped.set()


class _Pump(Generic[T]):
    """Polls for tasks of one kind and hands each to its own asyncio task, up to a number at a time."""

    def __init__(
        self,
        poll: Callable[[], Awaitable[T | None]],
        handle: Callable[[T], Awaitable[None]],
        most: int,
        grace_s: float | None,
        per_second: float | None = None,
    ) -> None:
        self._poll = poll
        self._handle = handle
        self._slots = asyncio.Semaphore(most)
        self._grace_s = grace_s
        self._stopping = False
        self._handling: set[asyncio.Task[None]] = set()
        self._pace = None if per_second is None else _Pace(per_second)
        # Each poller has leave for one task before it asks, so these are what may come at once.
        pollers = _POLLERS if per_second is None else min(_POLLERS, max(1, int(per_second / 10)))
        self._pollers = [asyncio.create_task(self._loop()) for _ in range(min(most, pollers))]

    async def _loop(self) -> None:
        while not self._stopping:
            await self._slots.acquire()
            if self._pace is not None:
                await self._pace.wait()
            if self._stopping:  # meanwhile
                self._slots.release()
                return
            try:
                found = await self._poll()
            except ServiceError as problem:
                self._slots.release()
                if not self._stopping:  # a full disk is emptied, a file is opened again: never give up
                    LOG.warning("a worker cannot poll, and tries again in %s s: %s", _PAUSE_S, problem)
                    await asyncio.sleep(_PAUSE_S)
                continue
            except BaseException:
                self._slots.release()
                raise
            if found is None:
                self._slots.release()
                continue
            task = asyncio.create_task(self._one(found))
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)

    async def _one(self, found: T) -> None:
        try:
            await self._handle(found)
        except Exception:
            LOG.exception("a fault of the worker itself")
        finally:
            self._slots.release()

    def stop(self) -> None:
        """Take nothing more; the polls have to be ended by the service."""
        self._stopping = True
        if self._pace is not None:
            self._pace.stop()

    async def drain(self) -> None:
        """Wait until nothing is polled or handled any more, and cancel what takes longer than it may."""
        ended = asyncio.create_task(self._polls_ended())  # some wait for a slot, so for what is being handled
        await self._finish()
        await ended
        await self._finish()  # what the last polls brought

    async def _polls_ended(self) -> None:
        for result in await asyncio.gather(*self._pollers, return_exceptions=True):
            if isinstance(result, Exception):
                LOG.error("a poller ended by a fault", exc_info=result)

    async def _finish(self) -> None:
        if self._handling:
            _, late = await asyncio.wait(self._handling, timeout=self._grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


class Worker:
    """Runs the code of workflows and activities, inside ``async with`` or by `run`.

    Args:
        client: from `monkit_workflow.connect`; it is opened if it is not open.
        task_queue: whose tasks it takes.
        workflows: classes and functions marked with ``@workflow.define``.
        activities: functions and bound methods marked with ``@activity.define``.
        interceptors: stand around calls inside of those that the client has.
        guard: what happens when workflow code calls what differs from replay to
            replay: ``refuse``, ``warn`` or ``off``.
        max_activities: how many attempts may run at a time.
        max_workflow_tasks: how many workflow tasks may be answered at a time.
        max_local_activities: how many local activities may run at a time.
        activities_per_second: how many attempts may begin in a second; ``None`` is no limit.
        processes: how many processes there may be for activities with ``process=True``.
        threads: how many threads run workflow code.
        cache: how many runs are kept in memory between their tasks; others are
            rebuilt from their history.
        deadlock_after: processor time that workflow code may use in one go;
            ``None`` switches the watch off.
        grace: how long attempts may go on when the worker stops.

    Raises:
        TypeError: something is no workflow, no activity or no interceptor, or cannot run in a process.
        ValueError: two have the same name, there is none, or a number is too small.
        ConversionError: the client's converter cannot decode the type of an argument or a result.
        GuardError: workflow code refers to a clock or the like that cannot be guarded at run time.
    """

    def __init__(
        self,
        client: Client,
        task_queue: str,
        *,
        workflows: Iterable[Any] = (),
        activities: Iterable[Callable[..., Any]] = (),
        interceptors: Iterable[object] = (),
        guard: Mode = "refuse",
        max_activities: int = 100,
        max_workflow_tasks: int = 100,
        max_local_activities: int = 100,
        activities_per_second: float | None = None,
        processes: int = os.cpu_count() or 1,
        threads: int = 4,
        cache: int = 10_000,
        deadlock_after: timedelta | None = timedelta(seconds=2),
        grace: timedelta = timedelta(0),
    ) -> None:
        self._client = client
        self._hooks = client.hooks.followed_by(interceptors)
        self._queue = task_queue
        self._workflows = _by_name("workflow", map(workflow_definition, workflows))
        self._activities = _by_name("activity", map(activity_definition, activities))
        if not self._workflows and not self._activities:
            raise ValueError("a worker needs workflows= or activities=")
        numbers = {
            "max_activities": max_activities,
            "max_workflow_tasks": max_workflow_tasks,
            "max_local_activities": max_local_activities,
            "processes": processes,
            "threads": threads,
            "cache": cache,
        }
        _check_numbers(numbers, activities_per_second)
        self._guard: Mode = guard
        self._max_activities = max_activities
        self._max_workflow_tasks = max_workflow_tasks
        self._max_local_activities = max_local_activities
        self._activities_per_second = activities_per_second
        self._processes = processes
        self._threads = threads
        self._cache = cache
        self._deadlock_after = deadlock_after
        self._grace_s = grace.total_seconds()
        self._stack: AsyncExitStack | None = None
        self.identity = f"{client.identity}@{uuid4().hex[:8]}"
        self._inspect()

    def _inspect(self) -> None:
        signatures = [found for item in self._workflows.values() for found in item.signatures]
        for signature in signatures + [item.signature for item in self._activities.values()]:
            signature.check_types(self._client.converter)
        for activity in self._activities.values():
            if activity.in_process:
                check_portable(activity.function)
        workflows = [item.subject for item in self._workflows.values()]
        for subject in (*workflows, *map(type, self._hooks.interceptors)):
            own(subject.__module__)  # also when it is installed as a package
        found = [line for subject in workflows for line in inspect_globals(subject)]
        if not found or self._guard == "off":
            return
        text = "workflow code refers to what differs from replay to replay:\n" + "\n".join(found)
        if self._guard == "refuse":
            raise GuardError(text)
        warnings.warn(text, GuardWarning, stacklevel=3)

    async def __aenter__(self) -> Worker:
        if self._stack is not None:
            raise RuntimeError("this worker runs already")
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(self._client.service)
            stack.enter_context(installed())
            pumps: list[_Pump[Any]] = []
            stopping: list[Callable[[float], None]] = []
            attempts = ActivityRunner(
                service,
                self._client.converter,
                self._hooks,
                self._activities,
                self._max_activities,
                self._processes,
            )
            stack.callback(attempts.close)
            if self._workflows:
                slices = SliceRunner(self._threads, self._guard, self._deadlock_after)
                stack.callback(slices.close)
                local = LocalRunner(attempts, self._client.converter, self._max_local_activities)
                runner = WorkflowRunner(
                    service, self._client.converter, self._hooks, self._workflows, slices, local, self._cache
                )
                stack.push_async_callback(runner.close)
                stopping.append(runner.stop)
                pumps.append(
                    _Pump(
                        lambda: service.poll_workflow_task(self._queue, self.identity),
                        runner.handle,
                        self._max_workflow_tasks,
                        grace_s=None,  # each is short, or ends by its time-out
                    )
                )
            if self._activities:
                pumps.append(
                    _Pump(
                        lambda: service.poll_activity_task(self._queue, self.identity),
                        attempts.handle,
                        self._max_activities,
                        self._grace_s,
                        self._activities_per_second,
                    )
                )
            stack.push_async_callback(self._stop, pumps, stopping)
            self._stack = stack.pop_all()
        return self

    async def _stop(self, pumps: list[_Pump[Any]], stopping: list[Callable[[float], None]]) -> None:
        """First no new tasks, then the ends of those that run."""
        for pump in pumps:
            pump.stop()
        for stop in stopping:
            stop(self._grace_s)
        try:
            await self._client.service.stop_polling(self.identity)
        except ServiceError as problem:
            LOG.warning("the service was gone when the worker stopped: %s", problem)
        for pump in pumps:
            await pump.drain()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def run(self) -> None:
        """Work until cancelled, for programs that do nothing else."""
        async with self:
            await asyncio.get_running_loop().create_future()


def _check_numbers(numbers: Mapping[str, int], per_second: float | None) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    if per_second is not None and not 0 < per_second < float("inf"):
        raise ValueError(f"activities_per_second must be above 0, not {per_second}")


def _by_name(kind: str, definitions: Iterable[T]) -> dict[str, T]:
    found: dict[str, T] = {}
    for definition in definitions:
        name: str = definition.name  # type: ignore[attr-defined]
        if name in found:
            raise ValueError(f"two of this worker's definitions are the {kind} {name!r}; give one another name=")
        found[name] = definition
    return found
