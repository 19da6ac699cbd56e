"""How runs begin and end, and what that means for their families. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monkit_workflow import history as h
from monkit_workflow.cron import next_start_ns
from monkit_workflow.errors import AlreadyStarted, NotFound
from monkit_workflow.history import Event, IdReuse, ParentClose
from monkit_workflow.service import Status
from monkit_workflow.sqlite.state import Child, RunState
from monkit_workflow.sqlite.transition import Latest, Transition

__all__ = [
    "claim",
    "close",
    "current_run",
    "follow",
    "request_cancel",
    "start_child",
    "start_run",
    "terminate",
]

_UNSUCCESSFUL: frozenset[Status] = frozenset({"failed", "canceled", "terminated", "timed_out"})
_ANY: frozenset[Status] = _UNSUCCESSFUL | {"completed", "continued_as_new"}

_REUSABLE: dict[IdReuse, frozenset[Status]] = {
    "allow": _ANY,
    "failed_only": _UNSUCCESSFUL,
    "reject": frozenset(),
    "terminate": _ANY,
}
"""Ends of the last run after which its id may be used again."""


def claim(t: Transition, workflow_id: str, reuse: IdReuse, latest: Latest | None) -> None:
    """Make sure that a workflow id is free.

    Raises:
        AlreadyStarted: it is not.
    """
    if latest is None:
        return
    if latest.status == "running" and reuse == "terminate":
        terminate(t, t.runs.get(latest.key), reason="replaced by a new run of the same workflow id")
        t.finish()
    elif latest.status not in _REUSABLE[reuse]:
        what = "running" if latest.status == "running" else f"{latest.status}, which id_reuse={reuse!r} protects"
        raise AlreadyStarted(f"workflow {workflow_id!r} is {what}: run {latest.run_id}", latest.run_id)


def start_run(
    t: Transition,
    workflow_id: str,
    run_id: str,
    *,
    parent: int | None = None,
    request_id: str = "",
    **fields: Any,
) -> RunState:
    """Begin a run of a free id; *fields* are those of `WorkflowExecutionStarted`.

    Its first task comes at the next time of its schedule, unless a delay is given.
    """
    state = t.runs.create(workflow_id, run_id, parent, request_id)
    fields.setdefault("first_run_id", run_id)
    cron, retry = fields.get("cron"), fields.get("retry")
    if cron and "first_task_delay_ns" not in fields and not fields.get("continued_run_id"):
        fields["first_task_delay_ns"] = next_start_ns(cron, t.now_ns, t.now_ns) - t.now_ns
    if retry is not None and retry.expiration_ns and not fields.get("retry_expires_ns"):
        fields["retry_expires_ns"] = t.now_ns + fields.get("first_task_delay_ns", 0) + retry.expiration_ns
    t.append(state, h.WorkflowExecutionStarted, run_id=run_id, **fields)
    for due_ns, kind, event in state.due():
        t.set_timer(state, kind, event, due_ns)
    t.index(state, state.attributes)
    t.want_task(state)
    return state


def close(t: Transition, state: RunState, kind: type[Event], /, **fields: Any) -> None:
    """End a run: its rows go, its parent is told, its children are treated as agreed."""
    children = list(state.children.values())
    for due_ns, timer, event_id in state.due():
        t.drop_timer(state, timer, event_id, due_ns)
    for event_id in state.activities:
        t.change_task(state, event_id)
    t.change_task(state, 0)
    for seq in state.buffered:
        t.inbox.append((state.key, seq, None))
    event = t.append(state, kind, **fields)
    t.closed.append(state)
    if kind is h.WorkflowExecutionContinuedAsNew:
        return
    if state.parent is not None and not getattr(event, "next_run_id", ""):
        t.later(lambda: _tell_parent(t, state, event))
    for child in children:
        if child.run_id and not child.ended:
            _PARENT_CLOSES[child.initiated.parent_close](t, child)


def follow(t: Transition, state: RunState, run_id: str, **fields: Any) -> None:
    """Begin the next run of an ended one's chain, which stays the same child of the same parent.

    *fields* are those of `WorkflowExecutionStarted` that do not follow from the chain.
    """
    started = state.started
    start_run(
        t,
        state.workflow_id,
        run_id,
        parent=state.parent,
        request_id=state.request_id,
        first_run_id=started.first_run_id,
        continued_run_id=state.run_id,
        parent_workflow_id=started.parent_workflow_id,
        parent_run_id=started.parent_run_id,
        parent_initiated_id=started.parent_initiated_id,
        retry=started.retry,
        cron=started.cron,
        **fields,
    )


def terminate(t: Transition, state: RunState, reason: str = "", identity: str = "", next_run_id: str = "") -> None:
    """End an open run without asking it; *next_run_id* is the one that takes its place, if one does."""
    close(t, state, h.WorkflowExecutionTerminated, reason=reason, identity=identity, next_run_id=next_run_id)


def request_cancel(t: Transition, state: RunState, reason: str = "", identity: str = "", **origin: Any) -> None:
    """Ask an open run to cancel itself; only the first request is an event.

    A run whose code has not begun has nothing to clean up: it ends here.
    """
    if state.cancel_requested:
        return
    event = h.WorkflowExecutionCancelRequested(id=0, time_ns=t.now_ns, reason=reason, identity=identity, **origin)
    t.deliver(state, event)
    if state.delayed:
        close(t, state, h.WorkflowExecutionCanceled)


def start_child(t: Transition, parent: RunState, initiated: h.StartChildWorkflowExecutionInitiated) -> None:
    """Begin a child, and tell its parent that it runs or that its id is taken."""
    names: dict[str, Any] = {
        "initiated_id": initiated.id,
        "workflow_id": initiated.workflow_id,
        "workflow_type": initiated.workflow_type,
    }
    latest = t.runs.latest(initiated.workflow_id)
    try:
        if latest is not None and latest.key == parent.key:
            raise AlreadyStarted("a run cannot be its own child", parent.run_id)
        claim(t, initiated.workflow_id, initiated.id_reuse, latest)
    except AlreadyStarted:
        t.deliver(parent, h.StartChildWorkflowExecutionFailed(id=0, time_ns=t.now_ns, **names))
        return
    if not parent.open:
        return
    run_id = t.new_id()
    start_run(
        t,
        initiated.workflow_id,
        run_id,
        parent=parent.key,
        workflow_type=initiated.workflow_type,
        task_queue=initiated.task_queue or parent.started.task_queue,
        input=initiated.input,
        timeout_ns=initiated.timeout_ns,
        task_timeout_ns=initiated.task_timeout_ns or parent.started.task_timeout_ns,
        parent_workflow_id=parent.workflow_id,
        parent_run_id=parent.run_id,
        parent_initiated_id=initiated.id,
        retry=initiated.retry,
        cron=initiated.cron,
        memo=initiated.memo,
        search_attributes=initiated.search_attributes,
        header=initiated.header,
    )
    t.deliver(parent, h.ChildWorkflowExecutionStarted(id=0, time_ns=t.now_ns, run_id=run_id, **names))


def _tell_parent(t: Transition, state: RunState, event: Event) -> None:
    assert state.parent is not None
    try:
        parent = t.runs.get(state.parent)
    except NotFound:
        return  # it ended long ago, and retention has deleted it
    initiated_id = state.started.parent_initiated_id
    child = parent.children.get(initiated_id)
    if child is None or child.ended:
        return  # the parent has ended
    news, fields = _NEWS_OF_CHILD[type(event)]
    outcome = {name: getattr(event, name) for name in fields}
    t.deliver(
        parent,
        news(
            id=0,
            time_ns=t.now_ns,
            initiated_id=initiated_id,
            workflow_id=state.workflow_id,
            run_id=state.run_id,
            **outcome,
        ),
    )


_NEWS_OF_CHILD: dict[type[Event], tuple[Callable[..., Event], tuple[str, ...]]] = {
    h.WorkflowExecutionCompleted: (h.ChildWorkflowExecutionCompleted, ("result",)),
    h.WorkflowExecutionFailed: (h.ChildWorkflowExecutionFailed, ("failure",)),
    h.WorkflowExecutionCanceled: (h.ChildWorkflowExecutionCanceled, ("details",)),
    h.WorkflowExecutionTimedOut: (h.ChildWorkflowExecutionTimedOut, ()),
    h.WorkflowExecutionTerminated: (h.ChildWorkflowExecutionTerminated, ()),
}
"""How a child's end is told, and which facts of it."""


def current_run(t: Transition, child: Child) -> RunState | None:
    """The open run of a child: the one it was started with, or one that continues it."""
    latest = t.runs.latest(child.initiated.workflow_id)
    if latest is None or latest.status != "running" or latest.first_run_id != child.run_id:
        return None
    return t.runs.get(latest.key)


def _terminate_child(t: Transition, child: Child) -> None:
    def step() -> None:
        if (state := current_run(t, child)) is not None:
            terminate(t, state, reason="its parent has ended")

    t.later(step)


def _cancel_child(t: Transition, child: Child) -> None:
    def step() -> None:
        if (state := current_run(t, child)) is not None:
            request_cancel(t, state, reason="its parent has ended")

    t.later(step)


def _abandon_child(t: Transition, child: Child) -> None:
    """Let it run."""


_PARENT_CLOSES: dict[ParentClose, Callable[[Transition, Child], None]] = {
    "terminate": _terminate_child,
    "cancel": _cancel_child,
    "abandon": _abandon_child,
}
