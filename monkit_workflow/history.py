"""The neutral history: what happened in a run, one frozen record an event.

Names are Temporal's; after the renames of the glossary Cadence's are the same.
``time_ns`` is nanoseconds since the epoch, durations are nanoseconds with 0 for
none. An id of another event is ``…_id`` and counts from 1. The bindings and the
readers of history files translate into these records; nothing here does I/O.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from monkit_workflow.payload import Failure, Payload, Payloads, RetryPolicy, TimeoutKind

__all__ = [
    "CLOSING_EVENTS",
    "COMMAND_EVENTS",
    "ActivityTaskCancelRequested",
    "ActivityTaskCanceled",
    "ActivityTaskCompleted",
    "ActivityTaskFailed",
    "ActivityTaskScheduled",
    "ActivityTaskStarted",
    "ActivityTaskTimedOut",
    "CancelTimerFailed",
    "ChildWorkflowExecutionCanceled",
    "ChildWorkflowExecutionCompleted",
    "ChildWorkflowExecutionFailed",
    "ChildWorkflowExecutionStarted",
    "ChildWorkflowExecutionTerminated",
    "ChildWorkflowExecutionTimedOut",
    "Event",
    "ExternalWorkflowExecutionCancelRequested",
    "ExternalWorkflowExecutionSignaled",
    "IdReuse",
    "MarkerRecorded",
    "OtherEvent",
    "ParentClose",
    "RequestCancelActivityTaskFailed",
    "RequestCancelExternalWorkflowExecutionFailed",
    "RequestCancelExternalWorkflowExecutionInitiated",
    "SignalExternalWorkflowExecutionFailed",
    "SignalExternalWorkflowExecutionInitiated",
    "StartChildWorkflowExecutionFailed",
    "StartChildWorkflowExecutionInitiated",
    "TimerCanceled",
    "TimerFired",
    "TimerStarted",
    "UpsertWorkflowSearchAttributes",
    "WorkflowExecutionCancelRequested",
    "WorkflowExecutionCanceled",
    "WorkflowExecutionCompleted",
    "WorkflowExecutionContinuedAsNew",
    "WorkflowExecutionFailed",
    "WorkflowExecutionSignaled",
    "WorkflowExecutionStarted",
    "WorkflowExecutionTerminated",
    "WorkflowExecutionTimedOut",
    "WorkflowExecutionUpdateAccepted",
    "WorkflowExecutionUpdateCompleted",
    "WorkflowPropertiesModified",
    "WorkflowTaskCompleted",
    "WorkflowTaskFailed",
    "WorkflowTaskScheduled",
    "WorkflowTaskStarted",
    "WorkflowTaskTimedOut",
    "short_type_name",
]

IdReuse = Literal["allow", "failed_only", "reject", "terminate"]
ParentClose = Literal["terminate", "cancel", "abandon"]


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Something that happened in a run; ids count from 1 without a gap."""

    id: int
    time_ns: int


class WorkflowExecutionStarted(Event, frozen=True):
    """The run began. ``timeout_ns`` bounds this run, ``first_task_delay_ns`` is what cron or a retry waits."""

    workflow_type: str
    task_queue: str = ""
    input: Payloads = ()
    timeout_ns: int = 0
    task_timeout_ns: int = 0
    run_id: str = ""
    """The id that the run was started with; unlike its current id it never changes, not even by a reset."""
    first_run_id: str = ""
    continued_run_id: str = ""
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    parent_initiated_id: int = 0
    attempt: int = 1
    retry: RetryPolicy | None = None
    retry_expires_ns: int = 0
    cron: str = ""
    first_task_delay_ns: int = 0
    last_result: Payload | None = None
    last_failure: Failure | None = None
    memo: dict[str, Payload] = {}
    search_attributes: dict[str, Payload] = {}
    header: dict[str, Payload] = {}
    identity: str = ""


class WorkflowExecutionCompleted(Event, frozen=True):
    """The main function returned."""

    result: Payload | None = None
    task_completed_id: int = 0
    next_run_id: str = ""


class WorkflowExecutionFailed(Event, frozen=True):
    """The main function raised a failure."""

    failure: Failure
    task_completed_id: int = 0
    next_run_id: str = ""


class WorkflowExecutionTimedOut(Event, frozen=True):
    """The run's time was over."""

    next_run_id: str = ""


class WorkflowExecutionCancelRequested(Event, frozen=True):
    """Somebody asked the run to cancel itself."""

    reason: str = ""
    identity: str = ""
    external_initiated_id: int = 0
    external_workflow_id: str = ""
    external_run_id: str = ""


class WorkflowExecutionCanceled(Event, frozen=True):
    """The run ended by a cancellation that was asked for."""

    details: Payloads = ()
    task_completed_id: int = 0


class WorkflowExecutionTerminated(Event, frozen=True):
    """Somebody ended the run without asking it."""

    reason: str = ""
    details: Payloads = ()
    identity: str = ""
    next_run_id: str = ""
    """The run that it was reset to."""


class WorkflowExecutionContinuedAsNew(Event, frozen=True):
    """The run ended and another one of the same workflow id follows."""

    workflow_type: str
    new_run_id: str = ""
    task_queue: str = ""
    input: Payloads = ()
    timeout_ns: int = 0
    task_timeout_ns: int = 0
    delay_ns: int = 0
    task_completed_id: int = 0
    failure: Failure | None = None
    last_result: Payload | None = None
    memo: dict[str, Payload] = {}
    search_attributes: dict[str, Payload] = {}
    header: dict[str, Payload] = {}


class WorkflowExecutionSignaled(Event, frozen=True):
    """A signal arrived."""

    name: str
    input: Payloads = ()
    header: dict[str, Payload] = {}
    identity: str = ""


class WorkflowExecutionUpdateAccepted(Event, frozen=True):
    """An update passed its validator; the handler ran from here on."""

    update_id: str
    name: str = ""
    input: Payloads = ()
    header: dict[str, Payload] = {}


class WorkflowExecutionUpdateCompleted(Event, frozen=True):
    """The handler of an accepted update returned or failed."""

    update_id: str
    result: Payload | None = None
    failure: Failure | None = None


class WorkflowTaskScheduled(Event, frozen=True):
    """A worker is wanted."""

    task_queue: str = ""
    timeout_ns: int = 0
    attempt: int = 1


class WorkflowTaskStarted(Event, frozen=True):
    """A worker took the task. What happened up to here is what the code sees in it."""

    scheduled_id: int
    identity: str = ""


class WorkflowTaskCompleted(Event, frozen=True):
    """The worker answered; the events of its commands follow."""

    scheduled_id: int
    started_id: int
    identity: str = ""
    behaviour: int = 0
    """Rules of behaviour that the answering worker went by, see `monkit_workflow.execution`; 0 for another SDK."""


class WorkflowTaskTimedOut(Event, frozen=True):
    """The worker did not answer in time."""

    scheduled_id: int
    started_id: int = 0
    timeout: TimeoutKind = "start_to_close"


class WorkflowTaskFailed(Event, frozen=True):
    """The worker could not go on, or its answer was refused."""

    scheduled_id: int
    started_id: int
    failure: Failure
    identity: str = ""


class ActivityTaskScheduled(Event, frozen=True):
    """The code asked for an activity."""

    activity_id: str
    activity_type: str
    task_queue: str = ""
    input: Payloads = ()
    header: dict[str, Payload] = {}
    schedule_to_close_ns: int = 0
    schedule_to_start_ns: int = 0
    start_to_close_ns: int = 0
    heartbeat_ns: int = 0
    retry: RetryPolicy | None = None
    task_completed_id: int = 0


class ActivityTaskStarted(Event, frozen=True):
    """The last attempt began; written when it has ended, or never."""

    scheduled_id: int
    attempt: int = 1
    identity: str = ""
    last_failure: Failure | None = None


class ActivityTaskCompleted(Event, frozen=True):
    """The activity returned."""

    scheduled_id: int
    started_id: int = 0
    result: Payload | None = None
    identity: str = ""


class ActivityTaskFailed(Event, frozen=True):
    """The activity's last attempt raised."""

    scheduled_id: int
    failure: Failure
    started_id: int = 0
    identity: str = ""


class ActivityTaskTimedOut(Event, frozen=True):
    """A time-out of the activity ran out; ``failure`` is what the attempt before it ended with."""

    scheduled_id: int
    timeout: TimeoutKind
    started_id: int = 0
    details: Payloads = ()
    failure: Failure | None = None


class ActivityTaskCancelRequested(Event, frozen=True):
    """The code gave the activity up."""

    scheduled_id: int
    activity_id: str = ""
    task_completed_id: int = 0


class RequestCancelActivityTaskFailed(Event, frozen=True):
    """There was no such activity to cancel (Cadence only)."""

    activity_id: str
    cause: str = ""
    task_completed_id: int = 0


class ActivityTaskCanceled(Event, frozen=True):
    """The activity, or the service for it, agreed to the cancellation."""

    scheduled_id: int
    started_id: int = 0
    details: Payloads = ()
    identity: str = ""


class TimerStarted(Event, frozen=True):
    """The code asked to be woken."""

    timer_id: str
    duration_ns: int
    task_completed_id: int = 0


class TimerFired(Event, frozen=True):
    """The time has come."""

    timer_id: str
    started_id: int


class TimerCanceled(Event, frozen=True):
    """The code does not need the timer any more."""

    timer_id: str
    started_id: int
    task_completed_id: int = 0


class CancelTimerFailed(Event, frozen=True):
    """There was no such timer to cancel (Cadence only)."""

    timer_id: str
    cause: str = ""
    task_completed_id: int = 0


class StartChildWorkflowExecutionInitiated(Event, frozen=True):
    """The code asked for a child workflow."""

    workflow_id: str
    workflow_type: str
    namespace: str = ""
    task_queue: str = ""
    input: Payloads = ()
    timeout_ns: int = 0
    task_timeout_ns: int = 0
    parent_close: ParentClose = "terminate"
    id_reuse: IdReuse = "failed_only"
    retry: RetryPolicy | None = None
    cron: str = ""
    memo: dict[str, Payload] = {}
    search_attributes: dict[str, Payload] = {}
    header: dict[str, Payload] = {}
    task_completed_id: int = 0


class StartChildWorkflowExecutionFailed(Event, frozen=True):
    """The child could not be started: its workflow id is taken."""

    initiated_id: int
    workflow_id: str = ""
    workflow_type: str = ""
    cause: str = "already_started"


class ChildWorkflowExecutionStarted(Event, frozen=True):
    """The child runs."""

    initiated_id: int
    workflow_id: str = ""
    run_id: str = ""
    workflow_type: str = ""


class ChildWorkflowExecutionCompleted(Event, frozen=True):
    """The child returned."""

    initiated_id: int
    started_id: int = 0
    result: Payload | None = None
    workflow_id: str = ""
    run_id: str = ""


class ChildWorkflowExecutionFailed(Event, frozen=True):
    """The child failed."""

    initiated_id: int
    failure: Failure
    started_id: int = 0
    workflow_id: str = ""
    run_id: str = ""


class ChildWorkflowExecutionCanceled(Event, frozen=True):
    """The child ended by cancellation."""

    initiated_id: int
    started_id: int = 0
    details: Payloads = ()
    workflow_id: str = ""
    run_id: str = ""


class ChildWorkflowExecutionTimedOut(Event, frozen=True):
    """The child's time was over."""

    initiated_id: int
    started_id: int = 0
    workflow_id: str = ""
    run_id: str = ""


class ChildWorkflowExecutionTerminated(Event, frozen=True):
    """Somebody terminated the child."""

    initiated_id: int
    started_id: int = 0
    workflow_id: str = ""
    run_id: str = ""


class SignalExternalWorkflowExecutionInitiated(Event, frozen=True):
    """The code sent a signal to another execution."""

    workflow_id: str
    name: str
    run_id: str = ""
    namespace: str = ""
    input: Payloads = ()
    header: dict[str, Payload] = {}
    child_only: bool = False
    task_completed_id: int = 0


class SignalExternalWorkflowExecutionFailed(Event, frozen=True):
    """The signal found no open execution."""

    initiated_id: int
    workflow_id: str = ""
    run_id: str = ""
    cause: str = "not_found"


class ExternalWorkflowExecutionSignaled(Event, frozen=True):
    """The signal was delivered."""

    initiated_id: int
    workflow_id: str = ""
    run_id: str = ""


class RequestCancelExternalWorkflowExecutionInitiated(Event, frozen=True):
    """The code asked another execution to cancel itself."""

    workflow_id: str
    run_id: str = ""
    namespace: str = ""
    child_only: bool = False
    reason: str = ""
    task_completed_id: int = 0


class RequestCancelExternalWorkflowExecutionFailed(Event, frozen=True):
    """The request found no open execution."""

    initiated_id: int
    workflow_id: str = ""
    run_id: str = ""
    cause: str = "not_found"


class ExternalWorkflowExecutionCancelRequested(Event, frozen=True):
    """The request was delivered."""

    initiated_id: int
    workflow_id: str = ""
    run_id: str = ""


class MarkerRecorded(Event, frozen=True):
    """A value that the code got from outside and must get again in a replay.

    ``name`` is ``Version``, ``SideEffect``, ``MutableSideEffect`` or
    ``LocalActivity`` for what the framework records, whatever the SDK calls it.
    """

    name: str
    key: str = ""
    """Change id, id of the side effect, activity id."""
    version: int | None = None
    count: int | None = None
    """How often the mutable side effect had been called when its value changed, from 1."""
    activity_type: str = ""
    attempt: int = 1
    value: Payload | None = None
    failure: Failure | None = None
    details: dict[str, Payloads] = {}
    """What a marker of another name holds."""
    task_completed_id: int = 0


class UpsertWorkflowSearchAttributes(Event, frozen=True):
    """The code changed search attributes."""

    attributes: dict[str, Payload] = {}
    task_completed_id: int = 0


class WorkflowPropertiesModified(Event, frozen=True):
    """The code changed the memo."""

    memo: dict[str, Payload] = {}
    task_completed_id: int = 0


class OtherEvent(Event, frozen=True):
    """An event of a kind that this version does not know; the code cannot notice it."""

    name: str


CLOSING_EVENTS = (
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionTimedOut,
    WorkflowExecutionCanceled,
    WorkflowExecutionTerminated,
    WorkflowExecutionContinuedAsNew,
)
"""Nothing happens in a run after one of these."""

COMMAND_EVENTS = frozenset(
    {
        ActivityTaskScheduled,
        ActivityTaskCancelRequested,
        RequestCancelActivityTaskFailed,
        TimerStarted,
        TimerCanceled,
        CancelTimerFailed,
        StartChildWorkflowExecutionInitiated,
        SignalExternalWorkflowExecutionInitiated,
        RequestCancelExternalWorkflowExecutionInitiated,
        MarkerRecorded,
        UpsertWorkflowSearchAttributes,
        WorkflowPropertiesModified,
        WorkflowExecutionUpdateAccepted,
        WorkflowExecutionUpdateCompleted,
        WorkflowExecutionCompleted,
        WorkflowExecutionFailed,
        WorkflowExecutionCanceled,
        WorkflowExecutionContinuedAsNew,
    }
)
"""Events that the answer of a workflow task made, in the order of its commands."""


def short_type_name(name: str) -> str:
    """The name without what Go puts around it: package, receiver, ``-fm`` of a bound method."""
    return name.removesuffix("-fm").rpartition(".")[2]
