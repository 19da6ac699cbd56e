"""Speaking with one workflow, and with one update of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, TypeVarTuple, cast, overload
from uuid import uuid4

from msgspec.structs import replace

from monkit_workflow.definitions import message_target
from monkit_workflow.errors import (
    CancelledFailure,
    TerminatedFailure,
    TimeoutFailure,
    UpdateFailed,
    UpdateRejected,
    WorkflowFailed,
)
from monkit_workflow.execution import STACK_QUERY
from monkit_workflow.failures import decode_any, to_error
from monkit_workflow.history import (
    Event,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
    WorkflowTaskCompleted,
)
from monkit_workflow.history_file import RecordedHistory
from monkit_workflow.interceptors import Call
from monkit_workflow.runs import RunDescription, description
from monkit_workflow.service import (
    QueryRequest,
    ResetRequest,
    SignalRequest,
    UpdateOutcome,
    UpdateRequest,
)

if TYPE_CHECKING:
    from monkit_workflow.client import Client

__all__ = ["UpdateHandle", "WorkflowHandle", "signal_request"]

R = TypeVar("R")
Q = TypeVar("Q")
Ts = TypeVarTuple("Ts")


class WorkflowHandle(Generic[R]):
    """One workflow id, and of its runs the current one or a given one."""

    def __init__(self, client: Client, workflow_id: str, run_id: str = "", hint: Any = Any, first: str = "") -> None:
        self.id = workflow_id
        self.run_id = run_id
        """The run that this handle is bound to; empty for the one that is current."""
        self.first_run_id = first
        """The run that `Client.start` made, empty if this handle did not come from there."""
        self._client = client
        self._hint = hint

    async def result(self) -> R:
        """Wait for the end, through all runs that continue as new, and return what the last one returned.

        Raises:
            WorkflowFailed: it did not return; ``__cause__`` says how it ended.
            NotFound: there is no such execution.
            ConversionError: the result does not fit the type.
        """
        run_id = self.run_id or self.first_run_id
        while True:
            event = await self._client.service.wait_closed(self.id, run_id)
            following = getattr(event, "next_run_id", "") or getattr(event, "new_run_id", "")
            if not following:
                return self._outcome(event, run_id)
            run_id = following

    def _outcome(self, event: Event, run_id: str) -> R:
        converter = self._client.converter
        if isinstance(event, WorkflowExecutionCompleted):
            value = None if event.result is None else converter.decode(event.result, self._hint)
            return cast(R, value)
        match event:
            case WorkflowExecutionFailed():
                cause: Exception = to_error(event.failure, converter)
            case WorkflowExecutionCanceled():
                cause = CancelledFailure("cancelled", *(decode_any(converter, item) for item in event.details))
            case WorkflowExecutionTerminated():
                cause = TerminatedFailure(event.reason or "terminated")
            case WorkflowExecutionTimedOut():
                cause = TimeoutFailure("the run's time was over", "start_to_close")
            case _:
                cause = TerminatedFailure(f"ended by {type(event).__name__}")
        raise WorkflowFailed(f"workflow {self.id!r}: {cause}", self.id, run_id) from cause

    async def signal(self, signal: str | Callable[..., Any], /, *args: Any) -> None:
        """Send a signal. On return it is kept: the code will see it, also if its worker is dead now.

        Args:
            signal: the handler, such as ``OrderWorkflow.approve``, or its name.
            args: its arguments.

        Raises:
            NotFound: there is no such execution.
            AlreadyClosed: the run is over.
        """
        name, _ = message_target(signal, "signal", args)
        client, request_id = self._client, str(uuid4())

        async def send(call: Call) -> None:
            await client.service.signal(signal_request(client, call, request_id))

        await client.hooks.through("signal", self._call(name, args), send)

    @overload
    async def query(self, query: Callable[[Any, *Ts], Q], /, *args: *Ts) -> Q: ...
    @overload
    async def query(self, query: str, /, *args: Any, returns: type[Q]) -> Q: ...
    @overload
    async def query(self, query: str, /, *args: Any) -> Any: ...
    async def query(self, query: Any, /, *args: Any, returns: Any = Any) -> Any:  # type: ignore[misc]  # Any takes Ts
        """Ask the run about its state, also when it is over. Some worker must be there to answer.

        Raises:
            NotFound: there is no such execution.
            QueryFailed: the handler raised, or there is none of that name.
        """
        name, hint = message_target(query, "query", args, returns)
        client = self._client

        async def send(call: Call) -> Any:
            request = QueryRequest(
                workflow_id=call.workflow_id,
                run_id=call.run_id,
                name=call.name,
                input=client.encode(call.args),
                header=client.hooks.send(call.header),
            )
            payload = await client.service.query(request)
            return None if payload is None else client.converter.decode(payload, hint)

        return await client.hooks.through("query", self._call(name, args), send)

    def _call(self, name: str, args: tuple[Any, ...] = (), **options: Any) -> Call:
        return Call(name=name, args=args, options=options, workflow_id=self.id, run_id=self.run_id)

    @overload
    async def update(self, update: Callable[[Any, *Ts], Awaitable[Q]], /, *args: *Ts, id: str = "") -> Q: ...
    @overload
    async def update(self, update: Callable[[Any, *Ts], Q], /, *args: *Ts, id: str = "") -> Q: ...
    @overload
    async def update(self, update: str, /, *args: Any, id: str = "", returns: type[Q]) -> Q: ...
    @overload
    async def update(self, update: str, /, *args: Any, id: str = "") -> Any: ...
    async def update(self, update: Any, /, *args: Any, id: str = "", returns: Any = Any) -> Any:  # type: ignore[misc]  # Any takes Ts
        """Have the run change its state, and wait for what the handler returns. Some worker must be there.

        Args:
            update: the handler, such as ``OrderWorkflow.set_address``, or its name.
            args: its arguments.
            id: runs once in a run: asked for again, the same outcome is returned. By default a new one.
            returns: the type of the result where a name is given.

        Raises:
            UpdateRejected: the code refused it, and nothing has changed; ``__cause__`` says why.
            UpdateFailed: the handler began and failed; ``__cause__`` says why.
            NotFound: there is no such execution.
            AlreadyClosed: the run is over, or ended before the handler did.
        """
        name, hint = message_target(update, "update", args, returns)
        call = self._call(name, args, id=id or str(uuid4()))

        async def send(call: Call) -> Any:
            return await UpdateHandle(self._client, self._update_request(call), hint).result()

        return await self._client.hooks.through("update", call, send)

    @overload
    async def start_update(
        self, update: Callable[[Any, *Ts], Awaitable[Q]], /, *args: *Ts, id: str = ""
    ) -> UpdateHandle[Q]: ...
    @overload
    async def start_update(self, update: Callable[[Any, *Ts], Q], /, *args: *Ts, id: str = "") -> UpdateHandle[Q]: ...
    @overload
    async def start_update(self, update: str, /, *args: Any, id: str = "", returns: type[Q]) -> UpdateHandle[Q]: ...
    @overload
    async def start_update(self, update: str, /, *args: Any, id: str = "") -> UpdateHandle[Any]: ...
    async def start_update(self, update: Any, /, *args: Any, id: str = "", returns: Any = Any) -> UpdateHandle[Any]:  # type: ignore[misc]  # Any takes Ts
        """As `update`, and return as soon as the run has accepted it."""
        name, hint = message_target(update, "update", args, returns)
        call = self._call(name, args, id=id or str(uuid4()))

        async def send(call: Call) -> UpdateHandle[Any]:
            request = self._update_request(call)
            await send_update(self._client, replace(request, wait="accepted"))
            return UpdateHandle(self._client, request, hint)

        handle: UpdateHandle[Any] = await self._client.hooks.through("start_update", call, send)
        return handle

    def _update_request(self, call: Call) -> UpdateRequest:
        return UpdateRequest(
            workflow_id=call.workflow_id,
            run_id=call.run_id,
            name=call.name,
            update_id=call.options["id"],
            input=self._client.encode(call.args),
            header=self._client.hooks.send(call.header),
            identity=self._client.identity,
        )

    async def stack(self) -> str:
        """Where the code of the run waits, as Python shows a traceback. Raises as `query`."""
        return str(await self.query(STACK_QUERY))

    async def cancel(self, reason: str = "") -> None:
        """Ask the run to cancel itself. Raises as `signal`."""
        client = self._client

        async def send(call: Call) -> None:
            await client.service.cancel(call.workflow_id, call.run_id, call.options["reason"], client.identity)

        await client.hooks.through("cancel", self._call("", reason=reason), send)

    async def terminate(self, reason: str = "") -> None:
        """End the run without asking it. Raises as `signal`."""
        client = self._client

        async def send(call: Call) -> None:
            await client.service.terminate(call.workflow_id, call.run_id, call.options["reason"], client.identity)

        await client.hooks.through("terminate", self._call("", reason=reason), send)

    async def reset(
        self, to: int | Literal["first", "last"], *, reason: str = "", reapply_signals: bool = True
    ) -> WorkflowHandle[R]:
        """Take the run back to an earlier point: a new run with its history up to there takes its place.

        For runs that went wrong by a fault that is mended since. Activities that
        were not over at that point run again.

        Args:
            to: the id of the event that ended a workflow task (its answer is
                given anew), or the ``"first"`` or ``"last"`` answer there is.
            reason: kept in the histories of both runs.
            reapply_signals: whether signals that came after that point come again.

        Raises:
            NotFound: there is no such execution.
            BadRequest: there is no such point, or children were open then.
        """
        run_id = self.run_id or (await self._client.service.describe(self.id)).run_id
        if not isinstance(to, int):
            answers = [
                event.id
                for event in await self._client.service.history(self.id, run_id)
                if isinstance(event, WorkflowTaskCompleted)
            ]
            to = (answers[0] if to == "first" else answers[-1]) if answers else 0
        request = ResetRequest(
            workflow_id=self.id,
            run_id=run_id,
            event_id=to,
            reason=reason,
            reapply_signals=reapply_signals,
            request_id=str(uuid4()),
            identity=self._client.identity,
        )
        return WorkflowHandle(self._client, self.id, hint=self._hint, first=await self._client.service.reset(request))

    async def describe(self) -> RunDescription:
        """What the service knows of the run.

        Raises:
            NotFound: there is no such execution.
        """
        return description(self._client, await self._client.service.describe(self.id, self.run_id))

    async def history(self) -> RecordedHistory:
        """Everything that happened in the run so far; `monkit_workflow.replay` takes it. Raises as `describe`."""
        run_id = (await self._client.service.describe(self.id, self.run_id)).run_id
        events = await self._client.service.history(self.id, run_id)
        return RecordedHistory(events=tuple(events), workflow_id=self.id, run_id=run_id)


class UpdateHandle(Generic[R]):
    """An update that a run has accepted."""

    def __init__(self, client: Client, request: UpdateRequest, hint: Any) -> None:
        self.id = request.update_id
        self._client = client
        self._request = request
        self._hint = hint

    async def result(self) -> R:
        """Wait for what the handler returns. Raises as `WorkflowHandle.update`."""
        outcome = await send_update(self._client, self._request)
        converter = self._client.converter
        if outcome is None or outcome.failure is None:
            payload = None if outcome is None else outcome.result
            return cast(R, None if payload is None else converter.decode(payload, self._hint))
        cause = to_error(outcome.failure, converter)
        request = self._request
        raise UpdateFailed(f"update {request.name!r}: {cause}", request.workflow_id, self.id) from cause


def signal_request(client: Client, call: Call, request_id: str) -> SignalRequest:
    """What the service is asked for a signal."""
    return SignalRequest(
        workflow_id=call.workflow_id,
        run_id=call.run_id,
        name=call.name,
        input=client.encode(call.args),
        header=client.hooks.send(call.header),
        request_id=request_id,
        identity=client.identity,
    )


async def send_update(client: Client, request: UpdateRequest) -> UpdateOutcome | None:
    """Ask the service for an update; a refusal gets its cause."""
    try:
        return await client.service.update(request)
    except UpdateRejected as error:
        if error.failure is not None:
            raise error from to_error(error.failure, client.converter)
        raise
