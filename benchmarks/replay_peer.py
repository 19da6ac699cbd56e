"""The replayer of Temporal's official SDK, for `benchmarks.replay`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta

from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner


@workflow.defn(name="Sequence")
class Sequence:
    """What `benchmarks.replay.sequence` does."""

    @workflow.run
    async def run(self, count: int) -> int:
        """Call an activity *count* times."""
        total = 0
        for place in range(count):
            total += await workflow.execute_activity(
                "step", place, result_type=int, start_to_close_timeout=timedelta(seconds=10)
            )
        return total


async def replayer(text: str, rounds: int, *, sandbox: bool) -> float:
    """Seconds a replay: one replayer takes *rounds* histories one after another, the first is not counted."""
    times: list[float] = []
    parsed = [WorkflowHistory.from_json(f"bench-{number}", text) for number in range(rounds + 1)]

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for history in parsed:
            times.append(time.perf_counter())
            yield history

    runner = SandboxedWorkflowRunner() if sandbox else UnsandboxedWorkflowRunner()
    found = await Replayer(workflows=[Sequence], workflow_runner=runner).replay_workflows(histories())
    ended = time.perf_counter()
    assert not found.replay_failures, found.replay_failures
    return (ended - times[1]) / rounds
