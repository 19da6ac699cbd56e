"""The workflows of the recorded histories, written from what the INDEX says of them in words.

Each takes what the recording's workflow took. Names are those of the recordings.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from monkit_workflow import workflow
from monkit_workflow.errors import ApplicationFailure

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


async def act(name: str, *args: Any, **options: Any) -> Any:
    return await workflow.execute_activity(name, *args, start_to_close=MINUTE, **options)


# Temporal, Go.


@workflow.define(name="testReplayWorkflowFromFile")
async def go_sample() -> None:
    await act("testActivityMultipleArgs", 2, "test", True)


@workflow.define(name="Workflow1")
async def go_workflow1(name: str) -> None:
    times = 3 if workflow.version("test-change", -1, 1) == 1 else 2
    for _ in range(times):
        await act("helloworldActivity", name)


@workflow.define(name="SideEffectWorkflow")
async def go_side_effect(name: str) -> None:
    workflow.side_effect(lambda: 42)
    await act("helloworldActivity", name)


@workflow.define(name="MutableSideEffectWorkflow")
async def go_mutable_side_effect() -> list[int]:
    found: list[int] = []

    def take(*values: int) -> None:
        for value in values:
            found.append(workflow.mutable_side_effect("side-effect-1", lambda value=value: value))  # type: ignore[misc]

    take(0, 0, 0, 1, 1, 2)
    await workflow.sleep(SECOND)
    take(3, 3, 4)
    await workflow.sleep(SECOND)
    take(4, 5)
    return found


@workflow.define(name="ContinueAsNewWorkflow")
async def go_continue_as_new(again: bool) -> None:
    workflow.continue_as_new(not again)


@workflow.define(name="CancelOrderSelectWorkflow")
async def go_cancel_order() -> None:
    try:
        await workflow.sleep(timedelta(seconds=300))
    except asyncio.CancelledError:
        await workflow.shielded(act("helloworldActivity", "world"))


@workflow.define(name="CancelTimerAfterActivity")
async def go_cancel_timer_after_activity() -> str:
    timer = asyncio.ensure_future(workflow.sleep(3 * SECOND))
    await asyncio.sleep(0)  # the timer is the first command
    activity = workflow.start_activity("Prefix_ToUpper", "hello", returns=str, start_to_close=5 * SECOND)
    timer.cancel()
    return await activity


@workflow.define(name="UpdateAndExit")
class GoUpdateAndExit:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.done)

    @workflow.update
    async def update(self, duration_ns: int) -> None:
        if duration_ns > 0:
            await workflow.sleep(timedelta(microseconds=duration_ns // 1000))
        self.done = True


# Temporal, Python and Java.


@dataclass
class SayHelloParams:
    name: str
    should_wait: bool = False
    should_error: bool = False
    should_cause_nondeterminism: bool = False


@workflow.define(name="SayHelloWorkflow")
class PySayHello:
    @workflow.run
    async def run(self, params: SayHelloParams) -> str:
        if params.should_cause_nondeterminism and workflow.replaying():
            await workflow.sleep(timedelta(seconds=0.1))
        if params.should_wait:
            await workflow.wait_condition(lambda: False)
        if params.should_error:
            raise ApplicationFailure("Intentional error")
        return str(await act("say_hello", params.name))


@workflow.define(name="SayHelloWorkflow")
class PySayHelloWithSleep:
    @workflow.run
    async def run(self, params: SayHelloParams) -> str:
        await workflow.sleep(SECOND)
        return str(await act("say_hello", params.name))


@workflow.define(name="TestWorkflow1")
async def java_child(task_queue: str) -> Any:
    return await workflow.execute_child("ITestChild", task_queue, 0, timeout=timedelta(seconds=500))


# Cadence, Go and Java.


@workflow.define(name="greetings")
async def cadence_greetings() -> None:
    greeting = await act("getGreetingActivity")
    name = await act("getNameActivity")
    await act("sayGreetingActivity", greeting, name)


@workflow.define(name="greetings")
async def cadence_greetings_renamed() -> None:
    await act("getGreetingActivitytest")


async def branches(count: int) -> None:
    running = [
        workflow.start_activity("sampleActivity", f"branch {place} of 3.", start_to_close=MINUTE)
        for place in range(1, count + 1)
    ]
    for future in running:
        await future


@workflow.define(name="branch")
async def cadence_branch() -> None:
    await branches(3)


@workflow.define(name="branch")
async def cadence_branch_two() -> None:
    await branches(2)


@workflow.define(name="Workflow")
async def cadence_version(name: str) -> None:
    if workflow.version("test-change", -1, 1) == -1:
        raise ApplicationFailure("no longer supported")
    for _ in range(3):
        await act("helloworldActivity", name)


@workflow.define(name="Workflow")
async def cadence_version_out_of_range(name: str) -> None:
    workflow.version("test-change", 2, 3)


@workflow.define(name="testReplayWorkflowFromFileParent")
async def cadence_parent() -> None:
    child = await workflow.start_child(
        "testReplayWorkflowFromFile", 0, 5, id=f"child_workflow:{workflow.info().run_id}", timeout=MINUTE
    )
    await child.signal("test-signal", "test-data")
    await child.result()


@workflow.define(name="ActivityCancelRepro")
async def cadence_activity_cancel() -> list[str]:
    scope: list[asyncio.Future[Any]] = []

    async def first() -> None:
        await act("Prefix_ToUpperWithDelay", "hello", 1_000_000_000)
        for future in scope:
            future.cancel()

    async def other() -> None:
        scope.append(workflow.start_activity("Prefix_ToUpper", "hello", task_queue="bad_tl", start_to_close=9 * SECOND))
        await scope[-1]

    nap = asyncio.ensure_future(workflow.sleep(10 * SECOND))
    scope.append(nap)
    running = [asyncio.ensure_future(coro) for coro in (first(), other(), other())]
    await asyncio.wait([nap])
    await asyncio.wait(running)
    return ["toUpperWithDelay"]


@workflow.define(name="GreetingWorkflow::createGreeting")
async def java_timer_cancel_and_fire(name: str) -> None:
    activity = workflow.start_activity("GreetingActivities::composeGreeting", "1", start_to_close=MINUTE)
    done, _ = await asyncio.wait([activity], timeout=30)
    assert done
    await activity
    await workflow.sleep(20 * SECOND)
