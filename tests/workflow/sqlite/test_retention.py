"""Retention: what ended long ago goes, whole and in slices; nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from monkit_workflow import commands as c
from monkit_workflow.errors import NotFound
from monkit_workflow.payload import Failure, Payload
from monkit_workflow.search_attributes import encode_attributes
from monkit_workflow.service import QueryRequest
from monkit_workflow.sqlite import SqliteService
from monkit_workflow.sqlite.retention import PAUSE_NS, Retention
from monkit_workflow.sqlite.store import Store
from tests.contract.player import SECOND, Player, activity, child, value
from tests.workflow.sqlite.stage import FaultyStore, Stage, act

DAY_NS = 86_400 * SECOND
TABLES = ("runs", "history", "blobs", "tasks", "timers", "inbox", "requests", "search_attributes", "remains")
LONG = 10 * 365 * DAY_NS


def connection(p: Player) -> apsw.Connection:
    """The store's own: the thread has to be idle."""
    return p.service._writer._store.connection  # type: ignore[attr-defined,no-any-return]


def counts(p: Player) -> dict[str, int]:
    return {table: connection(p).execute(f"SELECT count(*) FROM {table}").get for table in TABLES}


async def swept(p: Player, stage: Stage) -> None:
    """Wait until the thread has done what is due."""
    retention = None
    while retention is None or retention.due_ns <= stage.clock.now_ns():
        await p.service.stop_polling("nobody")
        retention = p.service._writer._retention  # type: ignore[attr-defined]


async def complete(p: Player, workflow_id: str = "w", **options: Any) -> None:
    """A run from its start to its end, with a signal, search attributes and something large."""
    attributes = encode_attributes({"City": "Ulm", "Tags": ["a", "b"]})
    await p.start(workflow_id, timeout_ns=LONG, search_attributes=attributes, **options)
    await p.signal(workflow_id=workflow_id)
    large = Payload(binary=b"x" * 100_000, encoding="binary/plain")
    await p.answer(c.RecordMarker(name="SideEffect", value=large), c.CompleteWorkflowExecution())


def test_run_is_gone_with_all_its_rows_when_its_time_is_over(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async def scene(p: Player) -> None:
        await complete(p)
        await swept(p, stage)
        assert counts(p)["history"] == (await p.service.describe("w")).history_length
        stage.clock.advance(30 * DAY_NS)
        await swept(p, stage)
        assert (await p.service.describe("w")).status == "completed"
        stage.clock.advance(PAUSE_NS)
        await swept(p, stage)
        assert counts(p) == dict.fromkeys(TABLES, 0)
        with pytest.raises(NotFound):
            await p.service.describe("w")
        assert (await p.service.list_workflows()).runs == ()
        assert len(p.service._writer._runs) == 0  # type: ignore[attr-defined]
        await p.start("w", id_reuse="reject")

    act(stage, scene)


def test_open_runs_and_young_ones_stay(tmp_path: Path) -> None:
    stage = Stage(tmp_path, retention=timedelta(days=1))

    async def scene(p: Player) -> None:
        await p.start("open", timeout_ns=LONG)
        await p.answer(activity(schedule_to_close_ns=LONG), c.StartTimer(timer_id="t", duration_ns=LONG))
        await complete(p, "old")
        stage.clock.advance(20 * 3600 * SECOND)
        await complete(p, "young")
        before = await p.history("open")
        stage.clock.advance(5 * 3600 * SECOND)
        await swept(p, stage)
        assert [run.workflow_id for run in (await p.service.list_workflows()).runs] == ["young", "open"]
        assert await p.history("open") == before
        assert counts(p)["tasks"] == 1
        assert counts(p)["timers"] == 2 + 1  # the run's, the user's and the activity's

    act(stage, scene)


def test_without_retention_all_stays(tmp_path: Path) -> None:
    stage = Stage(tmp_path, retention=None)

    async def scene(p: Player) -> None:
        await complete(p)
        stage.clock.advance(LONG)
        await p.service.stop_polling("nobody")
        assert (await p.service.describe("w")).status == "completed"
        assert p.service._writer._retention.due_ns is None  # type: ignore[attr-defined]

    act(stage, scene)


def test_other_namespaces_keep_theirs(tmp_path: Path) -> None:
    stage = Stage(tmp_path, retention=timedelta(days=1))
    other = SqliteService(str(stage.path), namespace="other", clock=stage.clock, retention=None)

    async def after(p: Player) -> None:
        await swept(p, stage)
        assert connection(p).execute("SELECT DISTINCT namespace FROM runs").fetchall() == [("other",)]

    act(stage, complete)
    act(stage, complete, other)
    stage.clock.advance(2 * DAY_NS)
    act(stage, after)


def test_parent_may_go_before_its_child(tmp_path: Path) -> None:
    stage = Stage(tmp_path, retention=timedelta(days=1), cached_runs=1)

    async def scene(p: Player) -> None:
        await p.start(timeout_ns=LONG)
        await p.answer(child("child", timeout_ns=LONG, task_queue="q", parent_close="abandon"))
        task, other = await p.task(), await p.task()
        if task.workflow_id == "child":
            task, other = other, task
        await p.reply(task, c.CompleteWorkflowExecution())
        await p.service.fail_workflow_task(other.token, Failure(message="not yet"))
        stage.clock.advance(2 * DAY_NS)
        await swept(p, stage)
        assert [run.workflow_id for run in (await p.service.list_workflows()).runs] == ["child"]
        await p.answer(c.CompleteWorkflowExecution(result=value("1")))
        found = await p.service.describe("child")
        assert (found.status, found.parent_workflow_id) == ("completed", "w")

    act(stage, scene)


def test_run_stays_while_a_query_about_it_is_open(tmp_path: Path) -> None:
    stage = Stage(tmp_path, retention=timedelta(days=1))

    async def scene(p: Player) -> None:
        await complete(p)
        asked = asyncio.ensure_future(p.service.query(QueryRequest(workflow_id="w", name="state")))
        await asyncio.sleep(0)
        stage.clock.advance(2 * DAY_NS)
        await swept(p, stage)
        task = await p.task()
        await p.service.answer_query(task.token, value("7"))
        assert await asked == value("7")
        stage.clock.advance(PAUSE_NS)
        await swept(p, stage)
        assert counts(p)["runs"] == 0

    act(stage, scene)


def test_number_of_a_deleted_run_is_not_given_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, retention=timedelta(days=1))
    tokens: list[str] = []

    async def before(p: Player) -> None:
        await p.start(timeout_ns=LONG)
        await p.answer(activity())
        tokens.append((await p.attempt()).token)
        await p.service.terminate("w")
        stage.clock.advance(2 * DAY_NS)
        await swept(p, stage)

    async def after(p: Player) -> None:
        await p.start(timeout_ns=LONG)
        await p.answer(activity())
        await p.attempt()
        with pytest.raises(NotFound):
            await p.service.complete_activity(tokens[0], None)

    act(stage, before)
    act(stage, after)


def test_crash_between_slices_leaves_nothing_behind(tmp_path: Path) -> None:
    stage = Stage(tmp_path, retention=None)

    async def scene(p: Player) -> None:
        for number in range(3):
            await complete(p, f"w{number}")

    act(stage, scene)
    store = Store(str(stage.path))
    retention = Retention(store, "default", DAY_NS, 0)
    assert len(retention.step(stage.clock.now_ns() + 2 * DAY_NS, ())) == 3
    store.commit()
    store.abandon()
    stage.options["retention"] = timedelta(days=1)

    async def after(p: Player) -> None:
        assert (await p.service.list_workflows()).runs == ()
        await swept(p, stage)
        assert counts(p) == dict.fromkeys(TABLES, 0)

    act(stage, after)


@pytest.mark.parametrize("moment", ["fail_before", "fail_after"])
def test_slice_that_cannot_be_written_is_tried_again_later(tmp_path: Path, moment: str) -> None:
    stage = Stage(tmp_path, FaultyStore, retention=timedelta(minutes=1))

    async def scene(p: Player) -> None:
        await complete(p)
        await swept(p, stage)
        setattr(stage.store, moment, 1)
        stage.clock.advance(PAUSE_NS)
        await swept(p, stage)
        assert getattr(stage.store, moment) == 0
        await p.start("other", timeout_ns=LONG)
        assert (await p.service.describe("other")).status == "running"
        stage.clock.advance(PAUSE_NS)
        await swept(p, stage)
        assert counts(p)["runs"] == 1
        assert counts(p)["remains"] == 0

    act(stage, scene)


def large_run(store: Store, run: int, events: int, body: bytes | None, signals: int = 0) -> None:
    """A closed run, straight into the tables; without a body each event has a blob of a megabyte."""
    execute = store.connection.execute
    execute(
        "INSERT INTO runs VALUES (?,'default',?,'','','','T','q',NULL,NULL,NULL,1,1,1,'completed',2,1,1,NULL,NULL)",
        (run, f"w{run}"),
    )
    with store.connection:
        if body is None:
            for event in range(events):
                execute("INSERT INTO blobs VALUES (?, zeroblob(1048576))", (event + 1,))
        rows = ((run, event + 1, 1, body, None if body else event + 1) for event in range(events))
        store.connection.executemany("INSERT INTO history VALUES (?,?,?,?,?)", rows)
        store.connection.executemany("INSERT INTO requests VALUES (?,?)", ((run, f"r{n}") for n in range(signals)))


def slices(store: Store, expired: list[int]) -> list[int]:
    """Rows that each slice deleted, until there is nothing to do."""
    retention = Retention(store, "default", 1, 0)
    count: Callable[[], int] = store.connection.total_changes
    seen = []
    while retention.is_due(10, idle=True):
        before = count()
        expired += retention.step(10, ())
        store.commit()
        seen.append(count() - before)
    return seen


@pytest.mark.parametrize(
    ("events", "body", "signals", "most"),
    [(51_200, b"{}", 0, 510), (100, b"{}", 5_000, 510), (20, None, 0, 10)],
    ids=["long history", "many signals", "large values"],
)
def test_slice_is_bounded_however_large_a_run_is(events: int, body: bytes | None, signals: int, most: int) -> None:
    store = Store(None)
    large_run(store, 1, events, body, signals)
    expired: list[int] = []
    seen = slices(store, expired)
    assert expired == [1]
    assert max(seen) <= most
    assert sum(seen) >= events + signals
    assert [store.connection.execute(f"SELECT count(*) FROM {table}").get for table in TABLES] == [0] * len(TABLES)
    store.close()


def test_slice_deletes_some_of_many_runs() -> None:
    store = Store(None)
    for run in range(1, 1001):
        large_run(store, run, 3, b"{}")
    expired: list[int] = []
    seen = slices(store, expired)
    assert sorted(expired) == list(range(1, 1001))
    assert max(seen) <= 710
    store.close()


def test_room_is_given_back_in_slices(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = Store(str(path))
    large_run(store, 1, 20, None)
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    full = path.stat().st_size
    assert full > 20_000_000
    freed = []
    retention = Retention(store, "default", 1, 0)
    while retention.is_due(10, idle=True):
        before = store.connection.execute("PRAGMA page_count").get
        retention.step(10, ())
        store.commit()
        freed.append(before - store.connection.execute("PRAGMA page_count").get)
    assert max(freed) <= 260  # pages of the pointer map go besides
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size < full / 20
    store.close()


def test_slice_is_followed_by_a_rest_of_nine_times_its_length() -> None:
    store = Store(None)
    for run in range(1, 1001):
        large_run(store, run, 3, b"{}")
    retention = Retention(store, "default", 1, 0)
    retention.step(1000, ())
    store.commit()
    retention.rest(1500)
    assert not retention.is_due(1500 + 4499, idle=True)
    assert retention.is_due(1500 + 4500, idle=True)
    retention.step(10_000, ())
    store.commit()
    retention.rest(9_000)  # the wall clock went back
    assert retention.is_due(10_000, idle=True)
    store.close()


def test_busy_service_comes_to_it_when_it_is_an_hour_late() -> None:
    store = Store(None)
    retention = Retention(store, "default", 1, 1000)
    assert retention.is_due(1000, idle=True)
    assert not retention.is_due(999, idle=True)
    assert not retention.is_due(1000 + 3600 * SECOND - 1, idle=False)
    assert retention.is_due(1000 + 3600 * SECOND, idle=False)
    store.close()
