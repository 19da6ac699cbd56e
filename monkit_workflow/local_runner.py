"""A worker's local activities: run beside a workflow task, tried again here, and never seen by the service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from monkit_workflow.activity import ActivityInfo
from monkit_workflow.activity_runner import ActivityRunner, OutOfTime
from monkit_workflow.commands import ScheduleActivityTask
from monkit_workflow.converter import Converter
from monkit_workflow.errors import CancelledFailure
from monkit_workflow.failures import to_failure
from monkit_workflow.payload import Failure, Payload, TimeoutKind
from monkit_workflow.retries import next_delay_ns
from monkit_workflow.runtime import LocalActivity
from monkit_workflow.service import ActivityTask, WorkflowTask

__all__ = ["LocalOutcome", "LocalRunner", "LocalWork"]


class LocalOutcome(NamedTuple):
    """How a local activity ended: a value or a failure, and after how many attempts."""

    value: Payload | None
    failure: Failure | None
    attempt: int


class _Attempt:
    """One attempt of a local activity. Nobody but this process waits for it, so it needs no heartbeats."""

    def __init__(self, info: ActivityInfo) -> None:
        self.info = info
        self.cancelled = False
        self.task: asyncio.Task[Any] | None = None

    def heartbeat(self, details: tuple[Any, ...]) -> None:
        """See `monkit_workflow.activity.heartbeat`."""
        if self.cancelled and self.task is None:
            raise CancelledFailure("the workflow gave this activity up")


class LocalRunner:
    """Runs local activities, a bounded number at a time.

    Args:
        activities: runs the code of an attempt.
        converter: makes failures of errors.
        most: how many run at a time.
    """

    def __init__(
        self,
        activities: ActivityRunner,
        converter: Converter,
        most: int,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._activities = activities
        self._converter = converter
        self._slots = asyncio.Semaphore(most)
        self._now_ns = now_ns

    def start(self, parent: WorkflowTask, command: ScheduleActivityTask) -> asyncio.Task[LocalOutcome]:
        """Begin one; cancelling the task gives it up, and is an outcome too.

        Raises:
            NotRegistered: this worker has no code for it.
        """
        self._activities.definition(command.activity_type)
        task = ActivityTask(
            token="",
            workflow_id=parent.workflow_id,
            run_id=parent.run_id,
            workflow_type=parent.workflow_type,
            activity_id=command.activity_id,
            activity_type=command.activity_type,
            task_queue=command.task_queue,
            input=command.input,
            header=command.header,
            scheduled_ns=self._now_ns(),
            schedule_to_close_ns=command.schedule_to_close_ns,
            start_to_close_ns=command.start_to_close_ns,
        )
        return asyncio.create_task(self._run(task, command))

    async def _run(self, task: ActivityTask, command: ScheduleActivityTask) -> LocalOutcome:
        """Attempt after attempt, until one returns or there is to be no other."""
        policy = command.retry
        bounds = [bound for bound in (command.schedule_to_close_ns, policy.expiration_ns if policy else 0) if bound]
        ends_ns = task.scheduled_ns + min(bounds) if bounds else None
        attempt = 1
        while True:
            async with self._slots:
                outcome = await self._attempt(replace(task, attempt=attempt, started_ns=self._now_ns()), ends_ns)
            failure = outcome.failure
            if failure is None or failure.kind == "canceled":
                return outcome
            delay_ns = next_delay_ns(policy, attempt, failure)
            if delay_ns is None or (ends_ns is not None and self._now_ns() + delay_ns >= ends_ns):
                return outcome
            attempt += 1
            try:
                await asyncio.sleep(delay_ns / 1e9)
            except asyncio.CancelledError:
                return outcome

    async def _attempt(self, task: ActivityTask, ends_ns: int | None) -> LocalOutcome:
        attempt = _Attempt(self._activities.info(task))
        kind: TimeoutKind = "start_to_close"
        limit_ns = task.start_to_close_ns or None
        if ends_ns is not None and (limit_ns is None or ends_ns - task.started_ns < limit_ns):
            kind, limit_ns = "schedule_to_close", ends_ns - task.started_ns
        failure: Failure
        try:
            async with asyncio.timeout(None if limit_ns is None else limit_ns / 1e9) as limit:
                return LocalOutcome(await self._activities.call(task, attempt), None, task.attempt)
        except (asyncio.CancelledError, Exception) as error:
            if isinstance(error, OutOfTime) or limit.expired():
                message = f"{kind.replace('_', '-')} time-out of attempt {task.attempt}"
                failure = Failure(kind="timeout", type="TimeoutFailure", timeout=kind, message=message)
            else:
                failure = to_failure(error, self._converter)
        attempt.cancelled = True  # a plain function may go on, and asks
        return LocalOutcome(None, failure, task.attempt)


_NOT_BEGUN = LocalOutcome(None, Failure(kind="canceled", message="given up before it began"), 1)


class LocalWork:
    """The local activities of one run that go on."""

    def __init__(self, runner: LocalRunner) -> None:
        self._runner = runner
        self._running: dict[LocalActivity, asyncio.Task[LocalOutcome]] = {}

    def follow(self, task: WorkflowTask, wanted: Sequence[LocalActivity]) -> None:
        """Begin what the code asks for, and give up what it gave up.

        Raises:
            NotRegistered: this worker has no code for one.
        """
        for activity in wanted:
            if activity not in self._running:
                self._running[activity] = self._runner.start(task, activity.command)
            if activity.given_up:
                self._running[activity].cancel()

    async def wait(self, seconds: float) -> list[tuple[LocalActivity, LocalOutcome]]:
        """Take what has ended, waiting up to *seconds* for the first; empty if none has."""
        await asyncio.wait(self._running.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ended = [
            (activity, _NOT_BEGUN if running.cancelled() else running.result())
            for activity, running in self._running.items()
            if running.done()
        ]
        for activity, _ in ended:
            del self._running[activity]
        return ended

    def cancel(self) -> None:
        """Give everything up."""
        for running in self._running.values():
            running.cancel()

    def stop(self) -> None:
        """Give everything up; nobody wants the outcomes."""
        self.cancel()
        self._running.clear()
