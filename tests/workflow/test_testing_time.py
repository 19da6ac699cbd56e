"""The clock of the test environment: what it waits for, what it skips, and that it does the same each time."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from monkit_workflow import Call, Client, ContextVarPropagator, Retry, Worker, activity, testing, workflow
from monkit_workflow.client import StartOptions
from monkit_workflow.errors import ActivityFailure, QueryFailed, WorkflowFailed
from monkit_workflow.history import Event, TimerFired, WorkflowTaskCompleted, WorkflowTaskFailed
from monkit_workflow.testing import conductor
from tests.workflow.running import Gate, run

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
START = datetime(2030, 1, 1, tzinfo=UTC)


def options(env: testing.Environment, id: str = "w") -> StartOptions:
    return {"id": id, "task_queue": env.task_queue, "timeout": timedelta(days=1000)}


@activity.define
async def note(text: str) -> str:
    return text


@workflow.define
class Approval:
    def __init__(self) -> None:
        self.state = "waiting"

    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.wait_condition(lambda: self.state == "approved", timeout=3 * DAY)
        except TimeoutError:
            self.state = "expired"
        return f"{self.state} on {workflow.now():%d}"

    @workflow.signal
    def approve(self) -> None:
        self.state = "approved"

    @workflow.query
    def show(self) -> str:
        return self.state

    @workflow.update
    async def approve_tomorrow(self) -> str:
        await workflow.sleep(DAY)
        self.state = "approved"
        return f"{workflow.now():%d}"


@workflow.define
class Monthly:
    """A subscription: pays at the first of each month, until it has paid often enough."""

    @workflow.run
    async def run(self, left: int, paid: list[str]) -> list[str]:
        now = workflow.now()
        following = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
        await workflow.sleep(following - now)
        day = await workflow.execute_activity(note, f"{workflow.now():%Y-%m-%d}", start_to_close=MINUTE)
        if left > 1:
            workflow.continue_as_new(left - 1, [*paid, day])
        return [*paid, day]


def test_time_passes_while_a_result_is_waited_for_and_stands_still_otherwise() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            handle = await env.client.start(Approval.run, **options(env))
            assert await handle.query(Approval.show) == "waiting"
            assert env.now() == START
            assert await handle.result() == "expired on 04"
            assert env.now() == START + 3 * DAY

    run(test())


def test_sleep_ends_after_everything_that_is_due_by_then() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            handle = await env.client.start(Approval.run, **options(env))
            await env.sleep(3 * DAY - timedelta(microseconds=1))
            assert await handle.query(Approval.show) == "waiting"
            await env.sleep(timedelta(microseconds=1))  # to the very moment of the timer
            assert await handle.query(Approval.show) == "expired"
            await env.sleep(timedelta(0))
            assert env.now() == START + 3 * DAY

    run(test())


def test_sleep_of_a_lifetime_is_one_skip_and_what_ended_before_it_is_still_known() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            handle = await env.client.start(Approval.run, **options(env))
            await env.sleep(timedelta(days=36_500))
            assert (await handle.describe()).status == "completed"

    run(test())


def test_delayed_callback_sync_or_async_happens_in_its_time() -> None:
    async def test() -> None:
        start = datetime(2031, 5, 1, 12, tzinfo=UTC)
        async with testing.Environment(start=start) as env, env.worker(workflows=[Approval]):
            seen: list[datetime] = []
            handle = await env.client.start(Approval.run, **options(env))
            env.after(2 * DAY, lambda: handle.signal(Approval.approve))
            env.after(DAY, lambda: seen.append(env.now()))
            assert await handle.result() == "approved on 03"
            assert seen == [start + DAY]

    run(test())


def test_time_stands_still_while_a_delayed_callback_runs_unless_it_waits_itself() -> None:
    async def test() -> None:
        times: list[timedelta] = []

        async def meddle() -> None:
            await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.01)
            times.append(env.now() - START)
            await env.sleep(DAY)
            times.append(env.now() - START)
            await handle.signal(Approval.approve)

        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            handle = await env.client.start(Approval.run, **options(env))
            env.after(DAY, meddle)
            assert await handle.result() == "approved on 03"
            assert times == [DAY, 2 * DAY]

    run(test())


def test_time_passes_for_who_waits_for_an_update() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            handle = await env.client.start(Approval.run, **options(env))
            assert await handle.update(Approval.approve_tomorrow) == "02"
            assert await handle.result() == "approved on 02"

    run(test())


def test_sleepers_are_woken_one_after_the_other_and_see_what_those_before_did() -> None:
    async def test() -> None:
        log: list[str] = []

        async def sleep(name: str, duration: timedelta) -> None:
            await env.sleep(duration)
            log.append(name)
            if name == "a":
                await handle.signal(Approval.approve)
            log.append(f"{name}: {await handle.query(Approval.show)}")

        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            handle = await env.client.start(Approval.run, **options(env))
            await asyncio.gather(sleep("b", 2 * DAY), sleep("a", DAY), sleep("c", 2 * DAY))
            assert log == ["a", "a: approved", "b", "b: approved", "c", "c: approved"]

    run(test())


def test_time_stands_still_while_an_activity_runs_in_code() -> None:
    async def test() -> None:
        gate = Gate()

        @activity.define
        def blocked() -> None:
            gate.pass_through()

        @workflow.define
        async def racing() -> str:
            working = workflow.start_activity(blocked, start_to_close=timedelta(hours=1))
            try:
                await asyncio.wait_for(asyncio.shield(working), 60)
            except TimeoutError:
                return "gave up"
            return f"done after {(workflow.now() - START).total_seconds():g} s"

        async with testing.Environment() as env, env.worker(workflows=[racing], activities=[blocked]):
            handle = await env.client.start(racing, **options(env))
            result = asyncio.ensure_future(handle.result())
            await gate.wait_for_arrival()
            for _ in range(50):
                await handle.describe()
            assert env.now() == START
            gate.opened.set()
            assert await result == "done after 0 s"

    run(test())


def test_what_makes_time_stand_still_for_long_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(conductor, "_WARN_S", 0.0)
    warn = conductor.LOG.warning

    async def test() -> None:
        told = asyncio.Event()

        def warning(*words: object) -> None:
            warn(*words)
            told.set()

        monkeypatch.setattr(conductor.LOG, "warning", warning)

        @activity.define
        async def stubborn() -> None:
            await told.wait()

        @workflow.define
        async def enduring() -> None:
            await workflow.execute_activity(stubborn, start_to_close=timedelta(hours=1))

        async with testing.Environment() as env, env.worker(workflows=[enduring], activities=[stubborn]):
            handle = await env.client.start(enduring, **options(env))
            await handle.result()
        assert "time stands still, since activity 'stubborn' of workflow 'w' has been running" in caplog.text

    run(test())


def test_activity_that_never_answers_holds_time_up_for_its_own_time_out_only() -> None:
    async def test() -> None:
        ended = threading.Event()

        @activity.define
        def hanging() -> None:
            ended.wait(30)

        @workflow.define
        async def caught(limit_s: float) -> str:
            limit = timedelta(seconds=limit_s)
            try:
                await workflow.execute_activity(hanging, start_to_close=limit)
            except ActivityFailure as error:
                return getattr(error.__cause__, "kind", "no time-out")
            return "no failure"

        try:
            async with testing.Environment() as env, env.worker(workflows=[caught], activities=[hanging]):
                handle = await env.client.start(caught, 0.01, **options(env))
                assert await handle.result() == "start_to_close"
        finally:
            ended.set()

    run(test())


def test_waits_between_attempts_are_skipped() -> None:
    async def test() -> None:
        attempts: list[timedelta] = []

        @activity.define
        async def failing() -> str:
            attempts.append(env.now() - START)
            if len(attempts) < 4:
                raise RuntimeError("not yet")
            return "at last"

        @workflow.define
        async def patient() -> str:
            retry = Retry(initial=timedelta(hours=1), attempts=9)
            return await workflow.execute_activity(failing, start_to_close=MINUTE, retry=retry)

        async with testing.Environment() as env, env.worker(workflows=[patient], activities=[failing]):
            handle = await env.client.start(patient, **options(env))
            assert await handle.result() == "at last"
            assert attempts == [timedelta(hours=hours) for hours in (0, 1, 3, 7)]

    run(test())


def test_worker_that_may_begin_so_many_activities_a_second_is_waited_for() -> None:
    @workflow.define
    async def many() -> str:
        calls = (workflow.start_activity(note, str(number), start_to_close=MINUTE) for number in range(5))
        return "".join(await asyncio.gather(*calls))

    async def test() -> None:
        async with (
            testing.Environment() as env,
            env.worker(workflows=[many], activities=[note], activities_per_second=50),
        ):
            handle = await env.client.start(many, **options(env))
            assert await handle.result() == "01234"
            assert env.now() == START

    run(test())


def test_local_activity_that_outlasts_its_workflow_task_holds_time_up_and_may_use_the_client() -> None:
    async def test() -> None:
        extended = asyncio.Event()

        @activity.define
        async def slow() -> str:
            await extended.wait()
            return (await env.client.handle("w").describe()).status

        @workflow.define
        async def hosting() -> str:
            return await workflow.execute_local_activity(slow, start_to_close=timedelta(hours=1))

        async with testing.Environment() as env, env.worker(workflows=[hosting], activities=[slow]):
            env.listen(lambda *what: extended.set() if isinstance(what[2], WorkflowTaskCompleted) else None)
            given = options(env)
            given["task_timeout"] = timedelta(milliseconds=100)
            handle = await env.client.start(hosting, **given)
            assert await handle.result() == "running"
            assert env.now() == START

    run(test())


def test_activity_left_open_does_not_hold_time_up() -> None:
    async def test() -> None:
        tokens: list[str] = []

        @activity.define
        async def ask_somebody() -> str:
            tokens.append(activity.info().token)
            activity.complete_later()

        @workflow.define
        async def asking() -> str:
            return await workflow.execute_activity(ask_somebody, start_to_close=30 * DAY)

        async with testing.Environment() as env, env.worker(workflows=[asking], activities=[ask_somebody]):
            handle = await env.client.start(asking, **options(env))
            env.after(DAY, lambda: env.client.activity(token=tokens[0]).complete("yes"))
            assert await handle.result() == "yes"
            assert env.now() == START + DAY

    run(test())


def test_year_of_a_monthly_schedule_passes() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[Monthly], activities=[note]):
            handle = await env.client.start(Monthly.run, 12, [], **options(env))
            paid = await handle.result()
            assert paid == [*(f"2030-{month:02}-01" for month in range(2, 13)), "2031-01-01"]

    run(test())


def test_year_of_a_monthly_cron_passes() -> None:
    async def test() -> None:
        times: list[str] = []

        @workflow.define
        async def billing() -> None:
            times.append(f"{workflow.now():%m-%d}")

        async with testing.Environment() as env, env.worker(workflows=[billing], guard="off"):
            given = options(env)
            given["cron"] = "0 0 1 * *"
            await env.client.start(billing, **given)
            await env.sleep(timedelta(days=364))
            assert times == [f"{month:02}-01" for month in range(2, 13)]

    run(test())


def test_run_whose_queue_nobody_serves_times_out_and_a_query_to_it_says_so() -> None:
    async def test() -> None:
        async with testing.Environment() as env:
            handle = await env.client.start(Approval.run, **options(env))
            with pytest.raises(QueryFailed, match="no worker is there"):
                await handle.query(Approval.show)
            with pytest.raises(WorkflowFailed, match="time was over"):
                await handle.result()
            assert env.now() == START + timedelta(days=1000)

    run(test())


def test_plain_worker_on_the_client_is_as_good() -> None:
    async def test() -> None:
        async with testing.Environment() as env, Worker(env.client, "q", workflows=[Approval]):
            handle = await env.client.start(Approval.run, id="w", task_queue="q", timeout=9 * DAY)
            assert await handle.result() == "expired on 04"

    run(test())


def test_interceptors_and_propagators_take_part() -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen: list[str] = []

    class Seeing:
        async def run_workflow(self, call: Call, next: Callable[[Call], Any]) -> Any:
            seen.append(f"{call.name} for {user.get()}")
            return await next(call)

    async def test() -> None:
        propagators = [ContextVarPropagator({"user": user})]
        async with testing.Environment(interceptors=[Seeing()], propagators=propagators) as env:
            user.set("Ada")
            async with env.worker(workflows=[Approval]):
                handle = await env.client.start(Approval.run, **options(env))
                assert await handle.result() == "expired on 04"
        assert seen == ["Approval for Ada"]

    run(test())


def test_environments_in_one_process_do_not_meet() -> None:
    async def live(days: int) -> None:
        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            handle = await env.client.start(Approval.run, **options(env))
            env.after(days * DAY, lambda: handle.signal(Approval.approve))
            assert await handle.result() == f"approved on {1 + days:02}"
            assert env.now() == START + days * DAY

    async def test() -> None:
        await asyncio.gather(live(1), live(2))
        thread = threading.Thread(target=asyncio.run, args=(live(1),))
        thread.start()
        await live(2)
        await asyncio.get_running_loop().run_in_executor(None, thread.join)

    run(test())


# The same each time.


@workflow.define
class Hub:
    """Takes signals of many, and is busy itself at the same times."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(self.tick(number))
        await workflow.wait_condition(lambda: len(self.log) == wanted)
        return self.log

    async def tick(self, number: int) -> None:
        await workflow.sleep(timedelta(hours=number % 4))
        texts = [workflow.start_activity(note, f"{number}{letter}", start_to_close=MINUTE) for letter in "xy"]
        for text in texts:
            self.log.append(await text)

    @workflow.signal
    def greet(self, name: str) -> None:
        self.log.append(name)


@workflow.define
async def guest(number: int) -> float:
    await workflow.sleep(timedelta(hours=number % 3))
    await workflow.execute_activity(note, str(number), start_to_close=MINUTE)
    await workflow.external("hub").signal(Hub.greet, f"guest {number}")
    return workflow.random().random()


async def party(mocked: bool) -> tuple[list[tuple[str, str, Event]], list[float]]:
    events: list[tuple[str, str, Event]] = []
    async with testing.Environment() as env, env.worker(workflows=[Hub, guest], activities=[note]):
        env.listen(lambda *what: events.append(what))
        if mocked:
            env.mock("note", call=lambda text: text)
        hub = await env.client.start(Hub.run, 28, **options(env, "hub"))
        guests = [await env.client.start(guest, number, **options(env, f"guest-{number}")) for number in range(8)]
        env.after(timedelta(hours=1), lambda: hub.query("__stack_trace"))
        await hub.result()
        numbers = await asyncio.gather(*(each.result() for each in guests))
    return [(workflow_id, run_id, _without_worker(event)) for workflow_id, run_id, event in events], numbers


def _without_worker(event: Event) -> Event:
    return replace(event, identity="") if hasattr(event, "identity") else event


@pytest.mark.parametrize("mocked", [False, True])
def test_same_test_has_the_same_histories_in_each_run(mocked: bool) -> None:
    async def test() -> None:
        first = await party(mocked)
        assert sum(isinstance(event, TimerFired) for _, _, event in first[0]) == 12  # those of no duration are none
        for _ in range(29):
            assert await party(mocked) == first

    asyncio.run(test())


def test_listener_is_told_every_event_in_order() -> None:
    async def test() -> None:
        told: dict[str, list[Event]] = {}
        async with testing.Environment() as env, env.worker(workflows=[Monthly], activities=[note]):
            env.listen(lambda workflow_id, run_id, event: told.setdefault(run_id, []).append(event))
            handle = await env.client.start(Monthly.run, 3, [], **options(env))
            await handle.result()
            assert len(told) == 3
            for run_id, events in told.items():
                assert events == await env.client.service.history("w", run_id)

    run(test())


# What goes wrong is seen.


@workflow.define
class Buggy:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(DAY)
        return os.environ["MISSING"]  # the bug


@workflow.define(name="Buggy")
class Mended:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(DAY)
        return "mended"


@workflow.define
async def parent_of_buggy() -> str:
    return await workflow.execute_child(Buggy.run, timeout=9 * DAY)


@pytest.mark.parametrize("subject", [Buggy, parent_of_buggy])
def test_bug_in_workflow_code_is_raised_where_somebody_waits(subject: type) -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[Buggy, parent_of_buggy]):
            handle = await env.client.start(subject.__name__, **options(env))
            with pytest.raises(testing.WorkflowTaskFailed, match="KeyError: 'MISSING'") as caught:
                await handle.result()
            assert caught.value.failure.type == "KeyError"
            assert "# the bug" in caught.value.__notes__[0]
            with pytest.raises(testing.WorkflowTaskFailed):
                await env.sleep(DAY)
            assert env.now() == START + DAY

    run(test())


def test_mended_worker_goes_on_after_a_failure() -> None:
    async def test() -> None:
        async with testing.Environment() as env:
            async with env.worker(workflows=[Buggy]):
                handle = await env.client.start(Buggy.run, **options(env))
                with pytest.raises(testing.WorkflowTaskFailed):
                    await handle.result()
            async with env.worker(workflows=[Mended]):
                assert await handle.result() == "mended"

    run(test())


def test_without_fail_fast_the_task_is_tried_again_as_in_production() -> None:
    async def test() -> None:
        failures: list[Event] = []
        async with testing.Environment(fail_fast=False) as env, env.worker(workflows=[Buggy]):
            env.listen(lambda *what: failures.append(what[2]) if isinstance(what[2], WorkflowTaskFailed) else None)
            handle = await env.client.start(Buggy.run, id="w", task_queue=env.task_queue, timeout=DAY + 5 * MINUTE)
            with pytest.raises(WorkflowFailed, match="time was over"):
                await handle.result()
            assert len(failures) == 1

    run(test())


def test_nondeterminism_is_raised_where_somebody_waits() -> None:
    async def test() -> None:
        @workflow.define
        async def fickle(way: int) -> None:
            await workflow.sleep(DAY)
            await workflow.sleep(DAY)

        @workflow.define(name="fickle")
        async def changed(way: int) -> None:
            await workflow.execute_activity(note, "x", start_to_close=MINUTE)

        async with testing.Environment() as env:
            handle = await env.client.start(fickle, 1, **options(env))
            async with env.worker(workflows=[fickle], activities=[note]):
                await env.sleep(DAY)
            async with env.worker(workflows=[changed], activities=[note]):
                with pytest.raises(testing.WorkflowTaskFailed, match=r"Nondeterminism.* does not follow its history"):
                    await handle.result()

    run(test())


def test_error_of_a_delayed_callback_is_raised_where_somebody_waits_or_at_the_end() -> None:
    def complain() -> None:
        pytest.fail("not what I expected")

    async def waiting() -> None:
        async with testing.Environment() as env:
            env.after(DAY, complain)
            await env.sleep(2 * DAY)

    async def leaving() -> None:
        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            env.listen(lambda *_: complain())
            await env.client.start(Approval.run, **options(env))

    for test in (waiting(), leaving()):
        with pytest.raises(pytest.fail.Exception, match="not what I expected"):
            run(test)


def test_environment_is_entered_once_and_used_from_its_own_loop() -> None:
    async def test() -> None:
        async with testing.Environment() as env:
            with pytest.raises(RuntimeError, match="entered once"):
                await env.__aenter__()
            with pytest.raises(ValueError, match="sleep must be from 0"):
                await env.sleep(-DAY)

            def elsewhere(client: Client) -> None:
                with pytest.raises(RuntimeError, match="event loop that entered it"):
                    asyncio.run(client.handle("w").describe())

            await asyncio.get_running_loop().run_in_executor(None, elsewhere, env.client)
        with pytest.raises(ValueError, match="time zone"):
            testing.Environment(start=datetime(2030, 1, 1))

    run(test())


def test_timed_out_wait_leaves_nothing_behind() -> None:
    async def test() -> None:
        async with testing.Environment() as env, env.worker(workflows=[Approval]):
            handle = await env.client.start(Approval.run, **options(env))
            sleeping = asyncio.ensure_future(env.sleep(DAY))
            await asyncio.sleep(0)
            sleeping.cancel()
            await asyncio.gather(sleeping, return_exceptions=True)
            assert await handle.query(Approval.show) == "waiting"
            assert env.now() == START
            assert await handle.result() == "expired on 04"

    run(test())
