"""What the code of one run can ask for, and the commands that it becomes.

The runtime is the keeper of the run's loop: workflow code finds it through the
running loop. It makes commands and machines; `monkit_workflow.execution` feeds
it with history. Nothing here reads a clock or does I/O.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import events
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context
from random import Random
from typing import Any
from uuid import UUID

from monkit_workflow.channels import Mailbox
from monkit_workflow.commands import (
    CancelTimer,
    Command,
    RecordMarker,
    RequestCancelActivityTask,
    RequestCancelExternalWorkflowExecution,
    ScheduleActivityTask,
    SignalExternalWorkflowExecution,
    StartChildWorkflowExecution,
    StartTimer,
)
from monkit_workflow.converter import Converter
from monkit_workflow.definitions import Handler, WorkflowDefinition
from monkit_workflow.errors import FailureError, WorkerError, WorkflowError
from monkit_workflow.history import Event, MarkerRecorded
from monkit_workflow.hooks import Hooks
from monkit_workflow.info import WorkflowInfo
from monkit_workflow.interceptors import Call
from monkit_workflow.loop import READ_ONLY, NumberedFuture, WokeCode, WorkflowLoop
from monkit_workflow.machines import (
    WITHDRAWN,
    ActivityMachine,
    ChildMachine,
    LocalActivityMachine,
    Machine,
    RequestMachine,
    TimerMachine,
)
from monkit_workflow.matching import Pending, same_name
from monkit_workflow.monitoring import forget_spans, mute
from monkit_workflow.options import Cancellation
from monkit_workflow.payload import Failure, Payload
from monkit_workflow.recorded import RecordedValues

__all__ = ["LocalActivity", "Runtime", "current"]

LOG = logging.getLogger("monkit_workflow")


class LocalActivity:
    """An activity that the worker shall run before it answers the workflow task."""

    __slots__ = ("command", "machine")

    def __init__(self, command: ScheduleActivityTask, machine: LocalActivityMachine) -> None:
        self.command = command
        self.machine = machine

    @property
    def given_up(self) -> bool:
        """Whether the code does not wait for it any more; its end is recorded all the same."""
        return self.machine.state == WITHDRAWN


class Runtime:
    """State of one run between the code and its history."""

    def __init__(self, definition: WorkflowDefinition, converter: Converter, hooks: Hooks) -> None:
        self.definition = definition
        self.converter = converter
        self.hooks = hooks
        self.context = Context()
        """Of the run: what its code sets there is not seen by other runs on the same thread."""
        self.context.run(mute)
        # What the loop lacks raises NotImplementedError, as asyncio has it; only typeshed calls that abstract.
        self.loop = WorkflowLoop(self, self._callback_failed)  # type: ignore[abstract]
        self.info: WorkflowInfo | None = None
        self.last_result: Payload | None = None
        self.last_failure: Failure | None = None
        """What is known of the runs before this one."""
        self.memo: dict[str, Payload] = {}
        self.attributes: dict[str, Payload] = {}
        """What the run shows of itself, as its code has left it."""
        self.replaying = False
        self.error: BaseException | None = None
        """Why the workflow task cannot be answered."""
        self.commands: list[Pending] = []
        """What the last slice asked for and history has not confirmed yet, in order."""
        self.machines: dict[int, Machine] = {}
        """By the id of the event that recorded them."""
        self.recorded = RecordedValues(converter, self.emit, self.demand_writable)
        self.mailbox = Mailbox(converter)
        self.query_handlers: dict[str, Handler] = dict(definition.queries)
        self.locals: list[LocalActivity] = []
        self._recorded_locals: deque[MarkerRecorded] = deque()
        self._conditions: list[tuple[Callable[[], object], NumberedFuture[None]]] = []
        self._timers: dict[int, TimerMachine] = {}
        self._count = 0
        self._random: Random | None = None

    def receive(self, header: Mapping[str, Payload]) -> tuple[Context, dict[str, Any]]:
        """A context with what came in the header of a call, and the header's values.

        It is a copy of the bare one: a signal does not run in the name of who started the workflow.
        """
        context = self.context.copy()
        return context, context.run(self.hooks.receive, header)

    def called(self, name: str, arguments: Sequence[Any], header: dict[str, Any]) -> Call:
        """The call of a function of the workflow."""
        return Call(name=name, args=tuple(arguments), header=header, info=self.info)

    # Commands.

    def emit(self, command: Command, machine: Machine | None = None, *, withdrawn: bool = False) -> None:
        """Add a command to the answer, unless the run is over or is being closed.

        Raises:
            WorkerError: a query runs.
        """
        self.demand_writable()
        if not self.loop.stopped:
            self.commands.append(Pending(command, machine, withdrawn))

    def demand_writable(self) -> None:
        """See that no query runs: it must leave no trace in what the code does next.

        Raises:
            WorkerError: one does.
        """
        if self.loop.read_only:
            raise WorkerError(READ_ONLY)

    @contextmanager
    def reading(self, who: str) -> Iterator[None]:
        """Let *who* look at the run's state, and change nothing.

        Raises:
            WokeCode: it woke code that waits.
        """
        loop = self.loop
        ready = loop.ready()
        loop.read_only = True
        try:
            yield
        finally:
            loop.read_only = False
            if loop.ready() != ready:
                raise WokeCode(f"{who} woke code that waits: it must change nothing")

    def abort(self, error: BaseException) -> None:
        """Stop the slice: the workflow task fails with the first such *error*. In a query nothing is stopped."""
        if self.loop.read_only:
            return
        if self.error is None:
            self.error = error
        self.loop.stopped = True

    def next_id(self) -> str:
        """An id for what the code asks for; history may know it by another one."""
        self.demand_writable()
        self._count += 1
        return str(self._count)

    def adopted(self, known_id: str) -> None:
        """History has another id than was given: ids that are given from now on must not meet it."""
        number = known_id.removeprefix(f"{self.known_info.run_id}_")
        if number.isdecimal():
            self._count = max(self._count, int(number))

    def _give_up(self, machine: Machine, command: Command) -> None:
        """Send *command*, or take the one back that has not been sent."""
        self.emit(command, machine, withdrawn=self._withdraw(machine))

    def _withdraw(self, machine: Machine) -> bool:
        """Take the command back that made *machine*; false if it has been sent."""
        if machine.state != "withdrawn":
            return False
        for item in reversed(self.commands):
            if item.machine is machine:
                item.withdrawn = True
                break
        return True

    # Timers: the loop's keeper.

    def start_timer(self, handle: asyncio.TimerHandle, delay_ns: int) -> None:
        """See `monkit_workflow.loop.TimerKeeper`."""
        given_id = self.next_id()
        machine = TimerMachine(
            "timer",
            given_id,
            lambda it: self._give_up(it, CancelTimer(timer_id=it.id, started_id=it.event_id)),
            lambda: self._fire(handle),
        )
        self.emit(StartTimer(timer_id=given_id, duration_ns=delay_ns), machine)
        self._timers[id(handle)] = machine

    def cancel_timer(self, handle: asyncio.TimerHandle) -> None:
        """See `monkit_workflow.loop.TimerKeeper`."""
        machine = self._timers.pop(id(handle), None)
        if machine is not None and not self.loop.stopped:
            machine.give_up("try")

    def _fire(self, handle: asyncio.TimerHandle) -> None:
        self._timers.pop(id(handle), None)
        self.loop.timer_fired(handle)

    # Activities, children, other executions.

    def schedule_activity(self, command: ScheduleActivityTask, hint: Any, how: Cancellation) -> ActivityMachine:
        """Ask for an activity."""
        machine = ActivityMachine(
            command.activity_type,
            command.activity_id,
            lambda it: self._give_up(it, RequestCancelActivityTask(activity_id=it.id, scheduled_id=it.event_id)),
            self.loop,
            self.converter,
            hint,
            how,
        )
        self.emit(command, machine)
        return machine

    def start_local_activity(self, command: ScheduleActivityTask, hint: Any) -> LocalActivityMachine:
        """Ask for an activity that the worker runs itself."""
        self.demand_writable()
        machine = LocalActivityMachine(
            command.activity_type, command.activity_id, lambda it: None, self.loop, self.converter, hint, "try"
        )
        self.locals.append(LocalActivity(command, machine))
        return machine

    def end_local_activity(
        self, machine: LocalActivityMachine, value: Payload | None, failure: Failure | None, attempt: int = 1
    ) -> None:
        """A local activity ended; its result is recorded."""
        self.locals = [item for item in self.locals if item.machine is not machine]
        self.emit(
            RecordMarker(
                name="LocalActivity",
                key=machine.id,
                activity_type=machine.name,
                attempt=attempt,
                value=value,
                failure=failure,
            )
        )
        machine.end(value, failure)

    def start_child(self, command: StartChildWorkflowExecution, hint: Any, how: Cancellation) -> ChildMachine:
        """Ask for a child workflow."""

        def tell(machine: Machine) -> None:
            withdrawn = self._withdraw(machine)
            request = RequestMachine("cancel", machine.id, self.loop)
            request.future.add_done_callback(asyncio.Future.exception)  # seen: it may well have ended meanwhile
            command = RequestCancelExternalWorkflowExecution(workflow_id=machine.id, child_only=True)
            self.emit(command, request, withdrawn=withdrawn)

        machine = ChildMachine(command.workflow_type, command.workflow_id, tell, self.loop, self.converter, hint, how)
        self.emit(command, machine)
        return machine

    def signal_external(self, command: SignalExternalWorkflowExecution) -> NumberedFuture[None]:
        """Send a signal; the future ends when it is delivered."""
        machine = RequestMachine(f"signal {command.name!r}", command.workflow_id, self.loop)
        self.emit(command, machine)
        return machine.future

    def cancel_external(self, workflow_id: str, run_id: str, reason: str) -> NumberedFuture[None]:
        """Ask another execution to cancel; the future ends when it is told."""
        machine = RequestMachine("cancel", workflow_id, self.loop)
        self.emit(
            RequestCancelExternalWorkflowExecution(workflow_id=workflow_id, run_id=run_id, reason=reason), machine
        )
        return machine.future

    # Waiting.

    def condition(self, test: Callable[[], object]) -> NumberedFuture[None]:
        """A future that ends once *test* is true while nothing else is ready."""
        future = self.loop.create_future()
        self._conditions.append((test, future))
        return future

    def wake_one(self) -> bool:
        """End the first wait whose condition holds, in the order in which they began to wait."""
        for place, (test, future) in enumerate(self._conditions):
            if future.done():
                continue  # given up; swept below or by the next one that is woken
            try:
                holds = bool(test())
            except Exception as problem:
                future.set_exception(problem)
            else:
                if not holds:
                    continue
                future.set_result(None)
            del self._conditions[place]
            return True
        self._conditions = [item for item in self._conditions if not item[1].done()]
        return False

    # Replays.

    def preload(self, batch: Sequence[Event] | None, started_id: int) -> None:
        """Set the slice up: *batch* is what its answer became, ``None`` if there is no answer yet."""
        self.replaying = batch is not None
        self.recorded.preload(batch, started_id)
        self._recorded_locals = deque(
            event for event in batch or () if isinstance(event, MarkerRecorded) and event.name == "LocalActivity"
        )

    def end_recorded_local(self) -> bool:
        """End the next local activity whose result this replayed task recorded."""
        if not self._recorded_locals:
            return False
        event = self._recorded_locals.popleft()
        alike = [item.machine for item in self.locals if same_name(event.activity_type, item.machine.name)]
        # Ids are ours or another SDK's; there the order among those of one type is the same.
        machine = next((item for item in alike if item.id == event.key), alike[0] if alike else None)
        if machine is None:
            return self.end_recorded_local()  # nobody asked for it: matching will say so
        self.end_local_activity(machine, event.value, event.failure, event.attempt)
        return True

    # Small things.

    def random(self) -> Random:
        """The run's own source of random numbers, the same in every replay."""
        self.demand_writable()
        if self._random is None:
            self._random = Random(self.known_info.run_id)
        return self._random

    def uuid4(self) -> UUID:
        """A random UUID, the same in every replay."""
        return UUID(int=self.random().getrandbits(128), version=4)

    @property
    def known_info(self) -> WorkflowInfo:
        """`info`, once the run has begun."""
        assert self.info is not None, "the run has not begun"
        return self.info

    def is_failure(self, error: BaseException) -> bool:
        """Whether *error* is an outcome of the run and no fault of its code."""
        if isinstance(error, BaseExceptionGroup):
            return all(self.is_failure(leaf) for leaf in error.exceptions)
        return isinstance(error, (FailureError, TimeoutError, asyncio.CancelledError, *self.definition.failures))

    def close(self) -> None:
        """End the code's coroutines; nothing that they do in their clean-up counts or is logged."""
        self.loop.read_only = False
        self.loop.stopped = self.replaying = self.recorded.replaying = True
        forget_spans(task.context for task in self.loop.tasks())
        self.loop.close()

    def _callback_failed(self, context: dict[str, Any]) -> None:
        """An error that no code was told: logged, as asyncio does, but not again in each replay."""
        if not self.replaying and not self.loop.stopped:
            LOG.error("workflow code: %s", context.get("message"), exc_info=context.get("exception"))


def current() -> Runtime:
    """The runtime of the workflow code that calls this.

    Raises:
        WorkflowError: no workflow code runs in this thread.
    """
    loop = events._get_running_loop()
    if isinstance(loop, WorkflowLoop):
        keeper = loop.keeper
        assert isinstance(keeper, Runtime)
        return keeper
    raise WorkflowError("this may be called in workflow code only; activities and clients use their own functions")
