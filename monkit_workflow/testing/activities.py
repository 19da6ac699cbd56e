"""Running an activity by itself: no service, no worker, no workflow."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVarTuple

from monkit_workflow.activity import CURRENT, ActivityInfo
from monkit_workflow.definitions import activity_definition
from monkit_workflow.errors import CancelledFailure

__all__ = ["ActivityRun"]

Ts = TypeVarTuple("Ts")

_INFO = ActivityInfo(
    namespace="default",
    workflow_id="workflow",
    run_id="run",
    workflow_type="Workflow",
    activity_id="activity",
    activity_type="",
    task_queue="tests",
    attempt=1,
    token="token",
    scheduled_at=datetime(2030, 1, 1, tzinfo=UTC),
    started_at=datetime(2030, 1, 1, tzinfo=UTC),
    start_to_close=timedelta(minutes=1),
    schedule_to_close=None,
    heartbeat=None,
    heartbeat_details=(),
)


class _Attempt:
    """Implements `monkit_workflow.activity.Attempt`."""

    def __init__(self, info: ActivityInfo, beat: Callable[[tuple[Any, ...]], None]) -> None:
        self.info = info
        self.cancelled = False
        self.task: asyncio.Task[Any] | None = None
        self._beat = beat

    def heartbeat(self, details: tuple[Any, ...]) -> None:
        self._beat(details)
        if self.cancelled and self.task is None:
            raise CancelledFailure("the workflow gave this activity up")


class ActivityRun:
    """One attempt of an activity in a test.

    Args:
        on_heartbeat: is called with the details of each heartbeat, on the thread of the activity.
        facts: of `ActivityInfo` that matter to the code, such as ``attempt=2``
            or ``heartbeat_details=(7,)``; the others have some value.

    Raises:
        TypeError: there is no such fact.
    """

    def __init__(self, *, on_heartbeat: Callable[..., object] | None = None, **facts: Any) -> None:
        self.heartbeats: list[tuple[Any, ...]] = []
        """Details of each, in order; none is left out, as a worker does."""
        self._on_heartbeat = on_heartbeat
        self._attempt = _Attempt(replace(_INFO, **facts), self._beat)
        self._loop: asyncio.AbstractEventLoop | None = None

    def _beat(self, details: tuple[Any, ...]) -> None:
        self.heartbeats.append(details)
        if self._on_heartbeat is not None:
            self._on_heartbeat(*details)

    async def run(self, function: Callable[[*Ts], Any], /, *args: *Ts) -> Any:
        """Call the activity as a worker would, a plain function on a thread, and return what it returns.

        Raises:
            TypeError: *function* is no activity, or the arguments do not fit.
            RuntimeError: it runs already.
            CancelledFailure: a plain function was cancelled.
            asyncio.CancelledError: an async one was.
            activity.CompleteLater: the activity leaves its end to somebody else.
            Exception: what it raised.
        """
        definition = activity_definition(function)
        definition.signature.check(len(args))
        if self._loop is not None:
            raise RuntimeError("an ActivityRun is one attempt; make another one")
        attempt = self._attempt
        if not attempt.info.activity_type:
            attempt.info = replace(attempt.info, activity_type=definition.name)
        self._loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        context.run(CURRENT.set, attempt)
        if not definition.is_async:
            return await self._loop.run_in_executor(None, partial(context.run, definition.function, *args))
        attempt.task = self._loop.create_task(definition.function(*args), context=context)
        if attempt.cancelled:
            attempt.task.cancel()
        return await attempt.task

    def cancel(self) -> None:
        """Have the workflow give the activity up; may be called from any thread, also before it runs.

        An async function is cancelled where it waits, a plain one gets
        `CancelledFailure` from its next heartbeat.
        """
        self._attempt.cancelled = True
        if self._attempt.task is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._attempt.task.cancel)
