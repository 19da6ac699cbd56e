"""The table of events that Temporal's and Cadence's history files have in common.

It is written once, in Temporal's names; a `Dialect` says how a file spells a
name and how it writes a value. A row is the event's class and, for each of its
fields, a column: what reads the field from the event's attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any, Protocol

from monkit_workflow import history
from monkit_workflow.foreign import Fields
from monkit_workflow.history import Event, IdReuse, ParentClose
from monkit_workflow.payload import Failure, Payload, Payloads, RetryPolicy, TimeoutKind

__all__ = [
    "TIMEOUTS",
    "Column",
    "Dialect",
    "Row",
    "Table",
    "attributes_at",
    "common_table",
    "make_event",
    "scheduled_activity",
    "timeout_kind",
]

Column = Callable[[Fields], Any]
Row = tuple[type[Event], dict[str, Column]]
Table = dict[str, Row]

TIMEOUTS: dict[str, TimeoutKind] = {
    "starttoclose": "start_to_close",
    "scheduletostart": "schedule_to_start",
    "scheduletoclose": "schedule_to_close",
    "heartbeat": "heartbeat",
}
_ID_REUSE: dict[str, IdReuse] = {
    "allowduplicate": "allow",
    "allowduplicatefailedonly": "failed_only",
    "rejectduplicate": "reject",
    "terminateifrunning": "terminate",
}
_PARENT_CLOSE: dict[str, ParentClose] = {"terminate": "terminate", "requestcancel": "cancel", "abandon": "abandon"}
_CAUSES = {
    "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND": "not_found",
    "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION": "not_found",
    "WORKFLOW_ALREADY_EXISTS": "already_started",
    "WORKFLOW_ALREADY_RUNNING": "already_started",
}


class Dialect(Protocol):
    """How one kind of file writes what is in the table; names are Temporal's."""

    id_reuse: IdReuse
    """The reuse policy of a child that names none."""

    def key(self, name: str) -> str:
        """The file's key for *name*."""

    def duration(self, fields: Fields, name: str) -> int:
        """Nanoseconds."""

    def moment(self, fields: Fields, name: str) -> int:
        """Nanoseconds since the epoch, 0 for none."""

    def attempt(self, fields: Fields) -> int:
        """Number of the attempt, from 1."""

    def payload(self, fields: Fields, key: str) -> Payload | None:
        """One value that a function returned."""

    def payloads(self, fields: Fields, key: str) -> Payloads:
        """The values that a function is called with."""

    def payload_map(self, fields: Fields, key: str) -> dict[str, Payload]:
        """Values by name."""

    def failure(self, fields: Fields, name: str) -> Failure | None:
        """How something ended, if it ended badly."""

    def retry(self, fields: Fields) -> RetryPolicy | None:
        """The event's retry policy."""


def make_event(fields: Fields, row: Row, time_ns: int, key: str) -> Event:
    """The event of *row* that *fields* tell, whose attributes are at *key*.

    Raises:
        HistoryFormatError: it has no attributes, or one of them cannot be read.
    """
    attributes = attributes_at(fields, key)
    kind, columns = row
    values = {name: read(attributes) for name, read in columns.items()}
    return kind(id=fields.integer("eventId"), time_ns=time_ns, **values)


def attributes_at(fields: Fields, key: str) -> Fields:
    """The event's attributes; even an event without any has an empty object there.

    Raises:
        HistoryFormatError: there is nothing at *key*.
    """
    if fields.get(key) is None:
        raise fields.bad(key, None, "the attributes of the event; the file may be cut or shortened")
    return fields.at(key)


def timeout_kind(fields: Fields, key: str, default: TimeoutKind = "start_to_close") -> TimeoutKind:
    """The kind of time-out that is named at *key*."""
    return fields.enum(key, TIMEOUTS, "timeouttype", default)


def _cause(default: str) -> Column:
    """Why the service refused, in our words where we have one."""

    def read(fields: Fields) -> str:
        name = fields.text("cause").rpartition("FAILED_CAUSE_")[2]
        return _CAUSES.get(name) or _CAUSES.get(_screaming(name)) or _screaming(name).lower() or default

    return read


def _screaming(name: str) -> str:
    """*name* in SCREAMING_SNAKE_CASE; files spell enumerations in that or in CamelCase."""
    if "_" in name or name.isupper():
        return name
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name).lstrip("_")


class _Columns:
    """Makers of columns for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.identity = self.text("identity")
        self.task_completed = self.number("workflowTaskCompletedEventId")
        self.input = self.payloads("input")
        self.queue = self.text("taskQueue.name")
        self.header = self.payload_map("header.fields")
        self.memo = self.payload_map("memo.fields")
        self.search = self.payload_map("searchAttributes.indexedFields")
        self.run_id = self.text("workflowExecution.runId")
        self.workflow_id = self.text("workflowExecution.workflowId")
        self.type = self.text("workflowType.name")

    def text(self, name: str) -> Column:
        return methodcaller("text", self.dialect.key(name))

    def number(self, name: str) -> Column:
        return methodcaller("integer", self.dialect.key(name))

    def duration(self, name: str) -> Column:
        return lambda fields: self.dialect.duration(fields, name)

    def payload(self, name: str) -> Column:
        return lambda fields: self.dialect.payload(fields, name)

    def payloads(self, name: str) -> Column:
        return lambda fields: self.dialect.payloads(fields, name)

    def payload_map(self, name: str) -> Column:
        return lambda fields: self.dialect.payload_map(fields, name)

    def failure(self, name: str) -> Column:
        return lambda fields: self.dialect.failure(fields, name)

    def failed(self) -> Column:
        return lambda fields: self.dialect.failure(fields, "failure") or Failure(type=fields.text("cause"))


def common_table(dialect: Dialect) -> Table:
    """The rows by Temporal's name of the event, for a file in *dialect*."""
    columns = _Columns(dialect)
    return {
        row[0].__name__: row
        for rows in (_started, _closed, _tasks, _activities, _timers, _children, _child_ends, _external)
        for row in rows(columns)
    }


def _started(c: _Columns) -> list[Row]:
    columns: dict[str, Column] = {
        "workflow_type": c.type,
        "task_queue": c.queue,
        "input": c.input,
        "timeout_ns": c.duration("workflowRunTimeout"),
        "task_timeout_ns": c.duration("workflowTaskTimeout"),
        "run_id": c.text("originalExecutionRunId"),
        "first_run_id": c.text("firstExecutionRunId"),
        "continued_run_id": c.text("continuedExecutionRunId"),
        "parent_workflow_id": c.text("parentWorkflowExecution.workflowId"),
        "parent_run_id": c.text("parentWorkflowExecution.runId"),
        "parent_initiated_id": c.number("parentInitiatedEventId"),
        "attempt": c.dialect.attempt,
        "retry": c.dialect.retry,
        "retry_expires_ns": lambda fields: c.dialect.moment(fields, "workflowExecutionExpirationTime"),
        "cron": c.text("cronSchedule"),
        "first_task_delay_ns": c.duration("firstWorkflowTaskBackoff"),
        "last_result": c.payload("lastCompletionResult"),
        "last_failure": c.failure("continuedFailure"),
        "memo": c.memo,
        "search_attributes": c.search,
        "header": c.header,
        "identity": c.identity,
    }
    cancel: dict[str, Column] = {
        "reason": c.text("cause"),
        "identity": c.identity,
        "external_initiated_id": c.number("externalInitiatedEventId"),
        "external_workflow_id": c.text("externalWorkflowExecution.workflowId"),
        "external_run_id": c.text("externalWorkflowExecution.runId"),
    }
    signal = {"name": c.text("signalName"), "input": c.input, "header": c.header, "identity": c.identity}
    return [
        (history.WorkflowExecutionStarted, columns),
        (history.WorkflowExecutionCancelRequested, cancel),
        (history.WorkflowExecutionSignaled, signal),
        (
            history.UpsertWorkflowSearchAttributes,
            {"attributes": c.search, "task_completed_id": c.task_completed},
        ),
    ]


def _closed(c: _Columns) -> list[Row]:
    next_run = c.text("newExecutionRunId")
    continued = {
        "workflow_type": c.type,
        "new_run_id": next_run,
        "task_queue": c.queue,
        "input": c.input,
        "timeout_ns": c.duration("workflowRunTimeout"),
        "task_timeout_ns": c.duration("workflowTaskTimeout"),
        "delay_ns": c.duration("backoffStartInterval"),
        "task_completed_id": c.task_completed,
        "failure": c.failure("failure"),
        "last_result": c.payload("lastCompletionResult"),
        "memo": c.memo,
        "search_attributes": c.search,
        "header": c.header,
    }
    completed = {"result": c.payload("result"), "task_completed_id": c.task_completed, "next_run_id": next_run}
    failed = {"failure": c.failed(), "task_completed_id": c.task_completed, "next_run_id": next_run}
    return [
        (history.WorkflowExecutionCompleted, completed),
        (history.WorkflowExecutionFailed, failed),
        (history.WorkflowExecutionTimedOut, {"next_run_id": next_run}),
        (
            history.WorkflowExecutionCanceled,
            {"details": c.payloads("details"), "task_completed_id": c.task_completed},
        ),
        (
            history.WorkflowExecutionTerminated,
            {"reason": c.text("reason"), "details": c.payloads("details"), "identity": c.identity},
        ),
        (history.WorkflowExecutionContinuedAsNew, continued),
    ]


def _tasks(c: _Columns) -> list[Row]:
    scheduled = {"task_queue": c.queue, "timeout_ns": c.duration("startToCloseTimeout"), "attempt": c.dialect.attempt}
    ids = {"scheduled_id": c.number("scheduledEventId"), "started_id": c.number("startedEventId")}
    return [
        (history.WorkflowTaskScheduled, scheduled),
        (history.WorkflowTaskStarted, {"scheduled_id": ids["scheduled_id"], "identity": c.identity}),
        (history.WorkflowTaskCompleted, {**ids, "identity": c.identity}),
        (history.WorkflowTaskTimedOut, {**ids, "timeout": lambda fields: timeout_kind(fields, "timeoutType")}),
        (history.WorkflowTaskFailed, {**ids, "failure": c.failed(), "identity": c.identity}),
    ]


def _remembered_activity(fields: Fields) -> str:
    """The activity's id, which a later request to cancel it may name it by."""
    name = fields.text("activityId")
    fields.scan.scheduled[name] = fields.scan.event_id or 0
    return name


def scheduled_activity(fields: Fields) -> int:
    """Id of the event that scheduled the activity which is named by its own id.

    Raises:
        HistoryFormatError: no activity of that id was scheduled before.
    """
    name = fields.text("activityId")
    if name not in fields.scan.scheduled:
        raise fields.bad("activityId", name, "the id of an activity that an earlier event scheduled")
    return fields.scan.scheduled[name]


def _activities(c: _Columns) -> list[Row]:
    ids = {"scheduled_id": c.number("scheduledEventId"), "started_id": c.number("startedEventId")}
    scheduled: dict[str, Column] = {
        "activity_id": _remembered_activity,
        "activity_type": c.text("activityType.name"),
        "task_queue": c.queue,
        "input": c.input,
        "header": c.header,
        "schedule_to_close_ns": c.duration("scheduleToCloseTimeout"),
        "schedule_to_start_ns": c.duration("scheduleToStartTimeout"),
        "start_to_close_ns": c.duration("startToCloseTimeout"),
        "heartbeat_ns": c.duration("heartbeatTimeout"),
        "retry": c.dialect.retry,
        "task_completed_id": c.task_completed,
    }
    started = {
        "scheduled_id": ids["scheduled_id"],
        "attempt": c.dialect.attempt,
        "identity": c.identity,
        "last_failure": c.failure("lastFailure"),
    }
    cancel = {
        "scheduled_id": ids["scheduled_id"],
        "activity_id": c.text("activityId"),
        "task_completed_id": c.task_completed,
    }
    return [
        (history.ActivityTaskScheduled, scheduled),
        (history.ActivityTaskStarted, started),
        (history.ActivityTaskCompleted, {**ids, "result": c.payload("result"), "identity": c.identity}),
        (history.ActivityTaskFailed, {**ids, "failure": c.failed(), "identity": c.identity}),
        (history.ActivityTaskCancelRequested, cancel),
        (history.ActivityTaskCanceled, {**ids, "details": c.payloads("details"), "identity": c.identity}),
    ]


def _timers(c: _Columns) -> list[Row]:
    timer, started = c.text("timerId"), c.number("startedEventId")
    duration = c.duration("startToFireTimeout")
    return [
        (
            history.TimerStarted,
            {"timer_id": timer, "duration_ns": duration, "task_completed_id": c.task_completed},
        ),
        (history.TimerFired, {"timer_id": timer, "started_id": started}),
        (
            history.TimerCanceled,
            {"timer_id": timer, "started_id": started, "task_completed_id": c.task_completed},
        ),
    ]


def _children(c: _Columns) -> list[Row]:
    initiated: dict[str, Column] = {
        "workflow_id": c.text("workflowId"),
        "workflow_type": c.type,
        "namespace": c.text("namespace"),
        "task_queue": c.queue,
        "input": c.input,
        "timeout_ns": c.duration("workflowRunTimeout"),
        "task_timeout_ns": c.duration("workflowTaskTimeout"),
        "parent_close": methodcaller("enum", "parentClosePolicy", _PARENT_CLOSE, "parentclosepolicy", "terminate"),
        "id_reuse": methodcaller(
            "enum", "workflowIdReusePolicy", _ID_REUSE, "workflowidreusepolicy", c.dialect.id_reuse
        ),
        "retry": c.dialect.retry,
        "cron": c.text("cronSchedule"),
        "memo": c.memo,
        "search_attributes": c.search,
        "header": c.header,
        "task_completed_id": c.task_completed,
    }
    failed = {
        "initiated_id": c.number("initiatedEventId"),
        "workflow_id": c.text("workflowId"),
        "workflow_type": c.type,
        "cause": _cause("already_started"),
    }
    started = {
        "initiated_id": c.number("initiatedEventId"),
        "workflow_id": c.workflow_id,
        "run_id": c.run_id,
        "workflow_type": c.type,
    }
    return [
        (history.StartChildWorkflowExecutionInitiated, initiated),
        (history.StartChildWorkflowExecutionFailed, failed),
        (history.ChildWorkflowExecutionStarted, started),
    ]


def _child_ends(c: _Columns) -> list[Row]:
    ended = {
        "initiated_id": c.number("initiatedEventId"),
        "started_id": c.number("startedEventId"),
        "workflow_id": c.workflow_id,
        "run_id": c.run_id,
    }
    return [
        (history.ChildWorkflowExecutionCompleted, {**ended, "result": c.payload("result")}),
        (history.ChildWorkflowExecutionFailed, {**ended, "failure": c.failed()}),
        (history.ChildWorkflowExecutionCanceled, {**ended, "details": c.payloads("details")}),
        (history.ChildWorkflowExecutionTimedOut, ended),
        (history.ChildWorkflowExecutionTerminated, ended),
    ]


def _external(c: _Columns) -> list[Row]:
    request: dict[str, Column] = {
        "workflow_id": c.workflow_id,
        "run_id": c.run_id,
        "namespace": c.text("namespace"),
        "child_only": methodcaller("boolean", "childWorkflowOnly"),
        "task_completed_id": c.task_completed,
    }
    answer = {"initiated_id": c.number("initiatedEventId"), "workflow_id": c.workflow_id, "run_id": c.run_id}
    refused = {**answer, "cause": _cause("not_found")}
    signal = {**request, "name": c.text("signalName"), "input": c.input, "header": c.header}
    return [
        (history.SignalExternalWorkflowExecutionInitiated, signal),
        (history.SignalExternalWorkflowExecutionFailed, refused),
        (history.ExternalWorkflowExecutionSignaled, answer),
        (history.RequestCancelExternalWorkflowExecutionInitiated, {**request, "reason": c.text("reason")}),
        (history.RequestCancelExternalWorkflowExecutionFailed, refused),
        (history.ExternalWorkflowExecutionCancelRequested, answer),
    ]
