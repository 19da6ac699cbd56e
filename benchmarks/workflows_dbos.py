"""``python -m benchmarks.workflows_dbos FILE``: the same in DBOS on SQLite, as shipped, for `benchmarks.workflows`."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.workflows_ours import ALONE, IN_FLIGHT, MANY

MANY_HERE = MANY // 10
"""It is slower: a tenth of the runs is enough to tell."""


@DBOS.step()
async def step(number: int) -> int:
    """The one step."""
    return number + 1


@DBOS.workflow()
async def one_step(number: int) -> int:
    """A workflow of one step."""
    return await step(number)


async def one(name: str, number: int) -> None:
    """Run one and wait for its result."""
    with SetWorkflowID(f"{name}{number}"):
        handle = await DBOS.start_workflow_async(one_step, number)
    assert await handle.get_result() == number + 1


async def main() -> None:
    """Print the figures as JSON."""
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
    await asyncio.gather(*map(limited, range(MANY_HERE)))
    print(json.dumps({"alone": alone, "many": MANY_HERE / (time.perf_counter() - began)}))


if __name__ == "__main__":
    config: DBOSConfig = {"name": "bench", "system_database_url": f"sqlite:///{sys.argv[1]}", "log_level": "ERROR"}
    DBOS(config=config)
    DBOS.launch()
    asyncio.run(main())
    DBOS.destroy()
