"""What the tests of the embedded service share: a clock set by hand, stores that misbehave, crashes."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw

from monkit_workflow.sqlite import SqliteService
from monkit_workflow.sqlite.store import Store
from tests.contract.player import BOUND_S, SECOND, Player

NOON_NS = 1_700_000_000 * SECOND


class HandClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self._now_ns = NOON_NS
        self._conditions: set[threading.Condition] = set()

    def now_ns(self) -> int:
        """What the hands show."""
        return self._now_ns

    def wait(self, condition: threading.Condition, until_ns: int | None) -> None:
        """Sleep until the clock is set or the condition notified."""
        self._conditions.add(condition)
        condition.wait()

    def advance(self, duration_ns: int) -> None:
        """Set it."""
        self._now_ns += duration_ns
        for condition in list(self._conditions):
            with condition:
                condition.notify_all()


class GatedStore(Store):
    """Waits at each commit while the gate is closed, and counts them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.commits = 0

    def commit(self) -> None:
        if self._in_transaction:
            self.reached.set()
            assert self.gate.wait(BOUND_S)
            self.commits += 1
        super().commit()


class FaultyStore(Store):
    """Fails the commits it is told to, before or after they are durable, and the openings after them."""

    fail_before = 0
    fail_after = 0
    fail_reopening = 0

    def commit(self) -> None:
        if self._in_transaction and self.fail_before:
            self.fail_before -= 1
            raise apsw.FullError("disk full, says the test")
        done = self._in_transaction
        super().commit()
        if done and self.fail_after:
            self.fail_after -= 1
            raise apsw.IOError("no answer, says the test")

    def reopen(self) -> None:
        if self.fail_reopening:
            self.fail_reopening -= 1
            raise apsw.CantOpenError("gone, says the test")
        super().reopen()


class Stage:
    """A service on a file, with a clock set by hand, and what remains of it after a crash."""

    def __init__(self, directory: Path, kind: type[Store] = Store, **options: Any) -> None:
        self.path = directory / "runs.db"
        self.clock = HandClock()
        self.kind = kind
        self.options = options
        self.stores: list[Any] = []
        self.copies = 0

    def service(self, path: Path | None = None) -> SqliteService:
        """A service on the file."""

        def open_store(*arguments: Any) -> Store:
            self.stores.append(self.kind(*arguments))
            return self.stores[-1]  # type: ignore[no-any-return]

        return SqliteService(str(path or self.path), clock=self.clock, open_store=open_store, **self.options)

    @property
    def store(self) -> Any:
        """The store that was opened last."""
        return self.stores[-1]

    def crashed(self) -> SqliteService:
        """A service on the file as a crash at this moment would leave it."""
        self.copies += 1
        copy = self.path.with_name(f"copy{self.copies}.db")
        shutil.copyfile(self.path, copy)
        shutil.copyfile(f"{self.path}-wal", f"{copy}-wal")
        return self.service(copy)


def act(stage: Stage, scene: Callable[[Player], Awaitable[None]], service: SqliteService | None = None) -> None:
    """Run a scene; it ends by itself, or fails after a while."""

    async def bounded() -> None:
        opened = service or stage.service()
        async with asyncio.timeout(BOUND_S), opened:
            await scene(Player(opened))

    asyncio.run(bounded())
