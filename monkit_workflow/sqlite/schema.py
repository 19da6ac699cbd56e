"""The tables of the file and how an older file becomes a newer one.

The rule of the file: a migration that was released is never changed, a new one
is appended. ``user_version`` counts those that a file has had.
"""

from __future__ import annotations

__all__ = ["APPLICATION_ID", "BLOB_BYTES", "MIGRATIONS"]

APPLICATION_ID = 0x6D6F6E6B
"""What SQLite's header says the file is: "monk"."""

BLOB_BYTES = 16 * 1024
"""A larger body of an event is kept out of the history's tree."""

_FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    first_run_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    workflow_type TEXT NOT NULL,
    task_queue TEXT NOT NULL,
    parent INTEGER,
    parent_workflow_id TEXT,
    parent_run_id TEXT,
    attempt INTEGER NOT NULL,
    started_ns INTEGER NOT NULL,
    begins_ns INTEGER NOT NULL,
    status TEXT NOT NULL,
    closed_ns INTEGER,
    history_length INTEGER NOT NULL,
    history_bytes INTEGER NOT NULL,
    memo BLOB,
    attributes BLOB
) STRICT;
CREATE INDEX runs_of_workflow ON runs (namespace, workflow_id);
CREATE INDEX runs_of_status ON runs (namespace, status);
CREATE INDEX runs_of_parent ON runs (namespace, parent_workflow_id) WHERE parent_workflow_id IS NOT NULL;
CREATE UNIQUE INDEX one_running ON runs (namespace, workflow_id) WHERE status = 'running';

CREATE TABLE history (
    run INTEGER NOT NULL,
    event INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    body BLOB,
    blob INTEGER,
    PRIMARY KEY (run, event)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER history_is_insert_only BEFORE UPDATE ON history
BEGIN SELECT RAISE (ABORT, 'history is written once'); END;
CREATE TABLE blobs (blob INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;

-- event 0 is the workflow task that is due, others are activities that have not ended
CREATE TABLE tasks (
    run INTEGER NOT NULL,
    event INTEGER NOT NULL,
    queue TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL,
    visible_ns INTEGER NOT NULL,
    started_ns INTEGER NOT NULL,
    heartbeat_ns INTEGER NOT NULL,
    details BLOB,
    failure BLOB,
    cancel_requested INTEGER NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (run, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE timers (
    due_ns INTEGER NOT NULL,
    run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    event INTEGER NOT NULL,
    PRIMARY KEY (due_ns, run, kind, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    run INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (run, request_id)
) STRICT, WITHOUT ROWID;

-- to find runs by, a row a value; what is shown stands in runs
CREATE TABLE search_attributes (
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    value ANY NOT NULL,
    PRIMARY KEY (run, name, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX attributes_by_value ON search_attributes (name, value);
CREATE TABLE search_attribute_types (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    worker TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- runs that retention has deleted and that still have rows elsewhere
CREATE TABLE remains (run INTEGER PRIMARY KEY) STRICT;

-- What the planner shall go by, since nobody runs ANALYZE: a namespace finds nothing, the rest finds a little.
ANALYZE;
INSERT INTO sqlite_stat1 VALUES
    ('runs', 'runs_of_workflow', '1000000 1000000 2'),
    ('runs', 'runs_of_status', '1000000 1000000 200000'),
    ('runs', 'runs_of_parent', '1000000 1000000 10'),
    ('runs', 'one_running', '1000000 1000000 1'),
    ('search_attributes', 'search_attributes', '1000000 5 1 1'),
    ('search_attributes', 'attributes_by_value', '1000000 200000 50 1');
ANALYZE sqlite_schema;
"""

MIGRATIONS = (_FIRST,)
"""What brings a file of version *n* to version *n + 1*, by *n*."""
