"""Records as rows: what transitions changed is gathered for one write, and read back.

The rule of the file: SQL stands here, and no decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Union

import apsw
import msgspec

from monkit_workflow import history as h
from monkit_workflow.errors import NotFound
from monkit_workflow.history import Event
from monkit_workflow.payload import Failure, Payload, Payloads, is_null
from monkit_workflow.search_attributes import read_attribute
from monkit_workflow.sqlite.schema import BLOB_BYTES
from monkit_workflow.sqlite.state import Activity, RunState, TimerKind
from monkit_workflow.sqlite.transition import Latest, Transition

__all__ = ["Rows", "Tables", "decode_event"]

_encode = msgspec.json.Encoder().encode
_EVENTS = [kind for name in h.__all__ if isinstance(kind := getattr(h, name), type) and issubclass(kind, Event)]
decode_event = msgspec.json.Decoder(Union[tuple(kind for kind in _EVENTS if kind is not Event)]).decode  # noqa: UP007
_decode_failure = msgspec.json.Decoder(Failure).decode
_decode_payloads = msgspec.json.Decoder(Payloads).decode

Row = tuple[Any, ...]

_LEFT_OPEN = "left_open"
"""As the state of an attempt: started, and not to be ended by the death of its worker."""

_AT_ONCE = 16
"""Rows a statement."""


class _Statement:
    """SQL for one row and for `_AT_ONCE` of them; ``{}`` is where the values stand."""

    def __init__(self, sql: str, columns: int) -> None:
        row = "(" + ",".join("?" * columns) + ")"
        self.one = sql.format(row)
        self.many = sql.format(",".join([row] * _AT_ONCE))


_UPDATE_RUNS = _Statement(
    "UPDATE runs SET status=column1, closed_ns=column2, history_length=column3, history_bytes=column4, memo=column5, "
    "attributes=column6 FROM (VALUES {}) WHERE run=column7",
    7,
)
_INSERT_RUNS = _Statement("INSERT INTO runs VALUES {}", 20)
_INSERT_EVENTS = _Statement("INSERT INTO history VALUES {}", 5)
_INSERT_TASKS = _Statement("INSERT OR REPLACE INTO tasks VALUES {}", 12)
_DELETE_TASKS = _Statement("DELETE FROM tasks WHERE (run, event) IN (VALUES {})", 2)
_INSERT_TIMERS = _Statement("INSERT OR IGNORE INTO timers VALUES {}", 4)
_DELETE_TIMERS = _Statement("DELETE FROM timers WHERE (due_ns, run, kind, event) IN (VALUES {})", 4)
_INSERT_INBOX = _Statement("INSERT INTO inbox VALUES {}", 3)
_DELETE_INBOX = _Statement("DELETE FROM inbox WHERE (run, seq) IN (VALUES {})", 2)
_INSERT_REQUESTS = _Statement("INSERT INTO requests VALUES {}", 2)
_DELETE_ATTRIBUTES = _Statement("DELETE FROM search_attributes WHERE (run, name) IN (VALUES {})", 2)
_INSERT_ATTRIBUTES = _Statement("INSERT INTO search_attributes VALUES {}", 3)
_INSERT_TYPES = _Statement("INSERT INTO search_attribute_types VALUES {}", 3)


class Rows:
    """What the transitions of a batch changed and the file does not have yet.

    Rows are rendered when a transition is taken in: what a later one does to
    the same state, and whether it fails, does not reach them.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.new: set[int] = set()
        """Runs that have no row."""
        self.types: dict[str, str] = {}
        """The search attributes that are in use, with their types."""
        self._clear()

    def _clear(self) -> None:
        self.runs: dict[int, Row] = {}
        self.events: list[tuple[int, int, int, bytes]] = []
        self.tasks: dict[tuple[int, int], Row | None] = {}
        self.timers: dict[tuple[int, int, int, int], bool] = {}
        self.inbox: dict[tuple[int, int], bytes | None] = {}
        self.requests: list[tuple[int, str]] = []
        self.attributes: dict[tuple[int, str], list[str | int | float]] = {}
        self.new_types: dict[str, str] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.new.clear()
        self._clear()

    def __bool__(self) -> bool:
        return bool(self.runs or self.tasks or self.timers or self.inbox)

    def take(self, t: Transition) -> None:
        """Add what a transition changed."""
        for key, state in t.touched.items():
            self.runs[key] = self._run(state)
        self.events += t.events
        for where in t.tasks:
            self.tasks[where] = _task(t.touched[where[0]], where[1])
        for wanted, timer in t.timers:
            self.timers[timer] = wanted
        for run, seq, body in t.inbox:
            self.inbox[run, seq] = body
        self.requests += t.requests
        for run, name, payload in t.attributes:
            self._take_attribute(run, name, payload)

    def _take_attribute(self, run: int, name: str, payload: Payload) -> None:
        if is_null(payload):
            self.attributes[run, name] = []
            return
        kind, self.attributes[run, name] = read_attribute(payload)
        if name not in self.types:
            self.types[name] = self.new_types[name] = kind

    def _run(self, state: RunState) -> Row:
        closed_ns = state.closing.time_ns if state.closing is not None else None
        memo = _encode(state.memo) if state.memo else None
        attributes = _encode(state.attributes) if state.attributes else None
        if state.key not in self.new:
            return state.status, closed_ns, state.length, state.bytes, memo, attributes, state.key
        started = state.started
        return (
            state.key,
            self.namespace,
            state.workflow_id,
            state.run_id,
            "" if started.first_run_id == state.run_id else started.first_run_id,
            state.request_id,
            started.workflow_type,
            started.task_queue,
            state.parent,
            started.parent_workflow_id or None,
            started.parent_run_id or None,
            started.attempt,
            started.time_ns,
            started.time_ns + started.first_task_delay_ns,
            state.status,
            closed_ns,
            state.length,
            state.bytes,
            memo,
            attributes,
        )


class Tables:
    """The rows of one namespace in a connection."""

    def __init__(self, connection: apsw.Connection, namespace: str) -> None:
        self.connection = connection
        self.namespace = namespace
        self._cursor = connection.cursor()
        self._next_blob = self._one("SELECT coalesce(max(blob), 0) + 1 FROM blobs")

    def _one(self, sql: str, *values: Any) -> Any:
        return self.connection.execute(sql, values).get

    # Writing.

    def write(self, rows: Rows) -> None:
        """Write and forget what was gathered. The caller has begun a transaction."""
        write = self._write
        # Ends before beginnings, since a workflow id has one running run.
        write(_UPDATE_RUNS, [row for key, row in rows.runs.items() if key not in rows.new])
        write(_INSERT_RUNS, [row for key, row in rows.runs.items() if key in rows.new])
        write(_INSERT_EVENTS, list(self._history(rows.events)))
        write(_DELETE_TASKS, [where for where, row in rows.tasks.items() if row is None])
        write(_INSERT_TASKS, [row for row in rows.tasks.values() if row is not None])
        write(_DELETE_TIMERS, [timer for timer, wanted in rows.timers.items() if not wanted])
        write(_INSERT_TIMERS, [timer for timer, wanted in rows.timers.items() if wanted])
        write(_DELETE_INBOX, [where for where, body in rows.inbox.items() if body is None])
        write(_INSERT_INBOX, [(*where, body) for where, body in rows.inbox.items() if body is not None])
        write(_INSERT_REQUESTS, rows.requests)
        write(_DELETE_ATTRIBUTES, [where for where in rows.attributes if where[0] not in rows.new])
        write(_INSERT_ATTRIBUTES, [(*where, value) for where, found in rows.attributes.items() for value in found])
        write(_INSERT_TYPES, [(rows.namespace, name, kind) for name, kind in rows.new_types.items()])
        rows.clear()

    def _write(self, statement: _Statement, rows: Sequence[Row]) -> None:
        """Run a statement for all rows, many at a time: each step lets the interpreter's lock go and waits for it."""
        whole = len(rows) - len(rows) % _AT_ONCE
        if whole:
            chunks = (chain.from_iterable(rows[first : first + _AT_ONCE]) for first in range(0, whole, _AT_ONCE))
            self._cursor.executemany(statement.many, [tuple(chunk) for chunk in chunks])
        if whole < len(rows):
            self._cursor.executemany(statement.one, rows[whole:])

    def _history(self, events: list[tuple[int, int, int, bytes]]) -> Iterator[Row]:
        for run, event, time_ns, body in events:
            if len(body) <= BLOB_BYTES:
                yield run, event, time_ns, body, None
            else:
                blob = self._next_blob
                self._next_blob += 1
                self.connection.execute("INSERT INTO blobs VALUES (?,?)", (blob, body))
                yield run, event, time_ns, None, blob

    # Reading one run.

    def next_key(self) -> int:
        """The number of the next run; none is given twice, since tokens may outlive a run that was deleted."""
        deleted = self._one("SELECT value FROM meta WHERE name='deleted'") or 0
        return max(int(self._one("SELECT coalesce(max(run), 0) FROM runs")), deleted) + 1

    def attribute_types(self) -> dict[str, str]:
        """The search attributes that are in use, with their types."""
        sql = "SELECT name, type FROM search_attribute_types WHERE namespace=?"
        return dict(self.connection.execute(sql, (self.namespace,)))

    def events(self, run: int, first: int = 1) -> list[Event]:
        """History of a run from an event on."""
        sql = (
            "SELECT coalesce(h.body, b.body) FROM history h LEFT JOIN blobs b ON b.blob = h.blob "
            "WHERE h.run=? AND h.event>=? ORDER BY h.event"
        )
        return [decode_event(body) for (body,) in self.connection.execute(sql, (run, first))]

    def load(self, run: int) -> RunState:
        """The state of a run."""
        execute = self.connection.execute
        sql = "SELECT workflow_id, run_id, parent, request_id, history_bytes FROM runs WHERE run=?"
        row = self._one(sql, run)
        if row is None:
            raise NotFound(f"there is no run of number {run}")
        workflow_id, run_id, parent, request_id, size = row
        state = RunState(run, workflow_id, run_id, parent, request_id)
        for event in self.events(run):
            state.apply(event)
        state.bytes = size
        for row in execute("SELECT * FROM tasks WHERE run=?", (run,)):
            _restore(state, row)
        for seq, body in execute("SELECT seq, body FROM inbox WHERE run=? ORDER BY seq", (run,)):
            state.expect(seq, decode_event(body))
        state.request_ids = {name for (name,) in execute("SELECT request_id FROM requests WHERE run=?", (run,))}
        return state

    def latest(self, workflow_id: str) -> Latest | None:
        """The last run of a workflow id."""
        sql = (
            "SELECT run, run_id, first_run_id, status, request_id FROM runs "
            "WHERE namespace=? AND workflow_id=? ORDER BY run DESC LIMIT 1"
        )
        row = self._one(sql, self.namespace, workflow_id)
        if row is None:
            return None
        run, run_id, first_run_id, status, request_id = row
        return Latest(run, run_id, first_run_id or run_id, status, request_id)

    def find(self, workflow_id: str, run_id: str) -> int | None:
        """The number of a run."""
        sql = "SELECT run FROM runs WHERE namespace=? AND workflow_id=? AND run_id=?"
        found: int | None = self._one(sql, self.namespace, workflow_id, run_id)
        return found

    # Reading what is due.

    def open_tasks(self) -> list[tuple[int, int, str, str, int]]:
        """Run, event, queue, phase and due time of all rows of ``tasks``."""
        sql = (
            "SELECT t.run, t.event, t.queue, t.state, t.visible_ns FROM tasks t JOIN runs r ON r.run = t.run "
            "WHERE r.namespace=? ORDER BY t.run, t.event"
        )
        return list(self.connection.execute(sql, (self.namespace,)))

    def runs_with_inbox(self) -> list[int]:
        """Runs for which something was acknowledged that history does not have."""
        sql = "SELECT DISTINCT i.run FROM inbox i JOIN runs r ON r.run = i.run WHERE r.namespace=?"
        return [run for (run,) in self.connection.execute(sql, (self.namespace,))]

    def next_timer_ns(self) -> int | None:
        """When the next timer is due."""
        sql = (
            "SELECT t.due_ns FROM timers t CROSS JOIN runs r ON r.run = t.run WHERE r.namespace=? "
            "ORDER BY t.due_ns LIMIT 1"
        )
        found: int | None = self._one(sql, self.namespace)
        return found

    def due_timers(self, now_ns: int, limit: int) -> list[tuple[int, int, TimerKind, int]]:
        """The timers that are due: time, run, kind, event."""
        sql = (
            "SELECT t.due_ns, t.run, t.kind, t.event FROM timers t CROSS JOIN runs r ON r.run = t.run "
            "WHERE t.due_ns<=? AND r.namespace=? ORDER BY t.due_ns, t.run, t.kind, t.event LIMIT ?"
        )
        return [
            (due_ns, run, TimerKind(kind), event)
            for due_ns, run, kind, event in self.connection.execute(sql, (now_ns, self.namespace, limit))
        ]


def _task(state: RunState, event: int) -> Row | None:
    if event:
        activity = state.activities.get(event)
        return _activity(state.key, activity) if activity is not None and activity.phase != "ended" else None
    task = state.task
    if task is None or task.speculative:
        return None
    failure = _encode(task.failure) if task.failure is not None else None
    queue = state.started.task_queue
    return state.key, 0, queue, task.attempt, "scheduled", task.visible_ns, 0, 0, None, failure, 0, ""


def _activity(run: int, activity: Activity) -> Row:
    return (
        run,
        activity.scheduled.id,
        activity.scheduled.task_queue,
        activity.attempt,
        _LEFT_OPEN if activity.left_open else activity.phase,
        activity.visible_ns,
        activity.started_ns,
        activity.armed_ns,
        _encode(activity.details) if activity.details else None,
        _encode(activity.failure) if activity.failure is not None else None,
        int(activity.cancel_requested),
        activity.identity,
    )


def _restore(state: RunState, row: Row) -> None:
    _, event, _, attempt, phase, visible_ns, started_ns, armed_ns, details, failure, _, identity = row
    last_failure = _decode_failure(failure) if failure is not None else None
    if event == 0:
        if state.task is not None:
            state.task.attempt, state.task.visible_ns, state.task.failure = attempt, visible_ns, last_failure
        return
    activity = state.activities[event]
    activity.attempt, activity.visible_ns = attempt, visible_ns
    activity.left_open = phase == _LEFT_OPEN
    activity.phase = "started" if activity.left_open else phase
    activity.started_ns, activity.armed_ns, activity.heartbeat_ns = started_ns, armed_ns, 0
    activity.details = _decode_payloads(details) if details is not None else ()
    activity.failure, activity.identity = last_failure, identity
