"""A worker's workflow side: runs kept in memory, brought up to date task by task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from monkit_workflow.converter import Converter
from monkit_workflow.definitions import WorkflowDefinition
from monkit_workflow.errors import NotFound, QueryFailed, ServiceError, Unavailable
from monkit_workflow.execution import BEHAVIOUR, Answer, Execution
from monkit_workflow.failures import to_failure
from monkit_workflow.history import Event
from monkit_workflow.hooks import Hooks
from monkit_workflow.local_runner import LocalRunner, LocalWork
from monkit_workflow.replay import find_workflow
from monkit_workflow.service import Query, Service, WorkflowTask
from monkit_workflow.slices import SliceRunner, Stuck

__all__ = ["WorkflowRunner"]

T = TypeVar("T")
_EXTEND = 0.8
"""Of a workflow task's time-out: when it is answered although local activities go on."""
LOG = logging.getLogger("monkit_workflow.worker")


class _Run:
    """A run that this worker knows. Its lock is held by whoever is inside; ``users`` also counts who waits for it."""

    __slots__ = ("execution", "local", "lock", "users")

    def __init__(self) -> None:
        self.local: LocalWork | None = None
        self.execution: Execution | None = None
        self.lock = asyncio.Lock()
        self.users = 0


class WorkflowRunner:
    """Answers workflow tasks and queries."""

    def __init__(
        self,
        service: Service,
        converter: Converter,
        hooks: Hooks,
        definitions: Mapping[str, WorkflowDefinition],
        slices: SliceRunner,
        local: LocalRunner,
        most_cached: int,
    ) -> None:
        self._service = service
        self._converter = converter
        self._hooks = hooks
        self._definitions = definitions
        self._slices = slices
        self._local = local
        self._stopped = False
        self._most_cached = most_cached
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    async def handle(self, task: WorkflowTask) -> None:
        """Answer one task. Never raises for what code or service do; a fault here is logged."""
        run = self._runs.setdefault(task.run_id, _Run())
        self._runs.move_to_end(task.run_id)
        run.users += 1
        try:
            async with run.lock:
                await self._handle(run, task)
        finally:
            run.users -= 1
        if run.execution is None and not run.users:
            self._runs.pop(task.run_id, None)
        await self._trim()

    async def _handle(self, run: _Run, task: WorkflowTask) -> None:
        try:
            if task.query is not None:
                await self._answer_query(run, task, task.query)
            else:
                await self._answer(run, task)
        except NotFound:
            await self._evict(run)  # the task timed out or the run was ended meanwhile
        except ServiceError as problem:
            LOG.warning("the answer for workflow %s was not taken: %s", task.workflow_id, problem)
            await self._evict(run)

    async def _answer(self, run: _Run, task: WorkflowTask) -> None:
        try:
            answer = await self._advance(run, task)
            if answer.local_activities:
                task, answer = await self._go_on(run, task, answer)
            has_trace = await self._service.complete_workflow_task(task.token, list(answer.commands), BEHAVIOUR)
        except ServiceError:
            raise
        except Exception as error:
            LOG.error(
                "workflow %s (%s, run %s): its task failed, it waits for a mended worker",
                task.workflow_id,
                task.workflow_type,
                task.run_id,
                exc_info=error,
            )
            await self._evict(run)
            await self._service.fail_workflow_task(task.token, to_failure(error, self._converter))
            return
        if not has_trace and run.execution is not None:
            run.execution.forget_task()
        if answer.closing is not None:
            await self._evict(run)

    async def _go_on(self, run: _Run, task: WorkflowTask, answer: Answer) -> tuple[WorkflowTask, Answer]:
        """Run the local activities that the code waits for, and it after each, until it waits for none.

        A task whose time is nearly over is answered as far as it is known, and
        the next one goes on with what is running.
        """
        if run.local is None:
            run.local = LocalWork(self._local)
        name = _name(task)
        until_s = time.monotonic() + _EXTEND * task.timeout_ns / 1e9
        while answer.local_activities:
            run.local.follow(task, answer.local_activities)
            ended = await run.local.wait(max(0.0, until_s - time.monotonic()))
            if self._stopped:
                raise Unavailable("the worker stops; another one will run its local activities")
            for activity, (value, failure, attempt) in ended:
                execution = run.execution
                assert execution is not None
                end = partial(execution.end_local_activity, activity, value, failure, attempt)
                answer = await self._inside(run, name, end, task.timeout_ns)
            if not ended:
                task = await self._service.extend_workflow_task(task.token, list(answer.commands), BEHAVIOUR)
                answer = await self._advance(run, task)
                until_s = time.monotonic() + _EXTEND * task.timeout_ns / 1e9
        run.local.stop()
        return task, answer

    async def _advance(self, run: _Run, task: WorkflowTask) -> Answer:
        """Bring the run up to date and let its code run until it waits."""
        events = await self._news(run, task)
        execution = run.execution = run.execution or self._fresh(task)
        name = _name(task)
        answer = await self._inside(run, name, partial(execution.feed, events, task.updates), task.timeout_ns)
        if answer is None:
            raise RuntimeError(f"{name}: the task has no open workflow task at its end")
        return answer

    async def _news(self, run: _Run, task: WorkflowTask) -> list[Event]:
        """The events that the execution has not seen; all of them if it has to begin anew."""
        events = task.events
        execution = run.execution
        if execution is not None:
            news = [event for event in events if event.id >= execution.next_id]
            if news and execution.can_go_on_with(news[0]):
                return news
            await self._evict(run)
        if events[0].id == 1:
            return list(events)
        committed = await self._service.history(task.workflow_id, task.run_id)
        last = committed[-1].id if committed else 0
        return [*committed, *(event for event in events if event.id > last)]

    def _fresh(self, task: WorkflowTask) -> Execution:
        definition = find_workflow(self._definitions, task.workflow_type)
        return Execution(
            definition,
            self._converter,
            workflow_id=task.workflow_id,
            run_id=task.run_id,
            namespace=self._service.namespace,
            hooks=self._hooks,
            monitored=True,
        )

    async def _answer_query(self, run: _Run, task: WorkflowTask, query: Query) -> None:
        execution = run.execution
        result, failure = None, None
        try:
            if execution is None:
                execution = run.execution = self._fresh(task)
                history = await self._service.history(task.workflow_id, task.run_id)
                await self._inside(run, "a query's replay", partial(execution.feed, history), task.timeout_ns)
            ask = partial(execution.query, query.name, query.input, query.header)
            result = await self._inside(run, f"query {query.name!r}", ask, task.timeout_ns)
        except QueryFailed as error:  # the run itself is as it was
            failure = to_failure(error, self._converter)
        except ServiceError:
            raise
        except Exception as error:
            failure = to_failure(error, self._converter)
            await self._evict(run)
        await self._service.answer_query(task.token, result, failure)

    async def _inside(self, run: _Run, name: str, call: Callable[[], T], timeout_ns: int) -> T:
        """Call into the execution of a run; forget it if nobody waits for the thread that is inside any more."""
        try:
            return await self._slices.run(name, call, timeout_ns)
        except (Stuck, asyncio.CancelledError):
            run.execution = None
            raise

    async def _evict(self, run: _Run) -> None:
        """End the coroutines of a run whose lock is held."""
        execution, run.execution = run.execution, None
        if run.local is not None:
            run.local.stop()
            run.local = None
        if execution is not None:
            await self._slices.run("clean-up", execution.close)

    async def _trim(self) -> None:
        """Keep the cache within its bound: those unused for longest go."""
        while len(self._runs) > self._most_cached:
            run_id, run = next(iter(self._runs.items()))
            if run.users:
                return  # all are in use, or soon will be looked at again
            del self._runs[run_id]
            await self._evict(run)

    def stop(self, grace_s: float) -> None:
        """Local activities may go on for *grace_s* seconds; tasks that still wait for some then stay unanswered."""
        asyncio.get_running_loop().call_later(grace_s, self._give_up_local)

    def _give_up_local(self) -> None:
        self._stopped = True
        for run in self._runs.values():
            if run.local is not None:
                run.local.cancel()

    async def close(self) -> None:
        """Forget all runs."""
        while self._runs:
            _, run = self._runs.popitem()
            async with run.lock:
                await self._evict(run)


def _name(task: WorkflowTask) -> str:
    return f"workflow {task.workflow_id} ({task.workflow_type})"
