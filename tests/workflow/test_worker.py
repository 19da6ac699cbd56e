"""Workflows as users run them: a client, a worker, the service in memory."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest

from monkit_workflow import Client, Retry, Worker, activity, connect, replay, workflow
from monkit_workflow.errors import (
    ActivityFailure,
    AlreadyClosed,
    AlreadyStarted,
    ApplicationFailure,
    CancelledFailure,
    ChildAlreadyStarted,
    ChildFailure,
    GuardError,
    MissingTimeout,
    NotFound,
    QueryFailed,
    StoreError,
    TerminatedFailure,
    TimeoutFailure,
    Unavailable,
    WorkflowFailed,
)
from monkit_workflow.history import ActivityTaskCancelRequested
from monkit_workflow.payload import Failure
from monkit_workflow.service import WorkflowTask
from monkit_workflow.sqlite.service import SqliteService
from tests.helpers import BOUND_S
from tests.workflow.running import QUEUE, SHORT, START, Gate, run, until, working

TINY = timedelta(milliseconds=1)


@dataclass
class Parcel:
    weight: float
    to: str = "nobody"


@activity.define
async def weigh(parcel: Parcel) -> float:
    return parcel.weight * 2


@activity.define
def shout(text: str) -> str:
    return f"{text.upper()} on {threading.current_thread().name.split('_')[0]}"


@workflow.define
class Sending:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.done = False

    @workflow.run
    async def run(self, parcel: Parcel) -> str:
        weight = await workflow.execute_activity(weigh, parcel, start_to_close=SHORT)
        await workflow.wait_condition(lambda: self.done)
        return f"{parcel.to}: {weight}, {','.join(self.log)}"

    @workflow.signal
    def note(self, text: str) -> None:
        self.log.append(text)

    @workflow.signal
    async def finish(self) -> None:
        await workflow.sleep(TINY)
        self.done = True

    @workflow.query
    def notes(self, prefix: str = "") -> list[str]:
        return [prefix + item for item in self.log]


@workflow.define
async def shouting(text: str) -> str:
    return await workflow.execute_activity(shout, text, start_to_close=SHORT)


def test_values_signals_and_queries_travel_from_client_to_code_and_back() -> None:
    async def test() -> None:
        async with working([Sending], [weigh]) as client:
            handle = await client.start(Sending.run, Parcel(1.5, "Ada"), id="p", **START)
            for text in "abc":
                await handle.signal(Sending.note, text)
            assert await handle.query(Sending.notes, "-") == ["-a", "-b", "-c"]
            await handle.signal("finish")
            assert await handle.result() == "Ada: 3.0, a,b,c"
            assert (await handle.describe()).status == "completed"
            assert await handle.query(Sending.notes) == ["a", "b", "c"]  # also when it is over

    run(test())


def test_plain_activity_runs_on_a_thread_of_the_worker() -> None:
    async def test() -> None:
        async with working([shouting], [shout]) as client:
            handle = await client.start(shouting, "hi", id="s", **START)
            assert await handle.result() == "HI on monkit-activity"

    run(test())


def test_what_the_client_is_told_of_impossible_requests() -> None:
    async def test() -> None:
        async with working([Sending], [weigh]) as client:
            handle = await client.start(Sending.run, Parcel(1), id="p", **START)
            with pytest.raises(AlreadyStarted) as taken:
                await client.start(Sending.run, Parcel(1), id="p", **START)
            assert taken.value.run_id == (await handle.describe()).run_id
            with pytest.raises(QueryFailed, match="no query 'nots'; it has: notes"):
                await handle.query("nots")
            with pytest.raises(TypeError, match="takes 1 arguments, 2 were given"):
                await handle.signal(Sending.note, "a", "b")
            with pytest.raises(TypeError, match="no signal of a workflow"):
                await handle.signal(Sending.notes)
            await handle.terminate("enough")
            with pytest.raises(AlreadyClosed):
                await handle.signal(Sending.note, "late")
            with pytest.raises(WorkflowFailed) as ended:
                await handle.result()
            assert isinstance(ended.value.__cause__, TerminatedFailure)
            with pytest.raises(NotFound):
                await client.handle("nobody").result()
            with pytest.raises(MissingTimeout, match="timeout="):
                await client.start("Sending", id="q", task_queue=QUEUE)  # type: ignore[call-overload]

    run(test())


@activity.define
async def fail(kind: str) -> None:
    if kind == "value":
        raise ValueError("no good")
    raise ApplicationFailure("for good", {"why": 1}, type="Final", non_retryable=True)


@workflow.define
async def failing(kind: str) -> str:
    retry = Retry(initial=TINY, attempts=3)
    await workflow.execute_activity(fail, kind, start_to_close=SHORT, retry=retry)
    return "never"


def causes(error: BaseException) -> list[BaseException]:
    found = []
    cause = error.__cause__
    while cause is not None:
        found.append(cause)
        cause = cause.__cause__
    return found


@pytest.mark.parametrize(("kind", "type_", "attempts"), [("value", "ValueError", 3), ("final", "Final", 1)])
def test_failure_of_an_activity_reaches_the_client_with_its_causes(kind: str, type_: str, attempts: int) -> None:
    calls: list[int] = []

    @activity.define(name="fail")
    async def counted(kind: str) -> None:
        calls.append(activity.info().attempt)
        await fail(kind)

    async def test() -> None:
        async with working([failing], [counted]) as client:
            handle = await client.start(failing, kind, id="f", **START)
            with pytest.raises(WorkflowFailed) as caught:
                await handle.result()
            first, second = causes(caught.value)
            assert isinstance(first, ActivityFailure)
            assert isinstance(second, ApplicationFailure)
            assert second.type == type_
            if kind == "final":
                assert second.details == ({"why": 1},)
            assert calls == list(range(1, attempts + 1))
            assert second.failure is not None
            assert "raise" in second.failure.stack

    run(test())


@workflow.define
async def at_most_once() -> str:
    try:
        await workflow.execute_activity(fail, "value", start_to_close=SHORT)
    except ActivityFailure as failure:
        return str(failure.__cause__)
    return "never"


def test_without_a_retry_policy_an_activity_runs_at_most_once() -> None:
    calls = []

    @activity.define(name="fail")
    async def counted(kind: str) -> None:
        calls.append(kind)
        raise ValueError("no good")

    async def test() -> None:
        async with working([at_most_once], [counted]) as client:
            handle = await client.start(at_most_once, id="o", **START)
            assert await handle.result() == "no good"
        assert calls == ["value"]

    run(test())


@workflow.define
async def countdown(left: int) -> str:
    if left:
        workflow.continue_as_new(left - 1)
    return "lift-off"


def test_result_follows_runs_that_continue_as_new() -> None:
    async def test() -> None:
        async with working([countdown]) as client:
            handle = await client.start(countdown, 3, id="c", **START)
            assert await handle.result() == "lift-off"
            assert (await client.handle("c").describe()).run_id != handle.first_run_id

    run(test())


@workflow.define
async def child(text: str) -> str:
    got = await workflow.channel("word", str).receive()
    if got == "fail":
        raise ApplicationFailure("as told")
    return text + got


@workflow.define
async def parent(word: str) -> str:
    running = await workflow.start_child(child, "said ", id="the-child", timeout=SHORT)
    with pytest.raises(ChildAlreadyStarted):
        await workflow.start_child(child, "again", id="the-child", timeout=SHORT)
    await running.signal("word", word)
    try:
        return await running
    except ChildFailure as failure:
        return f"{failure.workflow_type} {failure.workflow_id}: {failure.__cause__}"


@pytest.mark.parametrize(("word", "result"), [("yes", "said yes"), ("fail", "child the-child: as told")])
def test_parent_signals_its_child_and_learns_its_end(word: str, result: str) -> None:
    async def test() -> None:
        async with working([parent, child]) as client:
            handle = await client.start(parent, word, id="p", **START)
            assert await handle.result() == result

    run(test())


@workflow.define
class Cancellable:
    def __init__(self) -> None:
        self.state = "new"

    @workflow.run
    async def run(self) -> str:
        try:
            self.state = "waiting"
            await workflow.sleep(timedelta(days=1))
        except asyncio.CancelledError:
            self.state = await workflow.shielded(workflow.execute_activity(shout, "cleaned", start_to_close=SHORT))
            raise
        return "never"

    @workflow.query
    def current(self) -> str:
        return self.state


def test_cancelled_run_cleans_up_and_ends_as_cancelled() -> None:
    async def test() -> None:
        async with working([Cancellable], [shout]) as client:
            handle = await client.start(Cancellable.run, id="c", **START)
            await handle.cancel("no more")
            await handle.cancel("really")
            with pytest.raises(WorkflowFailed) as caught:
                await handle.result()
            assert isinstance(caught.value.__cause__, CancelledFailure)
            assert (await handle.query(Cancellable.current)).startswith("CLEANED")
            events = (await handle.history()).events
            assert sum(type(event).__name__ == "WorkflowExecutionCancelRequested" for event in events) == 1

    run(test())


@workflow.define
async def giving_up() -> str:
    running = workflow.start_activity("long", start_to_close=SHORT, heartbeat=SHORT, cancellation="wait")
    await workflow.channel("stop").receive()
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        return "it agreed"
    return "it went on"


async def give_up_and_open(client: Client, gate: Gate) -> str:
    """Have a run give its activity up, and only then let the activity send its first heartbeat."""
    handle = await client.start(giving_up, id="g", **START)
    await gate.wait_for_arrival()
    await handle.signal("stop")

    async def given_up() -> bool:
        return any(isinstance(event, ActivityTaskCancelRequested) for event in (await handle.history()).events)

    await until(given_up)
    gate.opened.set()
    return await handle.result()


def test_activity_on_a_thread_learns_by_its_heartbeat_that_it_was_given_up() -> None:
    gate = Gate()

    @activity.define
    def long() -> None:
        gate.pass_through()
        while True:
            activity.heartbeat("still here")

    async def test() -> None:
        async with working([giving_up], [long]) as client:
            assert await give_up_and_open(client, gate) == "it agreed"

    run(test())


def test_async_activity_is_cancelled_where_it_waits() -> None:
    gate = Gate()

    @activity.define
    async def long() -> None:
        gate.arrived.set()
        await asyncio.get_running_loop().run_in_executor(None, gate.opened.wait, BOUND_S)
        activity.heartbeat()
        await asyncio.Event().wait()

    async def test() -> None:
        async with working([giving_up], [long]) as client:
            assert await give_up_and_open(client, gate) == "it agreed"

    run(test())


@workflow.define
async def impatient() -> str:
    try:
        await workflow.execute_activity("hang", start_to_close=timedelta(milliseconds=20))
    except ActivityFailure as failure:
        return failure.__cause__.kind if isinstance(failure.__cause__, TimeoutFailure) else "something else"
    return "never"


def test_activity_that_hangs_ends_by_its_time_out() -> None:
    @activity.define
    async def hang() -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        async with working([impatient], [hang]) as client:
            handle = await client.start(impatient, id="i", **START)
            assert await handle.result() == "start_to_close"

    run(test())


# What goes wrong in the code, and a mended worker.


def broken_then_mended(broken: bool) -> Any:
    @workflow.define(name="delivery")
    async def delivery(text: str) -> str:
        if broken:
            raise KeyError("a fault of the code")
        return text

    return delivery


def test_run_whose_code_is_at_fault_waits_for_a_mended_worker(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with connect("sqlite://") as client:
            async with Worker(client, QUEUE, workflows=[broken_then_mended(True)]):
                handle = await client.start("delivery", "kept", id="d", returns=str, **START)

                async def failed() -> bool:
                    description = await handle.describe()
                    return description.task_failure is not None

                await until(failed)
                description = await handle.describe()
                assert description.status == "running"
                assert description.task_failure is not None
                assert "a fault of the code" in description.task_failure.message
                with pytest.raises(QueryFailed, match="a fault of the code"):
                    await handle.stack()
            async with Worker(client, QUEUE, workflows=[broken_then_mended(False)]):
                assert await handle.result() == "kept"

    with caplog.at_level(logging.ERROR, "monkit_workflow"):
        run(test())
    assert "it waits for a mended worker" in caplog.text
    assert "KeyError" in caplog.text


def test_unregistered_workflow_waits_too(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with working([shouting], [shout]) as client:
            handle = await client.start("unheard-of", id="u", **START)

            async def failed() -> bool:
                return (await handle.describe()).task_failure is not None

            await until(failed)
            failure = (await handle.describe()).task_failure
            assert failure is not None
            assert "no workflow is registered as 'unheard-of'; registered are: shouting" in failure.message

    run(test())


async def failure_of_its_task(handle: Any) -> Failure:
    while True:
        failure = (await handle.describe()).task_failure
        if failure is not None:
            return cast(Failure, failure)
        await asyncio.sleep(0)


async def spin() -> None:
    while True:
        pass


@workflow.define
async def spinning() -> None:
    await spin()


@workflow.define
async def spinning_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(spin())


@pytest.mark.parametrize("code", [spinning, spinning_in_a_group])
def test_code_that_does_not_give_control_back_is_interrupted(code: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with working([code], deadlock_after=timedelta(milliseconds=50)) as client:
            handle = await client.start(code, id="s", **START)
            failure = await failure_of_its_task(handle)
            assert failure.type == "Deadlock"
            assert "in spin" in failure.message
            await handle.terminate()

    run(test())


@workflow.define
async def exiting() -> None:
    raise SystemExit(3)


def test_exit_in_workflow_code_fails_the_task_and_not_the_worker() -> None:
    async def test() -> None:
        async with working([exiting, shouting], [shout]) as client:
            handle = await client.start(exiting, id="e", **START)
            failure = await failure_of_its_task(handle)
            assert failure.message == "workflow code raised SystemExit: 3"
            other = await client.start(shouting, "hi", id="s", **START)
            assert (await other.result()).startswith("HI")

    run(test())


def test_clock_read_by_workflow_code_fails_the_task_and_names_the_alternative() -> None:
    import time as clock

    @workflow.define
    async def reading() -> float:
        return clock.time()

    async def test() -> None:
        async with working([reading]) as client:
            handle = await client.start(reading, id="r", **START)

            async def failed() -> bool:
                return (await handle.describe()).task_failure is not None

            await until(failed)
            failure = (await handle.describe()).task_failure
            assert failure is not None
            assert failure.type == "GuardError"
            assert "workflow.now()" in failure.message

    run(test())


def test_worker_refuses_code_with_a_clock_that_cannot_be_guarded() -> None:
    from datetime import datetime

    @workflow.define
    async def dated() -> str:
        return datetime.now().isoformat()

    with pytest.raises(GuardError, match=r"calls datetime\.now\(\)"):
        Worker(connect("sqlite://"), QUEUE, workflows=[dated])


def test_two_workflows_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'delivery'; give one another name="):
        Worker(connect("sqlite://"), QUEUE, workflows=[broken_then_mended(True), broken_then_mended(False)])


# Starting, stopping, the cache.


def test_evicted_runs_are_rebuilt_and_go_on() -> None:
    async def test() -> None:
        async with working([Sending], [weigh], cache=1) as client:
            handles = [await client.start(Sending.run, Parcel(place), id=f"p{place}", **START) for place in range(5)]
            for text in "ab":
                for handle in handles:
                    await handle.signal(Sending.note, text)
            for handle in handles:
                assert await handle.query(Sending.notes) == ["a", "b"]
                await handle.signal(Sending.finish)
            assert [await handle.result() for handle in handles] == [f"nobody: {2.0 * n}, a,b" for n in range(5)]

    run(test())


def test_run_goes_on_in_another_worker_from_its_history() -> None:
    async def test() -> None:
        async with connect("sqlite://") as client:
            async with Worker(client, QUEUE, workflows=[Sending], activities=[weigh]):
                handle = await client.start(Sending.run, Parcel(1), id="p", **START)
                await handle.signal(Sending.note, "first")
                assert await handle.query(Sending.notes) == ["first"]
            await handle.signal(Sending.note, "while nobody was there")
            async with Worker(client, QUEUE, workflows=[Sending], activities=[weigh]):
                await handle.signal(Sending.finish)
                assert await handle.result() == "nobody: 2.0, first,while nobody was there"

    run(test())


def test_attempt_that_runs_when_the_worker_stops_is_cancelled_and_reported() -> None:
    started = threading.Event()

    @activity.define
    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    @workflow.define
    async def hanging() -> str:
        try:
            await workflow.execute_activity("hang", start_to_close=SHORT)
        except ActivityFailure as failure:
            return type(failure.__cause__).__name__
        return "never"

    async def test() -> None:
        async with connect("sqlite://") as client:
            async with Worker(client, QUEUE, workflows=[hanging], activities=[hang]):
                handle = await client.start(hanging, id="h", **START)
                while not started.is_set():
                    await asyncio.sleep(0)
            async with Worker(client, QUEUE, workflows=[hanging]):
                assert await handle.result() == "CancelledFailure"

    run(test())


def test_worker_that_is_full_stops_all_the_same() -> None:
    started = threading.Event()

    @activity.define
    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    @workflow.define
    async def hanging() -> None:
        await workflow.execute_activity("hang", start_to_close=SHORT)

    async def test() -> None:
        async with working([hanging], [hang], max_activities=1) as client:
            await client.start(hanging, id="h", **START)
            while not started.is_set():
                await asyncio.sleep(0)

    run(test())


def test_closed_client_says_so() -> None:
    client = connect("sqlite://")

    async def test() -> None:
        async with client:
            pass
        with pytest.raises(Unavailable):
            await client.start(shouting, "x", id="x", **START)

    run(test())


def test_stack_shows_where_the_code_waits() -> None:
    async def test() -> None:
        async with working([Sending], [weigh]) as client:
            handle = await client.start(Sending.run, Parcel(1), id="p", **START)
            await handle.signal(Sending.note, "x")
            await until_waiting(handle)
            stack = await handle.stack()
            assert "await workflow.wait_condition(lambda: self.done)" in stack
            assert "monkit_workflow" not in stack

    async def until_waiting(handle: Any) -> None:
        async def waiting() -> bool:
            return "wait_condition" in await handle.stack()

        await until(waiting)

    run(test())


def test_history_from_the_service_replays() -> None:
    async def test() -> None:
        async with working([Sending], [weigh]) as client:
            handle = await client.start(Sending.run, Parcel(1), id="p", **START)
            await handle.signal(Sending.finish)
            result = await handle.result()
            found = replay(await handle.history(), Sending)
            assert (found.status, found.result) == ("completed", result)

    run(test())


def test_two_clients_of_one_file_are_refused_with_the_reason(tmp_path: Any) -> None:
    async def test() -> None:
        address = f"sqlite:///{tmp_path}/one.db"
        async with connect(address):
            with pytest.raises(StoreError, match="in use by process"):
                async with connect(address):
                    pass

    run(test())


@pytest.mark.parametrize("address", ["sqlite:/x.db", "postgres://x", "sqlite://x.db", ""])
def test_bad_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        connect(address)


class Failing(SqliteService):
    """Its first polls fail, as on a full disk."""

    failures = 20

    async def poll_workflow_task(self, queue: str, identity: str) -> WorkflowTask | None:
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full")
        return await super().poll_workflow_task(queue, identity)


def test_worker_whose_polls_fail_goes_on_polling(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monkit_workflow.worker._PAUSE_S", 0)

    async def test() -> None:
        client = Client(Failing(None))
        async with client, Worker(client, QUEUE, workflows=[shouting], activities=[shout]):
            handle = await client.start(shouting, "hi", id="s", **START)
            assert (await handle.result()).startswith("HI")

    run(test())
    assert "the disk is full" in caplog.text


def test_worker_without_code_is_refused() -> None:
    client = Client(connect("sqlite://").service)
    with pytest.raises(ValueError, match="workflows= or activities="):
        Worker(client, QUEUE)


@pytest.mark.parametrize("name", ["max_activities", "max_workflow_tasks", "threads", "cache"])
def test_worker_that_could_do_nothing_is_refused(name: str) -> None:
    options: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        Worker(connect("sqlite://"), QUEUE, workflows=[shouting], **options)


def test_logger_of_workflows_may_be_used_elsewhere_and_says_whose_a_record_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @workflow.define
    async def telling() -> None:
        workflow.logger.warning("inside")

    async def test() -> None:
        async with working([telling]) as client:
            await (await client.start(telling, id="t", **START)).result()

    run(test())
    workflow.logger.warning("outside")
    inside, outside = (record for record in caplog.records if record.name == "monkit_workflow.workflow")
    assert inside.workflow_id == "t"  # type: ignore[attr-defined]
    assert outside.message == "outside"


def test_plain_activity_that_raises_stop_iteration_fails() -> None:
    @activity.define
    def take() -> int:
        return next(iter([]))

    @workflow.define
    async def taking() -> int:
        return await workflow.execute_activity(take, start_to_close=SHORT)

    async def scene() -> None:
        async with working([taking], [take], max_activities=1) as client:
            with pytest.raises(WorkflowFailed, match="StopIteration"):
                await (await client.start(taking, id="t", **START)).result()

    run(scene())


def test_plain_handler_that_raises_stop_iteration_fails_the_task() -> None:
    @workflow.define
    class Taking:
        @workflow.run
        async def run(self) -> None:
            await workflow.wait_condition(lambda: False)

        @workflow.signal
        def take(self) -> None:
            next(iter([]))

    async def scene() -> None:
        async with working([Taking]) as client:
            handle = await client.start(Taking.run, id="t", **START)
            await handle.signal(Taking.take)
            while (failure := (await handle.describe()).task_failure) is None:
                await asyncio.sleep(0)
            assert "StopIteration" in failure.message

    run(scene())


@pytest.mark.parametrize("is_async", [True, False])
def test_next_attempt_begins_with_the_newest_details_of_the_one_that_failed(is_async: bool) -> None:
    found: list[tuple[Any, ...]] = []

    def work() -> None:
        found.append(activity.info().heartbeat_details)
        for number in range(5):
            activity.heartbeat(number)
        if len(found) == 1:
            raise ApplicationFailure("half done")

    @activity.define(name="work")
    async def asynchronous() -> None:
        work()

    @activity.define(name="work")
    def plain() -> None:
        work()

    @workflow.define
    async def working_on() -> None:
        retry = Retry(initial=TINY, attempts=2)
        await workflow.execute_activity("work", start_to_close=SHORT, heartbeat=SHORT, retry=retry)

    async def scene() -> None:
        async with working([working_on], [asynchronous if is_async else plain]) as client:
            await (await client.start(working_on, id="w", **START)).result()

    run(scene())
    assert found == [(), (4,)]
