"""Running workflows in tests: a worker on a service in memory, bounded in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from monkit_workflow import Client, Worker, connect
from tests.helpers import BOUND_S

QUEUE = "tests"
SHORT = timedelta(seconds=BOUND_S)
START: dict[str, Any] = {"task_queue": QUEUE, "timeout": timedelta(days=1)}


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; it may not take longer than the bound."""

    async def bounded() -> None:
        async with asyncio.timeout(BOUND_S):
            await test

    asyncio.run(bounded())


@asynccontextmanager
async def working(
    workflows: Iterable[Any], activities: Iterable[Callable[..., Any]] = (), address: str = "sqlite://", **options: Any
) -> AsyncIterator[Client]:
    """A client with a worker."""
    async with (
        connect(address) as client,
        Worker(client, QUEUE, workflows=workflows, activities=activities, **options),
    ):
        yield client


class Gate:
    """What an activity waits at until the test opens it; says when somebody has come."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()

    def pass_through(self) -> None:
        """For activities on threads."""
        self.arrived.set()
        assert self.opened.wait(BOUND_S)

    async def wait_for_arrival(self) -> None:
        """For the test."""
        await asyncio.get_running_loop().run_in_executor(None, self.arrived.wait, BOUND_S)


async def until(test: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Ask again and again; the bound of the test ends it."""
    while not await test():
        await asyncio.sleep(0)
