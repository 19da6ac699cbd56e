"""Taking a run back, as users do after they mended a fault."""

from __future__ import annotations

import pytest

from monkit_workflow import activity, replay, workflow
from monkit_workflow.errors import BadRequest
from tests.workflow.running import SHORT, START, run, until, working


@workflow.define
class Billing:
    """Charges what `price` says; the price may have been wrong."""

    def __init__(self) -> None:
        self.paid = False

    @workflow.run
    async def run(self, item: str) -> str:
        number = workflow.random().randrange(10**6)
        price = await workflow.execute_activity("price", item, returns=int, start_to_close=SHORT)
        await workflow.wait_condition(lambda: self.paid)
        return f"{item} {number}: {price}"

    @workflow.signal
    def pay(self) -> None:
        self.paid = True


def test_run_that_went_wrong_is_taken_back_and_hears_its_signals_again() -> None:
    async def scene() -> None:
        prices = {"tea": -5}

        @activity.define
        async def price(item: str) -> int:
            return prices[item]

        async with working([Billing], [price]) as client:
            handle = await client.start(Billing.run, "tea", id="b", **START)
            await handle.signal(Billing.pay)
            wrong = await handle.result()
            assert wrong.endswith(": -5")
            prices["tea"] = 5
            mended = await (await handle.reset("first", reason="wrong price")).result()
            assert mended == wrong.replace("-5", "5")  # random numbers and ids of the run stay what they were
            assert replay(await client.handle("b").history(), Billing).result == mended

    run(scene())


def test_result_follows_a_run_to_what_it_was_reset_to() -> None:
    async def scene() -> None:
        @activity.define
        async def price(item: str) -> int:
            return 3

        async with working([Billing], [price]) as client:
            handle = await client.start(Billing.run, "tea", id="b", **START)

            async def answered_twice() -> bool:
                return (await handle.describe()).history_length > 8

            await until(answered_twice)
            again = await handle.reset("last")
            with pytest.raises(BadRequest, match="end of a workflow task"):
                await again.reset(1)
            await again.signal(Billing.pay)
            assert await handle.result() == await again.result()

    run(scene())
