"""What workflow code calls outside of itself: activities, child workflows, other executions.

Arguments are positional and options are keywords, so that an editor knows the
types of both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import timedelta
from typing import Any, Generic, NoReturn, TypedDict, TypeVar, TypeVarTuple, Unpack, overload

from monkit_workflow.commands import ScheduleActivityTask, StartChildWorkflowExecution
from monkit_workflow.converter import Converter
from monkit_workflow.cron import check_cron
from monkit_workflow.definitions import activity_definition, handler_name, target, workflow_definition
from monkit_workflow.errors import ContinueAsNew, MissingTimeout
from monkit_workflow.history import IdReuse, ParentClose
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
    command, cancellation = _activity_command(runtime, name, args, **options)
    return runtime.schedule_activity(command, hint, cancellation).future


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
    name: str,
    args: tuple[Any, ...],
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
            f"the activity {name!r} needs start_to_close= (how long one attempt may take) or schedule_to_close="
        )
        runtime.abort(problem)
        raise problem
    command = ScheduleActivityTask(
        activity_id=id or runtime.next_id(),
        activity_type=name,
        task_queue=task_queue or runtime.known_info.task_queue,
        input=_encode(runtime.converter, args),
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
        runtime = current()
        name, arguments = _signal(runtime, signal, args)
        await runtime.signal_external(self.id, "", name, arguments, child_only=True)

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
    command, cancellation = _child_command(runtime, name, args, **options)
    machine = runtime.start_child(command, hint, cancellation)
    await machine.started
    return ChildHandle(machine)


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
    name: str,
    args: tuple[Any, ...],
    *,
    timeout: timedelta | None = None,
    id: str | None = None,
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
        problem = MissingTimeout(f"the child workflow {name!r} needs timeout= (how long its run may take)")
        runtime.abort(problem)
        raise problem
    info = runtime.known_info
    command = StartChildWorkflowExecution(
        workflow_id=id or f"{info.run_id}_{runtime.next_id()}",
        workflow_type=name,
        task_queue=task_queue or info.task_queue,
        input=_encode(runtime.converter, args),
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


def _signal(runtime: Runtime, signal: str | Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, Payloads]:
    name, signature = handler_name(signal, "signal")
    if signature is not None:
        signature.check(len(args))
    return name, _encode(runtime.converter, args)


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
        runtime = current()
        name, arguments = _signal(runtime, signal, args)
        await runtime.signal_external(self.id, self.run_id, name, arguments)

    async def cancel(self, reason: str = "") -> None:
        """Ask it to cancel itself, and wait until it is told. Raises as `signal`."""
        await current().cancel_external(self.id, self.run_id, reason)


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
    converter = current().converter
    options: dict[str, Any] = {}
    if workflow is not None:
        options["workflow_type"] = workflow if isinstance(workflow, str) else workflow_definition(workflow).name
    if task_queue is not None:
        options["task_queue"] = task_queue
    if timeout is not None:
        options["timeout_ns"] = nanoseconds("timeout", timeout)
    if memo is not None:
        options["memo"] = encode_memo(converter, memo)
    if search_attributes is not None:
        options["search_attributes"] = encode_attributes(search_attributes)
    raise ContinueAsNew(args, options)
