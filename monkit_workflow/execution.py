"""One run: events in, commands out. No I/O, no clock, no threads of its own.

A history is cut at its workflow tasks. What arrived before a task started is
applied in order, the code runs until it waits, and what it asked for is
compared with what the task's answer recorded; or, if there is no answer yet,
it *is* the answer, and is compared when history confirms it. So a run that
stayed in memory and one that is rebuilt take the same path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from zlib import crc32

from monkit_workflow.commands import (
    CLOSING_COMMANDS,
    CancelWorkflowExecution,
    Command,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    FailWorkflowExecution,
    RejectUpdate,
)
from monkit_workflow.converter import Converter
from monkit_workflow.definitions import Handler, WorkflowDefinition
from monkit_workflow.errors import ContinueAsNew, Nondeterminism, QueryFailed, WorkerError, continuation
from monkit_workflow.failures import to_failure
from monkit_workflow.handlers import Handlers
from monkit_workflow.history import (
    Event,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionUpdateAccepted,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)
from monkit_workflow.hooks import Hooks
from monkit_workflow.info import info_of
from monkit_workflow.interceptors import Call
from monkit_workflow.loop import Closed, WokeCode
from monkit_workflow.machines import ROUTES
from monkit_workflow.matching import ADVICE, adopt, answer_events, match, show_command, show_event
from monkit_workflow.monitoring import live_slice
from monkit_workflow.payload import Payload, Payloads, merge_payloads
from monkit_workflow.runtime import LocalActivity, Runtime
from monkit_workflow.service import Update
from monkit_workflow.stack import show_stacks

__all__ = ["BEHAVIOUR", "Answer", "Execution"]

BEHAVIOUR: Final = 1
"""The rules by which this version turns code and history into commands. Whoever changes them so that
an old history would be replayed otherwise raises this, and keeps the old way for runs of a lower number."""

STACK_QUERY: Final = "__stack_trace"
NO_HEADER: Final[Mapping[str, Payload]] = {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the code says to an open workflow task."""

    commands: tuple[Command, ...]
    local_activities: tuple[LocalActivity, ...] = ()
    """To be run, and their results given to `Execution.end_local_activity`, before the task is answered."""

    @property
    def closing(self) -> Command | None:
        """The command that ends the run, ``None`` while it goes on."""
        last = self.commands[-1] if self.commands else None
        return last if isinstance(last, CLOSING_COMMANDS) else None


class Execution:
    """The state of one run in a worker.

    One thread at a time may be inside. An execution that raised is of no use
    any more and has to be closed; so has one that is not needed.
    """

    def __init__(
        self,
        definition: WorkflowDefinition,
        converter: Converter,
        *,
        workflow_id: str = "",
        run_id: str = "",
        namespace: str = "default",
        hooks: Hooks | None = None,
        monitored: bool = False,
    ) -> None:
        self.next_id = 1
        """Id of the event that has to come next."""
        self.behaviour = 0
        """The rules that this run goes by, see `BEHAVIOUR`; 0 if another SDK began it."""
        self.closing: Command | None = None
        """How the code ended the run, ``None`` while it goes on."""
        self.runtime = Runtime(definition, converter, hooks or Hooks(converter))
        self._context = self.runtime.context
        self._names = (namespace, workflow_id, run_id)
        self._definition = definition
        self._converter = converter
        self._incoming: list[Event] = []
        self._began: WorkflowExecutionStarted | None = None
        self._received: tuple[Context, dict[str, Any]] = (self._context, {})
        """Where the main function runs, and the header that the run began with."""
        self._handlers = Handlers(self.runtime, self._ended_by)
        self._main: asyncio.Task[None] | None = None
        self._monitored = monitored
        self._failed_with: BaseException | None = None
        self._cancel_requested = False
        self._is_answered = True
        self._open_task_id = 0
        self._has_rules = False

    # Events in, commands out.

    def can_go_on_with(self, event: Event) -> bool:
        """Whether *event* may be the next one: after an answer its confirmation, and no other attempt of the task."""
        return event.id == self.next_id and (self._is_answered or isinstance(event, WorkflowTaskCompleted))

    def feed(self, events: Sequence[Event], updates: Sequence[Update] = ()) -> Answer | None:
        """Take the next *events* and return the answer to the open task at their end, ``None`` if there is none.

        *updates* came with that task and are not in history.

        Raises:
            Nondeterminism: the code does something else than history records.
            ValueError: the events do not begin with `next_id` or have a gap.
            Exception: what the code raised; the workflow task fails with it.
        """
        return self._context.run(self._feed, events, updates)

    def _feed(self, events: Sequence[Event], updates: Sequence[Update]) -> Answer | None:
        for event in events:
            if event.id != self.next_id:
                raise ValueError(f"event {event.id} came where {self.next_id} was expected")
            self.next_id += 1
        answer: Answer | None = None
        place = 0
        while place < len(events):
            event = events[place]
            place += 1
            kind = type(event)
            if isinstance(event, WorkflowTaskStarted):
                place, answer = self._task_started(event, events, place, updates)
            elif isinstance(event, WorkflowTaskCompleted):
                self._go_by(event.behaviour)
                batch, after, place = answer_events(events, place)
                self._confirm(event, batch, after)
            elif kind is WorkflowTaskFailed or kind is WorkflowTaskTimedOut:
                if not self._is_answered:
                    raise WorkerError("the answer of the last workflow task was not taken; rebuild the run")
            elif kind is not WorkflowTaskScheduled:
                self._incoming.append(event)
        return answer

    def _task_started(
        self, started: WorkflowTaskStarted, events: Sequence[Event], place: int, updates: Sequence[Update]
    ) -> tuple[int, Answer | None]:
        """Run the slice of a task unless its attempt came to nothing, and compare it with its answer."""
        following = events[place] if place < len(events) else None
        if following is None:
            self._slice(started, None, updates)
            self._is_answered = False
            self._open_task_id = started.scheduled_id
            return place, self.answer()
        if not isinstance(following, WorkflowTaskCompleted):
            return place, None
        self._go_by(following.behaviour)
        batch, after, place = answer_events(events, place + 1)
        self._slice(started, batch, ())
        self._confirm(following, batch, after)
        return place, None

    def _go_by(self, behaviour: int) -> None:
        """The first answer says which rules the run was begun with; nothing may run by others."""
        if not self._has_rules:
            self._has_rules = True
            self.behaviour = _known(behaviour)

    def _confirm(self, completed: WorkflowTaskCompleted, batch: Sequence[Event], after: Sequence[Event]) -> None:
        """Pair the last slice's commands with the events that its answer made."""
        runtime = self.runtime
        self._is_answered = True
        runtime.commands = [item for item in runtime.commands if not isinstance(item.command, RejectUpdate)]
        for item, event in match(runtime.commands, batch, completed.id):
            machine = item.machine
            if machine is not None:
                given_id = machine.id
                try:
                    adopt(machine, event)
                except ValueError as problem:
                    raise Nondeterminism(event.id, show_event(event), str(problem), ADVICE) from None
                if machine.id != given_id:
                    runtime.adopted(machine.id)
                if machine.event_id == event.id:
                    runtime.machines[event.id] = machine
                elif machine.state == "done":
                    runtime.machines.pop(machine.event_id, None)
        runtime.commands.clear()
        self._incoming.extend(after)

    def _slice(self, started: Event, batch: Sequence[Event] | None, updates: Sequence[Update]) -> None:
        runtime = self.runtime
        if runtime.commands:
            raise Nondeterminism(
                started.id, "no answer of the task before", show_command(runtime.commands[0].command), ADVICE
            )
        runtime.loop.now_ns = started.time_ns
        runtime.preload(batch, started.id)
        began = self._incoming[0] if self._incoming else None
        if isinstance(began, WorkflowExecutionStarted):
            self._received = runtime.receive(began.header)
        with runtime.loop.entered(), self._watched(live=batch is None):
            for event in self._incoming:
                self._apply(event)
            self._incoming.clear()
            for event in batch or ():
                if isinstance(event, WorkflowExecutionUpdateAccepted):
                    self._handlers.accept(event)
            for update in updates:
                self._handlers.propose(update)
            if self._main is None and self._began is not None:
                self._start_main(self._began)
            self._run()

    @contextmanager
    def _watched(self, *, live: bool) -> Iterator[None]:
        """Let the code run in a span if it is *live* and monitored."""
        if not (live and self._monitored):
            yield
            return
        loop = self.runtime.loop
        with live_slice(self._definition.name, self._received[1], lambda: self._failed_with) as loop.enter_step:
            try:
                yield
            finally:
                loop.enter_step = None

    def _run(self) -> None:
        """Go on until nothing changes any more."""
        runtime = self.runtime
        while True:
            runtime.loop.drain()
            if runtime.loop.stopped or not (runtime.wake_one() or runtime.end_recorded_local()):
                break
        if runtime.error is not None:
            raise runtime.error

    def forget_task(self) -> None:
        """The open task was answered and left no trace in history: its answer only refused updates."""
        self.runtime.commands.clear()
        self.next_id = self._open_task_id
        self._is_answered = True

    def answer(self) -> Answer:
        """The commands of a live slice, without those that were withdrawn."""
        commands = tuple(item.command for item in self.runtime.commands if not item.withdrawn)
        return Answer(commands, () if self.closing else tuple(self.runtime.locals))

    def end_local_activity(self, activity: LocalActivity, value: Payload | None, failure: Any, attempt: int) -> Answer:
        """Give a local activity's result to the code, run it on, and return the longer answer.

        Raises:
            Exception: as `feed`.
        """
        self._context.run(self._end_local, activity, value, failure, attempt)
        return self.answer()

    def _end_local(self, activity: LocalActivity, value: Payload | None, failure: Any, attempt: int) -> None:
        with self.runtime.loop.entered(), self._watched(live=True):
            self.runtime.end_local_activity(activity.machine, value, failure, attempt)
            self._run()

    # What happens to a run.

    def _apply(self, event: Event) -> None:
        """Tell of *event*; the code hears of it in the drain, when all is known that came before this task."""
        kind = type(event)
        field = ROUTES.get(kind)
        if field is None:
            handler = _HANDLERS.get(kind)
            if handler is not None:
                handler(self, event)
            return
        machine = self.runtime.machines.get(getattr(event, field))
        if machine is None:
            raise Nondeterminism(event.id, show_event(event), "never asked for what ends here", ADVICE)
        try:
            machine.settle(event)
        except ValueError as problem:
            raise Nondeterminism(event.id, show_event(event), str(problem), ADVICE) from None
        if machine.state == "done":
            del self.runtime.machines[machine.event_id]

    def _begin(self, event: WorkflowExecutionStarted) -> None:
        """The instance is made at once, so that signals find it; the main function comes last in the slice."""
        namespace, workflow_id, run_id = self._names
        info = self.runtime.info = info_of(event, namespace, workflow_id, run_id)
        self.runtime.loop.salt = crc32(info.run_id.encode()) << 16  # above the counts that small sets look at
        self.runtime.last_result, self.runtime.last_failure = event.last_result, event.last_failure
        self.runtime.memo = merge_payloads({}, event.memo)
        self.runtime.attributes = merge_payloads({}, event.search_attributes)
        self._began = event
        context, enter_step = self._received[0], self.runtime.loop.enter_step
        if enter_step is not None:
            context.run(enter_step)
        if self._definition.factory is not None:
            self._handlers.instance = context.run(self._definition.factory)

    def _start_main(self, began: WorkflowExecutionStarted) -> None:
        loop = self.runtime.loop
        arguments = self._definition.signature.decode(self._converter, began.input)
        context, header = self._received
        call = self.runtime.called(began.workflow_type, arguments, header)
        self._main = loop.create_task(self._supervise(call), name="main", context=context)
        if self._cancel_requested:
            loop.call_soon(self._main.cancel)  # after its first step, so that it can clean up

    async def _supervise(self, call: Call) -> None:
        """Await the main function; its end is the end of the run."""
        try:
            result = await self.runtime.hooks.through("run_workflow", call, self._run_main)
            self._close(CompleteWorkflowExecution(result=self._result(result)))
        except (GeneratorExit, Closed):
            raise
        except BaseException as error:
            self._ended_by(error)

    def _run_main(self, call: Call) -> Any:
        instance = self._handlers.instance
        bound = () if instance is None else (instance,)
        return self._definition.run(*bound, *call.args)

    def _result(self, value: object) -> Payload | None:
        return None if value is None else self._converter.encode(value)

    def _ended_by(self, error: BaseException) -> None:
        runtime = self.runtime
        try:
            if (following := continuation(error)) is not None:
                self._close(self._continue(following))
            elif isinstance(error, asyncio.CancelledError) and self._cancel_requested:
                self._failed_with = error
                self._close(CancelWorkflowExecution())
            elif runtime.is_failure(error):
                self._failed_with = error
                self._close(FailWorkflowExecution(failure=to_failure(error, self._converter)))
            else:
                runtime.abort(error)
        except Exception as problem:  # its arguments or details have no encoding: nobody else would hear of it
            runtime.abort(problem)

    def _continue(self, following: ContinueAsNew) -> Command:
        assert self._began is not None
        options = {"workflow_type": self._began.workflow_type, **following.options}
        return ContinueAsNewWorkflowExecution(
            input=tuple(self._converter.encode(item) for item in following.arguments), **options
        )

    def _close(self, command: Command) -> None:
        self.runtime.emit(command)
        self.closing = command
        self.runtime.loop.stopped = True

    def _signal(self, event: WorkflowExecutionSignaled) -> None:
        self._handlers.signal(event)

    def _request_cancel(self, event: WorkflowExecutionCancelRequested) -> None:
        if not self._cancel_requested:
            self._cancel_requested = True
            if self._main is not None:
                self.runtime.loop.call_soon(self._main.cancel)

    # Between tasks.

    def query(self, name: str, arguments: Payloads = (), header: Mapping[str, Payload] = NO_HEADER) -> Payload | None:
        """Ask the code about its state between two workflow tasks.

        Raises:
            QueryFailed: there is no such query, or its handler raised.
            WorkerError: it woke code that waits, so that this execution is of no use any more.
        """
        return self._context.run(self._query, name, arguments, header)

    def _query(self, name: str, arguments: Payloads, header: Mapping[str, Payload]) -> Payload | None:
        runtime = self.runtime
        if name == STACK_QUERY:
            return self._converter.encode(self.stack())
        handler = runtime.query_handlers.get(name)
        if handler is None:
            known = ", ".join(sorted(runtime.query_handlers)) or "none"
            raise QueryFailed(f"the workflow {self._definition.name!r} has no query {name!r}; it has: {known}")
        try:
            with runtime.reading(f"the query {name!r}"), runtime.loop.entered():
                values = handler.signature.decode(self._converter, arguments)
                bound = (self._handlers.instance,) if self._definition.queries.get(name) is handler else ()
                context, received = runtime.receive(header)
                call = runtime.called(name, values, received)
                return self._result(
                    context.run(runtime.hooks.through, "handle_query", call, partial(_ask, handler, bound))
                )
        except WokeCode:
            raise
        except (Exception, asyncio.CancelledError, ContinueAsNew) as problem:
            raise QueryFailed(f"the query {name!r} failed: {type(problem).__name__}: {problem}") from problem

    def stack(self) -> str:
        """Where the code waits, as Python shows a traceback."""
        return show_stacks(self.runtime.loop.tasks())

    def close(self) -> None:
        """End the code's coroutines here and now; nothing that they do in their clean-up counts."""
        with self.runtime.loop.entered():
            self._context.run(self.runtime.close)


_HANDLERS: Final[Mapping[type[Event], Callable[[Execution, Any], None]]] = {
    WorkflowExecutionStarted: Execution._begin,
    WorkflowExecutionSignaled: Execution._signal,
    WorkflowExecutionCancelRequested: Execution._request_cancel,
}
"""What else the code is told; every other event changes nothing for it."""


def _ask(handler: Handler, bound: tuple[Any, ...], call: Call) -> Any:
    return handler.function(*bound, *call.args)


def _known(behaviour: int) -> int:
    if behaviour > BEHAVIOUR:
        raise WorkerError(
            f"this run was started by a newer version of monkit-py (rules {behaviour}, this one knows {BEHAVIOUR}); "
            "deploy that version here"
        )
    return behaviour
