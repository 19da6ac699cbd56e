"""What happens when a row of ``timers`` is due, and to what a dead process had begun. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable

from monkit_workflow import history as h
from monkit_workflow.payload import TimeoutKind
from monkit_workflow.sqlite import chains
from monkit_workflow.sqlite.attempts import time_out
from monkit_workflow.sqlite.state import RunState, TimerKind, deadlines
from monkit_workflow.sqlite.transition import Transition

__all__ = ["fire", "lose_attempt"]


def fire(t: Transition, state: RunState, kind: TimerKind, event: int, due_ns: int) -> None:
    """Do what is due; the row goes in any case."""
    t.drop_timer(state, kind, event, due_ns)
    if state.open:
        _FIRES[kind](t, state, event)


def lose_attempt(t: Transition, state: RunState, event: int) -> None:
    """End an attempt whose process is dead, as the time-out would that could have noticed it."""
    activity = state.activities[event]
    time_out(t, state, activity, "heartbeat" if activity.scheduled.heartbeat_ns else "start_to_close")


def _user(t: Transition, state: RunState, event: int) -> None:
    for timer_id, timer in state.timers.items():
        if timer.started_id == event and not timer.fired:
            t.deliver(state, h.TimerFired(id=0, time_ns=t.now_ns, timer_id=timer_id, started_id=event))
            return


def _run(t: Transition, state: RunState, event: int) -> None:
    chains.time_out(t, state)


def _first_task(t: Transition, state: RunState, event: int) -> None:
    if state.delayed:
        state.delayed = False
        t.want_task(state)


def _retry(t: Transition, state: RunState, event: int) -> None:
    activity = state.activities.get(event)
    if activity is not None and activity.phase == "backoff":
        t.change_activity(state, activity, phase="scheduled")


def _heartbeat(t: Transition, state: RunState, event: int) -> None:
    activity = state.activities.get(event)
    if activity is None or activity.phase != "started":
        return
    if activity.heartbeat_ns > activity.armed_ns:  # it has lived since: from there on anew, and now durable
        t.change_activity(state, activity, armed_ns=activity.heartbeat_ns)
        if deadlines(activity)[TimerKind.HEARTBEAT] > t.now_ns:
            return
    time_out(t, state, activity, "heartbeat")


def _activity_time_out(kind: TimeoutKind) -> Callable[[Transition, RunState, int], None]:
    def step(t: Transition, state: RunState, event: int) -> None:
        activity = state.activities.get(event)
        if activity is not None and activity.phase != "ended":
            time_out(t, state, activity, kind)

    return step


_FIRES: dict[TimerKind, Callable[[Transition, RunState, int], None]] = {
    TimerKind.USER: _user,
    TimerKind.RUN: _run,
    TimerKind.SCHEDULE_TO_START: _activity_time_out("schedule_to_start"),
    TimerKind.START_TO_CLOSE: _activity_time_out("start_to_close"),
    TimerKind.SCHEDULE_TO_CLOSE: _activity_time_out("schedule_to_close"),
    TimerKind.HEARTBEAT: _heartbeat,
    TimerKind.RETRY: _retry,
    TimerKind.FIRST_TASK: _first_task,
}
