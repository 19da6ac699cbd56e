"""History: what the last minutes were like, taken while somebody looks."""

from __future__ import annotations

import asyncio

import pytest

from monkit_core import Registry
from monkit_core.clock import NS_PER_S
from monkit_present import history
from monkit_present.history import POINTS, History
from tests.helpers import fresh_scope, in_fresh_context


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> int:
        return int(self.now_s * NS_PER_S)


@in_fresh_context
def test_calls_failures_and_rate_are_those_between_samples() -> None:
    registry, scope = fresh_scope()
    clock = Clock()
    past = History(registry, clock)
    task = scope.task("work")

    def fail() -> None:
        with task:
            raise ValueError

    async def run() -> None:
        for calls in (3, 0, 5):
            for number in range(calls):
                if number == 0:
                    with pytest.raises(ValueError):  # noqa: PT011
                        fail()
                else:
                    with task:
                        pass
            await past.sample()
            clock.now_s += 5

    asyncio.run(run())
    assert past.calls(task.func) == past.calls() == [0, 5]
    assert past.failures(task.func) == [0, 1]
    assert past.rate(task.func) == 0.5
    assert past.seconds == 10
    assert [sample.running for sample in past.samples] == [0, 0, 0]


def test_function_that_came_later_counts_from_zero_and_one_unknown_has_no_curve() -> None:
    registry, scope = fresh_scope()
    past = History(registry, Clock())

    async def run() -> None:
        await past.sample()
        with scope.task("late"):
            pass
        await past.sample()

    asyncio.run(run())
    assert past.calls(scope.func("late")) == [1]
    assert past.calls(Registry().scope("other").func("unknown")) == []
    assert past.rate(Registry().scope("other").func("unknown")) is None


def test_counts_that_were_reset_make_no_negative_points() -> None:
    registry, scope = fresh_scope()
    past = History(registry, Clock())
    task = scope.task("work")

    async def run() -> None:
        with task:
            pass
        await past.sample()
        task.func.reset()
        await past.sample()

    asyncio.run(run())
    assert past.calls(task.func) == [0]


def test_samples_and_functions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_FUNCTIONS", 2)
    registry, scope = fresh_scope()
    for number in range(3):
        with scope.task(f"f{number}"):
            pass
    past = History(registry, Clock())

    async def run() -> None:
        for _ in range(POINTS + 5):
            await past.sample()

    asyncio.run(run())
    assert len(past.samples) == POINTS + 1
    assert {len(sample.calls) for sample in past.samples} == {2}
    assert past.calls(scope.func("f2")) == []


def test_nobody_who_looks_no_samples() -> None:
    clock = Clock()

    async def run() -> tuple[int, int]:
        past = History(Registry(), clock)
        before = len(asyncio.all_tasks())
        past.look()
        past.look()
        during = len(asyncio.all_tasks()) - before
        clock.now_s += 601
        await asyncio.wait_for(past._task or asyncio.sleep(0), 30)
        return during, len(past.samples)

    assert asyncio.run(run()) == (1, 0)


def test_shares_are_of_the_time_between_samples() -> None:
    clock = Clock()
    past = History(Registry(), clock)

    async def run() -> None:
        for _ in range(2):
            await past.sample()
            clock.now_s += 2

    asyncio.run(run())
    first, second = past.samples
    assert past.shares(lambda sample: sample.cpu_ns) == [(second.cpu_ns - first.cpu_ns) / (2 * NS_PER_S)]
