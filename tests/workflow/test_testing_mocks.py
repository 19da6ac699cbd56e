"""Mocks of activities and of workflows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow import Retry, activity, testing, workflow
from monkit_workflow.errors import (
    ActivityFailure,
    ApplicationFailure,
    CancelledFailure,
    ChildFailure,
    NotFound,
    QueryFailed,
    TimeoutFailure,
    WorkflowFailed,
)
from tests.workflow.running import run

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass
class Card:
    number: str


@dataclass
class Receipt:
    text: str


@activity.define
async def charge(card: Card, cents: int) -> Receipt:
    raise AssertionError("the real one")


class Shop:
    @activity.define(name="pack")
    def pack_parcel(self, what: str) -> str:
        raise AssertionError("the real one")


@workflow.define
class Shipment:
    @workflow.run
    async def run(self, order: str) -> str:
        raise AssertionError("the real one")

    @workflow.query
    def place(self) -> str:
        return "nowhere"


@workflow.define
async def order(cents: int) -> str:
    receipt = await workflow.execute_activity(charge, Card("4711"), cents, start_to_close=MINUTE)
    shipped = await workflow.execute_child(Shipment.run, "o-1", id="shipment", timeout=DAY)
    return f"{receipt.text}, {shipped}"


@workflow.define
async def elsewhere() -> str:
    return await workflow.execute_activity(
        "far", 1, returns=str, start_to_close=MINUTE, task_queue="a queue without workers"
    )


async def outcome(env: testing.Environment, subject: Any, *args: Any) -> Any:
    handle = await env.client.start(subject, *args, id="w", task_queue=env.task_queue, timeout=30 * DAY)
    return await handle.result()


def test_activity_and_child_are_replaced_and_their_calls_are_kept() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[order, Shipment], activities=[charge]):
            paying = env.mock(charge, returns=Receipt("paid"))
            shipping = env.mock(Shipment.run, returns="on its way")
            assert await outcome(env, order, 5) == "paid, on its way"
            assert paying.calls == [(Card("4711"), 5)]
            assert shipping.calls == [("o-1",)]

    run(test())


def test_what_no_worker_has_can_be_mocked_on_any_queue() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[elsewhere]):
            far = env.mock("far", returns="away")
            assert await outcome(env, elsewhere) == "away"
            assert far.calls == [(1,)]

    run(test())


def test_workflow_that_a_client_starts_can_be_mocked() -> None:
    async def test() -> None:
        async with testing.Environment() as env:
            env.mock(order, returns="all of it")
            assert await outcome(env, order, 1) == "all of it"
            env.mock("order", call=lambda cents: cents * 2)  # takes its place
            handle = await env.client.start(order, 21, id="w2", task_queue="q", timeout=DAY)
            with pytest.raises(QueryFailed, match="mocked"):
                await handle.query("state")
            assert (await env.client.handle("w2").result()) == 42

    run(test())


def test_method_is_mocked_by_its_function() -> None:
    @workflow.define
    async def packing() -> str:
        return await workflow.execute_activity("pack", "tea", returns=str, start_to_close=MINUTE)

    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[packing], activities=[Shop().pack_parcel]):
            packed = env.mock(Shop.pack_parcel, returns="box")
            assert await outcome(env, packing) == "box"
            assert packed.calls == [("tea",)]

    run(test())


def test_arguments_that_do_not_fit_the_real_signature_fail_the_call() -> None:
    @workflow.define
    async def careless() -> None:
        await workflow.execute_activity("charge", "4711", 5, start_to_close=MINUTE)

    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[careless]):
            charging = env.mock(charge, returns=None)
            with pytest.raises(WorkflowFailed) as failed:
                await outcome(env, careless)
            cause = failed.value.__cause__
            assert isinstance(cause, ActivityFailure)
            assert isinstance(cause.__cause__, ApplicationFailure)
            assert cause.__cause__.type == "ConversionError"
            assert charging.calls == []

    run(test())


def test_mocks_that_raise_are_tried_again_as_the_policy_says() -> None:
    @workflow.define
    async def insisting() -> str:
        retry = Retry(attempts=3, initial=DAY)
        return await workflow.execute_activity("far", returns=str, start_to_close=MINUTE, retry=retry)

    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[insisting]):
            failing = env.mock("far", raises=ApplicationFailure("no", type="Closed"))
            with pytest.raises(WorkflowFailed) as failed:
                await outcome(env, insisting)
            reason = failed.value.__cause__.__cause__  # type: ignore[union-attr]
            assert isinstance(reason, ApplicationFailure)
            assert reason.type == "Closed"
            assert failing.calls == [()] * 3

    run(test())


def test_child_that_raises_fails_its_parent() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[order]):
            env.mock(charge, returns=Receipt("paid"))
            env.mock(Shipment, raises=LookupError("no such street"))
            with pytest.raises(WorkflowFailed) as failed:
                await outcome(env, order, 5)
            cause = failed.value.__cause__
            assert isinstance(cause, ChildFailure)
            assert "no such street" in str(cause.__cause__)

    run(test())


def test_mock_calls_a_plain_or_an_async_function() -> None:
    async def test() -> None:
        async def slowly(name: str) -> str:
            status = (await env.client.handle("w").describe()).status
            return f"{name} shipped while {status}"

        async with testing.Environment() as env, env.worker(workflows=[order]):
            env.mock(charge, call=lambda card, cents: Receipt(f"{cents} from {card.number}"))
            env.mock(Shipment, call=slowly)
            assert await outcome(env, order, 5) == "5 from 4711, o-1 shipped while running"

    run(test())


def test_activity_that_waits_runs_into_its_time_out_in_skipped_time() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[order]):
            env.mock(charge, waits=True)
            began = env.now()
            with pytest.raises(WorkflowFailed) as failed:
                await outcome(env, order, 5)
            reason = failed.value.__cause__.__cause__  # type: ignore[union-attr]
            assert isinstance(reason, TimeoutFailure)
            assert reason.kind == "start_to_close"
            assert env.now() - began == MINUTE

    run(test())


def test_activity_and_child_that_wait_are_cancelled_when_they_are_given_up() -> None:
    @workflow.define
    async def impatient() -> list[str]:
        working = workflow.start_activity(charge, Card("1"), 1, start_to_close=DAY, cancellation="wait")
        child = await workflow.start_child(Shipment.run, "x", id="shipment", timeout=DAY, cancellation="wait")
        log = []
        for waiting in (working, asyncio.ensure_future(child.result())):
            try:
                await asyncio.wait_for(waiting, 60)
            except (TimeoutError, CancelledFailure, ActivityFailure, ChildFailure) as error:
                log.append(type(error).__name__)
        return log

    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[impatient]):
            env.mock(charge, waits=True)
            env.mock(Shipment, waits=True)
            assert await outcome(env, impatient) == ["TimeoutError", "TimeoutError"]
            assert (await env.client.handle("shipment").describe()).status == "canceled"

    run(test())


def test_signals_to_a_mocked_child_arrive_and_do_not_disturb_it() -> None:
    @workflow.define
    async def talkative() -> str:
        child = await workflow.start_child(Shipment.run, "x", timeout=DAY)
        for _ in range(3):
            await child.signal("hurry")
        await workflow.sleep(MINUTE)
        return await child

    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[talkative]):
            shipping = env.mock(Shipment, waits=True)
            handle = await env.client.start(talkative, id="w", task_queue=env.task_queue, timeout=DAY)
            await env.sleep(2 * MINUTE)
            assert shipping.calls == [("x",)]
            await handle.terminate()

    run(test())


def test_mock_of_a_run_that_ended_meanwhile_disturbs_nobody() -> None:
    async def test() -> None:
        async def end_it(*_: object) -> Receipt:
            await env.client.handle("w").terminate("enough")
            return Receipt("too late")

        async with testing.Environment() as env, env.worker(workflows=[order]):
            env.mock(charge, call=end_it)
            with pytest.raises(WorkflowFailed, match="enough"):
                await outcome(env, order, 1)
            with pytest.raises(NotFound):
                await env.client.handle("nobody").result()

    run(test())


def test_mock_is_told_one_thing_about_something_that_can_be_mocked() -> None:
    env = testing.Environment()
    with pytest.raises(TypeError, match="one of returns="):
        env.mock("x", returns=1, call=print)
    with pytest.raises(TypeError, match="neither an activity nor a workflow"):
        env.mock(print, returns=1)
    with pytest.raises(TypeError, match="raises= takes an exception"):
        env.mock("x", raises="no")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="call= takes a function"):
        env.mock("x", call="no")  # type: ignore[arg-type]
