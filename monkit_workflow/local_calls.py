"""Local activities: what workflow code calls for short work that needs no round trip to the service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypedDict, TypeVar, TypeVarTuple, Unpack, overload

from monkit_workflow.commands import ScheduleActivityTask
from monkit_workflow.definitions import activity_definition, target
from monkit_workflow.errors import MissingTimeout
from monkit_workflow.interceptors import Call
from monkit_workflow.options import Retry, nanoseconds
from monkit_workflow.runtime import Runtime, current

__all__ = ["LocalActivityOptions", "execute_local_activity", "start_local_activity"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class LocalActivityOptions(TypedDict, total=False):
    """Options of a local activity; ``start_to_close`` or ``schedule_to_close`` is required."""

    start_to_close: timedelta
    """How long one attempt may take."""
    schedule_to_close: timedelta
    """How long all attempts together may take, with the waits between them."""
    retry: Retry
    """Without it there is one attempt; but when the worker dies, all of it runs again."""


@overload
def start_local_activity(
    activity: Callable[[*Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[LocalActivityOptions]
) -> asyncio.Future[R]: ...
@overload
def start_local_activity(
    activity: Callable[[*Ts], R], /, *args: *Ts, **options: Unpack[LocalActivityOptions]
) -> asyncio.Future[R]: ...
@overload
def start_local_activity(
    activity: str, /, *args: Any, returns: type[R], **options: Unpack[LocalActivityOptions]
) -> asyncio.Future[R]: ...
@overload
def start_local_activity(
    activity: str, /, *args: Any, **options: Unpack[LocalActivityOptions]
) -> asyncio.Future[Any]: ...
def start_local_activity(activity: Any, /, *args: Any, returns: Any = Any, **options: Any) -> asyncio.Future[Any]:  # type: ignore[misc]  # mypy does not see that Any takes Ts
    """Have this worker run an activity inside the workflow task, and go on; the future ends with its result.

    It is cheap: no task of its own, one event in history when it has ended.
    The price is that it may run again when the worker dies before that.

    Args:
        activity: the function, or its registered name; this worker has to have it.
        args: its arguments.
        returns: the type of the result where a name is given.
        options: see `LocalActivityOptions`.

    Raises:
        MissingTimeout: neither ``start_to_close`` nor ``schedule_to_close`` is given.
        TypeError: the arguments do not fit, or it is no activity.
        ActivityFailure: from the future: the activity failed; ``__cause__`` says why.
    """
    runtime = current()
    name, hint = target(activity, activity_definition, args, returns)

    def start(call: Call) -> asyncio.Future[Any]:
        return runtime.start_local_activity(_command(runtime, call, **call.options), hint).future

    call = Call(name=name, args=args, options=options, info=runtime.info)
    future: asyncio.Future[Any] = runtime.hooks.through("start_local_activity", call, start)
    return future


@overload
async def execute_local_activity(
    activity: Callable[[*Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[LocalActivityOptions]
) -> R: ...
@overload
async def execute_local_activity(
    activity: Callable[[*Ts], R], /, *args: *Ts, **options: Unpack[LocalActivityOptions]
) -> R: ...
@overload
async def execute_local_activity(
    activity: str, /, *args: Any, returns: type[R], **options: Unpack[LocalActivityOptions]
) -> R: ...
@overload
async def execute_local_activity(activity: str, /, *args: Any, **options: Unpack[LocalActivityOptions]) -> Any: ...
async def execute_local_activity(activity: Any, /, *args: Any, **options: Any) -> Any:  # type: ignore[misc]  # mypy does not see that Any takes Ts
    """Have this worker run an activity inside the workflow task and wait for its result; as `start_local_activity`."""
    return await start_local_activity(activity, *args, **options)


def _command(
    runtime: Runtime,
    call: Call,
    *,
    start_to_close: timedelta | None = None,
    schedule_to_close: timedelta | None = None,
    retry: Retry | None = None,
) -> ScheduleActivityTask:
    if start_to_close is None and schedule_to_close is None:
        problem = MissingTimeout(
            f"the local activity {call.name!r} needs start_to_close= (how long one attempt may take) "
            "or schedule_to_close="
        )
        runtime.abort(problem)
        raise problem
    return ScheduleActivityTask(
        activity_id=runtime.next_id(),
        activity_type=call.name,
        task_queue=runtime.known_info.task_queue,
        input=tuple(runtime.converter.encode(value) for value in call.args),
        header=runtime.hooks.send(call.header),
        start_to_close_ns=nanoseconds("start_to_close", start_to_close),
        schedule_to_close_ns=nanoseconds("schedule_to_close", schedule_to_close),
        retry=None if retry is None else retry.policy(),
    )
