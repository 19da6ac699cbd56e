"""A worker and a client played by hand: polls tasks, answers with commands."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from monkit_workflow import commands as c
from monkit_workflow.commands import Command
from monkit_workflow.history import Event
from monkit_workflow.payload import Payload, json_payload
from monkit_workflow.service import ActivityTask, Service, SignalRequest, StartRequest, WorkflowTask

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
BOUND_S = 30

E = TypeVar("E", bound=Event)
_numbers = itertools.count(1)


def value(text: str) -> Payload:
    """A payload of JSON text."""
    return json_payload(text.encode())


def text(payload: Payload | None) -> str | None:
    """And back."""
    return None if payload is None else bytes(payload.data).decode()


def names(events: list[Event] | tuple[Event, ...]) -> list[str]:
    """The kinds of events."""
    return [type(event).__name__ for event in events]


def last(events: list[Event] | tuple[Event, ...], kind: type[E]) -> E:
    """The last event of a kind."""
    return [event for event in events if isinstance(event, kind)][-1]


def activity(activity_id: str = "a", **options: Any) -> c.ScheduleActivityTask:
    """A command that schedules an activity on queue "q"."""
    options.setdefault("start_to_close_ns", HOUR)
    return c.ScheduleActivityTask(**{"activity_id": activity_id, "activity_type": "work", "task_queue": "q", **options})


def child(workflow_id: str = "child", **options: Any) -> c.StartChildWorkflowExecution:
    """A command that starts a child on queue "children"."""
    given = {"workflow_type": "Child", "task_queue": "children", "timeout_ns": HOUR, **options}
    return c.StartChildWorkflowExecution(workflow_id=workflow_id, **given)


class Player:
    """Plays one worker of one queue, and clients."""

    def __init__(self, service: Service, queue: str = "q", identity: str = "player") -> None:
        self.service = service
        self.queue = queue
        self.identity = identity

    async def start(self, workflow_id: str = "w", **options: Any) -> str:
        """Start a run."""
        given: dict[str, Any] = {
            "workflow_type": "Play",
            "task_queue": self.queue,
            "timeout_ns": HOUR,
            "request_id": f"start-{next(_numbers)}",
            **options,
        }
        return await self.service.start(StartRequest(workflow_id=workflow_id, **given))

    async def signal(self, name: str = "s", workflow_id: str = "w", **options: Any) -> None:
        """Send a signal."""
        given: dict[str, Any] = {"request_id": f"signal-{next(_numbers)}", **options}
        await self.service.signal(SignalRequest(workflow_id=workflow_id, name=name, **given))

    async def task(self) -> WorkflowTask:
        """Wait for a workflow task."""
        task = await self.service.poll_workflow_task(self.queue, self.identity)
        assert task is not None
        return task

    async def reply(self, task: WorkflowTask, *commands: Command) -> None:
        """Answer it."""
        await self.service.complete_workflow_task(task.token, list(commands), 1)

    async def answer(self, *commands: Command) -> WorkflowTask:
        """Wait for a workflow task and answer it."""
        task = await self.task()
        await self.reply(task, *commands)
        return task

    async def attempt(self) -> ActivityTask:
        """Wait for an attempt of an activity."""
        task = await self.service.poll_activity_task(self.queue, self.identity)
        assert task is not None
        return task

    async def history(self, workflow_id: str = "w", run_id: str = "") -> list[Event]:
        """All events."""
        return await self.service.history(workflow_id, run_id)

    async def kinds(self, workflow_id: str = "w", run_id: str = "") -> list[str]:
        """Their kinds."""
        return names(await self.history(workflow_id, run_id))


def play(service: Service, scene: Callable[[Player], Awaitable[None]]) -> None:
    """Run a scene against an open service; it ends by itself, or fails after a while."""

    async def bounded() -> None:
        async with asyncio.timeout(BOUND_S), service:
            await scene(Player(service))

    asyncio.run(bounded())
