"""The embedded service in memory, conducted: requests come in batches, tasks of mocks go to the mocks."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar
from uuid import UUID

from monkit_workflow.commands import Command
from monkit_workflow.errors import Unavailable
from monkit_workflow.service import ActivityTask, WorkflowTask
from monkit_workflow.sqlite.cache import RunCache
from monkit_workflow.sqlite.calls import Call
from monkit_workflow.sqlite.desk import Desk
from monkit_workflow.sqlite.dispatch import Agenda, Lines, Poller
from monkit_workflow.sqlite.questions import Question, Questions
from monkit_workflow.sqlite.rows import Tables, decode_event
from monkit_workflow.sqlite.service import SqliteService
from monkit_workflow.sqlite.transition import Transition
from monkit_workflow.sqlite.writer import Writer
from monkit_workflow.testing.conductor import Conductor

__all__ = ["MOCKS", "ConductedService"]

T = TypeVar("T")
MOCKS = "monkit_workflow.testing.mocks"
"""The task queue of what is mocked, whatever queue it was meant for."""


class _RoutedLines(Lines[T], Generic[T]):
    """Queues of tasks, where each entry may go to another queue than it was meant for."""

    def __init__(self, route: Callable[[str, T], str]) -> None:
        super().__init__()
        self._route = route
        self._workers: defaultdict[str, set[str]] = defaultdict(set)

    def add_ready(self, queue: str, entry: T) -> None:
        super().add_ready(self._route(queue, entry), entry)

    def add_poller(self, queue: str, poller: Poller) -> None:
        self._workers[queue].add(poller.identity)
        super().add_poller(queue, poller)

    def take_pollers(self, identity: str | None) -> list[Call]:
        for workers in self._workers.values():
            workers.discard(identity or "")
        return super().take_pollers(identity)

    def ready_for_workers(self) -> Iterator[deque[T]]:
        """What is ready in each queue that has a worker, which may be polling or about to."""
        return (line.ready for queue, line in self._lines.items() if line.ready and self._workers[queue])


class _Agenda(Agenda):
    """Without what concerns tasks that were answered: time would skip to it for nothing."""

    def __init__(self, is_over: Callable[[int, str], bool]) -> None:
        super().__init__()
        self._is_over = is_over

    def next_ns(self) -> int | None:
        while self._heap and self._is_over(*self._heap[0][1:]):
            heapq.heappop(self._heap)
        return super().next_ns()


class _Desk(Desk):
    """Sends what is mocked to the mocks, and tells the conductor what happened."""

    def __init__(self, conductor: Conductor, is_mocked: Callable[[str, str], bool], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.workflow = _RoutedLines(self._route_workflow)
        self.activity: _RoutedLines[tuple[int, int]] = _RoutedLines(self._route_activity)
        self._questions = Questions(self.out, self.workflow)
        self._conductor = conductor
        self._is_mocked = is_mocked
        self._happened: list[tuple[str, str, bytes]] = []
        self.agenda = _Agenda(self._is_over)

    def _route_workflow(self, queue: str, entry: int | Question) -> str:
        run = entry.run if isinstance(entry, Question) else entry
        return MOCKS if self._is_mocked("workflow", self.runs.get(run).started.workflow_type) else queue

    def _route_activity(self, queue: str, entry: tuple[int, int]) -> str:
        run, event = entry
        scheduled = self.runs.get(run).activities[event].scheduled
        return MOCKS if self._is_mocked("activity", scheduled.activity_type) else queue

    def _is_over(self, run: int, token: str) -> bool:
        task = self.runs.get(run).task
        return token not in self._questions and (task is None or task.token != token)

    def note(self, t: Transition) -> None:
        super().note(t)
        for run, _, _, body in t.events:
            state = t.touched[run]
            self._happened.append((state.workflow_id, state.run_id, body))

    def committed(self, now_ns: int) -> None:
        super().committed(now_ns)
        events = [(workflow_id, run_id, decode_event(body)) for workflow_id, run_id, body in self._happened]
        self._happened.clear()
        self.out.add(*self._conductor.report(events, is_work_waiting=self._is_work_waiting()))

    def _is_work_waiting(self) -> bool:
        """Whether an activity is ready for a worker that is there and does not poll: it may begin so many a second."""
        for ready in self.activity.ready_for_workers():
            while ready:
                run, event = ready[0]
                activity = self.runs.get(run).activities.get(event)
                if activity is not None and activity.phase == "scheduled":
                    return True
                ready.popleft()  # a stale entry
        return False

    def restore(self, tables: Tables, runs: RunCache, now_ns: int) -> list[tuple[int, int]]:
        self._happened.clear()
        self.out.add(*self._conductor.report([], is_work_waiting=False))
        return super().restore(tables, runs, now_ns)


class ConductedService(SqliteService):
    """See the module. It belongs to the event loop that enters it first.

    Args:
        conductor: lets requests through and time pass.
        is_mocked: whether there is a mock of that kind (``workflow`` or ``activity``) and name.
    """

    def __init__(self, conductor: Conductor, is_mocked: Callable[[str, str], bool]) -> None:
        numbers = itertools.count(1)
        super().__init__(
            None,
            clock=conductor.clock,
            new_id=lambda: str(UUID(int=next(numbers), version=4)),  # the same in every run of a test
            retention=None,  # else time would skip from sweep to sweep, and a test lose what it asks about
            desk=lambda *arguments: _Desk(conductor, is_mocked, *arguments),
        )
        self._conductor = conductor
        self._waiting: list[Call] = []

    async def __aenter__(self) -> ConductedService:
        if self._conductor.loop is None:
            self._conductor.loop = asyncio.get_running_loop()
        await super().__aenter__()
        return self

    def _send(self, writer: Writer, call: Call) -> None:
        conductor = self._conductor
        future = call.future
        assert future is not None
        if future.get_loop() is not conductor.loop:
            raise RuntimeError("an Environment is used from the event loop that entered it, and from no other one")
        step = call.step
        if step in _IN_TURN and conductor.is_turn_taken:
            conductor.handing_over()
            writer.submit(call)
            return
        if step in _TAKES_TIME:
            conductor.waits_for(future)
        elif step is Desk.query:
            conductor.asks(future, call.arguments[0].workflow_id)
        elif step is Desk.heartbeat:
            conductor.renew(call.arguments[0])
        elif step in _ENDS:
            token = call.arguments[0]
            conductor.end_turn(token)
            future.add_done_callback(lambda _: conductor.release(token))
        self._waiting.append(call)
        conductor.hand_over_at_rest(lambda: self._hand_over(writer))

    def _hand_over(self, writer: Writer) -> None:
        """Hand in what has gathered. Answers of workflow code come last: threads have no say in the order."""
        calls, self._waiting = self._waiting, []
        calls.sort(key=lambda call: call.step in _OF_WORKFLOWS)
        try:
            writer.submit(*calls)
        except Unavailable as problem:
            for call in calls:
                if call.future is not None and not call.future.done():
                    call.future.set_exception(problem)

    # What holds time up.

    async def poll_workflow_task(self, queue: str, identity: str) -> WorkflowTask | None:
        """See `Service.poll_workflow_task`. Time stands still until the task is answered; workers run one at a time."""
        task = await super().poll_workflow_task(queue, identity)
        if task is not None:
            self._conductor.hold_for_code(task)
            if queue != MOCKS:
                await self._in_turn(task)
        return task

    async def _in_turn(self, task: WorkflowTask) -> None:
        try:
            await self._conductor.take_turn(task.token)
        except asyncio.CancelledError:
            self._conductor.release(task.token)
            self._return(task)
            raise

    async def extend_workflow_task(self, token: str, commands: list[Command], behaviour: int) -> WorkflowTask:
        """See `Service.extend_workflow_task`."""
        try:
            task = await super().extend_workflow_task(token, commands, behaviour)
        except BaseException:
            self._conductor.release(token)
            raise
        self._conductor.hold_for_code(task)
        self._conductor.pass_turn_on(token, task.token)
        return task

    async def poll_activity_task(self, queue: str, identity: str) -> ActivityTask | None:
        """See `Service.poll_activity_task`. Time stands still until the attempt has ended."""
        task = await super().poll_activity_task(queue, identity)
        if task is not None:
            self._conductor.hold_for_attempt(task)
        return task


_OF_WORKFLOWS = frozenset({Desk.complete_workflow_task, Desk.fail_workflow_task, Desk.answer_query})
_ENDS = _OF_WORKFLOWS | {Desk.complete_activity, Desk.fail_activity, Desk.cancel_activity, Desk.leave_open}
"""Steps that answer a task, whose token is their first argument."""

_IN_TURN = frozenset({Desk.history, Desk.extend_workflow_task})
"""Steps that the worker needs while it runs workflow code."""

_TAKES_TIME = frozenset({Desk.wait_closed, Desk.update})
"""Steps for whose answer time may pass."""
