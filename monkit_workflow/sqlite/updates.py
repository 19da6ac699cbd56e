"""Updates on their way: those that no history has yet, and who waits for what becomes of one. Only in memory.

A refused update leaves no trace, so nothing of it is written before a worker
has accepted it. From then on history is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from monkit_workflow import commands as c
from monkit_workflow.commands import Command
from monkit_workflow.errors import AlreadyClosed, ServiceError, UpdateRejected
from monkit_workflow.history import Event, WorkflowExecutionUpdateCompleted
from monkit_workflow.payload import Failure
from monkit_workflow.service import Update, UpdateOutcome, UpdateRequest
from monkit_workflow.sqlite.calls import Answers, Call
from monkit_workflow.sqlite.state import RunState

__all__ = ["Updates", "outcome"]


class _Waiting:
    """One update, and who waits for it."""

    __slots__ = ("accepted", "askers", "update")

    def __init__(self, update: Update, *, accepted: bool) -> None:
        self.update = update
        self.accepted = accepted
        self.askers: list[tuple[bool, Call]] = []
        """Whether acceptance is enough, and the call."""

    @property
    def wanted(self) -> bool:
        """Whether a worker shall see it: nobody has accepted it, and somebody is there who asked for it."""
        return not self.accepted and any(not call.gone for _, call in self.askers)


class Updates:
    """The updates of all runs. Outcomes go to *out*, which sends them after the commit."""

    def __init__(self, out: Answers) -> None:
        self._out = out
        self._runs: dict[int, dict[str, _Waiting]] = {}

    def ask(self, state: RunState, request: UpdateRequest, call: Call) -> None:
        """Somebody asks for an update that has no outcome yet."""
        waiting = self._runs.setdefault(state.key, {})
        item = waiting.get(request.update_id)
        if item is None:
            update = Update(update_id=request.update_id, name=request.name, input=request.input, header=request.header)
            item = waiting[request.update_id] = _Waiting(update, accepted=request.update_id in state.updates)
        item.askers.append((request.wait == "accepted", call))

    def count(self, run: int) -> int:
        """How many updates of a run have no outcome."""
        return len(self._runs.get(run, ()))

    def wanted(self, run: int) -> tuple[Update, ...]:
        """What the next workflow task of a run shall bring. What nobody asks for any more is forgotten."""
        waiting = self._runs.get(run)
        if not waiting:
            return ()
        for update_id in [name for name, item in waiting.items() if not item.accepted and not item.wanted]:
            self._drop(run, update_id)
        return tuple(item.update for item in waiting.values() if not item.accepted)

    def take(self, state: RunState, commands: list[Command]) -> None:
        """An answer was taken: tell whom it concerns."""
        for command in commands:
            step = _STEPS.get(type(command))
            if step is not None:
                step(self, state.key, command)

    def _accept(self, run: int, command: c.AcceptUpdate) -> None:
        item = self._runs.get(run, {}).get(command.update_id)
        if item is not None:
            item.accepted = True
            for is_enough, call in item.askers:
                if is_enough:
                    self._out.add(call)
            item.askers = [asker for asker in item.askers if not asker[0]]

    def _reject(self, run: int, command: c.RejectUpdate) -> None:
        self._end(run, command.update_id, error=_rejected(command.failure))

    def _complete(self, run: int, command: c.CompleteUpdate) -> None:
        self._end(run, command.update_id, UpdateOutcome(result=command.result, failure=command.failure))

    def _end(
        self, run: int, update_id: str, ended: UpdateOutcome | None = None, error: ServiceError | None = None
    ) -> None:
        for call in self._drop(run, update_id):
            self._out.add(call, ended, error)

    def _drop(self, run: int, update_id: str) -> list[Call]:
        waiting = self._runs.get(run, {})
        item = waiting.pop(update_id, None)
        if not waiting:
            self._runs.pop(run, None)
        return [] if item is None else [call for _, call in item.askers]

    def close(self, state: RunState) -> None:
        """A run is over: what it has not answered it never will."""
        for update_id in list(self._runs.get(state.key, ())):
            error = AlreadyClosed(f"run {state.run_id} of workflow {state.workflow_id!r} ended before the update")
            self._end(state.key, update_id, error=error)

    def restore(self, get: Callable[[int], RunState]) -> list[int]:
        """The file was read anew: take from it what was accepted. Returns the runs that have something to do."""
        for run, waiting in self._runs.items():
            for item in waiting.values():
                item.accepted = item.update.update_id in get(run).updates
        return list(self._runs)

    def calls(self) -> Iterator[Call]:
        """Everybody who waits."""
        return (call for waiting in self._runs.values() for item in waiting.values() for _, call in item.askers)


def outcome(completed: Event) -> UpdateOutcome:
    """What the event says that completed an update."""
    assert isinstance(completed, WorkflowExecutionUpdateCompleted)
    return UpdateOutcome(result=completed.result, failure=completed.failure)


def _rejected(failure: Failure) -> UpdateRejected:
    """The error for the caller of a refused update."""
    error = UpdateRejected(failure.message or failure.type)
    error.failure = failure
    return error


_STEPS: dict[type[Command], Callable[[Updates, int, Any], None]] = {
    c.AcceptUpdate: Updates._accept,
    c.RejectUpdate: Updates._reject,
    c.CompleteUpdate: Updates._complete,
}
