"""Updates as users write them: a call that changes a run and answers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from monkit_workflow import Worker, activity, connect, replay, workflow
from monkit_workflow.errors import (
    AlreadyClosed,
    ApplicationFailure,
    ConversionError,
    UpdateFailed,
    UpdateRejected,
)
from tests.workflow.running import QUEUE, SHORT, START, run, working

validated: list[int] = []


@activity.define
async def price_of(item: str) -> int:
    return len(item)


@workflow.define
class Basket:
    def __init__(self) -> None:
        self.items: list[str] = []
        self.total = 0
        self.closed = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.closed)
        return self.items

    @workflow.update
    async def add(self, item: str, number: int = 1) -> int:
        if item == "bomb":
            raise ApplicationFailure("it went off", type="Bang")
        price = await workflow.execute_activity(price_of, item, start_to_close=SHORT)
        self.items += [item] * number
        self.total += number * price
        return self.total

    @workflow.validator(add)
    def _only_few(self, item: str, number: int = 1) -> None:
        with workflow.unguarded():
            validated.append(number)
        if number > 3:
            raise ValueError(f"{number} are too many")

    @workflow.update
    def close(self) -> str:
        self.closed = True
        return "closed"

    @workflow.update(name="wait")
    async def wait_for(self, count: int) -> int:
        await workflow.wait_condition(lambda: len(self.items) >= count)
        return len(self.items)

    @workflow.query
    def count(self) -> int:
        return len(self.items)


def test_update_changes_the_run_and_returns_what_its_handler_returns() -> None:
    async def scene() -> None:
        async with working([Basket], [price_of]) as client:
            handle = await client.start(Basket.run, id="b", **START)
            assert await handle.update(Basket.add, "tea", 2) == 6
            assert await handle.update("add", "milk", returns=int) == 10
            assert await handle.query(Basket.count) == 3
            assert await handle.update(Basket.close) == "closed"
            assert await handle.result() == ["tea", "tea", "milk"]
            with pytest.raises(AlreadyClosed):
                await handle.update(Basket.close)

    run(scene())


def test_refused_update_changes_nothing_and_its_caller_learns_why() -> None:
    async def scene() -> None:
        async with working([Basket], [price_of]) as client:
            handle = await client.start(Basket.run, id="b", **START)
            assert await handle.query(Basket.count) == 0
            before = (await handle.describe()).history_length
            for _ in range(3):
                with pytest.raises(UpdateRejected, match="9 are too many") as caught:
                    await handle.update(Basket.add, "tea", 9)
                assert isinstance(caught.value.__cause__, ApplicationFailure)
                assert caught.value.__cause__.type == "ValueError"
            assert (await handle.describe()).history_length == before
            assert await handle.update(Basket.add, "tea") == 3

    run(scene())


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("add", (["a list"],), "does not fit"),
        ("add", (), "takes 1 to 2 arguments"),
        ("subtract", (), "there is no update 'subtract'; there are: add, close, wait"),
    ],
)
def test_update_that_does_not_fit_goes_back_to_its_caller(
    name: str, arguments: tuple[object, ...], reason: str
) -> None:
    async def scene() -> None:
        async with working([Basket], [price_of]) as client:
            handle = await client.start(Basket.run, id="b", **START)
            with pytest.raises(UpdateRejected, match=reason):
                await handle.update(name, *arguments)

    run(scene())


def test_handler_that_fails_after_it_began_fails_its_caller_and_not_the_run() -> None:
    async def scene() -> None:
        async with working([Basket], [price_of]) as client:
            handle = await client.start(Basket.run, id="b", **START)
            with pytest.raises(UpdateFailed, match="it went off") as caught:
                await handle.update(Basket.add, "bomb")
            assert isinstance(caught.value.__cause__, ApplicationFailure)
            assert caught.value.__cause__.type == "Bang"
            assert await handle.update(Basket.add, "tea") == 3

    run(scene())


def test_update_may_wait_and_is_answered_when_it_ends() -> None:
    async def scene() -> None:
        async with working([Basket], [price_of]) as client:
            handle = await client.start(Basket.run, id="b", **START)
            waiting = await handle.start_update(Basket.wait_for, 2, id="two")
            again = asyncio.create_task(handle.update(Basket.wait_for, 2, id="two"))
            await handle.update(Basket.add, "tea", 2)
            assert await waiting.result() == await again == 2
            history = await handle.history()
            accepted = [event for event in history.events if getattr(event, "update_id", "") == "two"]
            assert [type(event).__name__ for event in accepted] == [
                "WorkflowExecutionUpdateAccepted",
                "WorkflowExecutionUpdateCompleted",
            ]

    run(scene())


def test_accepted_update_survives_its_worker_and_is_not_validated_again(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/baskets.db"

    async def scene() -> None:
        async with working([Basket], [price_of], address) as client:
            handle = await client.start(Basket.run, id="b", **START)
            await handle.start_update(Basket.wait_for, 1, id="one")
            assert await handle.update(Basket.add, "tea") == 3
        validated.clear()
        async with connect(address) as client, Worker(client, QUEUE, workflows=[Basket], activities=[price_of]):
            handle = client.handle("b", workflow=Basket.run)
            assert await handle.update(Basket.wait_for, 1, id="one") == 1
            assert await handle.query(Basket.count) == 1
            assert validated == []
            await handle.update(Basket.close)
            history = await handle.history()
        assert replay(history, Basket).status == "completed"
        assert validated == []

    run(scene())


def test_refused_and_accepted_updates_leave_a_history_that_replays() -> None:
    async def scene() -> None:
        async with working([Basket], [price_of], cache=1) as client:
            handles = [await client.start(Basket.run, id=f"b{number}", **START) for number in range(3)]

            async def shop(place: int, number: int) -> object:
                try:
                    return await handles[place].update(Basket.add, f"item{number}", 1 + number % 5)
                except UpdateRejected as error:
                    return error

            outcomes = await asyncio.gather(*(shop(number % 3, number) for number in range(30)))
            assert sum(isinstance(outcome, UpdateRejected) for outcome in outcomes) == 12
            for handle in handles:
                await handle.update(Basket.close)
                await handle.result()
                assert replay(await handle.history(), Basket).status == "completed"

    run(scene())


@workflow.define
class Clumsy:
    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.log: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await self.woken.wait()
        return self.log

    @workflow.update
    def change(self, how: str) -> None:
        self.log.append(how)
        self.woken.set()

    @workflow.validator(change)
    def _check(self, how: str) -> None:
        if how == "sleep":
            workflow.start_activity("x", start_to_close=timedelta(seconds=1))
        elif how == "wake":
            self.woken.set()


def test_validator_that_would_change_something_is_told_and_the_update_refused() -> None:
    async def scene() -> None:
        async with working([Clumsy]) as client:
            handle = await client.start(Clumsy.run, id="c", **START)
            with pytest.raises(UpdateRejected, match="only read"):
                await handle.update(Clumsy.change, "sleep")
            await handle.update(Clumsy.change, "well")
            assert await handle.result() == ["well"]

    run(scene())


def test_validator_that_wakes_code_fails_the_task_and_the_run_is_as_it_was() -> None:
    async def scene() -> None:
        async with working([Clumsy]) as client:
            handle = await client.start(Clumsy.run, id="c", **START)
            await handle.stack()  # the code waits by now
            waking = asyncio.create_task(handle.update(Clumsy.change, "wake"))
            while (failure := (await handle.describe()).task_failure) is None:
                await asyncio.sleep(0)
            assert "must change nothing" in failure.message
            waking.cancel()
            async with Worker(client, QUEUE, workflows=[Clumsy]):  # a new worker is offered the task at once
                await handle.update(Clumsy.change, "well")
                assert await handle.result() == ["well"]

    run(scene())


def test_arguments_are_checked_before_anything_is_sent() -> None:
    async def scene() -> None:
        async with working([Basket], [price_of]) as client:
            handle = await client.start(Basket.run, id="b", **START)
            with pytest.raises(TypeError, match="takes 1 to 2 arguments"):
                await handle.update(Basket.add)  # type: ignore[call-arg, arg-type]
            with pytest.raises(TypeError, match="is no update"):
                await handle.update(Basket.count)
            with pytest.raises(ConversionError):
                await handle.update("add", object())

    run(scene())
