"""What is in memory is what the file says, whatever has happened."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import ServiceError
from monkit_workflow.payload import Failure, RetryPolicy
from monkit_workflow.search_attributes import encode_attributes
from monkit_workflow.service import (
    ActivityTask,
    ResetRequest,
    SignalRequest,
    StartRequest,
    UpdateRequest,
    WorkflowTask,
)
from monkit_workflow.sqlite import SqliteService
from monkit_workflow.sqlite.state import RunState
from tests.contract.player import BOUND_S, SECOND, Player, activity, child, value
from tests.workflow.sqlite.stage import HandClock

RETRY = RetryPolicy(initial_ns=SECOND, attempts=3)

COMMANDS: list[Callable[[int], c.Command]] = [
    lambda n: activity(f"a{n}", start_to_close_ns=5 * SECOND),
    lambda n: activity(f"a{n}", start_to_close_ns=9 * SECOND, heartbeat_ns=3 * SECOND, retry=RETRY),
    lambda n: activity(f"a{n}", schedule_to_close_ns=7 * SECOND, schedule_to_start_ns=2 * SECOND, task_queue="none"),
    lambda n: c.StartTimer(timer_id=f"t{n}", duration_ns=n % 7 * SECOND),
    lambda n: child(f"c{n % 3}", timeout_ns=20 * SECOND, task_queue="q", parent_close="cancel"),
    lambda n: c.SignalExternalWorkflowExecution(workflow_id=f"c{n % 3}", name="s"),
    lambda n: c.RequestCancelExternalWorkflowExecution(workflow_id=f"c{n % 3}"),
    lambda n: c.RecordMarker(name="SideEffect", value=value("1")),
    lambda n: c.ModifyWorkflowProperties(memo={f"m{n}": value("1")}),
    lambda n: c.UpsertSearchAttributes(attributes=encode_attributes({f"s{n % 2}": n if n % 5 else None})),
    lambda n: c.CompleteWorkflowExecution(),
    lambda n: c.FailWorkflowExecution(failure=Failure(message="no")),
    lambda n: c.ContinueAsNewWorkflowExecution(workflow_type="Play"),
]


STARTS: list[dict[str, Any]] = [{}, {}, {"retry": RETRY}, {"cron": "@every 5s"}, {"cron": "@every 3s", "retry": RETRY}]


def replies(task: WorkflowTask, state: RunState, n: int) -> list[c.Command]:
    """What is said to the updates of a task and to those that were accepted before."""
    commands: list[c.Command] = []
    for update_id, completed in state.updates.items():
        if not completed and n % 2:
            commands.append(c.CompleteUpdate(update_id=update_id, result=value("1")))
    for update in task.updates:
        if n % 3 == 0:
            commands.append(c.RejectUpdate(update_id=update.update_id, failure=Failure(message="no")))
            continue
        commands.append(c.AcceptUpdate(update_id=update.update_id, name=update.name))
        if n % 3 == 1:
            commands.append(c.CompleteUpdate(update_id=update.update_id))
    return commands


def withdrawal(state: RunState, n: int) -> c.Command | None:
    """A command that takes something back that the run waits for."""
    if n % 2 and state.timers:
        return c.CancelTimer(timer_id=next(iter(state.timers)))
    if state.activity_ids:
        return c.RequestCancelActivityTask(activity_id=next(iter(state.activity_ids)))
    return None


class Story:
    """Does what it is told to a few runs, and keeps the tasks it gets."""

    def __init__(self, player: Player, clock: HandClock) -> None:
        self.player = player
        self.clock = clock
        self.tasks: list[WorkflowTask] = []
        self.attempts: list[ActivityTask] = []
        self.asked: list[asyncio.Future[Any]] = []
        self.number = 0

    async def start(self, n: int) -> None:
        options = STARTS[n % len(STARTS)]
        await self.player.start(f"c{n % 3}", timeout_ns=(10 + n) * SECOND, id_reuse="allow", **options)

    async def signal_with_start(self, n: int) -> None:
        self.number += 1
        await self.player.service.signal_with_start(
            StartRequest(
                workflow_id=f"c{n % 3}",
                workflow_type="Play",
                task_queue="q",
                timeout_ns=20 * SECOND,
                request_id=f"s{self.number}",
                id_reuse="terminate" if n % 5 == 0 else "allow",
            ),
            SignalRequest(workflow_id=f"c{n % 3}", name="s", request_id=f"r{self.number}"),
        )

    async def update(self, n: int) -> None:
        self.number += 1
        request = UpdateRequest(workflow_id=f"c{n % 3}", name="u", update_id=f"u{self.number}")
        asked = asyncio.ensure_future(self.player.service.update(request))
        self.asked.append(asked)
        await asyncio.sleep(0)
        if n % 5 == 0:
            asked.cancel()

    async def reset(self, n: int) -> None:
        history = await self.player.history(f"c{n % 3}")
        ends = [event.id for event in history if isinstance(event, h.WorkflowTaskCompleted | h.WorkflowTaskFailed)]
        if ends and n % 2:
            self.number += 1
            await self.player.service.reset(
                ResetRequest(workflow_id=f"c{n % 3}", event_id=ends[n % len(ends)], request_id=f"x{self.number}")
            )

    async def leave_open(self, n: int) -> None:
        if self.attempts:
            await self.player.service.leave_open(self.attempts[n % len(self.attempts)].token)

    async def signal(self, n: int) -> None:
        await self.player.signal(workflow_id=f"c{n % 3}")

    async def cancel(self, n: int) -> None:
        await self.player.service.cancel(f"c{n % 3}")

    async def terminate(self, n: int) -> None:
        if n % 4 == 0:
            await self.player.service.terminate(f"c{n % 3}")

    async def advance(self, n: int) -> None:
        self.clock.advance(n % 4 * SECOND)

    async def poll(self, n: int) -> None:
        """Poll both kinds, and stop when nothing comes; now and then stop too early."""
        workflow = asyncio.ensure_future(self.player.task())
        attempt = asyncio.ensure_future(self.player.attempt())
        await asyncio.sleep(0)
        with contextlib.suppress(ServiceError):
            await self.player.service.describe("c0")
        for _ in range(3 if n % 4 else 0):
            await asyncio.sleep(0)
        for task, kept in ((workflow, self.tasks), (attempt, self.attempts)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                kept.append(await task)  # type: ignore[arg-type]

    async def answer(self, n: int) -> None:
        if self.tasks:
            task = self.tasks.pop(0)
            state = self.player.service._writer._runs.get(int(task.token.split(":")[0]))  # type: ignore[attr-defined]
            self.number += 1
            commands = [COMMANDS[n % len(COMMANDS)](self.number)]
            if n % 3 and (back := withdrawal(state, n)) is not None:
                commands = [back, *commands] if n % 4 else [back]
            updates = replies(task, state, n)
            commands = updates if updates and n % 2 else [*updates, *commands]
            if n % 7 == 0:
                self.tasks.append(await self.player.service.extend_workflow_task(task.token, commands, 1))
            else:
                await self.player.reply(task, *commands)

    async def fail(self, n: int) -> None:
        if self.tasks and n % 3 == 0:
            await self.player.service.fail_workflow_task(self.tasks.pop(0).token, Failure(message="no"))

    async def end_attempt(self, n: int) -> None:
        if self.attempts:
            token, service = self.attempts.pop(0).token, self.player.service
            if n % 3 == 0:
                await service.complete_activity(token, value("1"))
            elif n % 3 == 1:
                await service.fail_activity(token, Failure(message="no"))
            else:
                await service.cancel_activity(token)

    async def heartbeat(self, n: int) -> None:
        if self.attempts:
            await self.player.service.heartbeat(self.attempts[0].token, (value(str(n)),))


ACTIONS: list[Callable[[Story, int], Awaitable[None]]] = [
    Story.start,
    Story.signal_with_start,
    Story.signal,
    Story.update,
    Story.update,
    Story.reset,
    Story.leave_open,
    Story.cancel,
    Story.terminate,
    Story.advance,
    Story.poll,
    Story.poll,
    Story.answer,
    Story.answer,
    Story.answer,
    Story.fail,
    Story.end_attempt,
    Story.heartbeat,
]


def facts(state: RunState) -> dict[str, Any]:
    """What of a run has to be the same in memory and in the file."""
    task = None if state.task is not None and state.task.speculative else state.task
    return {
        "run": (state.workflow_id, state.run_id, state.parent, state.request_id, state.started, state.status),
        "size": (state.length, state.bytes, state.last_ns, state.answer_id),
        "task": task and (task.scheduled_id, task.attempt, task.visible_ns, task.failure),
        "activities": {
            event: (
                item.attempt,
                item.phase,
                item.visible_ns,
                item.started_ns,
                item.armed_ns,
                item.failure,
                item.left_open,
            )
            for event, item in state.activities.items()
            if item.phase != "ended"
        },
        "since": {event: item.since_ns for event, item in state.activities.items()},
        "updates": state.updates,
        "began": (state.began_ns, state.delayed),
        "left open": {event: item.left_open for event, item in state.activities.items() if item.phase != "ended"},
        "cancelled": {event: item.cancel_requested for event, item in state.activities.items()},
        "ids": state.activity_ids,
        "timers": {name: (item.started_id, item.due_ns, item.fired) for name, item in state.timers.items()},
        "children": {event: (item.run_id, item.started_id, item.ended) for event, item in state.children.items()},
        "buffered": [type(event) for event in state.buffered.values()],
        "asked": (
            state.open and state.cancel_requested,
            sorted(state.memo),
            sorted(state.attributes),
            state.request_ids,
        ),
        "due": sorted(state.due()),
    }


def compare(service: SqliteService) -> None:
    """The thread is idle: every state is what its rows make, and there are no rows besides."""
    writer = service._writer
    assert writer is not None
    states = dict(writer._runs._states)
    execute = writer._store.connection.execute
    assert {run for (run,) in execute("SELECT run FROM runs")} == set(states)
    for key, state in states.items():
        assert facts(writer._tables.load(key)) == facts(state)
    timers = [tuple(row) for row in execute("SELECT due_ns, run, kind, event FROM timers ORDER BY 1, 2, 3, 4")]
    assert timers == sorted(
        (due, key, kind, event) for key, state in states.items() for due, kind, event in state.due()
    )
    tasks = {(run, event) for run, event in execute("SELECT run, event FROM tasks")}
    expected = {(key, 0) for key, state in states.items() if state.task is not None and not state.task.speculative}
    for key, state in states.items():
        expected |= {(key, event) for event, item in state.activities.items() if item.phase != "ended"}
    assert tasks == expected


@pytest.mark.parametrize("seed", range(60))
def test_every_state_in_memory_is_the_fold_of_its_history_and_rows(seed: int) -> None:
    chance = random.Random(seed)
    steps = [(chance.choice(ACTIONS), chance.randrange(60)) for _ in range(150)]
    clock = HandClock()
    service = SqliteService(None, clock=clock)

    async def scene() -> None:
        async with asyncio.timeout(BOUND_S), service:
            story = Story(Player(service), clock)
            await story.start(0)
            for number, (action, n) in enumerate(steps):
                with contextlib.suppress(ServiceError):
                    await action(story, n)
                if number % 10 == 9:
                    await service.stop_polling("nobody")  # all that was given back has arrived before it
                    compare(service)
        for asked in story.asked:
            assert asked.done()  # by an answer, by the end of its run, or because the service was closed
            if not asked.cancelled():
                asked.exception()

    asyncio.run(scene())
