"""Runs that are repeated, as users write them: retries, schedules, the last result, signals that start."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from monkit_workflow import Retry, activity, workflow
from monkit_workflow.errors import ApplicationFailure, WorkflowFailed
from tests.workflow.running import SHORT, START, run, working

TINY = timedelta(milliseconds=1)


@workflow.define
async def stubborn(wanted: int) -> str:
    attempt = workflow.info().attempt
    before = workflow.last_failure()
    if attempt < wanted:
        raise ApplicationFailure(f"attempt {attempt}")
    return f"{attempt} after {before}"


@workflow.define
async def counting() -> int:
    count = (workflow.last_result(returns=int) or 0) + 1
    await workflow.execute_activity("tell", count, start_to_close=SHORT)
    return count


@workflow.define
async def parenting() -> str:
    return await workflow.execute_child(
        stubborn, 2, timeout=timedelta(hours=1), retry=Retry(initial=TINY, attempts=2), id="child"
    )


@workflow.define
class Cart:
    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self, size: int) -> list[str]:
        await workflow.wait_condition(lambda: len(self.items) >= size)
        return self.items

    @workflow.signal
    def put(self, item: str, number: int = 1) -> None:
        self.items += [item] * number


def test_workflow_is_tried_again_as_its_policy_says_and_may_ask_why() -> None:
    async def scene() -> None:
        async with working([stubborn]) as client:
            retry = Retry(initial=TINY, attempts=3)
            handle = await client.start(stubborn, 3, id="a", retry=retry, **START)
            assert await handle.result() == "3 after attempt 2"
            handle = await client.start(stubborn, 9, id="b", retry=retry, **START)
            with pytest.raises(WorkflowFailed, match="attempt 3"):
                await handle.result()
            handle = await client.start(stubborn, 2, id="c", **START)
            with pytest.raises(WorkflowFailed, match="attempt 1"):
                await handle.result()

    run(scene())


def test_child_is_tried_again_and_its_parent_gets_the_last_result() -> None:
    async def scene() -> None:
        async with working([parenting, stubborn]) as client:
            handle = await client.start(parenting, id="p", **START)
            assert await handle.result() == "2 after attempt 1"

    run(scene())


def test_each_run_of_a_schedule_gets_the_result_of_the_one_before() -> None:
    async def scene() -> None:
        counts: asyncio.Queue[int] = asyncio.Queue()

        @activity.define
        async def tell(count: int) -> None:
            counts.put_nowait(count)

        async with working([counting], [tell]) as client:
            handle = await client.start(counting, id="c", cron="@every 1s", **START)
            end = asyncio.create_task(handle.result())  # goes along the runs, which do not end by themselves
            assert [await counts.get() for _ in range(3)] == [1, 2, 3]
            await client.handle("c").cancel()
            with pytest.raises(WorkflowFailed, match="cancelled"):
                await end

    run(scene())


def test_cart_is_started_by_the_first_signal() -> None:
    async def scene() -> None:
        async with working([Cart]) as client:
            for item in ("tea", "milk"):
                handle = await client.signal_with_start(
                    Cart.run, 3, signal=Cart.put, signal_args=(item, 2), id="cart", **START
                )
            assert await handle.result() == ["tea", "tea", "milk", "milk"]

    run(scene())


def test_options_that_make_no_sense_are_refused_at_the_call() -> None:
    async def scene() -> None:
        async with working([stubborn]) as client:
            with pytest.raises(ValueError, match=r"needs attempts= or expiration="):
                await client.start(stubborn, 1, id="a", retry=Retry(), **START)
            with pytest.raises(ValueError, match="five fields"):
                await client.start(stubborn, 1, id="a", cron="daily", **START)
            with pytest.raises(TypeError, match="takes 1 arguments"):
                await client.signal_with_start(stubborn, id="a", signal="s", **START)

    run(scene())
