"""What workflow code may know of its own run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monkit_workflow.history import WorkflowExecutionStarted

__all__ = ["WorkflowInfo", "moment"]


def moment(time_ns: int) -> datetime:
    """*time_ns* since the epoch as a datetime in UTC, to the microsecond."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """Facts of a run that are the same in every replay."""

    namespace: str
    workflow_id: str
    run_id: str
    """The id that the run began with."""
    first_run_id: str
    """The first run of the chain that continued as new into this one."""
    workflow_type: str
    task_queue: str
    attempt: int
    started_at: datetime
    timeout: timedelta | None
    parent_workflow_id: str | None
    cron: str
    continued: bool
    """Whether an earlier run continued as this one."""


def info_of(event: WorkflowExecutionStarted, namespace: str, workflow_id: str, run_id: str) -> WorkflowInfo:
    """What the first event says; *run_id* stands in where it names none."""
    own = event.run_id or run_id
    return WorkflowInfo(
        namespace=namespace,
        workflow_id=workflow_id,
        run_id=own,
        first_run_id=event.first_run_id or own,
        workflow_type=event.workflow_type,
        task_queue=event.task_queue,
        attempt=event.attempt,
        started_at=moment(event.time_ns),
        timeout=timedelta(microseconds=event.timeout_ns // 1000) if event.timeout_ns else None,
        parent_workflow_id=event.parent_workflow_id or None,
        cron=event.cron,
        continued=bool(event.continued_run_id),
    )
