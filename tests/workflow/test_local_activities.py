"""Local activities: run inside the workflow task, recorded once."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monkit_workflow import Retry, Worker, activity, connect, replay, workflow
from monkit_workflow.errors import ActivityFailure, ApplicationFailure, TimeoutFailure, WorkflowFailed
from tests.workflow.running import QUEUE, SHORT, START, Gate, run, until, working

TINY = timedelta(milliseconds=1)


@activity.define
async def double(number: int) -> int:
    return 2 * number


@activity.define
def halve(number: int) -> float:
    return number / 2


@workflow.define
async def calculating(number: int) -> list[float]:
    one = workflow.start_local_activity(double, number, start_to_close=SHORT)
    two = await workflow.execute_local_activity("halve", number, start_to_close=SHORT, returns=float)
    remote = await workflow.execute_activity(double, 100, start_to_close=SHORT)
    return [await one, two, remote]


def test_local_activities_are_one_event_each_and_replay() -> None:
    async def scene() -> None:
        async with working([calculating], [double, halve]) as client:
            handle = await client.start(calculating, 7, id="c", **START)
            assert await handle.result() == [14, 3.5, 200]
            history = await handle.history()
            kinds = [type(event).__name__ for event in history.events]
            assert (kinds.count("MarkerRecorded"), kinds.count("ActivityTaskScheduled")) == (2, 1)
            assert kinds.index("MarkerRecorded") < kinds.index("ActivityTaskScheduled")
            assert replay(history, calculating).result == [14, 3.5, 200]

    run(scene())


class Flaky:
    def __init__(self) -> None:
        self.attempts: list[int] = []

    @activity.define
    async def work(self, fails: int) -> int:
        info = activity.info()
        assert info.is_local
        activity.heartbeat("ignored")
        self.attempts.append(info.attempt)
        if info.attempt <= fails:
            raise ApplicationFailure(f"attempt {info.attempt}", type="Flaky")
        return info.attempt


@workflow.define
async def trying(fails: int, attempts: int) -> int:
    retry = Retry(initial=TINY, attempts=attempts) if attempts else None
    options: workflow.LocalActivityOptions = {"start_to_close": SHORT}
    if retry is not None:
        options["retry"] = retry
    return await workflow.execute_local_activity("work", fails, returns=int, **options)


@pytest.mark.parametrize(("fails", "attempts", "seen"), [(1, 0, [1]), (2, 3, [1, 2, 3]), (5, 3, [1, 2, 3])])
def test_local_activity_is_tried_again_as_its_policy_says(fails: int, attempts: int, seen: list[int]) -> None:
    async def scene() -> None:
        flaky = Flaky()
        async with working([trying], [flaky.work]) as client:
            handle = await client.start(trying, fails, attempts, id="t", **START)
            if fails < len(seen):
                assert await handle.result() == len(seen)
            else:
                with pytest.raises(WorkflowFailed, match=f"attempt {len(seen)}") as caught:
                    await handle.result()
                assert isinstance(caught.value.__cause__, ActivityFailure)
            assert flaky.attempts == seen

    run(scene())


@workflow.define
async def hurrying(name: str, all_attempts: bool) -> str:
    limit: workflow.LocalActivityOptions = {"schedule_to_close": TINY} if all_attempts else {"start_to_close": TINY}
    try:
        await workflow.execute_local_activity(name, **limit)
    except ActivityFailure as failure:
        return failure.__cause__.kind if isinstance(failure.__cause__, TimeoutFailure) else str(failure)
    return "in time"


@pytest.mark.parametrize("name", ["wait", "wait_on_a_thread"])
@pytest.mark.parametrize("all_attempts", [False, True])
def test_local_activity_that_takes_too_long_times_out(name: str, all_attempts: bool) -> None:
    async def scene() -> None:
        end = threading.Event()

        @activity.define
        async def wait() -> None:
            await asyncio.get_running_loop().create_future()

        @activity.define
        def wait_on_a_thread() -> None:
            end.wait()

        try:
            async with working([hurrying], [wait, wait_on_a_thread]) as client:
                handle = await client.start(hurrying, name, all_attempts, id="h", **START)
                assert await handle.result() == ("schedule_to_close" if all_attempts else "start_to_close")
        finally:
            end.set()

    run(scene())


@workflow.define
class Patient:
    """Goes on with a long local activity and hears signals meanwhile."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        self.heard.append(await workflow.execute_local_activity("work", returns=str, start_to_close=SHORT))
        return self.heard

    @workflow.signal
    def hear(self, word: str) -> None:
        self.heard.append(word)


def test_task_is_extended_while_a_local_activity_goes_on() -> None:
    async def scene() -> None:
        gate = Gate()

        @activity.define
        def work() -> str:
            gate.pass_through()
            return "worked"

        async with working([Patient], [work]) as client:
            options: dict[str, Any] = {**START, "task_timeout": timedelta(seconds=3)}
            handle = await client.start(Patient.run, id="p", **options)
            await gate.wait_for_arrival()
            await handle.signal(Patient.hear, "hello")

            async def extended() -> bool:
                history = await handle.history()
                return sum(type(event).__name__ == "WorkflowTaskCompleted" for event in history.events) > 1

            await until(extended)
            gate.opened.set()
            assert await handle.result() == ["hello", "worked"]
            history = await handle.history()
            assert not [event for event in history.events if type(event).__name__ == "WorkflowTaskTimedOut"]
            assert replay(history, Patient).result == ["hello", "worked"]

    run(scene())


@workflow.define
async def giving_up() -> str:
    slow = workflow.start_local_activity("slow", start_to_close=SHORT)
    quick = await workflow.execute_local_activity(double, 4, start_to_close=SHORT)
    slow.cancel()
    return f"{quick}, {slow.cancelled()}"


def test_local_activity_that_was_given_up_is_cancelled() -> None:
    async def scene() -> None:
        ended: asyncio.Queue[str] = asyncio.Queue()

        @activity.define
        async def slow() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.put_nowait("slow")

        async with working([giving_up], [slow, double]) as client:
            handle = await client.start(giving_up, id="g", **START)
            assert await handle.result() == "8, True"
            assert await ended.get() == "slow"
            assert replay(await handle.history(), giving_up).status == "completed"

    run(scene())


@workflow.define
async def hesitating() -> list[bool]:
    at_once = workflow.start_local_activity(double, 1, start_to_close=SHORT)
    at_once.cancel()
    first, second = (workflow.start_local_activity("slow", start_to_close=SHORT) for _ in range(2))
    await workflow.execute_activity(double, 2, start_to_close=SHORT)
    for waiting in (second, first):  # the second has no slot yet
        waiting.cancel()
    await workflow.execute_activity(double, 3, start_to_close=SHORT)
    return [item.cancelled() for item in (at_once, first, second)]


def test_local_activity_that_is_given_up_before_it_began_holds_nothing_up() -> None:
    async def scene() -> None:
        @activity.define
        async def slow() -> None:
            await asyncio.get_running_loop().create_future()

        async with working([hesitating], [slow, double], max_local_activities=1) as client:
            options: dict[str, Any] = {**START, "task_timeout": timedelta(seconds=3)}
            handle = await client.start(hesitating, id="h", **options)
            assert await handle.result() == [True, True, True]
            history = await handle.history()
            assert not [event for event in history.events if type(event).__name__ == "WorkflowTaskTimedOut"]
            assert replay(history, hesitating).status == "completed"

    run(scene())


def test_local_activity_runs_again_when_its_worker_stopped_before_it_was_recorded(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/runs.db"

    async def scene() -> None:
        begun: asyncio.Queue[int] = asyncio.Queue()

        @activity.define(name="work")
        async def hanging() -> str:
            begun.put_nowait(1)
            await asyncio.get_running_loop().create_future()
            return "never"

        @activity.define
        async def work() -> str:
            return "worked"

        async with working([Patient], [hanging], address) as client:
            await client.start(Patient.run, id="p", **START)
            await begun.get()
        async with connect(address) as client, Worker(client, QUEUE, workflows=[Patient], activities=[work]):
            assert await client.handle("p").result() == ["worked"]

    run(scene())


def test_worker_without_the_code_fails_the_task_and_the_run_waits() -> None:
    async def scene() -> None:
        async with working([Patient]) as client:
            handle = await client.start(Patient.run, id="p", **START)
            while (failure := (await handle.describe()).task_failure) is None:
                await asyncio.sleep(0)
            assert "no activity is registered as 'work'" in failure.message

    run(scene())
