"""A report on a schedule: each run begins where the last one that succeeded ended.

    python examples/cron.py demo            # three reports, two seconds apart, the second one fails at first
    python examples/cron.py year            # a year of monthly reports, in a moment
    python examples/cron.py work            # a report a minute, until you stop it; start it again, and it goes on

The schedule is an option of the start. A run that fails is tried again by its
retry policy; the next time of the schedule gets what the last good run returned.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import datetime, timedelta

from monkit_workflow import Client, Retry, Worker, activity, connect, testing, workflow
from monkit_workflow.errors import AlreadyStarted, ApplicationFailure, WorkflowFailed

QUEUE = "reports"


@activity.define
async def write_report(since: datetime | None, until: datetime, attempt: int, faulty: bool) -> str:
    """What happened between two moments. A faulty one shows what a retry is for."""
    if faulty and attempt == 1:
        raise ApplicationFailure("the printer is out of paper")
    told = f", {timedelta(seconds=round((until - since).total_seconds()))} after the last" if since else ", the first"
    print(f"  report at {until:%Y-%m-%d %H:%M:%S}{told}", flush=True)
    return f"{until:%B}"


@workflow.define
class Report:
    """One report. Its result is the moment up to which everything is told."""

    @workflow.run
    async def run(self, faulty: bool = False) -> datetime:
        """Tell what happened since the last report."""
        since = workflow.last_result(returns=datetime)
        attempt = workflow.info().attempt
        if failure := workflow.last_failure():
            workflow.logger.warning("the run before failed: %s", failure)
        until = workflow.now()
        due = faulty and since is not None
        await workflow.execute_activity(write_report, since, until, attempt, due, start_to_close=timedelta(seconds=10))
        return until


async def begin(client: Client, cron: str, *, faulty: bool = False) -> None:
    """Start the schedule unless it is there."""
    try:
        await client.start(
            Report.run,
            faulty,
            id="report",
            task_queue=QUEUE,
            timeout=timedelta(hours=1),
            cron=cron,
            retry=Retry(initial=timedelta(milliseconds=100), attempts=3),
        )
    except AlreadyStarted:
        print("the schedule goes on", flush=True)


async def demo() -> None:
    """Three reports, then the schedule is cancelled."""
    done: asyncio.Queue[str] = asyncio.Queue()

    @activity.define(name="write_report")
    async def watched(since: datetime | None, until: datetime, attempt: int, faulty: bool) -> str:
        done.put_nowait(await write_report(since, until, attempt, faulty))
        return ""

    async with connect("sqlite://") as client, Worker(client, QUEUE, workflows=[Report], activities=[watched]):
        await begin(client, "@every 2s", faulty=True)
        for _ in range(3):
            await done.get()
        handle = client.handle("report")
        await handle.cancel()
        try:
            await handle.result()
        except WorkflowFailed as end:
            print(f"the schedule ended: {end.__cause__}")


async def year() -> None:
    """Twelve monthly reports by the clock of the test environment, which skips what nobody needs."""
    began = time.perf_counter()
    async with (
        testing.Environment(start=datetime.fromisoformat("2026-01-01T00:00:00Z")) as env,
        env.worker(QUEUE, workflows=[Report], activities=[write_report]),
    ):
        await begin(env.client, "@monthly")
        await env.sleep(timedelta(days=365))
    print(f"a year took {time.perf_counter() - began:.2f} s")


async def work(database: str) -> None:
    """A report a minute."""
    async with connect(f"sqlite:///{database}") as client:
        await begin(client, "* * * * *")
        print("a report a minute; stop it with Ctrl-C and start it again", flush=True)
        await Worker(client, QUEUE, workflows=[Report], activities=[write_report]).run()


def main() -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["demo", "year", "work"])
    parser.add_argument("--database", default="reports.db")
    arguments = parser.parse_args()
    try:
        match arguments.what:
            case "demo":
                asyncio.run(demo())
            case "year":
                asyncio.run(year())
            case _:
                asyncio.run(work(arguments.database))
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
