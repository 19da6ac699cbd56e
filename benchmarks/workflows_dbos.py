"""``python -m benchmarks.workflows_dbos FILE``: the same in DBOS on SQLite, as shipped, for `benchmarks.workflows`."""

from __future__ import annotations

import asyncio
import json
import sys

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.workflows_ours import MANY, rates

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


if __name__ == "__main__":
    config: DBOSConfig = {"name": "bench", "system_database_url": f"sqlite:///{sys.argv[1]}", "log_level": "ERROR"}
    DBOS(config=config)
    DBOS.launch()
    print(json.dumps(asyncio.run(rates(one, MANY_HERE))))
    DBOS.destroy()
