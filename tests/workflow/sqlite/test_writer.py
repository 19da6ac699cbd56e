"""The store's thread: groups, the output rule, writes that fail, loops, threads and forks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import AlreadyStarted, NotFound, ResourceExhausted, StoreError, Unavailable
from monkit_workflow.sqlite import SqliteService
from monkit_workflow.sqlite.desk import Desk
from monkit_workflow.sqlite.store import Store
from monkit_workflow.sqlite.transition import Limits
from tests.contract.player import BOUND_S, HOUR, Player, activity, last, play
from tests.workflow.sqlite.stage import FaultyStore, GatedStore, Stage, act


async def closed_gate(stage: Stage, first: Any) -> asyncio.Task[Any]:
    """Close the gate and have *first* wait at it."""
    stage.store.reached.clear()
    stage.store.gate.clear()
    task: asyncio.Task[Any] = asyncio.ensure_future(first)
    assert await asyncio.to_thread(stage.store.reached.wait, BOUND_S)
    return task


async def turns(number: int = 20) -> None:
    """Let everything happen that can happen on this loop."""
    for _ in range(number):
        await asyncio.sleep(0)


def test_nothing_leaves_before_it_is_durable(tmp_path: Path) -> None:
    stage = Stage(tmp_path, GatedStore)

    async def scene(p: Player) -> None:
        workflow = asyncio.ensure_future(p.task())
        start = await closed_gate(stage, p.start())
        await turns()
        assert not start.done()
        assert not workflow.done()
        stage.store.gate.set()
        await start
        task = await workflow
        started = asyncio.ensure_future(p.attempt())
        watched = asyncio.ensure_future(p.service.wait_closed("w"))
        await turns()
        reply = await closed_gate(stage, p.reply(task, activity()))
        await turns()
        assert not reply.done()
        assert not started.done()
        stage.store.gate.set()
        await reply
        await p.service.complete_activity((await started).token, None)
        task = await p.task()
        end = await closed_gate(stage, p.reply(task, c.CompleteWorkflowExecution()))
        await turns()
        assert not end.done()
        assert not watched.done()
        stage.store.gate.set()
        assert isinstance(await watched, h.WorkflowExecutionCompleted)

    act(stage, scene)


def test_start_record_of_a_waiting_poller_is_in_the_transaction_that_schedules(tmp_path: Path) -> None:
    stage = Stage(tmp_path, GatedStore)

    async def scene(p: Player) -> None:
        await p.start()
        task = await p.task()
        poll = asyncio.ensure_future(p.attempt())
        await p.service.describe("w")
        commits = stage.store.commits
        await p.reply(task, activity())
        await poll
        assert stage.store.commits == commits + 1

    act(stage, scene)


def test_what_comes_while_a_commit_runs_is_one_commit(tmp_path: Path) -> None:
    stage = Stage(tmp_path, GatedStore)

    async def scene(p: Player) -> None:
        first = await closed_gate(stage, p.start("first"))
        others = [asyncio.ensure_future(p.start(f"w{number}")) for number in range(200)]
        await turns()
        commits = stage.store.commits
        stage.store.gate.set()
        await asyncio.gather(first, *others)
        assert stage.store.commits == commits + 2

    act(stage, scene)


def test_request_that_fails_does_not_harm_its_neighbours(tmp_path: Path) -> None:
    stage = Stage(tmp_path, GatedStore)

    async def scene(p: Player) -> None:
        first = await closed_gate(stage, p.start("w"))
        ends = [
            asyncio.ensure_future(end)
            for end in (p.start("a"), p.start("w"), p.signal(workflow_id="none"), p.start("b"), p.signal())
        ]
        await turns()
        stage.store.gate.set()
        await first
        found = await asyncio.gather(*ends, return_exceptions=True)
        assert [type(end) for end in found] == [str, AlreadyStarted, NotFound, str, type(None)]

    act(stage, scene)


def test_request_that_breaks_halfway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, GatedStore)

    async def scene(p: Player) -> None:
        await p.start()
        task = await p.task()
        first = await closed_gate(stage, p.start("first"))
        signal = asyncio.ensure_future(p.signal("before"))
        bad = asyncio.ensure_future(p.reply(task, activity("a"), activity("b", input=("no payload",))))
        good = asyncio.ensure_future(p.start("good"))
        await turns()
        stage.store.gate.set()
        await asyncio.gather(first, signal, good)
        with pytest.raises(AttributeError):
            await bad
        assert "ActivityTaskScheduled" not in await p.kinds()
        again = await p.task()
        assert again.workflow_id in {"w", "first", "good"}

    act(stage, scene)
    monkeypatch.undo()


@pytest.mark.parametrize("path", ["file", "memory"])
def test_failed_write_acknowledges_nothing_and_the_next_one_works(tmp_path: Path, path: str) -> None:
    stage = Stage(tmp_path, FaultyStore)

    async def scene(p: Player) -> None:
        await p.start("kept")
        poll = asyncio.ensure_future(p.attempt())
        await p.answer()
        await turns()
        stage.store.fail_before = 1
        ends = await asyncio.gather(p.start("a"), p.signal(workflow_id="kept"), return_exceptions=True)
        assert [type(end) for end in ends] == [StoreError, StoreError]
        assert "disk full" in str(ends[0])
        with pytest.raises(NotFound):
            await p.service.describe("a")
        assert "WorkflowExecutionSignaled" not in await p.kinds("kept")
        await p.start("a")
        await p.signal(workflow_id="kept")
        for _ in range(2):
            task = await p.task()
            await p.reply(task, *([activity()] if task.workflow_id == "kept" else []))
        assert (await poll).workflow_id == "kept"

    act(stage, scene, None if path == "file" else in_memory(stage))


def in_memory(stage: Stage) -> SqliteService:
    """A service in memory whose store the stage knows."""

    def open_store(*arguments: Any) -> Store:
        stage.stores.append(stage.kind(*arguments))
        return stage.stores[-1]  # type: ignore[no-any-return]

    return SqliteService(None, clock=stage.clock, open_store=open_store)


def test_write_that_was_durable_after_all_is_found_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FaultyStore)

    async def scene(p: Player) -> None:
        watched = None
        stage.store.fail_after = 1
        with pytest.raises(StoreError):
            await p.start(request_id="r")
        run_id = (await p.service.describe("w")).run_id
        assert await p.start(request_id="r") == run_id
        watched = asyncio.ensure_future(p.service.wait_closed("w"))
        task = await p.task()
        await turns()
        stage.store.fail_after = 1
        with pytest.raises(StoreError):
            await p.reply(task, c.CompleteWorkflowExecution())
        assert isinstance(await watched, h.WorkflowExecutionCompleted)

    act(stage, scene)


def test_attempt_whose_start_may_be_recorded_is_not_offered_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FaultyStore)

    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(activity())
        stage.store.fail_after = 1
        with pytest.raises(StoreError):
            await p.attempt()
        assert (await p.service.describe("w")).pending_activities[0].state == "started"
        stage.clock.advance(HOUR - 1)
        assert last((await p.history()), h.ActivityTaskScheduled)

    act(stage, scene)


def test_result_that_could_not_be_written_is_lost_and_the_attempt_times_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FaultyStore)

    async def scene(p: Player) -> None:
        await p.start(timeout_ns=9 * HOUR)
        await p.answer(activity())
        attempt = await p.attempt()
        stage.store.fail_before = 1
        with pytest.raises(StoreError):
            await p.service.complete_activity(attempt.token, None)
        stage.clock.advance(HOUR)
        assert last((await p.task()).events, h.ActivityTaskTimedOut).timeout == "start_to_close"

    act(stage, scene)


def test_file_that_cannot_be_opened_again_fails_requests_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(tmp_path, FaultyStore)

    async def scene(p: Player) -> None:
        stage.store.fail_before, stage.store.fail_reopening = 1, 3
        with pytest.raises(StoreError):
            await p.start()
        with pytest.raises(StoreError):
            await p.start()
        await p.start()

    act(stage, scene)
    assert "stays closed" in caplog.text


def test_defect_while_the_file_is_opened_again_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(tmp_path, FaultyStore)
    restore = Desk.restore
    defects = [ZeroDivisionError("a defect")]

    def broken(*arguments: Any) -> Any:
        if defects:
            raise defects.pop()
        return restore(*arguments)

    async def scene(p: Player) -> None:
        monkeypatch.setattr(Desk, "restore", broken)
        stage.store.fail_before = 1
        with pytest.raises(StoreError):
            await p.start()
        await p.start()

    act(stage, scene)
    assert "a defect" in caplog.text


def test_full_history_takes_no_signal_and_can_only_end(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=Limits(history_events=10))

    async def scene(p: Player) -> None:
        await p.start()
        for _ in range(8):
            await p.signal()
        with pytest.raises(ResourceExhausted):
            await p.signal()
        await p.answer(activity())
        assert last(await p.history(), h.WorkflowTaskFailed).failure.type == "ResourceExhausted"
        await Player(p.service, identity="mended").answer(c.CompleteWorkflowExecution())
        assert (await p.service.describe("w")).status == "completed"

    act(stage, scene)


def test_pending_activities_are_bounded(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=Limits(pending=3))

    async def scene(p: Player) -> None:
        await p.start()
        await p.answer(*(activity(str(number)) for number in range(4)))
        assert "3 activities" in last(await p.history(), h.WorkflowTaskFailed).failure.message
        await Player(p.service, identity="mended").answer(*(activity(str(number)) for number in range(3)))

    act(stage, scene)


def test_several_loops_share_a_service(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async def scene(p: Player) -> None:
        def elsewhere(number: int) -> str:
            async def start() -> str:
                run_id = await p.start(f"w{number}")
                await p.answer(c.CompleteWorkflowExecution())
                return run_id

            return asyncio.run(asyncio.wait_for(start(), BOUND_S))

        run_ids = await asyncio.gather(*(asyncio.to_thread(elsewhere, number) for number in range(4)))
        for number, run_id in enumerate(run_ids):
            assert (await p.service.wait_closed(f"w{number}", run_id)).id == 5

    act(stage, scene)


def test_task_for_a_loop_that_is_closed_goes_to_the_next_poller(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async def scene(p: Player) -> None:
        def leave_waiting() -> None:
            loop = asyncio.new_event_loop()

            async def poll() -> None:
                p.service._submit(type(p.service._writer._desk).poll_workflow, "q", "gone")  # type: ignore[attr-defined]

            loop.run_until_complete(poll())
            loop.close()

        await asyncio.to_thread(leave_waiting)
        await p.start()
        assert (await p.task()).workflow_id == "w"

    act(stage, scene)


def test_namespaces_do_not_see_each_other(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")

    async def ours(p: Player) -> None:
        await p.start()
        await p.answer(c.StartTimer(timer_id="t", duration_ns=0), activity())
        await p.task()

    async def theirs(p: Player) -> None:
        with pytest.raises(NotFound):
            await p.service.describe("w")
        await p.start(workflow_type="Theirs")
        assert (await p.task()).workflow_type == "Theirs"

    play(SqliteService(path, namespace="ours"), ours)
    play(SqliteService(path, namespace="theirs"), theirs)
    play(SqliteService(path, namespace="ours"), lambda p: p.task())  # type: ignore[arg-type, return-value]


def test_service_is_open_until_the_last_exit(tmp_path: Path) -> None:
    service = Stage(tmp_path).service()

    async def scene() -> None:
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(Unavailable):
                await service.describe("w")
            async with service:
                async with service:
                    await Player(service).start()
                await service.describe("w")
            with pytest.raises(Unavailable):
                await service.describe("w")
            async with service:
                await service.describe("w")

    asyncio.run(scene())


def test_forked_child_is_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    service = stage.service()
    service._pid = os.getpid() + 1

    async def scene() -> None:
        with pytest.raises(StoreError, match="fork"):
            async with service:
                pass

    asyncio.run(scene())


def test_opening_that_fails_halfway_lets_the_file_go(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FaultyStore)

    async def begin(p: Player) -> None:
        await p.start()
        await p.answer(activity())
        await p.attempt()

    async def fail() -> None:
        async with asyncio.timeout(BOUND_S):
            service = stage.service()
            with pytest.raises(StoreError, match="disk full"):
                async with service:
                    pass

    async def end(p: Player) -> None:
        assert last((await p.task()).events, h.ActivityTaskTimedOut).timeout == "start_to_close"

    act(stage, begin)
    FaultyStore.fail_before = 1  # the commit that ends the attempt of the process before
    try:
        asyncio.run(fail())
    finally:
        FaultyStore.fail_before = 0
    act(stage, end)
