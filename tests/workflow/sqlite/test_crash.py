"""What a crash leaves and what the next process makes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import NotFound, QueryFailed
from monkit_workflow.payload import Failure, RetryPolicy
from monkit_workflow.service import QueryRequest, ResetRequest, UpdateRequest
from monkit_workflow.sqlite import SqliteService
from tests.contract.player import BOUND_S, HOUR, SECOND, Player, activity, child, last, names, play, text, value
from tests.workflow.sqlite.stage import Stage, act

Scene = Callable[[Player], Awaitable[None]]
RETRY = RetryPolicy(initial_ns=SECOND, attempts=3)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def crash(stage: Stage, before: Scene, after: Scene) -> None:
    """Play a scene, crash, and play another on what the crash left, while the first service still is there."""

    async def scene(p: Player) -> None:
        await before(p)
        await asyncio.to_thread(act, stage, after, stage.crashed())

    act(stage, scene)


def test_everything_acknowledged_survives(stage: Stage) -> None:
    history: list[h.Event] = []
    tokens: list[str] = []

    async def before(p: Player) -> None:
        await p.start(timeout_ns=9 * HOUR, task_timeout_ns=9 * HOUR)
        await p.answer(activity(task_queue="later"), c.StartTimer(timer_id="t", duration_ns=HOUR), child())
        tokens.append((await p.task()).token)
        await p.signal("held")
        await p.service.cancel("w")
        history.extend(await p.history())

    async def after(p: Player) -> None:
        assert (await p.history())[: len(history)] == history
        task = await p.task()
        assert names(task.events[len(history) :]) == [
            "WorkflowExecutionSignaled",
            "WorkflowExecutionCancelRequested",
            "WorkflowTaskStarted",
        ]
        with pytest.raises(NotFound):
            await p.service.complete_workflow_task(tokens[0], [], 1)
        assert (await Player(p.service, "later").attempt()).attempt == 1
        assert (await Player(p.service, "children").task()).workflow_id == "child"
        stage.clock.advance(HOUR)
        await p.reply(task)
        assert "TimerFired" in await p.kinds()

    crash(stage, before, after)


@pytest.mark.parametrize(("heartbeat_ns", "expected"), [(HOUR, "heartbeat"), (0, "start_to_close")])
def test_attempt_of_a_dead_process_ends_at_once(stage: Stage, heartbeat_ns: int, expected: str) -> None:
    async def before(p: Player) -> None:
        await p.start()
        await p.answer(activity(heartbeat_ns=heartbeat_ns))
        await p.attempt()

    async def after(p: Player) -> None:
        timed_out = last((await p.task()).events, h.ActivityTaskTimedOut)
        assert timed_out.timeout == expected
        assert timed_out.started_id == timed_out.id - 1

    crash(stage, before, after)


def test_no_attempt_number_is_handed_out_twice(stage: Stage) -> None:
    tokens: list[str] = []

    async def before(p: Player) -> None:
        await p.start()
        await p.answer(activity(retry=RETRY))
        attempt = await p.attempt()
        assert attempt.attempt == 1
        tokens.append(attempt.token)

    async def after(p: Player) -> None:
        with pytest.raises(NotFound):
            await p.service.complete_activity(tokens[0], None)
        stage.clock.advance(SECOND)
        assert (await p.attempt()).attempt == 2

    crash(stage, before, after)


def test_activity_that_nobody_had_begun_begins_after_the_crash(stage: Stage) -> None:
    async def before(p: Player) -> None:
        await p.start()
        await p.answer(activity("a"), activity("b"))

    async def after(p: Player) -> None:
        assert {(await p.attempt()).activity_id for _ in range(2)} == {"a", "b"}

    crash(stage, before, after)


def test_failing_task_keeps_its_attempts_and_its_failure(stage: Stage) -> None:
    async def before(p: Player) -> None:
        await p.start()
        for number in range(3):
            await p.service.fail_workflow_task(
                (await Player(p.service, identity=str(number)).task()).token, Failure(message="no")
            )

    async def after(p: Player) -> None:
        found = await p.service.describe("w")
        assert found.task_failure is not None
        assert (found.task_attempt, found.task_failure.message) == (4, "no")
        assert (await p.task()).attempt == 4

    crash(stage, before, after)


def test_ended_activity_in_the_inbox_stays_ended(stage: Stage) -> None:
    tokens: list[str] = []

    async def before(p: Player) -> None:
        await p.start()
        await p.answer(activity())
        attempt = await p.attempt()
        await p.signal()
        await p.task()
        await p.service.complete_activity(attempt.token, value("1"))
        tokens.append(attempt.token)

    async def after(p: Player) -> None:
        with pytest.raises(NotFound):
            await p.service.complete_activity(tokens[0], value("2"))
        assert text(last((await p.task()).events, h.ActivityTaskCompleted).result) == "1"

    crash(stage, before, after)


def test_what_became_due_while_nobody_was_there_happens_at_the_opening(stage: Stage) -> None:
    async def before(p: Player) -> None:
        await p.start("slept", timeout_ns=10 * HOUR)
        await p.answer(c.StartTimer(timer_id="t", duration_ns=HOUR))
        await p.start("over", timeout_ns=HOUR)

    async def after(p: Player) -> None:
        assert last((await p.task()).events, h.TimerFired).timer_id == "t"
        assert (await p.service.describe("over")).status == "timed_out"

    act(stage, before)
    stage.clock.advance(2 * HOUR)
    act(stage, after)


def test_opening_reads_no_sleeping_run(stage: Stage) -> None:
    async def before(p: Player) -> None:
        for number in range(50):
            await p.start(f"w{number}")
            await p.answer(c.StartTimer(timer_id="t", duration_ns=HOUR))

    async def after(p: Player) -> None:
        assert len(p.service._writer._runs) == 0  # type: ignore[attr-defined]
        await p.signal(workflow_id="w7")
        assert len(p.service._writer._runs) == 1  # type: ignore[attr-defined]

    act(stage, before)
    act(stage, after)


def test_states_in_memory_are_bounded_and_come_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, cached_runs=3)

    async def scene(p: Player) -> None:
        for number in range(20):
            await p.start(f"w{number}")
        for _ in range(20):
            await p.answer(activity())
        assert len(p.service._writer._runs) <= 3  # type: ignore[attr-defined]
        for number in range(20):
            attempt = await p.attempt()
            await p.service.complete_activity(attempt.token, None)
            await p.answer(c.CompleteWorkflowExecution())
            assert (await p.service.describe(f"w{number}")).status == "completed"

    act(stage, scene)


KILLED = """
import asyncio, os, sys
from monkit_workflow.sqlite import SqliteService
from tests.contract.player import Player, activity

async def main():
    async with SqliteService(sys.argv[1]) as service:
        player = Player(service)
        number = 0
        while True:
            number += 1
            await player.start(f"w{number}")
            await player.answer(activity())
            await player.attempt()
            os.write(1, b"%d\\n" % number)

asyncio.run(main())
"""


def test_killed_process_loses_nothing_it_had_acknowledged(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    root = str(Path(__file__).parents[3])
    child_process = subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": root}
    )
    assert child_process.stdout is not None
    try:
        told = 0
        while told < 20:
            told = int(child_process.stdout.readline())
    finally:
        child_process.send_signal(signal.SIGKILL)
        rest = child_process.stdout.read().split()
        child_process.wait(BOUND_S)
        child_process.stdout.close()
    told = int(rest[-1]) if rest else told

    async def after(p: Player) -> None:
        for number in range(1, told + 1):
            assert (await p.kinds(f"w{number}"))[-3:-1] == ["ActivityTaskStarted", "ActivityTaskTimedOut"]
        assert p.service._writer._store.connection.execute("PRAGMA quick_check").get == "ok"  # type: ignore[attr-defined]

    play(SqliteService(path), after)
    with apsw.Connection(path) as connection:
        assert connection.execute("SELECT count(*) FROM meta WHERE name = 'clean'").get == 1


def test_attempt_that_was_left_open_survives_the_crash(stage: Stage) -> None:
    tokens: list[str] = []

    async def before(p: Player) -> None:
        await p.start()
        await p.answer(activity())
        tokens.append((await p.attempt()).token)
        await p.service.leave_open(tokens[0])

    async def after(p: Player) -> None:
        await p.service.complete_activity(tokens[0], value("1"))
        assert text(last((await p.task()).events, h.ActivityTaskCompleted).result) == "1"

    crash(stage, before, after)


def test_accepted_update_is_completed_after_the_crash_and_told_to_who_asks_again(stage: Stage) -> None:
    request = UpdateRequest(workflow_id="w", update_id="u", name="change")

    async def before(p: Player) -> None:
        await p.start()
        await p.answer()
        accepted = asyncio.ensure_future(p.service.update(replace(request, wait="accepted")))
        await p.answer(c.AcceptUpdate(update_id="u", name="change"))
        await accepted

    async def after(p: Player) -> None:
        asked = asyncio.ensure_future(p.service.update(request))
        await p.signal()
        task = await p.task()
        assert task.updates == ()
        await p.reply(task, c.CompleteUpdate(update_id="u", result=value("7")))
        outcome = await asked
        assert outcome is not None
        assert text(outcome.result) == "7"

    crash(stage, before, after)


def test_update_that_nobody_had_accepted_leaves_no_trace_of_the_crash(stage: Stage) -> None:
    async def before(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = asyncio.ensure_future(p.service.update(UpdateRequest(workflow_id="w", update_id="u", name="change")))
        assert (await p.task()).updates
        asked.cancel()

    async def after(p: Player) -> None:
        assert (await p.kinds())[-1] == "WorkflowTaskCompleted"
        assert (await p.service.describe("w")).task_attempt == 0

    crash(stage, before, after)


def test_signal_that_came_while_a_task_for_updates_waited_is_seen_after_the_crash(stage: Stage) -> None:
    async def before(p: Player) -> None:
        await p.start()
        await p.answer()
        asked = asyncio.ensure_future(p.service.update(UpdateRequest(workflow_id="w", update_id="u", name="change")))
        await p.service.describe("w")
        await p.signal("kept")
        asked.cancel()

    async def after(p: Player) -> None:
        assert last((await p.task()).events, h.WorkflowExecutionSignaled).name == "kept"

    crash(stage, before, after)


def test_run_that_was_reset_goes_on_after_the_crash(stage: Stage) -> None:
    async def before(p: Player) -> None:
        await p.start(timeout_ns=HOUR)
        await p.answer(activity())
        stage.clock.advance(HOUR // 2)
        await p.signal()
        task = await p.answer(c.CompleteWorkflowExecution())
        await p.service.reset(ResetRequest(workflow_id="w", event_id=task.events[-1].id + 1, request_id="r"))

    async def after(p: Player) -> None:
        assert (await p.attempt()).activity_id == "a"
        stage.clock.advance(HOUR - 1)
        assert (await p.service.describe("w")).status == "running"
        stage.clock.advance(1)
        assert (await p.service.describe("w")).status == "timed_out"

    crash(stage, before, after)


def test_question_after_the_crash_waits_for_a_worker_that_may_have_been_mended(stage: Stage) -> None:
    request = QueryRequest(workflow_id="w", name="state")

    async def before(p: Player) -> None:
        await p.start()
        await p.service.fail_workflow_task((await p.task()).token, Failure(message="no"))
        with pytest.raises(QueryFailed, match="no"):
            await p.service.query(request)

    async def after(p: Player) -> None:
        asked = asyncio.ensure_future(p.service.query(request))
        await p.service.describe("w")
        assert not asked.done()
        await p.answer()
        task = await p.task()
        assert task.query is not None
        await p.service.answer_query(task.token, value("1"))
        assert text(await asked) == "1"

    crash(stage, before, after)
