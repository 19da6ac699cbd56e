"""Context propagation: what is set around a call is seen by what it causes, and by nothing else."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow import ContextVarPropagator, Worker, activity, connect, replay, workflow
from monkit_workflow.errors import Nondeterminism
from tests.workflow.running import QUEUE, START, run, until, working

MINUTE = timedelta(minutes=1)
USER: ContextVar[str | None] = ContextVar("user", default=None)
TENANT: ContextVar[int] = ContextVar("tenant")
PROPAGATORS = [ContextVarPropagator({"user": USER}), ContextVarPropagator({"tenant": TENANT})]


@activity.define
async def who() -> list[Any]:
    return [USER.get(), TENANT.get(None)]


@activity.define
def who_in_thread() -> list[Any]:
    assert threading.current_thread().name.startswith("monkit-activity")
    return [USER.get(), TENANT.get(None)]


@workflow.define
class Child:
    @workflow.run
    async def run(self) -> list[Any]:
        return [USER.get(), TENANT.get(None)]


@workflow.define
class Telling:
    def __init__(self) -> None:
        self.made_by = USER.get()
        self.told: dict[str, Any] = {}

    @workflow.run
    async def run(self, end: int, again: bool = False) -> dict[str, Any]:
        if again:
            workflow.continue_as_new(end)
        self.told["init"] = self.made_by
        self.told["run"] = [USER.get(), TENANT.get(None)]
        self.told["activity"] = await workflow.execute_activity(who, start_to_close=MINUTE)
        self.told["thread"] = await workflow.execute_activity(who_in_thread, start_to_close=MINUTE)
        self.told["local"] = await workflow.execute_local_activity(who, start_to_close=MINUTE)
        self.told["child"] = await workflow.execute_child(Child.run, timeout=MINUTE)
        await workflow.wait_condition(lambda: len(self.told) >= end)
        return self.told

    @workflow.signal
    def plain(self) -> None:
        self.told["plain"] = USER.get()

    @workflow.signal
    async def slow(self) -> None:
        self.told["slow"] = await workflow.execute_activity(who, start_to_close=MINUTE)

    @workflow.update
    def change(self) -> str | None:
        self.told["update"] = USER.get()
        return USER.get()

    @workflow.query
    def asks(self) -> str | None:
        return USER.get()


ACTIVITIES = [who, who_in_thread]


def test_what_is_set_around_a_start_is_seen_by_all_that_it_causes() -> None:
    async def scene() -> None:
        client = connect("sqlite://", propagators=PROPAGATORS)
        async with client, Worker(client, QUEUE, workflows=[Telling, Child], activities=ACTIVITIES):
            USER.set("ann")
            TENANT.set(7)
            await client.start(Telling.run, 6, True, id="w", **START)
            USER.set("nobody")
            handle = client.handle("w", workflow=Telling.run)
            both = ["ann", 7]
            assert await handle.result() == {
                "init": "ann",
                "run": both,
                "activity": both,
                "thread": both,
                "local": both,
                "child": both,
            }
            history = await handle.history()
            assert replay(history, Telling, propagators=PROPAGATORS).result["run"] == both
            with pytest.raises(Nondeterminism):
                replay(history, Telling)

    run(scene())


def test_each_message_runs_in_the_name_of_its_sender() -> None:
    async def scene() -> None:
        client = connect("sqlite://", propagators=PROPAGATORS)
        async with client, Worker(client, QUEUE, workflows=[Telling, Child], activities=ACTIVITIES):
            USER.set("ann")
            handle = await client.start(Telling.run, 9, id="w", **START)
            USER.set("ben")
            await handle.signal(Telling.slow)
            USER.set("cleo")
            assert await handle.update(Telling.change) == "cleo"
            assert await handle.query(Telling.asks) == "cleo"
            USER.set(None)
            assert await handle.query(Telling.asks) is None
            await handle.signal(Telling.plain)
            told = await handle.result()
            assert (told["run"][0], told["slow"][0], told["update"], told["plain"]) == ("ann", "ben", "cleo", None)

    run(scene())


def test_what_workflow_code_sets_goes_on_from_there() -> None:
    @workflow.define
    class Setting:
        @workflow.run
        async def run(self) -> list[Any]:
            USER.set("root")
            TENANT.set(1)
            return await workflow.execute_activity(who, start_to_close=MINUTE)

    async def scene() -> None:
        client = connect("sqlite://", propagators=PROPAGATORS)
        async with client, Worker(client, QUEUE, workflows=[Setting], activities=[who]):
            assert await (await client.start(Setting.run, id="w", **START)).result() == ["root", 1]

    run(scene())


def test_without_propagators_nothing_travels() -> None:
    async def scene() -> None:
        async with working([Child]) as client:
            USER.set("ann")
            handle = await client.start(Child.run, id="w", **START)
            assert await handle.result() == [None, None]
            assert (await handle.history()).events[0].header == {}  # type: ignore[attr-defined]

    run(scene())


class Failing:
    """One of the user's own, which fails on one side."""

    def __init__(self, side: str) -> None:
        self.side = side

    def inject(self) -> Mapping[str, Any]:
        if self.side == "inject":
            raise LookupError("nothing to send")
        return {"key": {"deep": [1]}}

    def extract(self, header: Mapping[str, Any]) -> None:
        if self.side == "extract":
            raise LookupError(f"found {header['key']}")


def test_propagator_that_fails_fails_the_call_or_the_task() -> None:
    async def scene() -> None:
        async with connect("sqlite://", propagators=[Failing("inject")]) as client:
            with pytest.raises(LookupError, match="nothing to send"):
                await client.start(Child.run, id="w", **START)
        client = connect("sqlite://", propagators=[Failing("extract")])
        async with client, Worker(client, QUEUE, workflows=[Child]):
            handle = await client.start(Child.run, id="w", **START)

            async def has_failed() -> bool:
                failure = (await handle.describe()).task_failure
                return failure is not None and failure.message == "found {'deep': [1]}"

            await until(has_failed)

    run(scene())


@pytest.mark.parametrize("item", [ContextVarPropagator, object(), USER])
def test_what_is_no_propagator_is_refused_at_once(item: Any) -> None:
    with pytest.raises(TypeError, match=r"is no propagator: it needs the methods inject\(\) and extract\(header\)"):
        connect("sqlite://", propagators=[item])
