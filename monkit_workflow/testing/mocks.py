"""Activities and workflows that a test stands in for, by their registered name.

The service sends their tasks to a queue of its own, whatever queue they were
meant for, and what is here answers them: no worker takes part.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.commands import Command
from monkit_workflow.converter import Converter, Signature
from monkit_workflow.definitions import activity_definition, workflow_definition
from monkit_workflow.errors import ApplicationFailure, ConversionError, ServiceError
from monkit_workflow.execution import BEHAVIOUR
from monkit_workflow.failures import to_failure
from monkit_workflow.payload import Failure, Payload, Payloads
from monkit_workflow.service import ActivityTask, Service, WorkflowTask
from monkit_workflow.testing.service import MOCKS

__all__ = ["Mock", "MockWorker"]

LOG = logging.getLogger("monkit_workflow.testing")
_ANYTHING = Signature("", (), 0, Any, Any)


class Mock:
    """What stands in for an activity or a workflow, and what it was called with."""

    def __init__(
        self, name: str, signature: Signature | None, answer: Callable[..., Any] | None, *, waits: bool
    ) -> None:
        self.name = name
        self.calls: list[tuple[Any, ...]] = []
        """The arguments of each call, decoded, in order; of each attempt where an activity is tried again."""
        self._signature = signature or _ANYTHING
        self._answer = answer
        self._waits = waits

    async def answer(self, converter: Converter, input: Payloads) -> tuple[bool, Payload | None]:
        """Take a call. Returns whether it stays without an answer, and its encoded result.

        Raises:
            ApplicationFailure: the arguments do not fit.
            Exception: what the mock is to raise.
        """
        try:
            arguments = tuple(self._signature.decode(converter, input))
        except ConversionError as problem:
            raise ApplicationFailure(str(problem), type="ConversionError", non_retryable=True) from problem
        self.calls.append(arguments)
        result = self._answer(*arguments) if self._answer is not None else None
        if inspect.isawaitable(result):
            result = await result
        return self._waits, None if result is None else converter.encode(result)


def _make(target: Any, answers: dict[str, Any], *, waits: bool) -> tuple[tuple[str, ...], Mock]:
    """A mock, and the kinds of what it stands in for."""
    if len(answers) + waits > 1:
        raise TypeError("a mock takes one of returns=, raises=, call= and waits=True")
    answer = _answer(**answers) if answers else None
    if isinstance(target, str):
        return ("activity", "workflow"), Mock(target, None, answer, waits=waits)
    try:
        kind, definition = "activity", activity_definition(target)
    except TypeError:
        try:
            kind, definition = "workflow", workflow_definition(target)  # type: ignore[assignment]
        except TypeError:
            shown = getattr(target, "__qualname__", repr(target))
            raise TypeError(f"{shown} is neither an activity nor a workflow; mock takes one, or a name") from None
    return (kind,), Mock(definition.name, definition.signature, answer, waits=waits)


def _answer(
    returns: Any = None, raises: BaseException | type[BaseException] | None = None, call: Any = None
) -> Callable[..., Any]:
    if call is not None:
        if not callable(call):
            raise TypeError(f"call= takes a function, not {call!r}")
        return call  # type: ignore[no-any-return]
    if raises is None:
        return lambda *_: returns
    if not isinstance(raises, BaseException) and not (isinstance(raises, type) and issubclass(raises, BaseException)):
        raise TypeError(f"raises= takes an exception, not {raises!r}")

    def fail(*_: Any) -> None:
        raise raises

    return fail


class MockWorker:
    """Answers the tasks of what is mocked."""

    def __init__(self, service: Service, converter: Converter, mocks: dict[tuple[str, str], Mock]) -> None:
        self._mocks = mocks
        """By kind and name."""
        self._service = service
        self._converter = converter
        self._waiting: dict[str, list[str]] = {}
        """Tokens of attempts that stay without an answer, by run."""
        self._ends: dict[str, Command | None] = {}
        """What a workflow does in the end, ``None`` for waiting: asked once, also if a task is offered again."""
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, target: Any, answers: dict[str, Any], *, waits: bool) -> Mock:
        """See `monkit_workflow.testing.Environment.mock`; *answers* has one of ``returns``, ``raises`` and ``call``."""
        kinds, mock = _make(target, answers, waits=waits)
        for kind in kinds:
            self._mocks[kind, mock.name] = mock
        return mock

    def start(self) -> None:
        """Take tasks from now on."""
        self._spawn(self._serve_activities())
        self._spawn(self._serve_workflows())

    async def stop(self) -> None:
        """Take no more, and end what goes on."""
        await self._service.stop_polling(MOCKS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_activities(self) -> None:
        while (task := await self._service.poll_activity_task(MOCKS, MOCKS)) is not None:
            self._spawn(self._sound(self._attempt(task)))

    async def _serve_workflows(self) -> None:
        while (task := await self._service.poll_workflow_task(MOCKS, MOCKS)) is not None:
            self._spawn(self._sound(self._advance(task)))

    async def _sound(self, answering: Any) -> None:
        try:
            await answering
        except ServiceError as problem:  # the run was ended meanwhile
            LOG.info("the answer of a mock was not taken: %s", problem)

    # Activities.

    async def _attempt(self, task: ActivityTask) -> None:
        mock = self._mocks["activity", task.activity_type]
        try:
            waits, result = await mock.answer(self._converter, task.input)
        except Exception as error:
            await self._service.fail_activity(task.token, to_failure(error, self._converter))
            return
        if waits:
            self._waiting.setdefault(task.run_id, []).append(task.token)
            await self._service.leave_open(task.token)
        else:
            await self._service.complete_activity(task.token, result)

    def note(self, workflow_id: str, run_id: str, event: h.Event) -> None:
        """A listener: an attempt without an answer ends when the workflow gives it up."""
        if isinstance(event, h.ActivityTaskCancelRequested):
            for token in self._waiting.get(run_id, ()):
                self._spawn(self._sound(self._cancel(token)))

    async def _cancel(self, token: str) -> None:
        if await self._service.heartbeat(token):
            await self._service.cancel_activity(token)

    # Workflows.

    async def _advance(self, task: WorkflowTask) -> None:
        if task.query is not None:
            failure = Failure(message=f"{task.workflow_type!r} is mocked and answers no queries", type="QueryFailed")
            await self._service.answer_query(task.token, None, failure)
            return
        started = next((event for event in task.events if isinstance(event, h.WorkflowExecutionStarted)), None)
        if started is not None and task.run_id not in self._ends:
            self._ends[task.run_id] = await self._end(task.workflow_type, started.input)
        end = self._ends[task.run_id]
        if end is None and any(isinstance(event, h.WorkflowExecutionCancelRequested) for event in task.events):
            end = c.CancelWorkflowExecution()
        commands = [] if end is None else [end]
        await self._service.complete_workflow_task(task.token, commands, BEHAVIOUR)

    async def _end(self, name: str, input: Payloads) -> Command | None:
        try:
            waits, result = await self._mocks["workflow", name].answer(self._converter, input)
        except Exception as error:
            return c.FailWorkflowExecution(failure=to_failure(error, self._converter))
        return None if waits else c.CompleteWorkflowExecution(result=result)
