"""Run a history again: under a debugger, or to see whether changed code still follows it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from monkit_workflow.commands import (
    CancelWorkflowExecution,
    Command,
    CompleteWorkflowExecution,
    ContinueAsNewWorkflowExecution,
    FailWorkflowExecution,
)
from monkit_workflow.converter import Converter, JsonConverter
from monkit_workflow.definitions import WorkflowDefinition, workflow_definition
from monkit_workflow.errors import NotRegistered
from monkit_workflow.execution import Execution
from monkit_workflow.guard import Mode, guarding, installed
from monkit_workflow.history import Event, WorkflowExecutionStarted, short_type_name
from monkit_workflow.history_file import RecordedHistory, read_history
from monkit_workflow.hooks import Hooks
from monkit_workflow.propagators import Propagator

__all__ = ["Replay", "find_workflow", "replay"]

ReplayStatus = Literal["running", "completed", "failed", "canceled", "continued_as_new"]

_STATUS: Mapping[type[Command], ReplayStatus] = {
    CompleteWorkflowExecution: "completed",
    FailWorkflowExecution: "failed",
    CancelWorkflowExecution: "canceled",
    ContinueAsNewWorkflowExecution: "continued_as_new",
}


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it."""

    status: ReplayStatus
    """How the code ended, ``running`` if it waits."""
    result: Any
    """What it returned."""
    commands: tuple[Command, ...]
    """Its answer to the open task at the end of the history; empty if there is none."""
    stack: str
    """Where it waits; empty when it is over."""


def replay(
    history: str | os.PathLike[str] | bytes | RecordedHistory,
    /,
    *workflows: Any,
    converter: Converter | None = None,
    interceptors: Iterable[object] = (),
    propagators: Iterable[Propagator] = (),
    guard: Mode = "refuse",
) -> Replay:
    """Run the code of a workflow along its history, in this thread, up to the end of the history.

    Nothing is executed but the workflow's code: results of activities come
    from the history. Breakpoints work. An open task at the end is run as a
    worker would, and its answer is in `Replay.commands`.

    Args:
        history: a file of ours, of Temporal or of Cadence, its content, or what ``handle.history()`` gave.
        workflows: classes and functions, among them the one that the history names.
        converter: the one that the worker has.
        interceptors: those of the client and the worker.
        propagators: those of the client.
        guard: see `monkit_workflow.Worker`.

    Raises:
        Nondeterminism: the code does something else than the history records.
        NotRegistered: none of *workflows* has the history's type.
        HistoryFormatError: the file cannot be read.
        Exception: what else the code raised that a worker's task would fail with.
    """
    recorded = history if isinstance(history, RecordedHistory) else read_history(history)
    converter = converter or JsonConverter()
    definitions = {(found := workflow_definition(item)).name: found for item in workflows}
    definition = find_workflow(definitions, type_of(recorded.events))
    execution = Execution(
        definition,
        converter,
        workflow_id=recorded.workflow_id,
        run_id=recorded.run_id,
        hooks=Hooks(converter, interceptors, propagators),
    )
    with installed():
        try:
            with guarding(guard) as guarded:
                answer = execution.feed(recorded.events)
            if guarded.refused is not None:
                raise guarded.refused
            closing = execution.closing
            result = None
            if isinstance(closing, CompleteWorkflowExecution) and closing.result is not None:
                result = converter.decode(closing.result, definition.signature.result)
            return Replay(
                "running" if closing is None else _STATUS[type(closing)],
                result,
                () if answer is None else answer.commands,
                execution.stack() if closing is None else "",
            )
        finally:
            with guarding(guard):
                execution.close()


def type_of(events: tuple[Event, ...]) -> str:
    """The workflow type that a history names.

    Raises:
        ValueError: it does not begin at the beginning.
    """
    if not events or not isinstance(events[0], WorkflowExecutionStarted):
        raise ValueError("a history begins with WorkflowExecutionStarted; this one does not")
    return events[0].workflow_type


def find_workflow(definitions: Mapping[str, WorkflowDefinition], name: str) -> WorkflowDefinition:
    """The definition for a workflow type, also where Go puts its package around the name.

    Raises:
        NotRegistered: there is none.
    """
    found = definitions.get(name) or definitions.get(short_type_name(name))
    if found is None:
        known = ", ".join(sorted(definitions)) or "none"
        raise NotRegistered(f"no workflow is registered as {name!r}; registered are: {known}")
    return found
