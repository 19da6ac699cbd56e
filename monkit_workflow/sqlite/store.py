"""The file: opened safely, one transaction at a time, closed with a mark.

One thread uses a store. What the rows mean is told by `monkit_workflow.sqlite.rows`.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Literal

import apsw

from monkit_workflow.errors import StoreError
from monkit_workflow.sqlite.lock import FileLock
from monkit_workflow.sqlite.schema import APPLICATION_ID, MIGRATIONS

__all__ = ["Store", "Synchronous"]

Synchronous = Literal["full", "normal"]


class Store:
    """An open file, or a private database in memory if *path* is ``None``.

    Args:
        path: of the file; it is created if there is none. ``<path>.lock``
            keeps other processes away.
        synchronous: ``"full"`` makes every commit durable. ``"normal"`` may
            lose the last commits, acknowledged ones too, when the machine
            loses power; a crash of the process loses nothing.

    Raises:
        StoreError: the file is in use, damaged, newer than this program or not one of ours.
    """

    def __init__(self, path: str | None, synchronous: Synchronous = "full") -> None:
        self.path = path
        self._synchronous = synchronous
        self._lock = FileLock(os.path.realpath(path)) if path is not None else None
        self._in_transaction = False
        try:
            self.connection = self._connect()
        except BaseException:
            self._unlock()
            raise

    @property
    def name(self) -> str:
        """How messages call the file."""
        return self.path if self.path is not None else "the database in memory"

    def begin(self) -> None:
        """Begin a transaction unless one has begun."""
        if not self._in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
            self._in_transaction = True

    def commit(self) -> None:
        """Make the transaction durable, if there is one."""
        if self._in_transaction:
            self.connection.execute("COMMIT")
            self._in_transaction = False

    def reopen(self) -> None:
        """After a failed write: forget the transaction and the connection with all it may hold.

        A database in memory would be gone with its connection, so it is only rolled back.
        """
        self._in_transaction = False
        with contextlib.suppress(apsw.Error):
            self.connection.execute("ROLLBACK")
        if self.path is not None:
            with contextlib.suppress(apsw.Error):
                self.connection.close(True)
            self.connection = self._connect()

    def close(self) -> None:
        """Close the file and leave the mark that says so."""
        try:
            self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
            self.connection.close()
        except apsw.Error as error:
            raise StoreError(f"{self.name} could not be closed properly: {error}") from error
        finally:
            self._unlock()

    def abandon(self) -> None:
        """Let the file go without the mark, as a crash would: the next opening looks for damage."""
        with contextlib.suppress(apsw.Error):
            self.connection.close(True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _connect(self) -> apsw.Connection:
        connection = None
        try:
            connection = apsw.Connection(self.path if self.path is not None else ":memory:")
            self._prepare(connection)
        except (apsw.Error, StoreError) as error:
            if connection is not None:
                connection.close(True)
            if isinstance(error, StoreError):
                raise
            if isinstance(error, apsw.NotADBError):
                raise StoreError(f"{self.name} is no SQLite database") from error
            raise StoreError(f"cannot open {self.name}: {error}") from error
        return connection

    def _prepare(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(5_000)  # somebody may be reading with a tool
        version = _one(connection, "PRAGMA user_version")
        application = _one(connection, "PRAGMA application_id")
        empty = _one(connection, "SELECT count(*) FROM sqlite_schema") == 0
        if application != APPLICATION_ID and not (empty and application == 0 and version == 0):
            raise StoreError(f"{self.name} is an SQLite database of another program; give the path of a new file")
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.name} has schema version {version} and this program knows {len(MIGRATIONS)}: "
                "a newer version of monkit-py wrote it; upgrade this one"
            )
        if empty:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if self.path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous.upper()}")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        # Plans do not depend on bound values: without this each look-up by workflow id is prepared anew, 8 µs.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        self._migrate(connection, version)
        self._check(connection, new=empty)

    def _migrate(self, connection: apsw.Connection, version: int) -> None:
        if version < len(MIGRATIONS):
            with connection:
                for script in MIGRATIONS[version:]:
                    connection.execute(script)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _check(self, connection: apsw.Connection, *, new: bool) -> None:
        clean = _one(connection, "SELECT count(*) FROM meta WHERE name = 'clean'")
        if not clean and not new:
            found = _one(connection, "PRAGMA quick_check(1)")
            if found != "ok":
                raise StoreError(f"{self.name} is damaged: {found}; restore a backup")
        connection.execute("DELETE FROM meta WHERE name = 'clean'")


def _one(connection: apsw.Connection, sql: str) -> Any:
    return connection.execute(sql).get
