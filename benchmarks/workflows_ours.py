"""``python -m benchmarks.workflows_ours FILE``: the embedded service and one worker, for `benchmarks.workflows`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from monkit_workflow import Client, Worker, activity, connect, workflow

ALONE, MANY, IN_FLIGHT, SIGNALS = 200, 2_000, 100, 500
_OPTIONS: dict[str, Any] = {"task_queue": "bench", "timeout": timedelta(hours=1)}


@activity.define
async def step(number: int) -> int:
    """The one step."""
    return number + 1


@workflow.define
async def one_step(number: int) -> int:
    """A workflow of one step."""
    return await workflow.execute_activity(step, number, start_to_close=timedelta(seconds=30))


@workflow.define
class Register:
    """Counts its signals."""

    def __init__(self) -> None:
        self.count = 0

    @workflow.run
    async def run(self) -> None:
        """Until it is cancelled."""
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def add(self) -> None:
        """One more."""
        self.count += 1

    @workflow.query
    def total(self) -> int:
        """How many there were."""
        return self.count


async def rates(one: Callable[[str, int], Awaitable[None]], many: int = MANY) -> dict[str, float]:
    """Runs a second of *one*, which runs one workflow: one at a time, and with 100 in flight."""
    await one("warm", 0)
    began = time.perf_counter()
    for number in range(ALONE):
        await one("alone", number)
    alone = ALONE / (time.perf_counter() - began)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def limited(number: int) -> None:
        async with slots:
            await one("many", number)

    began = time.perf_counter()
    await asyncio.gather(*map(limited, range(many)))
    return {"alone": alone, "many": many / (time.perf_counter() - began)}


async def latencies_ms(client: Client) -> list[float]:
    """From before a signal is sent until a query has shown its effect, on a service that does nothing else."""
    handle = await client.start(Register.run, id="register", **_OPTIONS)
    found = []
    for number in range(SIGNALS):
        began = time.perf_counter()
        await handle.signal(Register.add)
        assert await handle.query(Register.total) == number + 1
        found.append((time.perf_counter() - began) * 1e3)
    return sorted(found)


async def main(path: str) -> None:
    """Print the figures as JSON."""
    async with (
        connect(f"sqlite:///{path}") as client,
        Worker(client, "bench", workflows=[one_step, Register], activities=[step]),
    ):

        async def one(name: str, number: int) -> None:
            handle = await client.start(one_step, number, id=f"{name}{number}", **_OPTIONS)
            assert await handle.result() == number + 1

        figures = await rates(one)
        found = await latencies_ms(client)
    quantiles = {name: found[int(len(found) * share)] for name, share in (("p50", 0.5), ("p99", 0.99))}
    print(json.dumps({**figures, **quantiles}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
