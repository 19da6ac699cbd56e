"""How attempts of activities begin and end, and when another follows. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monkit_workflow import history as h
from monkit_workflow.errors import NotFound
from monkit_workflow.history import Event
from monkit_workflow.payload import Failure, Payload, Payloads, TimeoutKind
from monkit_workflow.retries import next_delay_ns
from monkit_workflow.service import ActivityTask
from monkit_workflow.sqlite.sizes import payloads_over
from monkit_workflow.sqlite.state import Activity, RunState
from monkit_workflow.sqlite.transition import PREVIOUS, Transition

__all__ = [
    "activity_task",
    "activity_token",
    "cancel_attempt",
    "complete_attempt",
    "end_activity",
    "fail_attempt",
    "heartbeat",
    "next_attempt_ns",
    "open_activity",
    "open_attempt",
    "parse_token",
    "start_attempt",
    "time_out",
    "undo_attempt",
]


def activity_token(state: RunState, activity: Activity) -> str:
    """What a worker shows to prove that an attempt is its own; it holds across restarts."""
    return f"{state.key}:{activity.scheduled.id}:{activity.attempt}"


def parse_token(token: str) -> tuple[int, int, int]:
    """Run, event and attempt (or number of the workflow task) of a token.

    Raises:
        NotFound: it is none of ours.
    """
    try:
        run, event, attempt = map(int, token.split(":"))
    except ValueError:
        raise NotFound(f"{token!r} is no token of this service") from None
    return run, event, attempt


def open_attempt(state: RunState, event: int, attempt: int) -> Activity:
    """The attempt that a token names.

    Raises:
        NotFound: it is over.
    """
    activity = state.activities.get(event)
    if activity is None or activity.phase != "started" or activity.attempt != attempt:
        raise NotFound(
            f"attempt {attempt} of the activity of event {event} is not open in workflow {state.workflow_id!r}: "
            "it has ended, timed out, or its run is over"
        )
    return activity


def open_activity(state: RunState, activity_id: str) -> Activity:
    """The activity of that id, whose attempt is open.

    Raises:
        NotFound: none is.
    """
    activity = state.activities.get(state.activity_ids.get(activity_id, 0))
    if activity is None or activity.phase != "started":
        raise NotFound(f"no attempt of an activity {activity_id!r} is open in workflow {state.workflow_id!r}")
    return activity


def start_attempt(t: Transition, state: RunState, activity: Activity, identity: str) -> None:
    """Make the start record of an attempt, which has to be durable before anybody gets the task."""
    t.change_activity(
        state, activity, phase="started", started_ns=t.now_ns, armed_ns=t.now_ns, heartbeat_ns=0, identity=identity
    )


def undo_attempt(t: Transition, state: RunState, activity: Activity) -> None:
    """Take the start record back: the poller had gone, so nobody got the task."""
    t.change_activity(state, activity, phase="scheduled", started_ns=0, armed_ns=0, identity="")


def activity_task(state: RunState, activity: Activity) -> ActivityTask:
    """What a worker gets of a started attempt."""
    event = activity.scheduled
    return ActivityTask(
        token=activity_token(state, activity),
        workflow_id=state.workflow_id,
        run_id=state.run_id,
        workflow_type=state.started.workflow_type,
        activity_id=event.activity_id,
        activity_type=event.activity_type,
        task_queue=event.task_queue,
        input=event.input,
        header=event.header,
        attempt=activity.attempt,
        scheduled_ns=event.time_ns,
        started_ns=activity.started_ns,
        schedule_to_close_ns=event.schedule_to_close_ns,
        start_to_close_ns=event.start_to_close_ns,
        heartbeat_ns=event.heartbeat_ns,
        heartbeat_details=activity.details,
    )


def next_attempt_ns(activity: Activity, failure: Failure, now_ns: int) -> int | None:
    """When the attempt after a failed one may start, ``None`` if there is to be none."""
    event = activity.scheduled
    policy = event.retry
    delay_ns = None if activity.cancel_requested else next_delay_ns(policy, activity.attempt, failure)
    if policy is None or delay_ns is None:
        return None
    for bound_ns in (event.schedule_to_close_ns, policy.expiration_ns):
        if bound_ns and now_ns + delay_ns >= activity.since_ns + bound_ns:
            return None
    return now_ns + delay_ns


def complete_attempt(t: Transition, state: RunState, activity: Activity, result: Payload | None) -> None:
    """The activity returned."""
    if result is not None and (size := payloads_over((result,), t.limits.payload_bytes)):
        message = f"the result has {size} bytes, more than the {t.limits.payload_bytes} that a payload may have"
        fail_attempt(
            t, state, activity, Failure(kind="server", type="ResourceExhausted", message=message, non_retryable=True)
        )
        return
    _report(t, state, activity, h.ActivityTaskCompleted, result=result)


def fail_attempt(t: Transition, state: RunState, activity: Activity, failure: Failure) -> None:
    """The activity raised: try again, or tell the code."""
    if not _retry(t, state, activity, failure):
        _report(t, state, activity, h.ActivityTaskFailed, failure=failure)


def cancel_attempt(t: Transition, state: RunState, activity: Activity, details: Payloads) -> None:
    """The activity ended by cancellation; one that nobody asked for is a failure."""
    if activity.cancel_requested:
        _report(t, state, activity, h.ActivityTaskCanceled, details=details)
    else:
        failure = Failure(kind="canceled", message="cancelled without a request of the workflow", details=details)
        fail_attempt(t, state, activity, failure)


def _report(t: Transition, state: RunState, activity: Activity, kind: Callable[..., Event], **fields: Any) -> None:
    """Write the end that the worker reported."""
    event = kind(
        id=0,
        time_ns=t.now_ns,
        scheduled_id=activity.scheduled.id,
        started_id=PREVIOUS,
        identity=activity.identity,
        **fields,
    )
    end_activity(t, state, activity, event)


def heartbeat(activity: Activity, details: Payloads, now_ns: int) -> bool:
    """An attempt lives; kept in memory. True if it shall be cancelled."""
    activity.heartbeat_ns = now_ns
    activity.details = details
    return activity.cancel_requested


def time_out(t: Transition, state: RunState, activity: Activity, kind: TimeoutKind) -> None:
    """A time-out ran out: try again if it was one of an attempt, or tell the code."""
    if kind in ("start_to_close", "heartbeat"):
        failure = Failure(
            kind="timeout",
            type="TimeoutFailure",
            message=f"{kind} time-out of attempt {activity.attempt}",
            timeout=kind,
            details=activity.details,
        )
        if _retry(t, state, activity, failure):
            return
    end_activity(
        t,
        state,
        activity,
        h.ActivityTaskTimedOut(
            id=0,
            time_ns=t.now_ns,
            scheduled_id=activity.scheduled.id,
            timeout=kind,
            started_id=PREVIOUS if activity.phase == "started" else 0,
            details=activity.details,
            failure=activity.failure,
        ),
    )


def end_activity(t: Transition, state: RunState, activity: Activity, event: Event) -> None:
    """Write that an activity has ended, after the start of its last attempt if there was one."""
    news: tuple[Event, ...] = (event,)
    if activity.phase == "started":
        started = h.ActivityTaskStarted(
            id=0,
            time_ns=activity.started_ns,
            scheduled_id=activity.scheduled.id,
            attempt=activity.attempt,
            identity=activity.identity,
            last_failure=activity.failure,
        )
        news = (started, event)
    t.change_activity(state, activity, phase="ended")
    t.deliver(state, *news)


def _retry(t: Transition, state: RunState, activity: Activity, failure: Failure) -> bool:
    due_ns = next_attempt_ns(activity, failure, t.now_ns)
    if due_ns is None:
        return False
    t.change_activity(
        state,
        activity,
        phase="backoff",
        visible_ns=due_ns,
        attempt=activity.attempt + 1,
        started_ns=0,
        left_open=False,
        heartbeat_ns=0,
        armed_ns=0,
        failure=failure,
        identity="",
    )
    return True
