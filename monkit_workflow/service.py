"""What the framework needs of a service: one protocol, spoken in neutral records.

Implementations are SQLite in the process and the bindings to servers. Every
method may raise a `monkit_workflow.errors.ServiceError`. Tokens are opaque.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from monkit_workflow.commands import Command
from monkit_workflow.history import Event, IdReuse
from monkit_workflow.payload import Failure, Payload, Payloads, RetryPolicy

__all__ = [
    "ActivityIds",
    "ActivityName",
    "ActivityTask",
    "Description",
    "Listed",
    "Page",
    "PendingActivity",
    "Query",
    "QueryRequest",
    "ResetRequest",
    "Service",
    "SignalRequest",
    "StartRequest",
    "Status",
    "Update",
    "UpdateOutcome",
    "UpdateRequest",
    "WorkflowTask",
]

Status = Literal["running", "completed", "failed", "canceled", "terminated", "timed_out", "continued_as_new"]


class StartRequest(Struct, frozen=True, kw_only=True):
    """Start an execution. ``request_id`` makes a repeated request harmless: the same id starts once."""

    workflow_id: str
    workflow_type: str
    task_queue: str
    timeout_ns: int
    request_id: str
    input: Payloads = ()
    task_timeout_ns: int = 10_000_000_000
    id_reuse: IdReuse = "failed_only"
    retry: RetryPolicy | None = None
    """Whether a run that failed or timed out is followed by another attempt."""
    cron: str = ""
    """A schedule, see `monkit_workflow.cron`: each run is followed by one at the next time."""
    memo: dict[str, Payload] = {}
    search_attributes: dict[str, Payload] = {}
    """See `monkit_workflow.search_attributes`."""
    header: dict[str, Payload] = {}
    identity: str = ""


class SignalRequest(Struct, frozen=True, kw_only=True):
    """Send a signal; an empty ``run_id`` means the current run. The same ``request_id`` is delivered once."""

    workflow_id: str
    name: str
    request_id: str
    run_id: str = ""
    input: Payloads = ()
    header: dict[str, Payload] = {}
    identity: str = ""


class QueryRequest(Struct, frozen=True, kw_only=True):
    """Ask a run, open or closed; an empty ``run_id`` means the current or last one."""

    workflow_id: str
    name: str
    run_id: str = ""
    input: Payloads = ()
    header: dict[str, Payload] = {}


class UpdateRequest(Struct, frozen=True, kw_only=True):
    """Have a run change its state and answer; an empty ``run_id`` means the current run.

    The same ``update_id`` runs once in a run; asked again, it waits for the same outcome.
    """

    workflow_id: str
    name: str
    update_id: str
    run_id: str = ""
    input: Payloads = ()
    header: dict[str, Payload] = {}
    identity: str = ""
    wait: Literal["accepted", "completed"] = "completed"


class UpdateOutcome(Struct, frozen=True, kw_only=True):
    """What an accepted update ended with."""

    result: Payload | None = None
    failure: Failure | None = None


class ResetRequest(Struct, frozen=True, kw_only=True):
    """Take a run back to the workflow task that ended with *event_id*; an empty ``run_id`` means the latest run."""

    workflow_id: str
    event_id: int
    request_id: str
    run_id: str = ""
    reason: str = ""
    reapply_signals: bool = True
    """Whether signals that came after that point come again."""
    identity: str = ""


class PendingActivity(Struct, frozen=True, kw_only=True):
    """An activity that has not ended."""

    activity_id: str
    activity_type: str
    attempt: int
    state: Literal["scheduled", "started", "cancel_requested"]
    scheduled_ns: int
    started_ns: int = 0
    heartbeat_ns: int = 0
    heartbeat_details: Payloads = ()
    last_failure: Failure | None = None
    identity: str = ""


class Listed(Struct, frozen=True, kw_only=True):
    """What lists say of a run. Times are nanoseconds since the epoch, 0 for not yet."""

    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: Status
    started_ns: int
    begins_ns: int
    """When its first task was or is due: later than the start if a schedule or another attempt waits."""
    closed_ns: int = 0
    history_length: int
    history_bytes: int = 0
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    memo: dict[str, Payload] = {}
    search_attributes: dict[str, Payload] = {}


class Page(Struct, frozen=True, kw_only=True):
    """A part of a list; ``next_token`` asks for the next one, empty at the end."""

    runs: tuple[Listed, ...]
    next_token: str = ""


class Description(Listed, frozen=True, kw_only=True):
    """What a service knows of one run."""

    pending_activities: tuple[PendingActivity, ...] = ()
    pending_children: tuple[str, ...] = ()
    """Workflow ids of children that have not ended."""
    task_attempt: int = 0
    """Attempts of the workflow task that is due or runs, 0 if there is none."""
    task_failure: Failure | None = None
    """Why the last attempt of that task failed."""


class Query(Struct, frozen=True, kw_only=True):
    """A question to a run."""

    name: str
    input: Payloads = ()
    header: dict[str, Payload] = {}


class Update(Struct, frozen=True, kw_only=True):
    """An update that no history has yet: the code says in its answer whether it accepts it."""

    update_id: str
    name: str
    input: Payloads = ()
    header: dict[str, Payload] = {}


class WorkflowTask(Struct, frozen=True, kw_only=True):
    """News for the code of one run, or a query.

    ``events`` go up to the `WorkflowTaskStarted` that is this task. They may
    begin after 1 when this worker is thought to hold the run; a worker that
    does not asks for the `history` from 1. A task with a query has no events
    to act on: the run's state is that after the last completed task.
    """

    token: str
    workflow_id: str
    run_id: str
    workflow_type: str
    events: tuple[Event, ...] = ()
    attempt: int = 1
    timeout_ns: int = 10_000_000_000
    query: Query | None = None
    updates: tuple[Update, ...] = ()


class ActivityTask(Struct, frozen=True, kw_only=True):
    """One attempt of an activity. Its start is recorded before anybody gets this."""

    token: str
    workflow_id: str
    run_id: str
    workflow_type: str
    activity_id: str
    activity_type: str
    task_queue: str
    input: Payloads = ()
    header: dict[str, Payload] = {}
    attempt: int = 1
    scheduled_ns: int = 0
    """When the first attempt was scheduled."""
    started_ns: int = 0
    schedule_to_close_ns: int = 0
    start_to_close_ns: int = 0
    heartbeat_ns: int = 0
    heartbeat_details: Payloads = ()
    """Those of the attempt before."""


class ActivityIds(Struct, frozen=True, kw_only=True):
    """Names the open attempt of an activity where there is no token; an empty ``run_id`` means the current run."""

    workflow_id: str
    activity_id: str
    run_id: str = ""


ActivityName = str | ActivityIds
"""The token of an attempt, or the ids of its activity."""


class Service(Protocol):
    """One namespace of a service."""

    namespace: str

    # For clients.

    async def start(self, request: StartRequest) -> str:
        """Start an execution and return its run id.

        Raises:
            AlreadyStarted: the workflow id is taken, as ``id_reuse`` sees it.
        """
        ...

    async def signal_with_start(self, start: StartRequest, signal: SignalRequest) -> str:
        """Signal the run of that id, after starting it if none is open, as one step; return its run id.

        Raises:
            AlreadyStarted: none is open, and ``id_reuse`` protects the last one.
        """
        ...

    async def signal(self, request: SignalRequest) -> None:
        """Deliver a signal: it will be seen, also when the worker is dead now.

        Raises:
            NotFound: there is no such execution.
            AlreadyClosed: the run is over.
        """
        ...

    async def query(self, request: QueryRequest) -> Payload | None:
        """Ask a worker about a run, and wait for the answer.

        Raises:
            NotFound: there is no such execution.
            QueryFailed: the handler failed, or there is none.
        """
        ...

    async def update(self, request: UpdateRequest) -> UpdateOutcome | None:
        """Wait until a run has accepted an update (``None`` if it goes on then), or has completed it.

        Raises:
            NotFound: there is no such execution.
            AlreadyClosed: the run is over, or ended before the update did.
            UpdateRejected: the code refused it, and it left no trace; ``__cause__`` may be a failure.
        """
        ...

    async def cancel(self, workflow_id: str, run_id: str = "", reason: str = "", identity: str = "") -> None:
        """Ask a run to cancel itself; asked again it is nothing new. Raises as `signal`."""
        ...

    async def terminate(self, workflow_id: str, run_id: str = "", reason: str = "", identity: str = "") -> None:
        """End a run without asking it. Raises as `signal`."""
        ...

    async def reset(self, request: ResetRequest) -> str:
        """Begin a new run from an earlier point of one, terminate the open one, and return the new run id.

        Raises:
            NotFound: there is no such execution.
            BadRequest: there is no such point.
        """
        ...

    async def describe(self, workflow_id: str, run_id: str = "") -> Description:
        """What is known of a run.

        Raises:
            NotFound: there is no such execution.
        """
        ...

    async def list_workflows(self, query: str = "", page_size: int = 100, page_token: str = "") -> Page:
        """A page of the runs that a filter lets through, the newest start first.

        What was acknowledged before is seen. Runs that start or end meanwhile
        make no page skip or repeat another one.

        Args:
            query: see `monkit_workflow.filters`; empty lets all through.
            page_size: runs at most; a service may give fewer, and a page that is not the last.
            page_token: ``next_token`` of the page before.

        Raises:
            BadQuery: the filter cannot be read, or names what is not there.
            BadRequest: the size is not positive, or the token is none.
        """
        ...

    async def count_workflows(self, query: str = "") -> int:
        """How many runs a filter lets through. Raises as `list_workflows`."""
        ...

    async def history(self, workflow_id: str, run_id: str = "", first: int = 1) -> list[Event]:
        """The committed events of a run from the *first*. Raises as `describe`."""
        ...

    async def wait_closed(self, workflow_id: str, run_id: str = "") -> Event:
        """Wait until a run has ended, and return its last event. Raises as `describe`."""
        ...

    # For workers.

    async def poll_workflow_task(self, queue: str, identity: str) -> WorkflowTask | None:
        """Wait for a workflow task or a query; ``None`` when it is time to ask again or to stop."""
        ...

    async def complete_workflow_task(self, token: str, commands: list[Command], behaviour: int) -> bool:
        """Answer a workflow task. The events are durable on return.

        Returns:
            False if there are none: the task came for updates and all were refused.

        Raises:
            NotFound: the task is no longer this worker's: it timed out, or the run has ended.
        """
        ...

    async def extend_workflow_task(self, token: str, commands: list[Command], behaviour: int) -> WorkflowTask:
        """Answer a workflow task of whose answer more is to come; the next task is this worker's at once.

        Raises as above, also when the answer was refused.
        """
        ...

    async def fail_workflow_task(self, token: str, failure: Failure) -> None:
        """Say that the code cannot go on; the task is offered again, later and later. Raises as above."""
        ...

    async def answer_query(self, token: str, result: Payload | None, failure: Failure | None = None) -> None:
        """Answer a query. Raises as above."""
        ...

    async def poll_activity_task(self, queue: str, identity: str) -> ActivityTask | None:
        """Wait for an attempt; ``None`` when it is time to ask again or to stop."""
        ...

    async def complete_activity(self, attempt: ActivityName, result: Payload | None) -> None:
        """The activity returned.

        Raises:
            NotFound: the attempt is no longer open.
        """
        ...

    async def fail_activity(self, attempt: ActivityName, failure: Failure) -> None:
        """The activity raised; its retry policy decides what follows. Raises as above."""
        ...

    async def cancel_activity(self, attempt: ActivityName, details: Payloads = ()) -> None:
        """The activity ended by the cancellation that was asked for. Raises as above."""
        ...

    async def heartbeat(self, attempt: ActivityName, details: Payloads = ()) -> bool:
        """Show that an attempt lives; true if it shall be cancelled. Raises as above."""
        ...

    async def leave_open(self, token: str) -> None:
        """The worker is done with an attempt that somebody else will end: its death does not. Raises as above."""
        ...

    async def stop_polling(self, identity: str) -> None:
        """End the polls of one worker with ``None``; what was handed over already is returned by them."""
        ...

    async def __aenter__(self) -> Service:
        """Open what has to be opened."""
        ...

    async def __aexit__(self, *exc: object) -> None:
        """Close it; open polls end."""
        ...
