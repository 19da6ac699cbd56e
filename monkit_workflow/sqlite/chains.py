"""What follows the end of a run: the next attempt of its retry policy, or the next time of its schedule.

No I/O, no clock. A run that ended by cancellation or termination has no successor.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.cron import next_start_ns
from monkit_workflow.history import Event
from monkit_workflow.payload import Failure, Payload
from monkit_workflow.retries import next_delay_ns
from monkit_workflow.sqlite.lifecycle import close, follow
from monkit_workflow.sqlite.state import RunState
from monkit_workflow.sqlite.transition import Transition

__all__ = ["complete", "continue_as_new", "fail", "time_out"]

_OUT_OF_TIME = Failure(
    kind="timeout", type="TimeoutFailure", timeout="start_to_close", message="the run's time was over"
)


class _Next(NamedTuple):
    """How the next run of a chain begins."""

    delay_ns: int
    attempt: int = 1
    retry_expires_ns: int = 0


def complete(t: Transition, state: RunState, result: Payload | None) -> None:
    """The main function returned."""
    fields = {"result": result, "task_completed_id": state.answer_id}
    _end(t, state, h.WorkflowExecutionCompleted, _next_time(t, state), result, None, **fields)


def fail(t: Transition, state: RunState, failure: Failure) -> None:
    """The main function raised a failure."""
    following = _next_attempt(t, state, failure) or _next_time(t, state)
    fields = {"failure": failure, "task_completed_id": state.answer_id}
    _end(t, state, h.WorkflowExecutionFailed, following, state.started.last_result, failure, **fields)


def time_out(t: Transition, state: RunState) -> None:
    """The run's time was over."""
    following = _next_attempt(t, state, _OUT_OF_TIME) or _next_time(t, state)
    _end(t, state, h.WorkflowExecutionTimedOut, following, state.started.last_result, _OUT_OF_TIME)


def continue_as_new(t: Transition, state: RunState, command: c.ContinueAsNewWorkflowExecution) -> None:
    """The code wants to go on with a fresh history: at once, whatever the schedule says."""
    started = state.started
    run_id = t.new_id()
    options = {
        "workflow_type": command.workflow_type,
        "task_queue": command.task_queue or started.task_queue,
        "input": command.input,
        "timeout_ns": command.timeout_ns or started.timeout_ns,
        "task_timeout_ns": command.task_timeout_ns or started.task_timeout_ns,
        "last_result": started.last_result,
        "memo": state.memo if command.memo is None else command.memo,
        "search_attributes": state.attributes if command.search_attributes is None else command.search_attributes,
        "header": command.header,
    }
    close(t, state, h.WorkflowExecutionContinuedAsNew, new_run_id=run_id, task_completed_id=state.answer_id, **options)
    follow(t, state, run_id, **options)


def _next_attempt(t: Transition, state: RunState, failure: Failure) -> _Next | None:
    started = state.started
    delay_ns = next_delay_ns(started.retry, started.attempt, failure)
    expires_ns = started.retry_expires_ns
    if delay_ns is None or (expires_ns and t.now_ns + delay_ns >= expires_ns):
        return None
    return _Next(delay_ns, started.attempt + 1, expires_ns)


def _next_time(t: Transition, state: RunState) -> _Next | None:
    started = state.started
    if not started.cron:
        return None
    return _Next(max(0, next_start_ns(started.cron, state.began_ns, t.now_ns) - t.now_ns))


def _end(
    t: Transition,
    state: RunState,
    kind: type[Event],
    following: _Next | None,
    last_result: Payload | None,
    last_failure: Failure | None,
    **fields: Any,
) -> None:
    """Close a run with an event of that kind, and begin the *following* one with what is known then."""
    run_id = t.new_id() if following is not None else ""
    close(t, state, kind, next_run_id=run_id, **fields)
    if following is None:
        return
    started = state.started
    follow(
        t,
        state,
        run_id,
        workflow_type=started.workflow_type,
        task_queue=started.task_queue,
        input=started.input,
        timeout_ns=started.timeout_ns,
        task_timeout_ns=started.task_timeout_ns,
        memo=started.memo,
        search_attributes=started.search_attributes,
        header=started.header,
        attempt=following.attempt,
        retry_expires_ns=following.retry_expires_ns,
        first_task_delay_ns=following.delay_ns,
        last_result=last_result,
        last_failure=last_failure,
    )
