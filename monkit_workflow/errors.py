"""Errors of durable workflows, by who can act.

`FailureError`: an outcome, recorded in history; the code that awaits it decides.
`ServiceError`: a request failed; ``retryable`` says whether the same one may succeed later.
`WorkerError`: this worker cannot go on with a run; somebody has to mend and deploy.
"""

from __future__ import annotations

from typing import Any, ClassVar

from monkit_workflow.payload import Failure, TimeoutKind

__all__ = [
    "ActivityFailure",
    "AlreadyClosed",
    "AlreadyStarted",
    "ApplicationFailure",
    "BadQuery",
    "BadRequest",
    "CancelledFailure",
    "ChildAlreadyStarted",
    "ChildFailure",
    "ContinueAsNew",
    "ConversionError",
    "Deadlock",
    "FailureError",
    "GuardError",
    "HistoryFormatError",
    "MissingTimeout",
    "Nondeterminism",
    "NotFound",
    "NotRegistered",
    "QueryFailed",
    "ResourceExhausted",
    "ServiceError",
    "StoreError",
    "TerminatedFailure",
    "TimeoutFailure",
    "Unavailable",
    "UpdateFailed",
    "UpdateRejected",
    "WorkerError",
    "WorkflowError",
    "WorkflowFailed",
]


class WorkflowError(Exception):
    """Base of all errors of `monkit_workflow`."""


class FailureError(WorkflowError):
    """An outcome that history records. ``failure`` is the record it came from, ``None`` if it was raised here."""

    failure: Failure | None = None


class ApplicationFailure(FailureError):
    """What the program's own code fails with.

    ``type`` is the name that retry policies and other languages compare, by
    default that of the class; ``details`` are values for whoever handles it;
    with ``non_retryable`` no further attempt is made.
    """

    def __init__(
        self, message: str = "", *details: object, type: str | None = None, non_retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type if type is not None else self.__class__.__name__
        self.details: tuple[Any, ...] = details
        self.non_retryable = non_retryable

    @property
    def monkit_error_name(self) -> str:
        """The name under which monitored functions count it: its type."""
        return self.type


class CancelledFailure(FailureError):
    """Something was cancelled as it was asked to."""

    def __init__(self, message: str = "cancelled", *details: object) -> None:
        super().__init__(message)
        self.details: tuple[Any, ...] = details


class TerminatedFailure(FailureError):
    """Somebody ended the run without asking it."""


class TimeoutFailure(FailureError):
    """A time-out ran out; ``kind`` says which, ``details`` are those of the last heartbeat."""

    def __init__(self, message: str, kind: TimeoutKind, *details: object) -> None:
        super().__init__(message)
        self.kind: TimeoutKind = kind
        self.details: tuple[Any, ...] = details


class ActivityFailure(FailureError):
    """An activity did not return; ``__cause__`` says why."""

    def __init__(self, message: str, activity_type: str, activity_id: str) -> None:
        super().__init__(message)
        self.activity_type = activity_type
        self.activity_id = activity_id


class ChildFailure(FailureError):
    """A child workflow did not return; ``__cause__`` says why."""

    def __init__(self, message: str, workflow_type: str, workflow_id: str, run_id: str) -> None:
        super().__init__(message)
        self.workflow_type = workflow_type
        self.workflow_id = workflow_id
        self.run_id = run_id


class ChildAlreadyStarted(FailureError):
    """A child's workflow id is taken, by an open run or one that its reuse policy protects."""

    def __init__(self, message: str, workflow_type: str, workflow_id: str) -> None:
        super().__init__(message)
        self.workflow_type = workflow_type
        self.workflow_id = workflow_id


class WorkflowFailed(WorkflowError):
    """What ``handle.result()`` raises; ``__cause__`` is the failure."""

    def __init__(self, message: str, workflow_id: str, run_id: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.run_id = run_id


class UpdateFailed(WorkflowError):
    """An accepted update did not return; ``__cause__`` is the failure."""

    def __init__(self, message: str, workflow_id: str, update_id: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.update_id = update_id


class ContinueAsNew(BaseException):
    """Raised by ``workflow.continue_as_new``; no `Exception`, so that no handler swallows it."""

    def __init__(self, args: tuple[object, ...], options: dict[str, Any]) -> None:
        super().__init__("continue as new")
        self.arguments = args
        self.options = options


def continuation(error: BaseException) -> ContinueAsNew | None:
    """The wish to continue as new that *error* is or holds."""
    if isinstance(error, ContinueAsNew):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for leaf in error.exceptions if (found := continuation(leaf)) is not None), None)
    return None


class ServiceError(WorkflowError):
    """A request to a service failed."""

    retryable: ClassVar[bool] = False


class NotFound(ServiceError):
    """There is no such execution."""


class AlreadyStarted(ServiceError):
    """The workflow id is taken; ``run_id`` is the run that has it."""

    def __init__(self, message: str, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class AlreadyClosed(ServiceError):
    """The run is over and takes nothing any more."""


class BadRequest(ServiceError):
    """The service understands the request, and it makes no sense; the message says why."""


class BadQuery(ServiceError):
    """A filter of a list cannot be read; ``position`` is the character, from 1, where another one was wanted."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem, position)
        self.problem = problem
        self.position = position

    def __str__(self) -> str:
        return f"character {self.position} of the filter: {self.problem}"


class QueryFailed(ServiceError):
    """The query's handler raised, or there is none of that name; ``failure`` is what the worker said of it."""

    failure: Failure | None = None


class UpdateRejected(ServiceError):
    """The workflow refused the update, which left no trace; ``__cause__`` says why.

    ``failure`` is the record that it was refused with.
    """

    failure: Failure | None = None


class Unavailable(ServiceError):
    """The service cannot be reached or is closed."""

    retryable = True


class ResourceExhausted(ServiceError):
    """A limit of the service is reached."""

    retryable = True


class StoreError(ServiceError):
    """The file cannot be used or could not be written; nothing that was acknowledged is lost."""


class WorkerError(WorkflowError):
    """This worker cannot go on with a run: the task fails, the run waits for a mended worker."""


class Nondeterminism(WorkerError):
    """The code did something else than what its history records.

    ``event_id`` is the event at which they part, ``history`` says what is
    recorded there and ``code`` what the code did.
    """

    def __init__(self, event_id: int, history: str, code: str, advice: str = "") -> None:
        super().__init__(event_id, history, code, advice)
        self.event_id = event_id
        self.history = history
        self.code = code
        self.advice = advice

    def __str__(self) -> str:
        return (
            f"the workflow's code does not follow its history at event {self.event_id}: "
            f"history has {self.history}, the code {self.code}. {self.advice}".rstrip()
        )


class NotRegistered(WorkerError):
    """The worker knows no workflow or activity of that name."""


class ConversionError(WorkerError):
    """A value cannot be encoded, or a payload does not fit the annotated type."""


class GuardError(WorkerError):
    """Workflow code called something whose result differs from replay to replay; the message names what to call."""


class Deadlock(WorkerError):
    """Workflow code did not give control back."""


class MissingTimeout(WorkerError):
    """A required time-out was not given."""


class HistoryFormatError(WorkflowError, ValueError):
    """A history file cannot be read.

    ``index`` is the place of the event in the file, from 0, and ``event_id``
    what the event says its id is, both ``None`` where the file as a whole is
    wrong; ``field`` is the path of the field inside the event.
    """

    def __init__(self, problem: str, index: int | None = None, event_id: int | None = None, field: str = "") -> None:
        super().__init__(problem, index, event_id, field)
        self.problem = problem
        self.index = index
        self.event_id = event_id
        self.field = field

    def __str__(self) -> str:
        if self.index is None:
            return self.problem
        number = "no id" if self.event_id is None else f"id {self.event_id}"
        field = f", field {self.field}" if self.field else ""
        return f"event at index {self.index} ({number}){field}: {self.problem}"
