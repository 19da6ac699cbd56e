"""A service in memory that holds the history of one run: no threads, no clock, one seed decides everything.

It takes the commands of an answer, writes the events that a server would, lets
things happen in an order of its choosing, and opens the next workflow task,
until the run is closed or nothing can happen any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.converter import JsonConverter
from monkit_workflow.definitions import WorkflowDefinition, workflow_definition
from monkit_workflow.execution import BEHAVIOUR, Answer, Execution
from monkit_workflow.payload import Failure, Payload, Payloads

CONVERTER = JsonConverter()
MILLISECOND = 1_000_000
BEGAN_NS = 1_700_000_000_000_000_000
RUN_ID = "6b1c1c0e-0000-4000-8000-000000000001"

Outcome = Payload | Failure | None


def payload(value: object) -> Payload:
    return CONVERTER.encode(value)


def returns_name(name: str, _: Payloads) -> Outcome:
    return payload(name)


class History:
    """Events of one run, with ids and times."""

    def __init__(self) -> None:
        self.events: list[h.Event] = []
        self.now_ns = BEGAN_NS

    def add(self, kind: type[h.Event], **fields: Any) -> int:
        """Append an event and return its id."""
        self.now_ns += MILLISECOND
        event = kind(id=len(self.events) + 1, time_ns=self.now_ns, **fields)
        self.events.append(event)
        return event.id

    def begin(self, workflow_type: str, *arguments: object, **fields: Any) -> None:
        self.add(
            h.WorkflowExecutionStarted,
            workflow_type=workflow_type,
            task_queue="queue",
            input=tuple(payload(item) for item in arguments),
            run_id=RUN_ID,
            **fields,
        )

    def start_task(self) -> int:
        """Open a workflow task and return the id of its start."""
        scheduled = self.add(h.WorkflowTaskScheduled, task_queue="queue")
        return self.add(h.WorkflowTaskStarted, scheduled_id=scheduled)

    def complete_task(self, behaviour: int = BEHAVIOUR) -> int:
        """Write that the open task is answered."""
        started = self.events[-1]
        assert isinstance(started, h.WorkflowTaskStarted)
        return self.add(
            h.WorkflowTaskCompleted, scheduled_id=started.scheduled_id, started_id=started.id, behaviour=behaviour
        )

    def fail_task(self, kind: type[h.Event] = h.WorkflowTaskFailed) -> None:
        """Write that the open task came to nothing."""
        started = self.events[-1]
        assert isinstance(started, h.WorkflowTaskStarted)
        failure = {"failure": Failure(message="no")} if kind is h.WorkflowTaskFailed else {}
        self.add(kind, scheduled_id=started.scheduled_id, started_id=started.id, **failure)


def begin(workflow: Any, *arguments: object) -> History:
    """A history whose first task is open."""
    found = History()
    found.begin(workflow_definition(workflow).name, *arguments)
    return found


def execution(workflow: Any) -> Execution:
    definition = workflow if isinstance(workflow, WorkflowDefinition) else workflow_definition(workflow)
    return Execution(definition, CONVERTER, workflow_id="w", run_id=RUN_ID)


class SimulatedService(History):
    """See the module. ``activity`` and ``child`` say how those end, by type and input."""

    def __init__(
        self,
        workflow_type: str,
        *arguments: object,
        seed: int = 0,
        activity: Callable[[str, Payloads], Outcome] = returns_name,
        child: Callable[[str, Payloads], Outcome] = returns_name,
        unknown: frozenset[str] = frozenset(),
        disturbed: bool = True,
    ) -> None:
        super().__init__()
        self.random = Random(seed)
        self.injected: list[tuple[type[h.Event], dict[str, Any]]] = []
        """Signals and cancel requests that arrive some time, in this order."""
        self.is_closed = False
        self._activity = activity
        self._child = child
        self._unknown = unknown
        self._disturbed = disturbed
        self._possible: dict[int, Callable[[], None]] = {}
        """What can happen next, by the id of the event that asked for it."""
        self._timers: dict[int, int] = {}
        self._canceling: set[int] = set()
        self._buffer: list[tuple[type[h.Event], dict[str, Any]]] = []
        self._open = False
        self.begin(workflow_type, *arguments)
        self._is_news = True

    # What users do.

    def signal(self, name: str, *values: object) -> None:
        fields = {"name": name, "input": tuple(payload(value) for value in values)}
        self.injected.append((h.WorkflowExecutionSignaled, fields))

    def cancel(self) -> None:
        self.injected.append((h.WorkflowExecutionCancelRequested, {}))

    # What workers do.

    def next_task(self) -> bool:
        """Let things happen and open a workflow task; false if the run is over or waits for ever."""
        while not self.is_closed and not self._is_news:
            if not self._happen():
                return False
        if self.is_closed:
            return False
        while self.random.random() < 0.4 and self._happen():
            pass
        self._open = True
        self._is_news = False
        self.start_task()
        while self._disturbed and self.random.random() < 0.15:
            self.fail_task(h.WorkflowTaskFailed if self.random.random() < 0.5 else h.WorkflowTaskTimedOut)
            self.start_task()
        return True

    def take(self, commands: Sequence[c.Command]) -> bool:
        """Take the answer to the open task; false if it is refused, because a run that ends has news."""
        while self._disturbed and self.random.random() < 0.25 and self._happen():
            pass  # buffered: it came while the worker was at work
        closing = bool(commands) and isinstance(commands[-1], c.CLOSING_COMMANDS)
        self._open = False
        taken = not (closing and self._buffer)
        if taken:
            self.complete_task()
            for command in commands:
                getattr(self, f"_{type(command).__name__}")(command)
        else:
            self.fail_task()
        buffered, self._buffer = self._buffer, []
        for kind, fields in buffered:
            self._write(kind, **fields)
        return taken

    # What happens outside.

    def _happen(self) -> bool:
        """One thing that can happen next does; false if there is none."""
        choices = sorted(self._possible.keys() - self._timers.keys())
        if self._timers:
            choices.append(min(self._timers, key=lambda timer: (self._timers[timer], timer)))
        if self.injected:
            choices.append(0)
        if not choices:
            return False
        chosen = self.random.choice(choices)
        if chosen == 0:
            kind, fields = self.injected.pop(0)
            self._write(kind, **fields)
        else:
            if (due := self._timers.pop(chosen, None)) is not None:
                self.now_ns = max(self.now_ns, due)
            self._possible.pop(chosen)()
        return True

    def _write(self, kind: type[h.Event], **fields: Any) -> None:
        if self._open:
            self._buffer.append((kind, fields))
            return
        if fields.pop("after_start", False):
            fields["started_id"] = self.add(h.ActivityTaskStarted, scheduled_id=fields["scheduled_id"])
        self.add(kind, **fields)
        self._is_news = True

    def _ScheduleActivityTask(self, command: c.ScheduleActivityTask) -> None:
        event_id = self.add(
            h.ActivityTaskScheduled,
            activity_id=command.activity_id,
            activity_type=command.activity_type,
            input=command.input,
        )

        def end() -> None:
            outcome = self._activity(command.activity_type, command.input)
            common: dict[str, Any] = {"scheduled_id": event_id, "after_start": True}
            if event_id in self._canceling and self.random.random() < 0.7:
                self._write(h.ActivityTaskCanceled, **common)
            elif not isinstance(outcome, Failure):
                self._write(h.ActivityTaskCompleted, result=outcome, **common)
            elif outcome.kind == "timeout":
                self._write(h.ActivityTaskTimedOut, scheduled_id=event_id, timeout="schedule_to_start")
            else:
                self._write(h.ActivityTaskFailed, failure=outcome, **common)

        self._possible[event_id] = end

    def _RequestCancelActivityTask(self, command: c.RequestCancelActivityTask) -> None:
        self.add(h.ActivityTaskCancelRequested, scheduled_id=command.scheduled_id, activity_id=command.activity_id)
        self._canceling.add(command.scheduled_id)

    def _StartTimer(self, command: c.StartTimer) -> None:
        event_id = self.add(h.TimerStarted, timer_id=command.timer_id, duration_ns=command.duration_ns)
        self._timers[event_id] = self.now_ns + command.duration_ns
        self._possible[event_id] = lambda: self._write(h.TimerFired, timer_id=command.timer_id, started_id=event_id)

    def _CancelTimer(self, command: c.CancelTimer) -> None:
        fields = {"timer_id": command.timer_id, "started_id": command.started_id}
        fired = (h.TimerFired, fields)
        if fired in self._buffer and self.random.random() < 0.5:  # Cadence's way; Temporal drops the other one
            self.add(h.CancelTimerFailed, timer_id=command.timer_id)
            return
        if fired in self._buffer:
            self._buffer.remove(fired)
        self._timers.pop(command.started_id, None)
        self._possible.pop(command.started_id, None)
        self.add(h.TimerCanceled, **fields)

    def _StartChildWorkflowExecution(self, command: c.StartChildWorkflowExecution) -> None:
        event_id = self.add(
            h.StartChildWorkflowExecutionInitiated,
            workflow_id=command.workflow_id,
            workflow_type=command.workflow_type,
            input=command.input,
        )

        def start() -> None:
            if command.workflow_id in self._unknown:
                self._write(h.StartChildWorkflowExecutionFailed, initiated_id=event_id)
                return
            self._write(h.ChildWorkflowExecutionStarted, initiated_id=event_id, run_id=f"run-of-{command.workflow_id}")
            self._possible[event_id] = end

        def end() -> None:
            outcome = self._child(command.workflow_type, command.input)
            if command.workflow_id in self._cancelled_children and self.random.random() < 0.7:
                self._write(h.ChildWorkflowExecutionCanceled, initiated_id=event_id)
            elif not isinstance(outcome, Failure):
                self._write(h.ChildWorkflowExecutionCompleted, initiated_id=event_id, result=outcome)
            elif outcome.kind == "timeout":
                self._write(h.ChildWorkflowExecutionTimedOut, initiated_id=event_id)
            elif outcome.kind == "terminated":
                self._write(h.ChildWorkflowExecutionTerminated, initiated_id=event_id)
            else:
                self._write(h.ChildWorkflowExecutionFailed, initiated_id=event_id, failure=outcome)

        self._possible[event_id] = start

    @property
    def _cancelled_children(self) -> set[str]:
        kind = h.RequestCancelExternalWorkflowExecutionInitiated
        return {event.workflow_id for event in self.events if isinstance(event, kind)}

    def _SignalExternalWorkflowExecution(self, command: c.SignalExternalWorkflowExecution) -> None:
        event_id = self.add(
            h.SignalExternalWorkflowExecutionInitiated,
            workflow_id=command.workflow_id,
            name=command.name,
            input=command.input,
        )
        self._request(
            event_id,
            command.workflow_id,
            h.ExternalWorkflowExecutionSignaled,
            h.SignalExternalWorkflowExecutionFailed,
        )

    def _RequestCancelExternalWorkflowExecution(self, command: c.RequestCancelExternalWorkflowExecution) -> None:
        event_id = self.add(h.RequestCancelExternalWorkflowExecutionInitiated, workflow_id=command.workflow_id)
        self._request(
            event_id,
            command.workflow_id,
            h.ExternalWorkflowExecutionCancelRequested,
            h.RequestCancelExternalWorkflowExecutionFailed,
        )

    def _request(self, event_id: int, workflow_id: str, told: type[h.Event], lost: type[h.Event]) -> None:
        kind = lost if workflow_id in self._unknown else told
        self._possible[event_id] = lambda: self._write(kind, initiated_id=event_id, workflow_id=workflow_id)

    def _RecordMarker(self, command: c.RecordMarker) -> None:
        self.add(
            h.MarkerRecorded,
            name=command.name,
            key=command.key,
            version=command.version,
            count=command.count,
            activity_type=command.activity_type,
            attempt=command.attempt,
            value=command.value,
            failure=command.failure,
        )

    def _close(self, kind: type[h.Event], **fields: Any) -> None:
        self.add(kind, **fields)
        self.is_closed = True

    def _CompleteWorkflowExecution(self, command: c.CompleteWorkflowExecution) -> None:
        self._close(h.WorkflowExecutionCompleted, result=command.result)

    def _FailWorkflowExecution(self, command: c.FailWorkflowExecution) -> None:
        self._close(h.WorkflowExecutionFailed, failure=command.failure)

    def _CancelWorkflowExecution(self, command: c.CancelWorkflowExecution) -> None:
        self._close(h.WorkflowExecutionCanceled, details=command.details)

    def _ContinueAsNewWorkflowExecution(self, command: c.ContinueAsNewWorkflowExecution) -> None:
        self._close(h.WorkflowExecutionContinuedAsNew, workflow_type=command.workflow_type, input=command.input)


class LiveRun:
    """A run that stays cached while a service drives it; every answer is kept with the length of its history."""

    def __init__(self, service: SimulatedService, workflow: Any) -> None:
        self.service = service
        self.workflow = workflow
        self.execution = execution(workflow)
        self.answers: list[tuple[int, Answer]] = []

    def step(self) -> Answer | None:
        """Answer the next task as a cached run does; ``None`` if there is no task any more. Not yet sent."""
        if not self.service.next_task():
            return None
        answer = self.execution.feed(self.service.events[self.execution.next_id - 1 :])
        assert answer is not None
        self.answers.append((len(self.service.events), answer))
        return answer

    def send(self, answer: Answer) -> None:
        """Run the answer's local activities and send it; evict the run if it is refused."""
        while answer.local_activities:
            local = self.service.random.choice(answer.local_activities)
            outcome = self.service._activity(local.command.activity_type, local.command.input)
            value, failure = (None, outcome) if isinstance(outcome, Failure) else (outcome, None)
            answer = self.execution.end_local_activity(local, value, failure, 1)
        if not self.service.take(answer.commands):
            self.execution.close()
            self.execution = execution(self.workflow)

    def finish(self) -> None:
        """Go on until there is no task any more."""
        while (answer := self.step()) is not None:
            self.send(answer)
        self.execution.close()
