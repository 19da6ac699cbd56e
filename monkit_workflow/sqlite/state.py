"""What a run is at the moment: the fold of its history, and what its rows in ``tasks`` add.

Nothing here does I/O or reads a clock. History is the truth: `RunState.apply`
takes the events in order and is the same for one that just happened and one
that was read from the file. What only memory knows (who holds the workflow
task, the last heartbeats) is marked so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, Literal

from monkit_workflow import history as h
from monkit_workflow.history import Event
from monkit_workflow.payload import Failure, Payload, Payloads, merge_payloads
from monkit_workflow.service import Status

__all__ = ["RESET", "Activity", "ActivityPhase", "Child", "RunState", "Task", "Timer", "TimerKind", "deadlines"]

ActivityPhase = Literal["scheduled", "started", "backoff", "ended"]
_LATEST_NS = 2**63 - 1

RESET = "Reset"
"""Type of the failure of the workflow task that a run was reset to."""


class TimerKind(IntEnum):
    """What is due; the numbers are in the file."""

    USER = 1
    RUN = 2
    SCHEDULE_TO_START = 3
    START_TO_CLOSE = 4
    SCHEDULE_TO_CLOSE = 5
    HEARTBEAT = 6
    RETRY = 7
    FIRST_TASK = 8


class Task:
    """The workflow task that is due or held by a worker."""

    __slots__ = (
        "attempt",
        "fails_here",
        "failure",
        "identity",
        "offered",
        "proposed",
        "scheduled_id",
        "started_ns",
        "token",
        "visible_ns",
    )

    def __init__(self, scheduled_id: int, attempt: int, visible_ns: int) -> None:
        self.scheduled_id = scheduled_id
        """0 if its event is written when it completes: of an attempt after the first, and of a task for updates."""
        self.attempt = attempt
        self.visible_ns = visible_ns
        self.failure: Failure | None = None
        # In memory only:
        self.fails_here = False
        """A worker of this opening has failed it: one of an earlier opening may have been mended since."""
        # In memory only, while a worker holds it:
        self.token = ""
        self.identity = ""
        self.started_ns = 0
        self.offered: tuple[Event, ...] = ()
        """The events that the worker was shown and history does not have yet."""
        self.proposed: frozenset[str] = frozenset()
        """Ids of the updates that it was shown."""

    @property
    def speculative(self) -> bool:
        """Whether it is there for updates only: if all are refused it never was."""
        return not self.scheduled_id and self.attempt == 1


class Activity:
    """An activity that has not ended, or whose end waits in the inbox."""

    __slots__ = (
        "armed_ns",
        "attempt",
        "cancel_requested",
        "details",
        "failure",
        "heartbeat_ns",
        "identity",
        "left_open",
        "phase",
        "scheduled",
        "since_ns",
        "started_ns",
        "visible_ns",
    )

    def __init__(self, scheduled: h.ActivityTaskScheduled) -> None:
        self.scheduled = scheduled
        self.attempt = 1
        self.phase: ActivityPhase = "scheduled"
        self.since_ns = scheduled.time_ns
        """From where the time of all attempts counts: its scheduling, or a reset of the run."""
        self.visible_ns = scheduled.time_ns
        self.started_ns = 0
        self.armed_ns = 0
        """Where the heartbeat time-out in the file counts from."""
        self.heartbeat_ns = 0
        """The last heartbeat, in memory only until the next write."""
        self.details: Payloads = ()
        self.failure: Failure | None = None
        self.cancel_requested = False
        self.identity = ""
        self.left_open = False
        """Its worker has gone on and somebody else will end the attempt: no death of a process does."""


class Timer:
    """A timer that the code waits for; ``fired`` when that waits in the inbox."""

    __slots__ = ("due_ns", "fired", "started_id")

    def __init__(self, started_id: int, due_ns: int) -> None:
        self.started_id = started_id
        self.due_ns = due_ns
        self.fired = False


class Child:
    """A child that has not ended, or whose end waits in the inbox."""

    __slots__ = ("ended", "initiated", "run_id", "started_id")

    def __init__(self, initiated: h.StartChildWorkflowExecutionInitiated) -> None:
        self.initiated = initiated
        self.run_id = ""
        self.started_id = 0
        self.ended = False


def deadlines(activity: Activity) -> dict[TimerKind, int]:
    """The time-outs that stand in the file for an activity: kind to due time."""
    event = activity.scheduled
    if activity.phase == "ended":
        return {}
    found: dict[TimerKind, int] = {}
    if event.schedule_to_close_ns:
        found[TimerKind.SCHEDULE_TO_CLOSE] = activity.since_ns + event.schedule_to_close_ns
    if activity.phase == "started":
        if event.start_to_close_ns:
            found[TimerKind.START_TO_CLOSE] = activity.started_ns + event.start_to_close_ns
        if event.heartbeat_ns:
            found[TimerKind.HEARTBEAT] = activity.armed_ns + event.heartbeat_ns
    elif activity.phase == "backoff":
        found[TimerKind.RETRY] = activity.visible_ns
    elif event.schedule_to_start_ns:
        found[TimerKind.SCHEDULE_TO_START] = activity.visible_ns + event.schedule_to_start_ns
    return {kind: min(due, _LATEST_NS) for kind, due in found.items()}


class RunState:
    """One run. ``key`` is its number in the file, ``parent`` its parent's."""

    def __init__(self, key: int, workflow_id: str, run_id: str, parent: int | None, request_id: str = "") -> None:
        self.key = key
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.parent = parent
        self.request_id = request_id
        self.started: h.WorkflowExecutionStarted = _NOT_STARTED
        self.status: Status = "running"
        self.closing: Event | None = None
        self.began_ns = 0
        """From where the run's time counts: its start after the delay, or its reset."""
        self.length = 0
        self.bytes = 0
        self.last_ns = 0
        self.answer_id = 0
        """Id of the last `WorkflowTaskCompleted`."""
        self.task: Task | None = None
        self.activities: dict[int, Activity] = {}
        self.activity_ids: dict[str, int] = {}
        self.timers: dict[str, Timer] = {}
        self.children: dict[int, Child] = {}
        self.updates: dict[str, int] = {}
        """Accepted updates: the id of the event that completed each, 0 while its handler runs."""
        self.cancel_requested = False
        self.delayed = False
        """The first workflow task is not due: the time of the schedule or of the next attempt has not come."""
        self.memo: dict[str, Payload] = {}
        self.attributes: dict[str, Payload] = {}
        self.request_ids: set[str] = set()
        """Signals that were delivered."""
        self.buffered: dict[int, Event] = {}
        """What arrived while the workflow task was held, by number in the inbox; ids are not given yet."""
        self.next_seq = 1
        # In memory only:
        self.warned = False
        """Whether its size was logged."""
        self.held = False
        """A worker holds the workflow task, or its answer is being taken: events have to wait."""
        self.tail: list[Event] = []
        """The last events, from the last `WorkflowTaskCompleted`."""
        self.sticky = ""
        """Who is thought to hold the run as it was at the head of ``tail``."""

    @property
    def open(self) -> bool:
        """Whether the run has not ended."""
        return self.closing is None

    def apply(self, event: Event) -> None:
        """Take the next event."""
        self.length = event.id
        self.last_ns = event.time_ns
        self.tail.append(event)
        fold = _FOLDS.get(type(event))
        if fold is not None:
            fold(self, event)

    def expect(self, seq: int, event: Event) -> None:
        """Keep an event for later; what it ends takes no other end."""
        self.buffered[seq] = event
        self.next_seq = seq + 1
        mark = _MARKS.get(type(event))
        if mark is not None:
            mark(self, event)

    def due(self) -> Iterator[tuple[int, TimerKind, int]]:
        """Every row that the run has in ``timers``: due time, kind, event."""
        if not self.open:
            return
        yield min(self.began_ns + self.started.timeout_ns, _LATEST_NS), TimerKind.RUN, 0
        if self.delayed:
            yield min(self.began_ns, _LATEST_NS), TimerKind.FIRST_TASK, 0
        for timer in self.timers.values():
            if not timer.fired:
                yield timer.due_ns, TimerKind.USER, timer.started_id
        for event, activity in self.activities.items():
            for kind, due_ns in deadlines(activity).items():
                yield due_ns, kind, event


_NOT_STARTED = h.WorkflowExecutionStarted(id=0, time_ns=0, workflow_type="")


def _started(state: RunState, event: Any) -> None:
    state.started = event
    state.began_ns = event.time_ns + event.first_task_delay_ns
    state.delayed = event.first_task_delay_ns > 0
    state.memo = merge_payloads({}, event.memo)
    state.attributes = merge_payloads({}, event.search_attributes)


def _task_scheduled(state: RunState, event: Any) -> None:
    state.delayed = False
    state.task = Task(event.id, event.attempt, event.time_ns)


def _task_timed_out(state: RunState, event: Any) -> None:
    state.task = Task(0, 2, event.time_ns)


def _task_failed(state: RunState, event: Any) -> None:
    state.task = Task(0, 2, event.time_ns)
    if event.failure.type == RESET:
        state.began_ns = event.time_ns
        for activity in state.activities.values():
            activity.since_ns = activity.visible_ns = event.time_ns


def _task_completed(state: RunState, event: Any) -> None:
    state.task = None
    state.answer_id = event.id
    state.tail = [event]


def _activity_scheduled(state: RunState, event: Any) -> None:
    state.activities[event.id] = Activity(event)
    state.activity_ids[event.activity_id] = event.id


def _activity_cancel(state: RunState, event: Any) -> None:
    state.activities[event.scheduled_id].cancel_requested = True


def _activity_ended(state: RunState, event: Any) -> None:
    activity = state.activities.pop(event.scheduled_id)
    del state.activity_ids[activity.scheduled.activity_id]


def _timer_started(state: RunState, event: Any) -> None:
    state.timers[event.timer_id] = Timer(event.id, min(event.time_ns + event.duration_ns, _LATEST_NS))


def _timer_ended(state: RunState, event: Any) -> None:
    del state.timers[event.timer_id]


def _child_initiated(state: RunState, event: Any) -> None:
    state.children[event.id] = Child(event)


def _child_started(state: RunState, event: Any) -> None:
    child = state.children[event.initiated_id]
    child.started_id, child.run_id = event.id, event.run_id


def _child_ended(state: RunState, event: Any) -> None:
    del state.children[event.initiated_id]


def _cancel_requested(state: RunState, event: Any) -> None:
    state.cancel_requested = True


def _attributes(state: RunState, event: Any) -> None:
    state.attributes = merge_payloads(state.attributes, event.attributes)


def _memo(state: RunState, event: Any) -> None:
    state.memo = merge_payloads(state.memo, event.memo)


def _update_accepted(state: RunState, event: Any) -> None:
    state.updates[event.update_id] = 0


def _update_completed(state: RunState, event: Any) -> None:
    state.updates[event.update_id] = event.id


def _closed(state: RunState, event: Event) -> None:
    state.status = _STATUS[type(event)]
    state.closing = event
    state.task = None
    for table in (state.activities, state.activity_ids, state.timers, state.children, state.buffered):
        table.clear()
    state.held = False
    state.tail = []


def _mark_activity(state: RunState, event: Any) -> None:
    state.activities[event.scheduled_id].phase = "ended"


def _mark_timer(state: RunState, event: Any) -> None:
    state.timers[event.timer_id].fired = True


def _mark_child_started(state: RunState, event: Any) -> None:
    state.children[event.initiated_id].run_id = event.run_id


def _mark_child(state: RunState, event: Any) -> None:
    state.children[event.initiated_id].ended = True


_STATUS: dict[type[Event], Status] = {
    h.WorkflowExecutionCompleted: "completed",
    h.WorkflowExecutionFailed: "failed",
    h.WorkflowExecutionTimedOut: "timed_out",
    h.WorkflowExecutionCanceled: "canceled",
    h.WorkflowExecutionTerminated: "terminated",
    h.WorkflowExecutionContinuedAsNew: "continued_as_new",
}

_ACTIVITY_ENDS = (h.ActivityTaskCompleted, h.ActivityTaskFailed, h.ActivityTaskTimedOut, h.ActivityTaskCanceled)
_CHILD_ENDS = (
    h.ChildWorkflowExecutionCompleted,
    h.ChildWorkflowExecutionFailed,
    h.ChildWorkflowExecutionCanceled,
    h.ChildWorkflowExecutionTimedOut,
    h.ChildWorkflowExecutionTerminated,
    h.StartChildWorkflowExecutionFailed,
)

_FOLDS: dict[type[Event], Callable[[RunState, Any], None]] = {
    h.WorkflowExecutionStarted: _started,
    h.WorkflowTaskScheduled: _task_scheduled,
    h.WorkflowTaskFailed: _task_failed,
    h.WorkflowTaskTimedOut: _task_timed_out,
    h.WorkflowTaskCompleted: _task_completed,
    h.ActivityTaskScheduled: _activity_scheduled,
    h.ActivityTaskCancelRequested: _activity_cancel,
    h.TimerStarted: _timer_started,
    h.TimerFired: _timer_ended,
    h.TimerCanceled: _timer_ended,
    h.StartChildWorkflowExecutionInitiated: _child_initiated,
    h.ChildWorkflowExecutionStarted: _child_started,
    h.WorkflowExecutionCancelRequested: _cancel_requested,
    h.UpsertWorkflowSearchAttributes: _attributes,
    h.WorkflowPropertiesModified: _memo,
    h.WorkflowExecutionUpdateAccepted: _update_accepted,
    h.WorkflowExecutionUpdateCompleted: _update_completed,
    **dict.fromkeys(_ACTIVITY_ENDS, _activity_ended),
    **dict.fromkeys(_CHILD_ENDS, _child_ended),
    **dict.fromkeys(_STATUS, _closed),
}
"""What an event of history changes."""

_MARKS: dict[type[Event], Callable[[RunState, Any], None]] = {
    h.TimerFired: _mark_timer,
    h.ChildWorkflowExecutionStarted: _mark_child_started,
    h.WorkflowExecutionCancelRequested: _cancel_requested,
    **dict.fromkeys(_ACTIVITY_ENDS, _mark_activity),
    **dict.fromkeys(_CHILD_ENDS, _mark_child),
}
"""What an event changes that waits in the inbox."""
