"""Activities that somebody else ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monkit_workflow import Worker, activity, connect, workflow
from monkit_workflow.errors import ActivityFailure, ApplicationFailure, NotFound, WorkflowFailed
from tests.workflow.running import QUEUE, SHORT, START, run, working


@workflow.define
async def expense(amount: int) -> str:
    return await workflow.execute_activity("approve", amount, returns=str, id="approval", start_to_close=SHORT)


class Desk:
    """Leaves what is to be approved on a pile."""

    def __init__(self) -> None:
        self.pile: asyncio.Queue[str] = asyncio.Queue()

    @activity.define
    async def approve(self, amount: int) -> str:
        self.pile.put_nowait(activity.info().token)
        activity.complete_later()


class ThreadDesk(Desk):
    @activity.define(name="approve")
    def approve_on_a_thread(self, amount: int) -> str:
        activity.complete_later()


def test_activity_is_completed_by_its_token_when_its_code_has_long_returned() -> None:
    async def scene() -> None:
        desk = Desk()
        async with working([expense], [desk.approve]) as client:
            handle = await client.start(expense, 7, id="e", **START)
            attempt = client.activity(token=await desk.pile.get())
            assert await attempt.heartbeat("asked") is False
            await attempt.complete("granted")
            assert await handle.result() == "granted"
            with pytest.raises(NotFound):
                await attempt.complete("twice")

    run(scene())


def test_one_worker_slot_serves_any_number_of_open_attempts() -> None:
    async def scene() -> None:
        desk = Desk()
        async with working([expense], [desk.approve], max_activities=1) as client:
            handles = [await client.start(expense, number, id=f"e{number}", **START) for number in range(5)]
            tokens = [await desk.pile.get() for _ in handles]
            for token in tokens:
                await client.activity(token=token).fail(ApplicationFailure("too much", type="Refused"))
            for handle in handles:
                with pytest.raises(WorkflowFailed) as caught:
                    await handle.result()
                assert isinstance(caught.value.__cause__, ActivityFailure)

    run(scene())


def test_plain_activity_is_left_open_too_and_named_by_its_ids() -> None:
    async def scene() -> None:
        async with working([expense], [ThreadDesk().approve_on_a_thread]) as client:
            handle = await client.start(expense, 7, id="e", **START)
            while not [item for item in (await handle.describe()).pending_activities if item.state == "started"]:
                await asyncio.sleep(0)
            await client.activity(workflow_id="e", activity_id="approval").complete("granted")
            assert await handle.result() == "granted"

    run(scene())


def test_open_attempt_outlives_its_process(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/expenses.db"
    desk = Desk()

    async def ask() -> str:
        async with working([expense], [desk.approve], address) as client:
            await client.start(expense, 7, id="e", **START)
            return await desk.pile.get()

    async def grant(token: str) -> None:
        async with connect(address) as client:
            await client.activity(token=token).complete("granted")
            async with Worker(client, QUEUE, workflows=[expense]):
                assert await client.handle("e").result() == "granted"

    async def scene() -> None:
        await grant(await ask())

    run(scene())


def test_handle_needs_a_token_or_both_ids() -> None:
    client = connect("sqlite://")
    for names in ({}, {"workflow_id": "w"}, {"token": "t", "workflow_id": "w", "activity_id": "a"}):
        with pytest.raises(TypeError, match="token="):
            client.activity(**names)
