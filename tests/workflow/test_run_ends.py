"""How a run ends: by a result, a failure, a next run, or not at all because its task fails."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import workflow
from monkit_workflow.errors import (
    ApplicationFailure,
    ConversionError,
)
from tests.workflow.scripted_run import ScriptedRun, names
from tests.workflow.simulated_service import payload

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def act(name: str, **options: Any) -> asyncio.Future[Any]:
    return workflow.start_activity(name, start_to_close=MINUTE, **options)


def failure_of(commands: tuple[c.Command, ...]) -> Any:
    assert isinstance(commands[-1], c.FailWorkflowExecution)
    return commands[-1].failure


class OwnError(Exception):
    pass


@workflow.define(failures=(OwnError,))
async def ends(how: str) -> Any:
    match how:
        case "failure":
            raise ApplicationFailure("no", 1, type="Type")
        case "time-out":
            raise TimeoutError
        case "own":
            raise OwnError("mine")
        case "fault":
            raise KeyError("fault")
        case "cancelled":
            raise asyncio.CancelledError
        case "group":
            raise ExceptionGroup("all", [OwnError(), ExceptionGroup("inner", [TimeoutError()])])
        case "cancelled group":
            raise BaseExceptionGroup("all", [OwnError(), asyncio.CancelledError()])
        case "mixed":
            raise ExceptionGroup("all", [OwnError(), KeyError()])
        case "unencodable":
            return object()
        case "continues unencodable":
            workflow.continue_as_new(object())
        case "continues in a group":
            async with asyncio.TaskGroup() as group:
                group.create_task(again())
                group.create_task(workflow.sleep(SECOND))
        case "continues past except":
            try:
                workflow.continue_as_new(2)
            except Exception:
                return "swallowed"
    return None


async def again() -> None:
    workflow.continue_as_new("next", timeout=MINUTE)


# Ends of a run.


@pytest.mark.parametrize("how", ["failure", "time-out", "own", "cancelled", "group", "cancelled group"])
def test_failures_time_outs_own_errors_and_groups_of_them_fail_the_run(how: str) -> None:
    with ScriptedRun(ends, how) as run:
        failure = failure_of(run.task())
        assert failure.kind == ("canceled" if how == "cancelled" else "application")


@pytest.mark.parametrize(("how", "kind"), [("fault", KeyError), ("mixed", ExceptionGroup)])
def test_other_exceptions_fail_the_task(how: str, kind: type[Exception]) -> None:
    with ScriptedRun(ends, how) as run, pytest.raises(kind):
        run.task()


@pytest.mark.parametrize("how", ["unencodable", "continues unencodable"])
def test_result_without_encoding_fails_the_task(how: str) -> None:
    with ScriptedRun(ends, how) as run, pytest.raises(ConversionError):
        run.task()


def test_result_of_none_is_absent() -> None:
    with ScriptedRun(ends, "returns") as run:
        assert run.task() == (c.CompleteWorkflowExecution(result=None),)
        assert run.replay().closing == c.CompleteWorkflowExecution(result=None)


def test_continue_as_new_comes_out_of_a_task_group() -> None:
    with ScriptedRun(ends, "continues in a group") as run:
        command = run.task()[-1]
        assert isinstance(command, c.ContinueAsNewWorkflowExecution)
        assert (command.workflow_type, command.input) == ("ends", (payload("next"),))
        assert command.timeout_ns == 60 * 10**9


def test_except_exception_does_not_swallow_continue_as_new() -> None:
    with ScriptedRun(ends, "continues past except") as run:
        assert isinstance(run.task()[-1], c.ContinueAsNewWorkflowExecution)


def test_input_that_cannot_be_decoded_fails_the_task() -> None:
    @workflow.define
    async def counts(number: int) -> int:
        return number

    with ScriptedRun(counts, "three") as run, pytest.raises(ConversionError):
        run.task()
    with ScriptedRun(counts) as run, pytest.raises(ConversionError, match="takes 1 arguments, 0 were given"):
        run.task()


def test_nothing_runs_after_the_end() -> None:
    @workflow.define
    async def leaves() -> None:
        asyncio.get_running_loop().call_soon(lambda: act("late"))
        late = asyncio.ensure_future(workflow.shielded(again()))
        assert not late.done()

    with ScriptedRun(leaves) as run:
        assert names(run.task()) == ["CompleteWorkflowExecution"]
