"""Runs that ended long ago are deleted, in slices between the requests.

A slice takes some milliseconds, whatever it deletes. The row in ``runs`` goes
first, so that nobody sees half a run; what is left of it elsewhere is known by
``remains``, and goes in further slices, also after a crash. At the end the
file gives room back, down to a tenth that new runs will need.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from monkit_workflow.sqlite.store import Store

__all__ = ["PAUSE_NS", "Retention"]

PAUSE_NS: Final = 600 * 1_000_000_000
"""Between two sweeps."""

_PATIENCE_NS: Final = 3600 * 1_000_000_000
"""A sweep that is late by so much does not wait for idleness any more."""

_REST: Final = 9
"""Times as long as a slice took nothing is deleted after it: requests seldom meet one."""

# In a slice at most:
_RUNS: Final = 100
_ROWS: Final = 500
_BYTES: Final = 1024 * 1024
_PAGES: Final = 250


class Retention:
    """The sweep over the runs of a namespace.

    Args:
        store: where they are.
        namespace: whose they are.
        keep_ns: how long a run is kept after its end, ``None`` for ever.
        sweep_ns: when the first sweep begins.
    """

    def __init__(self, store: Store, namespace: str, keep_ns: int | None, sweep_ns: int) -> None:
        self._store = store
        self._execute: Callable[..., Any] = store.connection.execute
        self._namespace = namespace
        self._keep_ns = keep_ns
        self.due_ns: int | None = None if keep_ns is None else sweep_ns
        """When there is something to do."""
        self._sweep_ns = self._began_ns = sweep_ns
        self._seen = 0
        """The last run that this sweep has looked at."""

    def is_due(self, now_ns: int, *, idle: bool) -> bool:
        """Whether it is time for a slice."""
        if self.due_ns is None or self.due_ns > now_ns:
            return False
        return idle or self._sweep_ns + _PATIENCE_NS <= now_ns

    def step(self, now_ns: int, kept: Collection[int]) -> list[int]:
        """Do a slice, in a transaction that the caller ends; return the runs that are gone by it.

        Args:
            now_ns: the time.
            kept: runs that somebody asks about just now.
        """
        assert self._keep_ns is not None
        self._began_ns = now_ns
        if remains := self._column("SELECT run FROM remains LIMIT ?", _RUNS):
            self._store.begin()
            self._clear(remains)
            return []
        expired, is_over = self._look(now_ns - self._keep_ns)
        expired = [run for run in expired if run not in kept]
        if expired:
            self._store.begin()
            self._forget(expired)
        elif is_over and not self._shrink():
            self._seen = 0
            self.due_ns = self._sweep_ns = now_ns + PAUSE_NS
        return expired

    def rest(self, now_ns: int) -> None:
        """The slice is durable; the next one waits a while."""
        assert self.due_ns is not None
        took_ns = max(0, min(now_ns - self._began_ns, 1_000_000_000))
        self.due_ns = max(self.due_ns, now_ns + _REST * took_ns)

    def _column(self, sql: str, *values: Any) -> list[int]:
        return [value for (value,) in self._execute(sql, values)]

    def _look(self, before_ns: int) -> tuple[list[int], bool]:
        """The next runs that ended before, and whether the sweep has come to those that began after it."""
        sql = "SELECT run, started_ns, closed_ns FROM runs WHERE namespace=? AND run>? ORDER BY run LIMIT ?"
        expired: list[int] = []
        rows = self._execute(sql, (self._namespace, self._seen, _RUNS)).fetchall()
        for run, started_ns, closed_ns in rows:
            if started_ns >= before_ns:
                return expired, True
            self._seen = run
            if closed_ns is not None and closed_ns < before_ns:
                expired.append(run)
        return expired, len(rows) < _RUNS

    def _forget(self, runs: list[int]) -> None:
        """Delete the runs as such; no later run has one of their numbers."""
        marks = ",".join("?" * len(runs))
        self._execute(f"DELETE FROM runs WHERE run IN ({marks})", runs)
        self._execute(f"INSERT INTO remains VALUES {','.join(['(?)'] * len(runs))}", runs)
        last = "INSERT INTO meta VALUES ('deleted', ?) ON CONFLICT DO UPDATE SET value=max(value, excluded.value)"
        self._execute(last, (max(runs),))

    def _clear(self, runs: list[int]) -> None:
        """Delete what is left of runs."""
        requests = (
            "DELETE FROM requests WHERE run=?1 AND request_id IN "
            "(SELECT request_id FROM requests WHERE run=?1 LIMIT ?2)"
        )
        left = _ROWS
        for run in runs:
            left -= self._clear_history(run, left)
            if left > 0:
                self._execute(requests, (run, left))
                left -= self._store.connection.changes()
            if left <= 0:
                return
            self._execute("DELETE FROM search_attributes WHERE run=?", (run,))
            self._execute("DELETE FROM remains WHERE run=?", (run,))

    def _clear_history(self, run: int, limit: int) -> int:
        """Delete the first events of a run; return how many, or all that a slice may if there are more."""
        sql = (
            "SELECT h.event, h.blob, length(coalesce(h.body, b.body)) FROM history h "
            "LEFT JOIN blobs b ON b.blob = h.blob WHERE h.run=? ORDER BY h.event LIMIT ?"
        )
        size = count = last = 0
        blobs: list[tuple[int]] = []
        for event, blob, length in self._execute(sql, (run, limit)):
            last = event
            count += 1
            size += length
            if blob is not None:
                blobs.append((blob,))
            if size > _BYTES:
                count = limit
                break
        if blobs:
            self._store.connection.executemany("DELETE FROM blobs WHERE blob=?", blobs)
        self._execute("DELETE FROM history WHERE run=? AND event<=?", (run, last))
        return count

    def _shrink(self) -> bool:
        """Give some pages back; false if there are few to give."""
        free, pages = (self._execute(f"PRAGMA {name}").get for name in ("freelist_count", "page_count"))
        if free * 10 <= pages:
            return False
        self._store.begin()
        self._execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
        return True
