"""A cached run whose history a test writes event by event; at every task a rebuilt one has to agree."""

from __future__ import annotations

from typing import Any

from monkit_workflow import history as h
from monkit_workflow.commands import Command
from monkit_workflow.definitions import workflow_definition
from monkit_workflow.execution import Answer, Execution
from tests.workflow.simulated_service import SimulatedService, execution, payload


class ScriptedRun:
    """See the module. Use it as a context manager, so that the code is closed."""

    def __init__(self, workflow: Any, *arguments: object) -> None:
        self.workflow = workflow
        self.service = SimulatedService(workflow_definition(workflow).name, *arguments, disturbed=False)
        self.execution = execution(workflow)
        self._replayed: list[Execution] = []

    def __enter__(self) -> ScriptedRun:
        return self

    def __exit__(self, *_: object) -> None:
        for run in (self.execution, *self._replayed):
            run.close()

    # What happens.

    def add(self, kind: type[h.Event], **fields: Any) -> ScriptedRun:
        self.service.add(kind, **fields)
        return self

    def signal(self, name: str, *values: object) -> ScriptedRun:
        return self.add(h.WorkflowExecutionSignaled, name=name, input=tuple(map(payload, values)))

    def cancel(self) -> ScriptedRun:
        return self.add(h.WorkflowExecutionCancelRequested)

    def fire(self, place: int = -1) -> ScriptedRun:
        """A timer that the code asked for fires."""
        timer = self.of(h.TimerStarted)[place]
        return self.add(h.TimerFired, timer_id=timer.timer_id, started_id=timer.id)

    def complete(self, result: object = None, place: int = -1) -> ScriptedRun:
        """An activity that the code asked for returns."""
        scheduled = self.of(h.ActivityTaskScheduled)[place]
        return self.add(h.ActivityTaskCompleted, scheduled_id=scheduled.id, result=payload(result))

    def of(self, kind: type[h.Event]) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.service.events if isinstance(event, kind)]

    # What the code says.

    def open(self) -> Answer:
        """Open a task and return the answer, which a rebuilt run gives too."""
        self.service.start_task()
        answer = self.execution.feed(self.service.events[self.execution.next_id - 1 :])
        assert answer is not None
        again = self.rebuilt()
        try:
            found = again.feed(self.service.events)
            assert found is not None
            assert found.commands == answer.commands
        finally:
            again.close()
        return answer

    def task(self) -> tuple[Command, ...]:
        """Open a task, and have its answer taken."""
        commands = self.open().commands
        assert self.service.take(commands)
        return commands

    def rebuilt(self) -> Execution:
        """A fresh execution of the same run."""
        return execution(self.workflow)

    def replay(self) -> Execution:
        """A fresh execution that has replayed all of the history; it is closed with this one."""
        found = self.rebuilt()
        self._replayed.append(found)
        found.feed(self.service.events)
        return found


def names(commands: tuple[Command, ...]) -> list[str]:
    """What commands ask for, in short."""
    return [
        getattr(command, "activity_type", "") or getattr(command, "name", "") or type(command).__name__
        for command in commands
    ]
