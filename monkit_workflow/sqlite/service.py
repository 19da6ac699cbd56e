"""The service in the process: `monkit_workflow.service.Service` over one SQLite file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from monkit_workflow.commands import Command
from monkit_workflow.errors import BadRequest, NotFound, StoreError, Unavailable
from monkit_workflow.filters import parse
from monkit_workflow.history import Event
from monkit_workflow.options import nanoseconds
from monkit_workflow.payload import Failure, Payload, Payloads
from monkit_workflow.service import (
    ActivityName,
    ActivityTask,
    Description,
    Page,
    QueryRequest,
    ResetRequest,
    SignalRequest,
    StartRequest,
    UpdateOutcome,
    UpdateRequest,
    WorkflowTask,
)
from monkit_workflow.sqlite.calls import Call
from monkit_workflow.sqlite.clock import Clock, SystemClock
from monkit_workflow.sqlite.desk import Desk
from monkit_workflow.sqlite.listing import PAGE, read_token
from monkit_workflow.sqlite.store import Store, Synchronous
from monkit_workflow.sqlite.transition import Limits
from monkit_workflow.sqlite.writer import Options, Writer

__all__ = ["SqliteService"]


def _new_id() -> str:
    """A random UUID, like `uuid.uuid4` in a fifth of the time."""
    digits = os.urandom(16).hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


class SqliteService:
    """Runs and everything about them in one file, or in memory.

    To be entered before use; entered again while open it stays open until the
    last exit. May be used from several threads and event loops. One process at
    a time has the file, and a forked child must open its own.

    Args:
        path: of the file, ``None`` for a private one in memory.
        namespace: runs of other namespaces in the same file are not seen.
        synchronous: ``"normal"`` trades the last commits before a loss of power for speed.
        clock: what time-outs and timers go by.
        new_id: makes run ids; they have to be unique.
        limits: what a run may grow to.
        cached_runs: states kept in memory; others are read when they are touched.
        retention: how long a run is kept after its end, ``None`` for ever. It
            is deleted at the latest ten minutes later, or when the thread comes to it.
        open_store: opens the store, on the store's thread.
        desk: makes what takes the requests there.
    """

    def __init__(
        self,
        path: str | None,
        *,
        namespace: str = "default",
        synchronous: Synchronous = "full",
        clock: Clock | None = None,
        new_id: Callable[[], str] = _new_id,
        limits: Limits | None = None,
        cached_runs: int = 10_000,
        retention: timedelta | None = timedelta(days=30),
        open_store: Callable[[str | None, Synchronous], Store] = Store,
        desk: Callable[..., Desk] = Desk,
    ) -> None:
        self.namespace = namespace
        self._options = Options(
            namespace=namespace,
            clock=clock if clock is not None else SystemClock(),
            new_id=new_id,
            limits=limits if limits is not None else Limits(),
            cached_runs=cached_runs,
            retention_ns=None if retention is None else nanoseconds("retention", retention),
            open_store=lambda: open_store(path, synchronous),
            desk=desk,
        )
        self._writer: Writer | None = None
        self._entered = 0
        self._pid = os.getpid()

    async def __aenter__(self) -> SqliteService:
        """Open the store.

        Raises:
            StoreError: it cannot be opened; the message says why.
        """
        self._refuse_fork()
        if not self._entered:
            writer = Writer(self._options)
            opened = asyncio.get_running_loop().create_future()
            writer.start(opened)
            await opened
            self._writer = writer
        self._entered += 1
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Answer what was asked, end the polls with ``None`` and other waits with `Unavailable`, close the file."""
        self._entered -= 1
        if not self._entered and self._writer is not None and os.getpid() == self._pid:
            writer, self._writer = self._writer, None
            closed = asyncio.get_running_loop().create_future()
            writer.close(closed)
            await closed

    def _refuse_fork(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError("the service was made by a parent process; open one after the fork")

    def _submit(self, step: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        self._refuse_fork()
        writer = self._writer
        if writer is None:
            raise Unavailable("the service is not open: enter it with 'async with'")
        future = asyncio.get_running_loop().create_future()
        self._send(writer, Call(step, arguments, future))
        return future

    def _send(self, writer: Writer, call: Call) -> None:
        writer.submit(call)

    async def _poll(self, step: Callable[..., Any], queue: str, identity: str) -> Any:
        future = self._submit(step, queue, identity)
        try:
            return await future
        except asyncio.CancelledError:
            # Cancelled after the task had come but before anybody could see it.
            if future.done() and not future.cancelled() and future.exception() is None:
                self._return(future.result())
            raise

    def _return(self, task: Any) -> None:
        writer = self._writer
        if writer is not None and task is not None:
            writer.give_back(task)

    # For clients.

    async def start(self, request: StartRequest) -> str:
        """See `Service.start`. The run's first event is durable on return."""
        run_id: str = await self._submit(Desk.start, request)
        return run_id

    async def signal_with_start(self, start: StartRequest, signal: SignalRequest) -> str:
        """See `Service.signal_with_start`. Start and signal are durable on return."""
        run_id: str = await self._submit(Desk.signal_with_start, start, signal)
        return run_id

    async def signal(self, request: SignalRequest) -> None:
        """See `Service.signal`. The signal is durable on return."""
        await self._submit(Desk.signal, request)

    async def query(self, request: QueryRequest) -> Payload | None:
        """See `Service.query`."""
        answer: Payload | None = await self._submit(Desk.query, request)
        return answer

    async def update(self, request: UpdateRequest) -> UpdateOutcome | None:
        """See `Service.update`. What it returns for is durable."""
        outcome: UpdateOutcome | None = await self._submit(Desk.update, request)
        return outcome

    async def cancel(self, workflow_id: str, run_id: str = "", reason: str = "", identity: str = "") -> None:
        """See `Service.cancel`."""
        await self._submit(Desk.cancel, workflow_id, run_id, reason, identity)

    async def terminate(self, workflow_id: str, run_id: str = "", reason: str = "", identity: str = "") -> None:
        """See `Service.terminate`."""
        await self._submit(Desk.terminate, workflow_id, run_id, reason, identity)

    async def reset(self, request: ResetRequest) -> str:
        """See `Service.reset`."""
        run_id: str = await self._submit(Desk.reset, request)
        return run_id

    async def describe(self, workflow_id: str, run_id: str = "") -> Description:
        """See `Service.describe`."""
        found: Description = await self._submit(Desk.describe, workflow_id, run_id)
        return found

    async def list_workflows(self, query: str = "", page_size: int = 100, page_token: str = "") -> Page:
        """See `Service.list_workflows`. A page has 1,000 runs at most."""
        if page_size < 1:
            raise BadRequest(f"a page of {page_size} runs shows nothing; ask for 1 at least")
        tree, before = parse(query), read_token(page_token)
        page: Page = await self._submit(Desk.list_workflows, tree, min(page_size, PAGE), before)
        return page

    async def count_workflows(self, query: str = "") -> int:
        """See `Service.count_workflows`."""
        found: int = await self._submit(Desk.count_workflows, parse(query))
        return found

    async def history(self, workflow_id: str, run_id: str = "", first: int = 1) -> list[Event]:
        """See `Service.history`."""
        events: list[Event] = await self._submit(Desk.history, workflow_id, run_id, first)
        return events

    async def wait_closed(self, workflow_id: str, run_id: str = "") -> Event:
        """See `Service.wait_closed`."""
        event: Event = await self._submit(Desk.wait_closed, workflow_id, run_id)
        return event

    # For workers.

    async def poll_workflow_task(self, queue: str, identity: str) -> WorkflowTask | None:
        """See `Service.poll_workflow_task`. Cancelled, it loses no task."""
        task: WorkflowTask | None = await self._poll(Desk.poll_workflow, queue, identity)
        return task

    async def complete_workflow_task(self, token: str, commands: list[Command], behaviour: int) -> bool:
        """See `Service.complete_workflow_task`.

        An answer that is refused, because a command is wrong or news arrived
        before a closing one, does not raise: it fails the task, which is
        offered again with its whole history.
        """
        has_trace: bool = await self._submit(Desk.complete_workflow_task, token, commands, behaviour)
        return has_trace

    async def extend_workflow_task(self, token: str, commands: list[Command], behaviour: int) -> WorkflowTask:
        """See `Service.extend_workflow_task`."""
        task: WorkflowTask | None = await self._submit(Desk.extend_workflow_task, token, commands, behaviour)
        if task is None:
            raise NotFound("the answer of the workflow task was refused, so that it could not be extended")
        return task

    async def fail_workflow_task(self, token: str, failure: Failure) -> None:
        """See `Service.fail_workflow_task`."""
        await self._submit(Desk.fail_workflow_task, token, failure)

    async def answer_query(self, token: str, result: Payload | None, failure: Failure | None = None) -> None:
        """See `Service.answer_query`."""
        await self._submit(Desk.answer_query, token, result, failure)

    async def poll_activity_task(self, queue: str, identity: str) -> ActivityTask | None:
        """See `Service.poll_activity_task`. Cancelled, it loses no attempt."""
        task: ActivityTask | None = await self._poll(Desk.poll_activity, queue, identity)
        return task

    async def complete_activity(self, attempt: ActivityName, result: Payload | None) -> None:
        """See `Service.complete_activity`."""
        await self._submit(Desk.complete_activity, attempt, result)

    async def fail_activity(self, attempt: ActivityName, failure: Failure) -> None:
        """See `Service.fail_activity`."""
        await self._submit(Desk.fail_activity, attempt, failure)

    async def cancel_activity(self, attempt: ActivityName, details: Payloads = ()) -> None:
        """See `Service.cancel_activity`."""
        await self._submit(Desk.cancel_activity, attempt, details)

    async def heartbeat(self, attempt: ActivityName, details: Payloads = ()) -> bool:
        """See `Service.heartbeat`. The details are kept in memory until the attempt ends."""
        cancelled: bool = await self._submit(Desk.heartbeat, attempt, details)
        return cancelled

    async def leave_open(self, token: str) -> None:
        """See `Service.leave_open`. It is durable on return."""
        await self._submit(Desk.leave_open, token)

    async def stop_polling(self, identity: str) -> None:
        """See `Service.stop_polling`."""
        await self._submit(Desk.stop_polling, identity)
