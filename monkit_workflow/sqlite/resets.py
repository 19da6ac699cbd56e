"""Taking a run back to an earlier workflow task: a new run with the history up to there. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence

from monkit_workflow import history as h
from monkit_workflow.errors import BadRequest
from monkit_workflow.history import Event
from monkit_workflow.payload import Failure
from monkit_workflow.service import ResetRequest
from monkit_workflow.sqlite.lifecycle import terminate
from monkit_workflow.sqlite.state import RESET, RunState
from monkit_workflow.sqlite.transition import Transition

__all__ = ["reset"]

_ENDS = (h.WorkflowTaskCompleted, h.WorkflowTaskFailed, h.WorkflowTaskTimedOut)


def reset(t: Transition, old: RunState, events: Sequence[Event], request: ResetRequest) -> str:
    """Begin a run that goes on from the workflow task that ended with the event of the request, and end the open run.

    *events* is the history of the *old* run. What was not over at that point
    begins anew in the new run: activities are attempted from 1, with all their
    time; timers keep their times.

    Returns:
        The id of the new run.

    Raises:
        BadRequest: there is no such workflow task, or children were open then.
    """
    latest = t.runs.latest(old.workflow_id)
    if latest is not None and request.request_id and latest.request_id == request.request_id:
        return latest.run_id
    kept = _kept(events, request.event_id)
    run_id = t.new_id()
    buffered = list(old.buffered.values())
    if latest is not None and latest.status == "running":
        terminate(
            t, t.runs.get(latest.key), reason=request.reason or "reset", identity=request.identity, next_run_id=run_id
        )
    state = t.runs.create(old.workflow_id, run_id, old.parent, request.request_id)
    for event in kept:
        t.record(state, event)
    if state.children:
        ids = ", ".join(repr(child.initiated.workflow_id) for child in state.children.values())
        raise BadRequest(f"at event {request.event_id} children were open, which cannot be taken back: {ids}")
    started = kept[-1]
    assert isinstance(started, h.WorkflowTaskStarted)
    t.append(
        state,
        h.WorkflowTaskFailed,
        scheduled_id=started.scheduled_id,
        started_id=started.id,
        failure=Failure(kind="server", type=RESET, message=request.reason or f"reset of run {old.run_id}"),
        identity=request.identity,
    )
    if request.reapply_signals:
        later = [*events[len(kept) :], *buffered]
        for event in later:
            if isinstance(event, h.WorkflowExecutionSignaled):
                t.adopt(state, event)
    state.request_ids |= old.request_ids
    t.requests += [(state.key, name) for name in sorted(state.request_ids)]
    for due_ns, kind, event_id in state.due():
        t.set_timer(state, kind, event_id, due_ns)
    for event_id in state.activities:
        t.change_task(state, event_id)
    t.index(state, state.attributes)
    state.task = None
    t.want_task(state)
    return run_id


def _kept(events: Sequence[Event], event_id: int) -> Sequence[Event]:
    """The events up to the start of the workflow task that ended with *event_id*."""
    ends = [event for event in events if isinstance(event, _ENDS)]
    for event in ends:
        if event.id == event_id:
            return events[: event.started_id]
    found = next((type(event).__name__ for event in events if event.id == event_id), "not in the history")
    known = ", ".join(str(event.id) for event in ends) or "there is none yet"
    raise BadRequest(f"event {event_id} is {found}; a run is reset to the end of a workflow task: {known}")
