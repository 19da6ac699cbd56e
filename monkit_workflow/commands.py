"""What a run asks of the service in the answer to a workflow task, one frozen record a command."""

from __future__ import annotations

from msgspec import Struct

from monkit_workflow.history import IdReuse, ParentClose
from monkit_workflow.payload import Failure, Payload, Payloads, RetryPolicy

__all__ = [
    "CLOSING_COMMANDS",
    "AcceptUpdate",
    "CancelTimer",
    "CancelWorkflowExecution",
    "Command",
    "CompleteUpdate",
    "CompleteWorkflowExecution",
    "ContinueAsNewWorkflowExecution",
    "FailWorkflowExecution",
    "ModifyWorkflowProperties",
    "RecordMarker",
    "RejectUpdate",
    "RequestCancelActivityTask",
    "RequestCancelExternalWorkflowExecution",
    "ScheduleActivityTask",
    "SignalExternalWorkflowExecution",
    "StartChildWorkflowExecution",
    "StartTimer",
    "UpsertSearchAttributes",
]


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """One wish of the code. Durations are nanoseconds, 0 for none."""


class ScheduleActivityTask(Command, frozen=True):
    """Have an activity run by some worker of *task_queue*."""

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


class RequestCancelActivityTask(Command, frozen=True):
    """Tell an activity that its result is not wanted any more."""

    activity_id: str
    scheduled_id: int = 0


class StartTimer(Command, frozen=True):
    """Wake the run after a while."""

    timer_id: str
    duration_ns: int


class CancelTimer(Command, frozen=True):
    """Do not."""

    timer_id: str
    started_id: int = 0


class StartChildWorkflowExecution(Command, frozen=True):
    """Start another workflow whose end this one is told."""

    workflow_id: str
    workflow_type: str
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


class SignalExternalWorkflowExecution(Command, frozen=True):
    """Send a signal to another execution."""

    workflow_id: str
    name: str
    run_id: str = ""
    input: Payloads = ()
    header: dict[str, Payload] = {}
    child_only: bool = False


class RequestCancelExternalWorkflowExecution(Command, frozen=True):
    """Ask another execution to cancel itself."""

    workflow_id: str
    run_id: str = ""
    child_only: bool = False
    reason: str = ""


class RecordMarker(Command, frozen=True):
    """Keep a value for replays; fields as in `monkit_workflow.history.MarkerRecorded`."""

    name: str
    key: str = ""
    version: int | None = None
    count: int | None = None
    activity_type: str = ""
    attempt: int = 1
    value: Payload | None = None
    failure: Failure | None = None


class UpsertSearchAttributes(Command, frozen=True):
    """Change search attributes."""

    attributes: dict[str, Payload]


class ModifyWorkflowProperties(Command, frozen=True):
    """Change the memo."""

    memo: dict[str, Payload]


class AcceptUpdate(Command, frozen=True):
    """An update passed its validator."""

    update_id: str
    name: str = ""
    input: Payloads = ()
    header: dict[str, Payload] = {}


class RejectUpdate(Command, frozen=True):
    """An update did not; nothing of it is recorded."""

    update_id: str
    failure: Failure


class CompleteUpdate(Command, frozen=True):
    """The handler of an accepted update ended."""

    update_id: str
    result: Payload | None = None
    failure: Failure | None = None


class CompleteWorkflowExecution(Command, frozen=True):
    """The main function returned."""

    result: Payload | None = None


class FailWorkflowExecution(Command, frozen=True):
    """The main function raised a failure."""

    failure: Failure


class CancelWorkflowExecution(Command, frozen=True):
    """The run ends by the cancellation that was asked for."""

    details: Payloads = ()


class ContinueAsNewWorkflowExecution(Command, frozen=True):
    """End this run and start the next one of the same workflow id."""

    workflow_type: str
    task_queue: str = ""
    input: Payloads = ()
    timeout_ns: int = 0
    task_timeout_ns: int = 0
    memo: dict[str, Payload] | None = None
    search_attributes: dict[str, Payload] | None = None
    header: dict[str, Payload] = {}


CLOSING_COMMANDS = (
    CompleteWorkflowExecution,
    FailWorkflowExecution,
    CancelWorkflowExecution,
    ContinueAsNewWorkflowExecution,
)
"""Commands that end the run; the last of an answer if there is one."""
