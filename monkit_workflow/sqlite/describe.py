"""A run's state as the service's answer to `describe`."""

from __future__ import annotations

from typing import Literal

from monkit_workflow.service import Description, PendingActivity
from monkit_workflow.sqlite.state import Activity, RunState

__all__ = ["describe"]


def describe(state: RunState) -> Description:
    """What is known of a run."""
    started, task = state.started, state.task
    return Description(
        workflow_id=state.workflow_id,
        run_id=state.run_id,
        workflow_type=started.workflow_type,
        task_queue=started.task_queue,
        status=state.status,
        started_ns=started.time_ns,
        begins_ns=started.time_ns + started.first_task_delay_ns,
        closed_ns=state.closing.time_ns if state.closing is not None else 0,
        history_length=state.length,
        history_bytes=state.bytes,
        parent_workflow_id=started.parent_workflow_id,
        parent_run_id=started.parent_run_id,
        memo=state.memo,
        search_attributes=state.attributes,
        pending_activities=tuple(_pending(item) for item in state.activities.values() if item.phase != "ended"),
        pending_children=tuple(child.initiated.workflow_id for child in state.children.values() if not child.ended),
        task_attempt=task.attempt if task is not None else 0,
        task_failure=task.failure if task is not None else None,
    )


def _pending(activity: Activity) -> PendingActivity:
    running: Literal["scheduled", "started"] = "started" if activity.phase == "started" else "scheduled"
    return PendingActivity(
        activity_id=activity.scheduled.activity_id,
        activity_type=activity.scheduled.activity_type,
        attempt=activity.attempt,
        state="cancel_requested" if activity.cancel_requested else running,
        scheduled_ns=activity.scheduled.time_ns,
        started_ns=activity.started_ns,
        heartbeat_ns=activity.heartbeat_ns,
        heartbeat_details=activity.details,
        last_failure=activity.failure,
        identity=activity.identity,
    )
