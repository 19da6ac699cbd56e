"""Workflow tasks: how one is offered, answered, failed and offered again. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable

from monkit_workflow import history as h
from monkit_workflow.commands import CLOSING_COMMANDS, Command, RejectUpdate
from monkit_workflow.errors import NotFound
from monkit_workflow.history import Event
from monkit_workflow.payload import Failure
from monkit_workflow.service import Update
from monkit_workflow.sqlite.checks import refusal
from monkit_workflow.sqlite.decisions import decide
from monkit_workflow.sqlite.state import RunState, Task
from monkit_workflow.sqlite.transition import Transition

__all__ = ["complete_task", "fail_task", "give_back_task", "held_task", "offer_task", "retry_delay_ns", "time_out_task"]

_FIRST_DELAY_NS = 1_000_000_000
_LONGEST_DELAY_NS = 60_000_000_000


def retry_delay_ns(attempt: int) -> int:
    """How long a workflow task waits after its failed *attempt*: 1 s, doubled up to a minute."""
    return min(_FIRST_DELAY_NS << min(attempt - 1, 10), _LONGEST_DELAY_NS)


def offer_task(
    state: RunState, task: Task, token: str, identity: str, updates: Iterable[Update], now_ns: int
) -> tuple[Event, ...]:
    """Hand the due task to a worker: nothing is written, news wait until it answers.

    Returns:
        The events that the task ends with and that history gets when it is
        answered: its start, and for an attempt after the first its scheduling.
    """
    at_ns = max(now_ns, state.last_ns)
    following = state.length + 1
    offered: tuple[Event, ...] = ()
    scheduled_id = task.scheduled_id
    if not scheduled_id:
        scheduled_id = following
        started = state.started
        scheduled = h.WorkflowTaskScheduled(
            id=following,
            time_ns=at_ns,
            task_queue=started.task_queue,
            timeout_ns=started.task_timeout_ns,
            attempt=task.attempt,
        )
        offered = (scheduled,)
        following += 1
    begun = h.WorkflowTaskStarted(id=following, time_ns=at_ns, scheduled_id=scheduled_id, identity=identity)
    task.offered = (*offered, begun)
    task.token, task.identity, task.started_ns = token, identity, at_ns
    task.proposed = frozenset(update.update_id for update in updates)
    state.held = True
    return task.offered


def give_back_task(t: Transition, state: RunState, task: Task) -> None:
    """The poller had gone: the task is due again as if it had never been offered."""
    task.token, task.identity, task.offered = "", "", ()
    t.release(state)
    t.change_task(state, 0)  # as if it had changed, so that it is looked at again


def held_task(state: RunState, token: str) -> Task:
    """The task that a token names.

    Raises:
        NotFound: it is not held by the one who shows the token.
    """
    task = state.task
    if task is None or not token or task.token != token:
        raise NotFound(
            f"the workflow task is not held any more in workflow {state.workflow_id!r}: "
            "it was answered, timed out, or the run is over"
        )
    return task


def complete_task(
    t: Transition, state: RunState, task: Task, commands: list[Command], behaviour: int
) -> Failure | None:
    """Write the worker's answer and what its commands make.

    An answer that cannot be taken fails the task, so that nothing is lost: the
    commands because they are wrong, a closing one also because news arrived.

    Returns:
        Why the answer was refused.
    """
    if state.buffered and commands and isinstance(commands[-1], CLOSING_COMMANDS):
        failure = Failure(
            kind="server",
            type="UnhandledEvents",
            message=f"{len(state.buffered)} events arrived that the code has not seen before it ended",
        )
        _write_failed(t, state, task, failure)
        t.release(state)
        state.task = None
        t.want_task(state)
        return failure
    failed = refusal(state, commands, t.limits, t.runs.attribute_types)
    if failed is not None:
        fail_task(t, state, task, failed)
        return failed
    if task.speculative and all(isinstance(command, RejectUpdate) for command in commands):
        state.task = None
        t.change_task(state, 0)  # as if it had changed, so that the run is looked at again
        if t.release(state):
            t.want_task(state)
        return None
    started_id, scheduled_id = _write_offered(t, state, task)
    t.append(
        state,
        h.WorkflowTaskCompleted,
        scheduled_id=scheduled_id,
        started_id=started_id,
        identity=task.identity,
        behaviour=behaviour,
    )
    state.sticky = task.identity
    t.change_task(state, 0)
    for command in commands:
        if state.open:  # a child that takes the id of a forebear ends it, and this run with it
            decide(t, state, command)
    if state.open and t.release(state):
        t.want_task(state)
    return None


def fail_task(t: Transition, state: RunState, task: Task, failure: Failure) -> None:
    """The code could not go on, or its answer was refused: offer the task again later."""
    _write_failed(t, state, task, failure)
    _again(t, state, task, failure, retry_delay_ns(task.attempt))


def time_out_task(t: Transition, state: RunState, task: Task) -> None:
    """The worker did not answer in time: offer the task again at once."""
    if task.attempt == 1:
        started, scheduled_id = _write_offered(t, state, task)
        t.append(state, h.WorkflowTaskTimedOut, scheduled_id=scheduled_id, started_id=started)
    failure = Failure(
        kind="timeout",
        type="TimeoutFailure",
        timeout="start_to_close",
        message=f"worker {task.identity!r} did not answer in time",
    )
    _again(t, state, task, failure, 0)


def _again(t: Transition, state: RunState, task: Task, failure: Failure, delay_ns: int) -> None:
    following = state.task = Task(0, task.attempt + 1, t.now_ns + delay_ns)
    following.failure, following.fails_here = failure, True
    state.sticky = ""  # what the worker made of the failed attempt is worth nothing
    t.change_task(state, 0)
    t.release(state)


def _write_offered(t: Transition, state: RunState, task: Task) -> tuple[int, int]:
    """Ids of the start and of the scheduling of the attempt."""
    scheduled_id: int = task.offered[-1].scheduled_id  # type: ignore[attr-defined]
    for event in task.offered:
        t.record(state, event)
    return state.length, scheduled_id


def _write_failed(t: Transition, state: RunState, task: Task, failure: Failure) -> None:
    """Only the first failure is an event; a run that fails for weeks does not grow."""
    state.sticky = ""
    if task.attempt == 1:
        started, scheduled_id = _write_offered(t, state, task)
        t.append(
            state,
            h.WorkflowTaskFailed,
            scheduled_id=scheduled_id,
            started_id=started,
            failure=failure,
            identity=task.identity,
        )
