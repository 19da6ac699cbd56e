"""What one request changes, in any number of runs: events and rows, gathered in memory.

The rule of the file: no I/O, no clock, no randomness. Time, new ids and the
runs are handed in. A transition that is given up leaves nothing behind but the
states it has touched, which its owner forgets and reads again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from monkit_workflow import history as h
from monkit_workflow.history import Event
from monkit_workflow.payload import Payload
from monkit_workflow.service import Status
from monkit_workflow.sqlite.state import Activity, RunState, TimerKind, deadlines

__all__ = ["PREVIOUS", "Latest", "Limits", "Runs", "Transition"]

E = TypeVar("E", bound=Event)

PREVIOUS = -1
"""As ``started_id`` of an event without id: the event that is written just before it."""

_encode = msgspec.json.Encoder().encode


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may grow to, and what is logged before; Temporal's figures."""

    payload_bytes: int = 2 * 1024 * 1024
    history_events: int = 51_200
    history_bytes: int = 50 * 1024 * 1024
    warned_event_bytes: int = 512 * 1024
    warned_history_events: int = 10_240
    warned_history_bytes: int = 10 * 1024 * 1024
    pending: int = 2_000
    """Activities, children or signals at a time."""
    memo_bytes: int = 2 * 1024 * 1024
    """All values of a memo, with their names."""
    attributes: int = 100
    attribute_bytes: int = 2 * 1024
    attributes_bytes: int = 40 * 1024
    """All search attributes of a run, with their names."""


class Latest(NamedTuple):
    """The last run of a workflow id."""

    key: int
    run_id: str
    first_run_id: str
    status: Status
    request_id: str


class Runs(Protocol):
    """The runs of the namespace, read when they are asked for."""

    @property
    def attribute_types(self) -> Mapping[str, str]:
        """The search attributes that are in use, with their types."""
        ...

    def get(self, key: int) -> RunState:
        """The state of a run that exists."""
        ...

    def latest(self, workflow_id: str) -> Latest | None:
        """The current or last run of an id."""
        ...

    def find(self, workflow_id: str, run_id: str) -> int | None:
        """The key of a run; an empty *run_id* means the latest."""
        ...

    def create(self, workflow_id: str, run_id: str, parent: int | None, request_id: str) -> RunState:
        """A new run without events, from now on the latest of its id."""
        ...


class Transition:
    """One request's changes; see the module."""

    def __init__(self, now_ns: int, new_id: Callable[[], str], runs: Runs, limits: Limits) -> None:
        self.now_ns = now_ns
        self.new_id = new_id
        self.runs = runs
        self.limits = limits
        self.touched: dict[int, RunState] = {}
        self.events: list[tuple[int, int, int, bytes]] = []
        """Run, event, time, body."""
        self.tasks: dict[tuple[int, int], None] = {}
        """Run and event of rows of ``tasks`` to be written from the state, or removed; event 0 is the workflow task."""
        self.timers: list[tuple[bool, tuple[int, int, int, int]]] = []
        """Whether there shall be such a timer: due time, run, kind, event."""
        self.inbox: list[tuple[int, int, bytes | None]] = []
        """Run, number, body; ``None`` removes it."""
        self.requests: list[tuple[int, str]] = []
        self.attributes: list[tuple[int, str, Payload]] = []
        """Run, name and value of rows of ``search_attributes`` to be written; null removes them."""
        self.closed: list[RunState] = []
        self._later: deque[Callable[[], None]] = deque()

    # Events.

    def append(self, state: RunState, kind: type[E], /, **fields: Any) -> E:
        """Write an event that happens now. Times of a history never go back, even if the clock does."""
        event = kind(id=state.length + 1, time_ns=max(self.now_ns, state.last_ns), **fields)
        self.record(state, event)
        return event

    def record(self, state: RunState, event: Event) -> None:
        """Write an event that has its id."""
        body = _encode(event)
        state.apply(event)
        state.bytes += len(body)
        key = state.key
        self.events.append((key, event.id, event.time_ns, body))
        self.touched[key] = state

    def adopt(self, state: RunState, event: Event) -> None:
        """Write an event that has none: it gets the next one, and the id of what began what it ends."""
        changes: dict[str, Any] = {"id": state.length + 1, "time_ns": max(event.time_ns, state.last_ns)}
        if type(event) in _OF_CHILD:
            changes["started_id"] = state.children[event.initiated_id].started_id  # type: ignore[attr-defined]
        elif getattr(event, "started_id", 0) == PREVIOUS:
            changes["started_id"] = state.length
        self.record(state, replace(event, **changes))

    def deliver(self, state: RunState, *events: Event) -> None:
        """Bring news to a run: into history and to a worker, or into the inbox while a task is held.

        A run that has ended takes none.
        """
        if not state.open:
            return
        if state.held:
            for event in events:
                seq = state.next_seq
                state.expect(seq, event)
                self.inbox.append((state.key, seq, _encode(event)))
            self.touched[state.key] = state
            return
        for event in events:
            self.adopt(state, event)
        self.want_task(state)

    def release(self, state: RunState) -> bool:
        """End the waiting of events: write those in the inbox. True if there were any."""
        state.held = False
        waiting, state.buffered = state.buffered, {}
        for seq, event in waiting.items():
            self.adopt(state, event)
            self.inbox.append((state.key, seq, None))
        return bool(waiting)

    def withdraw(self, state: RunState, seq: int) -> None:
        """Take an event out of the inbox as if it had never happened."""
        del state.buffered[seq]
        self.inbox.append((state.key, seq, None))
        self.touched[state.key] = state

    def want_task(self, state: RunState) -> None:
        """Schedule a workflow task, unless one is due or the time of the first one has not come."""
        if (state.task is None or state.task.speculative) and not state.delayed:
            started = state.started
            self.append(
                state, h.WorkflowTaskScheduled, task_queue=started.task_queue, timeout_ns=started.task_timeout_ns
            )
            self.tasks[state.key, 0] = None

    # Rows.

    def change_task(self, state: RunState, event: int) -> None:
        """Have a row of ``tasks`` written as the state says."""
        self.tasks[state.key, event] = None
        self.touched[state.key] = state

    def set_timer(self, state: RunState, kind: TimerKind, event: int, due_ns: int) -> None:
        """Add a row of ``timers``."""
        self.timers.append((True, (due_ns, state.key, kind, event)))

    def drop_timer(self, state: RunState, kind: TimerKind, event: int, due_ns: int) -> None:
        """Remove a row of ``timers``."""
        self.timers.append((False, (due_ns, state.key, kind, event)))

    def change_activity(self, state: RunState, activity: Activity, /, **fields: Any) -> None:
        """Change an activity, with its row and its time-outs."""
        before = deadlines(activity)
        for name, value in fields.items():
            setattr(activity, name, value)
        after = deadlines(activity)
        event = activity.scheduled.id
        if before != after:
            for kind, due_ns in before.items():
                if after.get(kind) != due_ns:
                    self.drop_timer(state, kind, event, due_ns)
            for kind, due_ns in after.items():
                if before.get(kind) != due_ns:
                    self.set_timer(state, kind, event, due_ns)
        self.change_task(state, event)

    def index(self, state: RunState, attributes: Mapping[str, Payload]) -> None:
        """Have a run found by search attributes that were checked."""
        self.attributes += [(state.key, name, payload) for name, payload in attributes.items()]

    # What follows from the end of a run in other runs.

    def later(self, step: Callable[[], None]) -> None:
        """Do something at the end, so that a chain of runs needs no deep stack."""
        self._later.append(step)

    def finish(self) -> None:
        """Do what was put off."""
        while self._later:
            self._later.popleft()()


_OF_CHILD = frozenset(
    {
        h.ChildWorkflowExecutionCompleted,
        h.ChildWorkflowExecutionFailed,
        h.ChildWorkflowExecutionCanceled,
        h.ChildWorkflowExecutionTimedOut,
        h.ChildWorkflowExecutionTerminated,
    }
)
