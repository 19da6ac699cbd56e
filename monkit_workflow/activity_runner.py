"""A worker's activity side: attempts on the event loop or on threads, with heartbeats."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from monkit_workflow import monitoring
from monkit_workflow.activity import CURRENT, ActivityInfo, Attempt, CompleteLater
from monkit_workflow.converter import Converter
from monkit_workflow.definitions import ActivityDefinition
from monkit_workflow.errors import (
    ApplicationFailure,
    CancelledFailure,
    ConversionError,
    NotFound,
    NotRegistered,
    ServiceError,
)
from monkit_workflow.failures import decode_any, to_failure
from monkit_workflow.hooks import Hooks
from monkit_workflow.info import moment
from monkit_workflow.interceptors import Call
from monkit_workflow.payload import Payload, Payloads
from monkit_workflow.processes import ProcessPool, plainly
from monkit_workflow.service import ActivityTask, Service

__all__ = ["ActivityRunner", "OutOfTime", "RunningAttempt"]

LOG = logging.getLogger("monkit_workflow.worker")
_THROTTLE = 0.8
"""Of the heartbeat time-out: how long a heartbeat may wait for the next one to replace it."""
_DEFAULT_INTERVAL_S = 30.0


class OutOfTime(Exception):
    """An attempt took longer than ``start_to_close``; nobody wants its result any more."""


class RunningAttempt(Attempt, Protocol):
    """What the runner needs of an attempt."""

    task: asyncio.Task[Any] | None
    """Set for an async function: cancelling it is how it learns."""


class _Attempt:
    """One attempt that runs. Its heartbeats are called from any thread and sent from the loop."""

    def __init__(self, info: ActivityInfo, service: Service, converter: Converter) -> None:
        self.info = info
        self.cancelled = False
        self.task: asyncio.Task[Any] | None = None
        self._service = service
        self._converter = converter
        self._loop = asyncio.get_running_loop()
        self._next_s = 0.0
        self._waiting: tuple[Any, ...] | None = None
        self._sender: asyncio.Task[None] | None = None
        limit = info.heartbeat
        self._interval_s = limit.total_seconds() * _THROTTLE if limit else _DEFAULT_INTERVAL_S

    def heartbeat(self, details: tuple[Any, ...]) -> None:
        """See `monkit_workflow.activity.heartbeat`."""
        if self.task is None:
            if self.cancelled:
                raise CancelledFailure("the workflow gave this activity up")
            self._loop.call_soon_threadsafe(self._note, details)
        else:
            self._note(details)

    def _note(self, details: tuple[Any, ...]) -> None:
        self._waiting = details
        if self._sender is None or self._sender.done():
            self._sender = self._loop.create_task(self._send())

    async def _send(self) -> None:
        """Send the newest details, now or when the last ones are old enough."""
        await asyncio.sleep(max(0.0, self._next_s - self._loop.time()))
        await self._send_now()

    async def _send_now(self) -> None:
        details, self._waiting = self._waiting or (), None
        self._next_s = self._loop.time() + self._interval_s
        try:
            payloads: Payloads = tuple(self._converter.encode(item) for item in details)
            wanted_no_more = await self._service.heartbeat(self.info.token, payloads)
        except NotFound:
            wanted_no_more = True  # it timed out, or the run has ended
        except (ServiceError, ConversionError) as problem:
            LOG.warning("a heartbeat of %s was not sent: %s", self.info.activity_type, problem)
            return
        if wanted_no_more and not self.cancelled:
            self.cancelled = True
            if self.task is not None:
                self.task.cancel()

    def end(self) -> None:
        """Nothing is sent any more."""
        if self._sender is not None:
            self._sender.cancel()

    async def fail(self) -> None:
        """As `end`; what was held back is sent, since the next attempt begins with it."""
        self.end()
        if self._waiting is not None and not self.cancelled:
            await self._send_now()


class ActivityRunner:
    """Runs attempts and reports how they ended."""

    def __init__(
        self,
        service: Service,
        converter: Converter,
        hooks: Hooks,
        definitions: Mapping[str, ActivityDefinition],
        threads: int,
        processes: int,
    ) -> None:
        self._service = service
        self._converter = converter
        self._hooks = hooks
        self._definitions = definitions
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="monkit-activity")
        self._processes = ProcessPool(processes)

    async def handle(self, task: ActivityTask) -> None:
        """Run one attempt. Never raises for what code or service do."""
        try:
            await self._run(task)
        except NotFound:
            LOG.info("activity %s %s: its attempt was over before it ended", task.activity_type, task.activity_id)
        except ServiceError as problem:
            LOG.warning("the end of activity %s was not taken: %s", task.activity_type, problem)

    async def _run(self, task: ActivityTask) -> None:
        attempt = _Attempt(self.info(task), self._service, self._converter)
        try:
            payload = await self.call(task, attempt)
        except CompleteLater:
            attempt.end()
            await self._service.leave_open(task.token)
        except (asyncio.CancelledError, CancelledFailure) as error:
            await attempt.fail()
            if attempt.cancelled:
                details = error.details if isinstance(error, CancelledFailure) else ()
                await self._service.cancel_activity(task.token, tuple(map(self._converter.encode, details)))
                return
            await self._service.fail_activity(task.token, to_failure(error, self._converter))
            if isinstance(error, asyncio.CancelledError):
                raise  # the worker stops
        except OutOfTime as error:
            raise NotFound("its time was over") from error  # the service says so, and which time-out it was
        except Exception as error:
            await attempt.fail()
            LOG.info("activity %s, attempt %s failed", task.activity_type, task.attempt, exc_info=error)
            await self._service.fail_activity(task.token, to_failure(error, self._converter))
        else:
            attempt.end()
            try:
                await self._service.complete_activity(task.token, payload)
            except ConversionError as error:  # a codec refused the result
                await self._service.fail_activity(task.token, to_failure(error, self._converter))

    async def call(self, task: ActivityTask, attempt: RunningAttempt) -> Payload | None:
        """Run the code of an attempt and return its encoded result.

        Raises:
            NotRegistered: there is no code for it.
            OutOfTime: an async function took longer than ``start_to_close``.
            CompleteLater: the code leaves the attempt open.
            Exception: what the code raised.
        """
        definition = self.definition(task.activity_type)
        try:
            values = definition.signature.decode(self._converter, task.input)
        except ConversionError as problem:
            raise ApplicationFailure(str(problem), type="ConversionError", non_retryable=True) from problem
        CURRENT.set(attempt)  # each attempt is handled by a task of its own, and this is its context
        header = self._hooks.receive(task.header)
        call = Call(name=definition.name, args=tuple(values), header=header, info=attempt.info)
        limit_s = task.start_to_close_ns / 1e9 or None

        async def run(call: Call) -> Any:
            if definition.is_async:
                attempt.task = asyncio.create_task(definition.function(*call.args))
                return await _bounded(attempt.task, limit_s)
            if definition.in_process:
                remote = self._processes.run(definition.function, call.args, attempt)
                return await _bounded(asyncio.create_task(remote), limit_s)
            function = partial(contextvars.copy_context().run, plainly, definition.function, *call.args)
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)

        with monitoring.attempt(definition.name, header):
            result = await self._hooks.through("run_activity", call, run)
        return None if result is None else self._converter.encode(result)

    def definition(self, name: str) -> ActivityDefinition:
        """The code of an activity.

        Raises:
            NotRegistered: there is none.
        """
        definition = self._definitions.get(name)
        if definition is None:
            known = ", ".join(sorted(self._definitions)) or "none"
            raise NotRegistered(f"no activity is registered as {name!r}; registered are: {known}")
        return definition

    def info(self, task: ActivityTask) -> ActivityInfo:
        """What the code may know of an attempt."""
        return ActivityInfo(
            namespace=self._service.namespace,
            workflow_id=task.workflow_id,
            run_id=task.run_id,
            workflow_type=task.workflow_type,
            activity_id=task.activity_id,
            activity_type=task.activity_type,
            task_queue=task.task_queue,
            attempt=task.attempt,
            token=task.token,
            is_local=not task.token,
            scheduled_at=moment(task.scheduled_ns),
            started_at=moment(task.started_ns),
            start_to_close=_duration(task.start_to_close_ns),
            schedule_to_close=_duration(task.schedule_to_close_ns),
            heartbeat=_duration(task.heartbeat_ns),
            heartbeat_details=tuple(decode_any(self._converter, item) for item in task.heartbeat_details),
        )

    def close(self) -> None:
        """Let threads and processes go; a plain function that runs on a thread is not waited for."""
        self._processes.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _bounded(task: asyncio.Task[Any], limit_s: float | None) -> Any:
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await task
    except TimeoutError:
        if limit.expired():
            raise OutOfTime from None
        raise
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def _duration(value_ns: int) -> timedelta | None:
    return timedelta(microseconds=value_ns // 1000) if value_ns else None
