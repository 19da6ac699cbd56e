"""Runs as clients see them in lists and descriptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monkit_workflow.failures import decode_any
from monkit_workflow.info import moment
from monkit_workflow.payload import Failure
from monkit_workflow.search_attributes import SearchValue, decode_attributes
from monkit_workflow.service import Description, Listed, PendingActivity, Status

if TYPE_CHECKING:
    from monkit_workflow.client import Client
    from monkit_workflow.handles import WorkflowHandle

__all__ = ["ActivityState", "RunDescription", "RunSummary", "description", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run in a list. Times are in UTC."""

    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: Status
    started_at: datetime
    begins_at: datetime
    """When its code begins: later than the start if it waits for its schedule, or is another attempt."""
    closed_at: datetime | None
    history_length: int
    history_bytes: int
    parent_workflow_id: str | None
    parent_run_id: str | None
    memo: dict[str, Any]
    """Without types: plain JSON. A value that the client's converter does not know is the payload."""
    search_attributes: dict[str, SearchValue]
    _client: Client = field(repr=False, compare=False)

    def handle(self) -> WorkflowHandle[Any]:
        """A handle of this run."""
        return self._client.handle(self.workflow_id, run_id=self.run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityState:
    """An activity that has not ended. Times are in UTC, ``None`` for not yet."""

    activity_id: str
    activity_type: str
    attempt: int
    state: str
    """``scheduled``, ``started`` or ``cancel_requested``."""
    scheduled_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    heartbeat_details: tuple[Any, ...]
    last_failure: Failure | None
    """Why the attempt before failed."""
    identity: str
    """Of the worker that has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDescription(RunSummary):
    """What the service knows of a run."""

    pending_activities: tuple[ActivityState, ...]
    pending_children: tuple[str, ...]
    """Workflow ids of children that have not ended."""
    task_attempt: int
    """Attempts of the workflow task that is due or runs, 0 if there is none."""
    task_failure: Failure | None
    """Why the last attempt of that task failed."""


def summary(client: Client, listed: Listed) -> RunSummary:
    """What a list says."""
    return RunSummary(**_common(client, listed))


def description(client: Client, found: Description) -> RunDescription:
    """What `Service.describe` says."""
    return RunDescription(
        pending_activities=tuple(_activity(client, item) for item in found.pending_activities),
        pending_children=found.pending_children,
        task_attempt=found.task_attempt,
        task_failure=found.task_failure,
        **_common(client, found),
    )


def _common(client: Client, listed: Listed) -> dict[str, Any]:
    return {
        "workflow_id": listed.workflow_id,
        "run_id": listed.run_id,
        "workflow_type": listed.workflow_type,
        "task_queue": listed.task_queue,
        "status": listed.status,
        "started_at": moment(listed.started_ns),
        "begins_at": moment(listed.begins_ns),
        "closed_at": _moment(listed.closed_ns),
        "history_length": listed.history_length,
        "history_bytes": listed.history_bytes,
        "parent_workflow_id": listed.parent_workflow_id or None,
        "parent_run_id": listed.parent_run_id or None,
        "memo": {key: decode_any(client.converter, payload) for key, payload in listed.memo.items()},
        "search_attributes": decode_attributes(listed.search_attributes),
        "_client": client,
    }


def _activity(client: Client, item: PendingActivity) -> ActivityState:
    return ActivityState(
        activity_id=item.activity_id,
        activity_type=item.activity_type,
        attempt=item.attempt,
        state=item.state,
        scheduled_at=moment(item.scheduled_ns),
        started_at=_moment(item.started_ns),
        heartbeat_at=_moment(item.heartbeat_ns),
        heartbeat_details=tuple(decode_any(client.converter, payload) for payload in item.heartbeat_details),
        last_failure=item.last_failure,
        identity=item.identity,
    )


def _moment(time_ns: int) -> datetime | None:
    return moment(time_ns) if time_ns else None
