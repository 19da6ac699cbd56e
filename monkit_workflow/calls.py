"""What workflow code calls outside of itself: activities, child workflows, other executions.

Arguments are positional and options are keywords, so that an editor knows the
types of both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import timedelta
from typing import Any, Generic, NoReturn, TypedDict, TypeVar, TypeVarTuple, Unpack, overload

from monkit_workflow.commands import ScheduleActivityTask, SignalExternalWorkflowExecution, StartChildWorkflowExecution
from monkit_workflow.converter import Converter
from monkit_workflow.cron import check_cron
from monkit_workflow.definitions import activity_definition, message_target, target, workflow_definition
from monkit_workflow.errors import ContinueAsNew, MissingTimeout
from monkit_workflow.history import IdReuse, ParentClose
from monkit_workflow.interceptors import Call
from monkit_workflow.machines import ChildMachine
from monkit_workflow.notes import encode_memo
from monkit_workflow.options import Cancellation, Retry, nanoseconds
from monkit_workflow.payload import Payloads
from monkit_workflow.runtime import Runtime, current
from monkit_workflow.search_attributes import SearchValue, encode_attributes

__all__ = [
    "ActivityOptions",
    "ChildHandle",
    "ChildOptions",
    "ExternalHandle",
    "continue_as_new",
    "execute_activity",
    "execute_child",
    "external",
    "start_activity",
    "start_child",
]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class ActivityOptions(TypedDict, total=False):
    """Options of an activity; ``start_to_close`` or ``schedule_to_close`` is required."""

    start_to_close: timedelta
    """How long one attempt may take."""
    schedule_to_close: timedelta
    """How long all attempts together may take, with the waits before and between them."""
    schedule_to_start: timedelta
    """How long an attempt may wait for a worker."""
    heartbeat: timedelta
    """How long an attempt may be silent."""
    retry: Retry
    """Without it there is one attempt: an activity runs at most once."""
    task_queue: str
    """Whose workers shall run it, by default the workflow's own."""
    id: str
    cancellation: Cancellation


@overload
def start_activity(
    activity: Callable[[*Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[ActivityOptions]
) -> asyncio.Future[R]: ...
@overload
def start_activity(
    activity: Callable[[*Ts], R], /, *args: *Ts, **options: Unpack[ActivityOptions]
) -> asyncio.Future[R]: ...
@overload
def start_activity(
    activity: str, /, *args: Any, returns: type[R], **options: Unpack[ActivityOptions]
) -> asyncio.Future[R]: ...
@overload
def start_activity(activity: str, /, *args: Any, **options: Unpack[ActivityOptions]) -> asyncio.Future[Any]: ...
def start_activity(activity: Any, /, *args: Any, returns: Any = Any, **options: Any) -> asyncio.Future[Any]:  # type: ignore[misc]  # mypy does not see that Any takes Ts
    """Ask for an activity and go on; the future ends with its result.

    Args:
        activity: the function, or its registered name.
        args: its arguments.
        returns: the type of the result where a name is given.
        options: see `ActivityOptions`.

    Raises:
        MissingTimeout: neither ``start_to_close`` nor ``schedule_to_close`` is given.
        TypeError: the arguments do not fit, or it is no activity.
        ActivityFailure: from the future: the activity failed; ``__cause__`` says why.
    """
    runtime = current()
    name, hint = target(activity, activity_definition, args, returns)

    def schedule(call: Call) -> asyncio.Future[Any]:
        command, cancellation = _activity_command(runtime, call, **call.options)
        return runtime.schedule_activity(command, hint, cancellation).future

    call = Call(name=name, args=args, options=options, info=runtime.info)
    future: asyncio.Future[Any] = runtime.hooks.through("start_activity", call, schedule)
    return future


@overload
async def execute_activity(
    activity: Callable[[*Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[ActivityOptions]
) -> R: ...
@overload
async def execute_activity(activity: Callable[[*Ts], R], /, *args: *Ts, **options: Unpack[ActivityOptions]) -> R: ...
@overload
async def execute_activity(activity: str, /, *args: Any, returns: type[R], **options: Unpack[ActivityOptions]) -> R: ...
@overload
async def execute_activity(activity: str, /, *args: Any, **options: Unpack[ActivityOptions]) -> Any: ...
async def execute_activity(activity: Any, /, *args: Any, **options: Any) -> Any:  # type: ignore[misc]  # mypy does not see that Any takes Ts
    """Have an activity run and wait for its result; as `start_activity`."""
    return await start_activity(activity, *args, **options)


def _activity_command(
    runtime: Runtime,
    call: Call,
    *,
    start_to_close: timedelta | None = None,
    schedule_to_close: timedelta | None = None,
    schedule_to_start: timedelta | None = None,
    heartbeat: timedelta | None = None,
    retry: Retry | None = None,
    task_queue: str | None = None,
    id: str | None = None,
    cancellation: Cancellation = "try",
) -> tuple[ScheduleActivityTask, Cancellation]:
    if start_to_close is None and schedule_to_close is None:
        problem = MissingTimeout(
            f"the activity {call.name!r} needs start_to_close= (how long one attempt may take) or schedule_to_close="
        )
        runtime.abort(problem)
        raise problem
    command = ScheduleActivityTask(
        activity_id=id or runtime.next_id(),
        activity_type=call.name,
        task_queue=task_queue or runtime.known_info.task_queue,
        input=_encode(runtime.converter, call.args),
        header=runtime.hooks.send(call.header),
        start_to_close_ns=nanoseconds("start_to_close", start_to_close),
        schedule_to_close_ns=nanoseconds("schedule_to_close", schedule_to_close),
        schedule_to_start_ns=nanoseconds("schedule_to_start", schedule_to_start),
        heartbeat_ns=nanoseconds("heartbeat", heartbeat),
        retry=None if retry is None else retry.policy(),
    )
    return command, cancellation


def _encode(converter: Converter, values: tuple[Any, ...]) -> Payloads:
    return tuple(converter.encode(value) for value in values)


class ChildOptions(TypedDict, total=False):
    """Options of a child workflow; ``timeout`` is required."""

    id: str
    """Its workflow id, by default made of the parent's run id and a number."""
    timeout: timedelta
    """How long the run may take, its own children included."""
    task_timeout: timedelta
    task_queue: str
    parent_close: ParentClose
    """What happens to it when the parent ends first: ``terminate`` (default), ``cancel`` or ``abandon``."""
    id_reuse: IdReuse
    retry: Retry
    """Without it a run that failed or timed out is not tried again; ``attempts`` or ``expiration`` is required."""
    cron: str
    """When runs begin, as for a start."""
    memo: Mapping[str, Any]
    search_attributes: Mapping[str, SearchValue]
    cancellation: Cancellation


class ChildHandle(Generic[R]):
    """A child that has started. ``await`` it for its result."""

    def __init__(self, machine: ChildMachine) -> None:
        self._machine = machine

    @property
    def id(self) -> str:
        """Its workflow id."""
        return self._machine.id

    @property
    def run_id(self) -> str:
        """Its first run."""
        return self._machine.run_id

    def __await__(self) -> Generator[Any, None, R]:
        return self._machine.future.__await__()

    async def result(self) -> R:
        """Wait for its end.

        Raises:
            ChildFailure: it failed; ``__cause__`` says why.
        """
        result: R = await self._machine.future
        return result

    async def signal(self, signal: str | Callable[..., Any], /, *args: Any) -> None:
        """Send it a signal, and wait until it is delivered.

        Raises:
            ApplicationFailure: of the type ``NotFound``: it has ended.
        """
        await _signal(self.id, "", signal, args, child_only=True)

    def cancel(self) -> None:
        """Ask it to cancel itself."""
        self._machine.give_up("wait")


@overload
async def start_child(
    workflow: Callable[[*Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[ChildOptions]
) -> ChildHandle[R]: ...
@overload
async def start_child(
    workflow: Callable[[Any, *Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[ChildOptions]
) -> ChildHandle[R]: ...
@overload
async def start_child(
    workflow: str, /, *args: Any, returns: type[R], **options: Unpack[ChildOptions]
) -> ChildHandle[R]: ...
@overload
async def start_child(workflow: str, /, *args: Any, **options: Unpack[ChildOptions]) -> ChildHandle[Any]: ...
async def start_child(workflow: Any, /, *args: Any, returns: Any = Any, **options: Any) -> ChildHandle[Any]:  # type: ignore[misc]  # mypy does not see that Any takes Ts
    """Start a child workflow and return its handle when it has started.

    Args:
        workflow: its ``run`` method, the function, or its registered name.
        args: its arguments.
        returns: the type of the result where a name is given.
        options: see `ChildOptions`.

    Raises:
        ChildAlreadyStarted: its workflow id is taken.
        MissingTimeout: ``timeout`` is not given.
        TypeError: the arguments do not fit, or it is no workflow.
    """
    runtime = current()
    name, hint = target(workflow, workflow_definition, args, returns)

    async def start(call: Call) -> ChildHandle[Any]:
        command, cancellation = _child_command(runtime, call, **call.options)
        machine = runtime.start_child(command, hint, cancellation)
        await machine.started
        return ChildHandle(machine)

    id = options.pop("id", None) or ""
    call = Call(name=name, args=args, options=options, workflow_id=id, info=runtime.info)
    handle: ChildHandle[Any] = await runtime.hooks.through("start_child", call, start)
    return handle


@overload
async def execute_child(
    workflow: Callable[[*Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[ChildOptions]
) -> R: ...
@overload
async def execute_child(
    workflow: Callable[[Any, *Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[ChildOptions]
) -> R: ...
@overload
async def execute_child(workflow: str, /, *args: Any, returns: type[R], **options: Unpack[ChildOptions]) -> R: ...
@overload
async def execute_child(workflow: str, /, *args: Any, **options: Unpack[ChildOptions]) -> Any: ...
async def execute_child(workflow: Any, /, *args: Any, **options: Any) -> Any:  # type: ignore[misc]  # mypy does not see that Any takes Ts
    """Start a child workflow and wait for its result; as `start_child` and `ChildHandle.result`."""
    return await (await start_child(workflow, *args, **options))


def _child_command(
    runtime: Runtime,
    call: Call,
    *,
    timeout: timedelta | None = None,
    task_timeout: timedelta = timedelta(seconds=10),
    task_queue: str | None = None,
    parent_close: ParentClose = "terminate",
    id_reuse: IdReuse = "failed_only",
    retry: Retry | None = None,
    cron: str = "",
    memo: Mapping[str, Any] | None = None,
    search_attributes: Mapping[str, SearchValue] | None = None,
    cancellation: Cancellation = "try",
) -> tuple[StartChildWorkflowExecution, Cancellation]:
    if timeout is None:
        problem = MissingTimeout(f"the child workflow {call.name!r} needs timeout= (how long its run may take)")
        runtime.abort(problem)
        raise problem
    info = runtime.known_info
    command = StartChildWorkflowExecution(
        workflow_id=call.workflow_id or f"{info.run_id}_{runtime.next_id()}",
        workflow_type=call.name,
        task_queue=task_queue or info.task_queue,
        input=_encode(runtime.converter, call.args),
        header=runtime.hooks.send(call.header),
        timeout_ns=nanoseconds("timeout", timeout),
        task_timeout_ns=nanoseconds("task_timeout", task_timeout),
        parent_close=parent_close,
        id_reuse=id_reuse,
        retry=None if retry is None else retry.bounded_policy(),
        cron=check_cron(cron) if cron else "",
        memo=encode_memo(runtime.converter, memo),
        search_attributes=encode_attributes(search_attributes),
    )
    return command, cancellation


async def _signal(
    workflow_id: str, run_id: str, signal: str | Callable[..., Any], args: tuple[Any, ...], *, child_only: bool = False
) -> None:
    runtime = current()
    name, _ = message_target(signal, "signal", args)

    async def send(call: Call) -> None:
        command = SignalExternalWorkflowExecution(
            workflow_id=call.workflow_id,
            run_id=call.run_id,
            name=call.name,
            input=_encode(runtime.converter, call.args),
            header=runtime.hooks.send(call.header),
            child_only=child_only,
        )
        await runtime.signal_external(command)

    call = Call(name=name, args=args, workflow_id=workflow_id, run_id=run_id, info=runtime.info)
    await runtime.hooks.through("signal_external", call, send)


class ExternalHandle:
    """Another execution of the same namespace."""

    def __init__(self, workflow_id: str, run_id: str) -> None:
        self.id = workflow_id
        self.run_id = run_id

    async def signal(self, signal: str | Callable[..., Any], /, *args: Any) -> None:
        """Send it a signal, and wait until it is delivered.

        Raises:
            ApplicationFailure: of the type ``NotFound``: there is no open execution of that id.
        """
        await _signal(self.id, self.run_id, signal, args)

    async def cancel(self, reason: str = "") -> None:
        """Ask it to cancel itself, and wait until it is told. Raises as `signal`."""
        runtime = current()

        async def send(call: Call) -> None:
            await runtime.cancel_external(call.workflow_id, call.run_id, call.options["reason"])

        call = Call(name="", options={"reason": reason}, workflow_id=self.id, run_id=self.run_id, info=runtime.info)
        await runtime.hooks.through("cancel_external", call, send)


def external(workflow_id: str, run_id: str = "") -> ExternalHandle:
    """Another execution, to signal or to cancel; without *run_id* the one that runs then."""
    return ExternalHandle(workflow_id, run_id)


def continue_as_new(
    *args: Any,
    workflow: Any = None,
    task_queue: str | None = None,
    timeout: timedelta | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: Mapping[str, SearchValue] | None = None,
) -> NoReturn:
    """End this run and begin another one of the same workflow id with a fresh history.

    Args:
        args: arguments of the next run.
        workflow: another workflow, by default the same one.
        task_queue: another task queue.
        timeout: another time-out of the run.
        memo: another memo, by default what this run leaves; so with the next.
        search_attributes: others.

    Raises:
        ContinueAsNew: always; let it pass.
    """
    runtime = current()
    info = runtime.known_info
    name = info.workflow_type if workflow is None else target(workflow, workflow_definition, args, None)[0]
    options = {"task_queue": task_queue, "timeout": timeout, "memo": memo, "search_attributes": search_attributes}
    given = {key: value for key, value in options.items() if value is not None}

    def end(call: Call) -> NoReturn:
        raise ContinueAsNew(call.args, _following(runtime, call, **call.options))

    call = Call(name=name, args=args, options=given, info=info)
    runtime.hooks.through("continue_as_new", call, end)
    raise TypeError("an interceptor of continue_as_new has to end by next(call)")


def _following(
    runtime: Runtime,
    call: Call,
    *,
    task_queue: str = "",
    timeout: timedelta | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: Mapping[str, SearchValue] | None = None,
) -> dict[str, Any]:
    """What the next run has otherwise than this one."""
    options: dict[str, Any] = {"workflow_type": call.name, "task_queue": task_queue}
    options["header"] = runtime.hooks.send(call.header)
    options["timeout_ns"] = nanoseconds("timeout", timeout)
    if memo is not None:
        options["memo"] = encode_memo(runtime.converter, memo)
    if search_attributes is not None:
        options["search_attributes"] = encode_attributes(search_attributes)
    return options
