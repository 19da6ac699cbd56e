"""One activity by itself."""

from __future__ import annotations

import asyncio
import threading

import pytest

from monkit_workflow import activity, testing
from monkit_workflow.errors import CancelledFailure
from tests.workflow.running import run


@activity.define
async def copy(count: int) -> str:
    info = activity.info()
    first = info.heartbeat_details[0] + 1 if info.heartbeat_details else 0
    for number in range(first, count):
        activity.heartbeat(number)
    return f"{info.activity_type} from {first}, attempt {info.attempt}"


@activity.define(name="grind")
def grind_coffee(beans: int) -> str:
    for number in range(beans):
        activity.heartbeat(number)
    return threading.current_thread().name


@activity.define
async def wait_for_ever() -> None:
    activity.heartbeat("waiting")
    await asyncio.get_running_loop().create_future()


@activity.define
async def ask() -> None:
    activity.complete_later()


def test_activity_runs_with_the_facts_it_is_given_and_its_heartbeats_are_kept() -> None:
    async def test() -> None:
        attempt = testing.ActivityRun(attempt=2, heartbeat_details=(1,))
        assert await attempt.run(copy, 4) == "copy from 2, attempt 2"
        assert attempt.heartbeats == [(2,), (3,)]

    run(test())


def test_plain_activity_runs_on_a_thread() -> None:
    async def test() -> None:
        attempt = testing.ActivityRun()
        assert await attempt.run(grind_coffee, 2) != threading.current_thread().name
        assert attempt.heartbeats == [(0,), (1,)]

    run(test())


def test_cancelled_plain_activity_hears_of_it_from_its_heartbeat() -> None:
    async def test() -> None:
        attempt = testing.ActivityRun(on_heartbeat=lambda number: attempt.cancel() if number == 3 else None)
        with pytest.raises(CancelledFailure):
            await attempt.run(grind_coffee, 10)
        assert len(attempt.heartbeats) == 4

    run(test())


def test_cancelled_async_activity_is_cancelled_where_it_waits() -> None:
    async def test() -> None:
        attempt = testing.ActivityRun(on_heartbeat=lambda _: attempt.cancel())
        with pytest.raises(asyncio.CancelledError):
            await attempt.run(wait_for_ever)
        before = testing.ActivityRun()
        before.cancel()
        with pytest.raises(asyncio.CancelledError):
            await before.run(wait_for_ever)

    run(test())


def test_activity_that_is_completed_later_says_so() -> None:
    async def test() -> None:
        with pytest.raises(activity.CompleteLater):
            await testing.ActivityRun().run(ask)

    run(test())


def test_what_makes_no_sense_is_refused() -> None:
    async def test() -> None:
        attempt = testing.ActivityRun()
        with pytest.raises(TypeError, match="takes 1 arguments, 2 were given"):
            await attempt.run(copy, 1, 2)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="is no activity"):
            await attempt.run(print)
        await attempt.run(copy, 1)
        with pytest.raises(RuntimeError, match="one attempt"):
            await attempt.run(copy, 1)
        with pytest.raises(TypeError):
            testing.ActivityRun(colour="red")

    run(test())
