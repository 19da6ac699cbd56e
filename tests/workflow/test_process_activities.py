"""Activities in processes, and how fast attempts may begin."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from monkit_workflow import Client, Retry, Worker, activity, connect, workflow
from monkit_workflow.errors import ActivityFailure, ApplicationFailure, TimeoutFailure, WorkflowFailed
from tests.workflow.running import QUEUE, SHORT, START, run, working


@dataclass
class Job:
    number: int
    worker: int


class Strange(Exception):
    """Its constructor cannot be called again with what it holds."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


@activity.define(process=True)
def compute(job: Job) -> Job:
    info = activity.info()
    assert not activity.is_cancelled()
    activity.heartbeat("half")
    return Job(job.number * info.attempt, os.getpid())


@activity.define(process=True)
def fail(how: str) -> None:
    match how:
        case "plainly":
            raise ApplicationFailure("it is broken", 7, type="Broken")
        case "strangely":
            raise Strange("un", "usual")
        case "by the system":
            Path("/nowhere/at/all").read_text()
        case "for good":
            os.kill(os.getpid(), signal.SIGKILL)
        case "at once":
            if activity.info().attempt == 1:
                os._exit(3)


@activity.define(process=True)
def spin(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    while True:
        signal.pause()


@activity.define(process=True)
def beat(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    while True:
        activity.heartbeat()  # each is an answer of the worker's, so that this does not spin


@activity.define(process=True)
def leave(path: str) -> str:
    Path(path).write_text(activity.info().token)
    activity.complete_later()


@workflow.define
async def computing(number: int) -> list[Job]:
    jobs = [workflow.start_activity(compute, Job(item, 0), start_to_close=SHORT) for item in range(number)]
    return [await job for job in jobs]


@workflow.define
async def failing(how: str, attempts: int) -> None:
    retry = Retry(initial=timedelta(milliseconds=1), attempts=attempts)
    await workflow.execute_activity(fail, how, start_to_close=SHORT, retry=retry)


@workflow.define
async def spinning(mark: str, seconds: float) -> str:
    try:
        await workflow.execute_activity(spin, mark, start_to_close=timedelta(seconds=seconds))
    except ActivityFailure as failure:
        return failure.__cause__.kind if isinstance(failure.__cause__, TimeoutFailure) else str(failure)
    return "in time"


@workflow.define
async def beating(mark: str) -> None:
    await workflow.execute_activity(
        beat, mark, start_to_close=SHORT, heartbeat=timedelta(seconds=4), cancellation="wait"
    )


@workflow.define
async def leaving(path: str) -> str:
    return await workflow.execute_activity(leave, path, start_to_close=SHORT)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def warm_up(client: Client) -> None:
    """Have a process there: making one takes its time, which a test of time-outs cannot wait for."""
    await (await client.start(computing, 1, id="warm", **START)).result()


async def readable(descriptor: int) -> None:
    """Wait until there is something to read, or the process of a descriptor has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


class Letterbox:
    """What a process writes a line into, and a test waits at."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "letterbox")
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    async def read(self) -> str:
        await readable(self._descriptor)
        return os.read(self._descriptor, 1000).decode()

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def letterbox(tmp_path: Path) -> Iterator[Letterbox]:
    box = Letterbox(tmp_path)
    yield box
    box.close()


def test_values_and_heartbeats_travel_to_a_process_and_back() -> None:
    async def scene() -> None:
        async with working([computing], [compute], processes=2) as client:
            jobs = await (await client.start(computing, 5, id="c", **START)).result()
            assert [job.number for job in jobs] == [0, 1, 2, 3, 4]
            pids = {job.worker for job in jobs}
            assert os.getpid() not in pids
            assert 1 <= len(pids) <= 2

    run(scene())


@pytest.mark.parametrize(
    ("how", "type_name", "text"),
    [
        ("plainly", "Broken", "it is broken"),
        ("strangely", "Strange", "unusual"),
        ("by the system", "FileNotFoundError", "/nowhere"),
        ("for good", "ProcessDied", "-9"),
    ],
)
def test_failure_of_a_process_is_the_activity_s(how: str, type_name: str, text: str) -> None:
    async def scene() -> None:
        async with working([failing], [fail], processes=1) as client:
            handle = await client.start(failing, how, 1, id="f", **START)
            with pytest.raises(WorkflowFailed) as caught:
                await handle.result()
            cause = caught.value.__cause__
            assert isinstance(cause, ActivityFailure)
            failure = cause.__cause__
            assert isinstance(failure, ApplicationFailure)
            assert failure.type == type_name
            assert text in str(failure)
            if how == "plainly":
                assert failure.details == (7,)
                assert failure.failure is not None
                assert "test_process_activities.py" in failure.failure.stack

    run(scene())


def test_next_attempt_gets_a_new_process() -> None:
    async def scene() -> None:
        async with working([failing], [fail], processes=1) as client:
            await (await client.start(failing, "at once", 2, id="f", **START)).result()

    run(scene())


def test_process_that_is_out_of_time_is_killed(letterbox: Letterbox) -> None:
    async def scene() -> None:
        async with working([spinning, computing], [spin, compute], processes=1) as client:
            await warm_up(client)
            handle = await client.start(spinning, letterbox.path, 3.0, id="s", **START)
            process = os.pidfd_open(int(await letterbox.read()))
            assert await handle.result() == "start_to_close"
            await readable(process)
            os.close(process)

    run(scene())


def test_process_ends_with_its_worker(letterbox: Letterbox) -> None:
    async def scene() -> None:
        async with working([spinning], [spin]) as client:
            await client.start(spinning, letterbox.path, 3600.0, id="s", **START)
            pid = int(await letterbox.read())
        assert not alive(pid)

    run(scene())


def test_process_learns_by_its_heartbeat_that_it_was_given_up(letterbox: Letterbox) -> None:
    async def scene() -> None:
        async with working([beating, computing], [beat, compute], processes=1) as client:
            await warm_up(client)
            handle = await client.start(beating, letterbox.path, id="b", **START)
            pid = int(await letterbox.read())
            await handle.cancel()
            with pytest.raises(WorkflowFailed, match="cancelled"):
                await handle.result()
            assert alive(pid)  # it waits for the next one

    run(scene())


def test_process_may_leave_its_attempt_open(letterbox: Letterbox) -> None:
    async def scene() -> None:
        async with working([leaving], [leave]) as client:
            handle = await client.start(leaving, letterbox.path, id="l", **START)
            await client.activity(token=await letterbox.read()).complete("done")
            assert await handle.result() == "done"

    run(scene())


def test_activity_that_no_process_could_find_is_refused() -> None:
    @activity.define(process=True)
    def local() -> None: ...

    with pytest.raises(TypeError, match="at the top of a module"):
        Worker(connect("sqlite://"), QUEUE, activities=[local])
    with pytest.raises(TypeError, match="must be a plain function"):

        @activity.define(process=True)
        async def asynchronous() -> None: ...


def test_attempts_begin_no_faster_than_they_may() -> None:
    began: list[float] = []

    @activity.define(name="tick")
    async def tick(number: int) -> None:
        began.append(asyncio.get_running_loop().time())

    async def scene() -> None:
        async with working([ticking], [tick], activities_per_second=20.0) as client:
            await (await client.start(ticking, 10, id="t", **START)).result()

    run(scene())
    assert began[-1] - began[0] >= (10 - 2) / 20  # two pollers have leave at first


@workflow.define
async def ticking(number: int) -> None:
    await asyncio.gather(*(workflow.start_activity("tick", item, start_to_close=SHORT) for item in range(number)))


def test_slow_worker_stops_at_once() -> None:
    async def scene() -> None:
        async with (
            connect("sqlite://") as client,
            Worker(client, QUEUE, activities=[compute], activities_per_second=0.001),
        ):
            pass

    run(scene())


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_rate_that_makes_no_sense_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="activities_per_second"):
        Worker(connect("sqlite://"), QUEUE, activities=[compute], activities_per_second=rate)
