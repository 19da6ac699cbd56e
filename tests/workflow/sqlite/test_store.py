"""The file: what it is, who may open it, what is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from monkit_workflow.errors import StoreError
from monkit_workflow.sqlite import SqliteService
from monkit_workflow.sqlite.schema import APPLICATION_ID, MIGRATIONS
from monkit_workflow.sqlite.store import Store
from tests.contract.player import BOUND_S


def value(path: Path, sql: str) -> object:
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(sql).get
    finally:
        connection.close()


def test_new_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    Store(str(path)).close()
    assert value(path, "PRAGMA application_id") == APPLICATION_ID
    assert value(path, "PRAGMA user_version") == len(MIGRATIONS)
    assert value(path, "PRAGMA auto_vacuum") == 2
    assert value(path, "PRAGMA journal_mode") == "wal"


@pytest.mark.parametrize(("option", "level"), [("full", 2), ("normal", 1)])
def test_synchronous_is_full_unless_asked_otherwise(tmp_path: Path, option: str, level: int) -> None:
    store = Store(str(tmp_path / "runs.db"), option)  # type: ignore[arg-type]
    assert store.connection.execute("PRAGMA synchronous").get == level
    store.close()
    assert Store.__init__.__defaults__ == ("full",)


def test_all_tables_are_strict() -> None:
    store = Store(None)
    tables = store.connection.execute("PRAGMA table_list").fetchall()
    assert {
        row[1] for row in tables if row[2] == "table" and not row[5] and not str(row[1]).startswith("sqlite_")
    } == set()
    store.close()


def test_history_refuses_updates() -> None:
    store = Store(None)
    store.connection.execute("INSERT INTO history VALUES (1, 1, 1, x'00', NULL)")
    with pytest.raises(apsw.ConstraintError, match="written once"):
        store.connection.execute("UPDATE history SET time_ns = 2")
    store.close()


def test_workflow_id_has_one_running_run() -> None:
    store = Store(None)
    sql = "INSERT INTO runs VALUES (?,'n','w',?,'','','T','q',NULL,NULL,NULL,1,1,1,?,NULL,1,1,NULL,NULL)"
    store.connection.execute(sql, (1, "a", "completed"))
    store.connection.execute(sql, (2, "b", "running"))
    with pytest.raises(apsw.ConstraintError):
        store.connection.execute(sql, (3, "c", "running"))
    store.close()


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    Store(str(path)).close()
    value(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer version"):
        Store(str(path))


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    value(path, "CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="another program"):
        Store(str(path))


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no database " * 1000)
    with pytest.raises(StoreError, match="no SQLite database"):
        Store(str(path))


def test_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open"):
        Store(str(tmp_path / "none" / "runs.db"))


def test_second_opening_is_refused_and_names_the_process(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    store = Store(path)
    with pytest.raises(StoreError, match=rf"{path}.*process {os.getpid()}"):
        Store(path)
    store.close()
    Store(path).close()


def test_refused_opening_lets_the_lock_go(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    value(path, "CREATE TABLE theirs (x)")
    for _ in range(2):
        with pytest.raises(StoreError, match="another program"):
            Store(str(path))


FORKED = """
import os, sys
from monkit_workflow.sqlite.lock import FileLock
lock = FileLock(sys.argv[1])
ready, wake = os.pipe(), os.pipe()
if os.fork() == 0:
    os.write(ready[1], b"x")
    os.read(wake[0], 1)
    os._exit(0)
os.read(ready[0], 1)
lock.release()
FileLock(sys.argv[1]).release()
os.write(wake[1], b"x")
os.wait()
"""


def test_forked_child_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", FORKED, str(tmp_path / "runs.db")]
    subprocess.run(command, check=True, timeout=BOUND_S, cwd=root, env={**os.environ, "PYTHONPATH": root})


def damage(path: Path) -> None:
    """Break the tree of the index, not the head of the file."""
    page = int(value(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'runs_of_workflow'"))  # type: ignore[call-overload]
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 512)


def test_damage_is_looked_for_after_an_unclean_stop_only(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    Store(str(path)).close()
    damage(path)
    store = Store(str(path))  # it was closed well, so it is not searched
    store.abandon()
    with pytest.raises(StoreError, match="damaged"):
        Store(str(path))


def test_service_that_cannot_open_says_so(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no database " * 1000)

    async def scene() -> None:
        with pytest.raises(StoreError, match="no SQLite database"):
            async with SqliteService(str(path)):
                pass

    asyncio.run(scene())
