"""Starting workflows and speaking with them."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, Literal, Required, TypedDict, TypeVar, TypeVarTuple, Unpack, cast, overload
from uuid import uuid4

from msgspec.structs import replace

from monkit_workflow.activity_handle import ActivityHandle
from monkit_workflow.converter import Converter, JsonConverter
from monkit_workflow.cron import check_cron
from monkit_workflow.definitions import message_target, target, workflow_definition
from monkit_workflow.errors import (
    CancelledFailure,
    MissingTimeout,
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
    IdReuse,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
    WorkflowTaskCompleted,
)
from monkit_workflow.history_file import RecordedHistory
from monkit_workflow.hooks import Hooks
from monkit_workflow.interceptors import Call
from monkit_workflow.notes import encode_memo
from monkit_workflow.options import Retry, nanoseconds
from monkit_workflow.payload import Payloads
from monkit_workflow.propagators import Propagator
from monkit_workflow.runs import RunDescription, RunSummary, description, summary
from monkit_workflow.search_attributes import SearchValue, encode_attributes
from monkit_workflow.service import (
    ActivityIds,
    QueryRequest,
    ResetRequest,
    Service,
    SignalRequest,
    StartRequest,
    UpdateOutcome,
    UpdateRequest,
)

__all__ = ["Client", "StartOptions", "UpdateHandle", "WorkflowHandle"]

R = TypeVar("R")
Q = TypeVar("Q")
Ts = TypeVarTuple("Ts")


_PAGE = 100
"""Runs that are asked for at a time."""


class StartOptions(TypedDict, total=False):
    """Options of a start."""

    id: Required[str]
    """The workflow id: of those that run there is one of each."""
    task_queue: Required[str]
    """Whose workers shall run it."""
    timeout: Required[timedelta]
    """How long a run may take, its children included; continue-as-new restarts it."""
    task_timeout: timedelta
    """How long a worker may take for one step of the code."""
    id_reuse: IdReuse
    """What a workflow that had the id before means: ``failed_only`` (start if it did not complete), ``allow``,
    ``reject``, or ``terminate`` it if it runs."""
    retry: Retry
    """Without it a run that failed or timed out is not tried again; ``attempts`` or ``expiration`` is required."""
    cron: str
    """When runs begin, such as ``"0 9 * * MON-FRI"``, ``"@every 1h30m"``, ``"CRON_TZ=Europe/Berlin 0 9 * * *"``."""
    memo: Mapping[str, Any]
    """Notes for people, shown with the run."""
    search_attributes: Mapping[str, SearchValue]
    """What it can be found by, see `Client.list`; the type of a name is fixed by its first use."""


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
            await client.service.signal(client._signal_request(call, request_id))

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
            await self._client._update(replace(request, wait="accepted"))
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


def _start_call(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Call:
    workflow_id = options.pop("id", "")
    return Call(name=name, args=args, options=options, workflow_id=workflow_id)


class UpdateHandle(Generic[R]):
    """An update that a run has accepted."""

    def __init__(self, client: Client, request: UpdateRequest, hint: Any) -> None:
        self.id = request.update_id
        self._client = client
        self._request = request
        self._hint = hint

    async def result(self) -> R:
        """Wait for what the handler returns. Raises as `WorkflowHandle.update`."""
        outcome = await self._client._update(self._request)
        converter = self._client.converter
        if outcome is None or outcome.failure is None:
            payload = None if outcome is None else outcome.result
            return cast(R, None if payload is None else converter.decode(payload, self._hint))
        cause = to_error(outcome.failure, converter)
        request = self._request
        raise UpdateFailed(f"update {request.name!r}: {cause}", request.workflow_id, self.id) from cause


class Client:
    """A namespace of a service, to start workflows and to find them again. `monkit_workflow.connect` makes it."""

    def __init__(
        self,
        service: Service,
        *,
        converter: Converter | None = None,
        identity: str | None = None,
        interceptors: Iterable[object] = (),
        propagators: Iterable[Propagator] = (),
    ) -> None:
        self.service = service
        self.converter: Converter = converter or JsonConverter()
        self.hooks = Hooks(self.converter, interceptors, propagators)
        self.identity = identity or f"{os.getpid()}@{socket.gethostname()}"

    async def __aenter__(self) -> Client:
        await self.service.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.service.__aexit__(kind, error, trace)

    def encode(self, values: tuple[Any, ...]) -> Payloads:
        """The payloads of some values."""
        return tuple(self.converter.encode(value) for value in values)

    @overload
    async def start(
        self, workflow: Callable[[*Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[StartOptions]
    ) -> WorkflowHandle[R]: ...
    @overload
    async def start(
        self, workflow: Callable[[Any, *Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[StartOptions]
    ) -> WorkflowHandle[R]: ...
    @overload
    async def start(
        self, workflow: str, /, *args: Any, returns: type[R], **options: Unpack[StartOptions]
    ) -> WorkflowHandle[R]: ...
    @overload
    async def start(self, workflow: str, /, *args: Any, **options: Unpack[StartOptions]) -> WorkflowHandle[Any]: ...
    async def start(self, workflow: Any, /, *args: Any, returns: Any = Any, **options: Any) -> WorkflowHandle[Any]:  # type: ignore[misc]  # mypy does not see that Any takes Ts
        """Start a workflow. On return it is kept: it will run, also if this process dies now.

        Args:
            workflow: its ``run`` method, the function, or its registered name.
            args: its arguments.
            returns: the type of the result where a name is given.
            options: see `StartOptions`.

        Raises:
            AlreadyStarted: the workflow id is taken.
            MissingTimeout: ``timeout`` is not given.
            TypeError: the arguments do not fit, or it is no workflow.
            ValueError: an option has a value that makes no sense.
        """
        name, hint = target(workflow, workflow_definition, args, returns)
        request_id = str(uuid4())  # the same if an interceptor tries again

        async def send(call: Call) -> WorkflowHandle[Any]:
            request = self._start_request(call, request_id, **call.options)
            run_id = await self.service.start(request)
            return WorkflowHandle(self, request.workflow_id, hint=hint, first=run_id)

        handle: WorkflowHandle[Any] = await self.hooks.through("start", _start_call(name, args, options), send)
        return handle

    @overload
    async def signal_with_start(
        self,
        workflow: Callable[[*Ts], Awaitable[R]],
        /,
        *args: *Ts,
        signal: str | Callable[..., Any],
        signal_args: tuple[Any, ...] = (),
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[R]: ...
    @overload
    async def signal_with_start(
        self,
        workflow: Callable[[Any, *Ts], Awaitable[R]],
        /,
        *args: *Ts,
        signal: str | Callable[..., Any],
        signal_args: tuple[Any, ...] = (),
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[R]: ...
    @overload
    async def signal_with_start(
        self,
        workflow: str,
        /,
        *args: Any,
        signal: str | Callable[..., Any],
        signal_args: tuple[Any, ...] = (),
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[Any]: ...
    async def signal_with_start(  # type: ignore[misc]  # mypy does not see that Any takes Ts
        self,
        workflow: Any,
        /,
        *args: Any,
        signal: str | Callable[..., Any],
        signal_args: tuple[Any, ...] = (),
        returns: Any = Any,
        **options: Any,
    ) -> WorkflowHandle[Any]:
        """Signal the workflow of that id; if none is open, start it first. Both or nothing happens.

        Args:
            workflow: as for `start`.
            args: of the workflow, if it has to be started.
            signal: the handler, such as ``OrderWorkflow.approve``, or its name.
            signal_args: its arguments.
            returns: as for `start`.
            options: see `StartOptions`.

        Raises:
            AlreadyStarted: none is open, and ``id_reuse`` protects the last one.
            MissingTimeout: ``timeout`` is not given.
            TypeError: arguments do not fit, or something is no workflow or no signal.
            ValueError: an option has a value that makes no sense.
        """
        name, hint = target(workflow, workflow_definition, args, returns)
        signal_name, _ = message_target(signal, "signal", signal_args)
        options.update(signal=signal_name, signal_args=signal_args)
        request_id = str(uuid4())

        async def send(call: Call) -> WorkflowHandle[Any]:
            given = dict(call.options)
            said = call.replace(name=given.pop("signal"), args=given.pop("signal_args"))
            request = self._start_request(call, request_id, **given)
            run_id = await self.service.signal_with_start(request, self._signal_request(said, request_id))
            return WorkflowHandle(self, request.workflow_id, hint=hint, first=run_id)

        call = _start_call(name, args, options)
        handle: WorkflowHandle[Any] = await self.hooks.through("signal_with_start", call, send)
        return handle

    async def _update(self, request: UpdateRequest) -> UpdateOutcome | None:
        try:
            return await self.service.update(request)
        except UpdateRejected as error:
            if error.failure is not None:
                raise error from to_error(error.failure, self.converter)
            raise

    def _start_request(
        self,
        call: Call,
        request_id: str,
        *,
        task_queue: str | None = None,
        timeout: timedelta | None = None,
        task_timeout: timedelta = timedelta(seconds=10),
        id_reuse: IdReuse = "failed_only",
        retry: Retry | None = None,
        cron: str = "",
        memo: Mapping[str, Any] | None = None,
        search_attributes: Mapping[str, SearchValue] | None = None,
    ) -> StartRequest:
        if timeout is None:
            raise MissingTimeout(f"the workflow {call.name!r} needs timeout= (how long a run may take)")
        if not call.workflow_id or not task_queue:
            raise TypeError(f"the workflow {call.name!r} needs id= and task_queue=")
        return StartRequest(
            workflow_id=call.workflow_id,
            workflow_type=call.name,
            task_queue=task_queue,
            timeout_ns=nanoseconds("timeout", timeout),
            task_timeout_ns=nanoseconds("task_timeout", task_timeout),
            id_reuse=id_reuse,
            retry=None if retry is None else retry.bounded_policy(),
            cron=check_cron(cron) if cron else "",
            input=self.encode(call.args),
            memo=encode_memo(self.converter, memo),
            search_attributes=encode_attributes(search_attributes),
            header=self.hooks.send(call.header),
            request_id=request_id,
            identity=self.identity,
        )

    def _signal_request(self, call: Call, request_id: str) -> SignalRequest:
        return SignalRequest(
            workflow_id=call.workflow_id,
            run_id=call.run_id,
            name=call.name,
            input=self.encode(call.args),
            header=self.hooks.send(call.header),
            request_id=request_id,
            identity=self.identity,
        )

    @overload
    def handle(self, id: str, *, run_id: str = "") -> WorkflowHandle[Any]: ...
    @overload
    def handle(self, id: str, *, run_id: str = "", workflow: Callable[..., Awaitable[R]]) -> WorkflowHandle[R]: ...
    def handle(self, id: str, *, run_id: str = "", workflow: Any = None) -> WorkflowHandle[Any]:
        """Find a workflow again; nothing is asked of the service yet.

        Args:
            id: the workflow id.
            run_id: one of its runs, by default the current or last one.
            workflow: its ``run`` method or function, for the type of the result.
        """
        hint = Any if workflow is None else workflow_definition(workflow).signature.result
        return WorkflowHandle(self, id, run_id, hint)

    @overload
    def activity(self, *, token: str) -> ActivityHandle: ...
    @overload
    def activity(self, *, workflow_id: str, activity_id: str, run_id: str = "") -> ActivityHandle: ...
    def activity(
        self, *, token: str = "", workflow_id: str = "", activity_id: str = "", run_id: str = ""
    ) -> ActivityHandle:
        """An open attempt, to end it from here.

        Args:
            token: of the attempt, from ``activity.info().token``.
            workflow_id: instead of a token the workflow, with
            activity_id: the id of its activity, by the option ``id=`` or from ``activity.info()``, and
            run_id: a run, by default the current one.

        Raises:
            TypeError: neither a token nor both ids are given.
        """
        if bool(token) == bool(workflow_id and activity_id):
            raise TypeError("an activity is named by token=, or by workflow_id= and activity_id=")
        name = token or ActivityIds(workflow_id=workflow_id, activity_id=activity_id, run_id=run_id)
        return ActivityHandle(self.service, self.converter, name)

    async def list(self, query: str = "", *, limit: int | None = None) -> AsyncIterator[RunSummary]:
        """The runs that a filter lets through, the newest start first, read page by page.

        Args:
            query: such as ``WorkflowType = 'Order' AND ExecutionStatus = 'Running'``; empty lets all through.
            limit: how many at most.

        Raises:
            BadQuery: the filter cannot be read, or names what is not there.
        """
        token = ""
        while limit is None or limit > 0:
            page = await self.service.list_workflows(query, min(limit or _PAGE, _PAGE), token)
            for listed in page.runs:
                yield summary(self, listed)
            token = page.next_token
            if not token:
                return
            if limit is not None:
                limit -= len(page.runs)

    async def count(self, query: str = "") -> int:
        """How many runs a filter lets through. Raises as `list`."""
        return await self.service.count_workflows(query)
